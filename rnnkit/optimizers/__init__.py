"""Keras's optimizers, each a step in NumPy that is compiled for all weights."""

from __future__ import annotations

from typing import Any

from rnnkit.docstrings import described_as
from rnnkit.optimizers import schedules
from rnnkit.optimizers.lbfgs import LBFGS
from rnnkit.optimizers.optimizer import Optimizer
from rnnkit.optimizers.rules import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop
from rnnkit.serialization.configuration import named, named_config

__all__ = [
    "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Nadam", "Optimizer", "RMSprop",
    "config_of", "get", "schedules",
]  # fmt: skip

CLASSES = {kind.__name__: kind for kind in (SGD, RMSprop, Adam, AdamW, Nadam, Lion, Adagrad, Adadelta, Adamax, LBFGS)}
OPTIMIZERS = {name.lower(): kind for name, kind in CLASSES.items()}


@described_as(named)
def get(identifier: Any) -> Optimizer:
    """Return the optimizer for an argument.

    Parameters
    ----------
    identifier : str, Optimizer or dict
        A name (``"sgd"``, ``"rmsprop"``, ``"adam"``, ``"adamw"``, ``"nadam"``, ``"lion"``, ``"adagrad"``,
        ``"adadelta"``, ``"adamax"``, ``"lbfgs"``, in any case), an object as it is, or
        ``{"class_name": …, "config": …}``.

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.optimizers.get("adam")
    Adam()
    """
    if isinstance(identifier, str) and ":" not in identifier:
        identifier = identifier.lower()
    if identifier is None:
        raise TypeError(
            "expected an optimizer's name, an object of a subclass of Optimizer or its configuration; got None"
        )
    return named(identifier, OPTIMIZERS, CLASSES, Optimizer, "optimizer")


def config_of(optimizer: Any) -> dict[str, Any] | str | None:
    """Return an argument of `get` for an equal optimizer, as JSON values.

    Parameters
    ----------
    optimizer : Optimizer

    Returns
    -------
    dict or str
        An argument of `get`, of JSON values.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.optimizers.config_of(rk.optimizers.SGD(0.1))["class_name"]
    'SGD'
    """
    return named_config(optimizer, CLASSES)
