"""Keras's losses: functions of arrays, objects that return a number, and rnnkit's losses for training."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit import losses as plain
from rnnkit import targets
from rnnkit.arrays import numbers_of
from rnnkit.keras.naming import by_order, deserializer, namespace
from rnnkit.layers.support.symbolic import SymbolicTensor, holds_symbols, resolved
from rnnkit.serialization.registry import Configurable, find, is_elsewhere
from rnnkit.steps.nesting import like
from rnnkit.training.of_batch import OfBatch

_REDUCTIONS = ("sum_over_batch_size", "mean_with_sample_weight", "mean", "auto", "sum", "none", None)
_MEANS = _REDUCTIONS[:4]


class Loss(Configurable):
    """Base of losses: ``loss(y_true, y_pred)`` is a number, the mean over all entries of the result of `call`.

    One of your own defines `call`, or ``__call__``, which gives the number.

    Parameters
    ----------
    name : str, optional
    reduction : {"sum_over_batch_size", "mean_with_sample_weight", "sum", "none"}
        The reduction of the values of `call` to one number: the mean, the weighted mean, the sum, or none.
    dtype : optional
        Nothing: a loss has the precision of its arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit import keras
    >>> loss = keras.losses.MeanSquaredError()
    >>> float(loss(np.array([[0.0, 1.0]]), np.array([[1.0, 3.0]])))
    2.5
    """

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        if reduction not in _REDUCTIONS:
            raise ValueError(f"expected a reduction among {_REDUCTIONS}, got {reduction!r}")
        self.name = name or type(self).__name__
        self.reduction = reduction

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the loss of arrays, as one number unless `reduction` is "none"."""
        y_true, y_pred = (one if noted(one) else np.asanyarray(one) for one in map(resolved, (y_true, y_pred)))
        if not holds_symbols((y_true, y_pred)) and y_true.ndim and y_pred.ndim:
            shapes = [one.shape for one in targets.aligned(y_true, y_pred)]
            y_true, y_pred = (one.reshape(shape) for one, shape in zip((y_true, y_pred), shapes, strict=True))
        values = self.call(y_true, y_pred)
        values = values if noted(values) else np.asanyarray(values)
        if sample_weight is not None:
            weight = np.asarray(numbers_of(sample_weight), values.dtype)
            weight = weight[..., 0] if weight.ndim > values.ndim else weight
            values = values * weight.reshape(*weight.shape, *(1,) * (values.ndim - weight.ndim))
        if self.reduction in ("none", None):
            return values
        if self.reduction == "sum":
            return np.sum(values)
        if self.reduction == "mean_with_sample_weight" and sample_weight is not None:
            return values.sum() / np.broadcast_to(weight, values.shape).sum()
        if (ignored := getattr(self, "ignore_class", None)) is not None:
            return values.sum() / max(1, np.sum(np.reshape(y_true, values.shape) != ignored))
        return np.mean(values)

    def call(self, y_true, y_pred):
        """Return the loss of each row, or of each step."""
        raise NotImplementedError(f"expected {type(self).__name__} to define call(y_true, y_pred)")

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction}

    def _in_training(self):
        """Return the loss of rnnkit for training."""
        if self.reduction not in _MEANS:
            raise ValueError(
                f"expected a loss with the reduction 'sum_over_batch_size' for training, got {self.reduction!r}; "
                "multiply the loss or the learning rate instead"
            )
        return OfBatch(self.call, self.name)


def noted(value) -> bool:
    """Return whether this is a symbolic tensor or an array of a tape, whose functions are recorded."""
    return hasattr(type(value), "__rnnkit_array__") or isinstance(value, SymbolicTensor)


class _Plain(Loss):
    """Base of the names for rnnkit's losses."""

    _kind: type[plain.Loss]
    _order: str

    def __init__(self, *arguments, **settings):
        settings = by_order(self._order, type(self), arguments, settings)
        settings.pop("dtype", None)
        name = settings.pop("name", None) or self._kind.name
        super().__init__(name, settings.pop("reduction", "sum_over_batch_size"))
        self.axis = settings.pop("axis", None)
        self._loss = self._kind(**settings)
        self.ignore_class = getattr(self._loss, "ignore_class", None)

    def call(self, y_true, y_pred):
        """Return the loss of each row, or of each step."""
        if self.axis not in (None, -1):
            moved = lambda one: np.moveaxis(one, self.axis, -1) if one.ndim == y_pred.ndim else one
            y_true, y_pred = moved(y_true), moved(y_pred)
        return self._loss(y_true, y_pred)

    def get_config(self):
        """Return the constructor's arguments."""
        axis = {} if self.axis is None else {"axis": self.axis}
        return super().get_config() | self._loss.get_config() | axis

    def _in_training(self):
        super()._in_training()
        return self._loss if self.axis in (None, -1) else OfBatch(self._of_rows, self.name)

    def _of_rows(self, y_true, y_pred):
        values = self.call(y_true, y_pred)
        return np.mean(values, axis=tuple(range(1, values.ndim)))


_ORDERS = {
    "Huber": "delta reduction name dtype",
    "BinaryCrossentropy": "from_logits label_smoothing axis reduction name dtype",
    "CategoricalCrossentropy": "from_logits label_smoothing axis reduction name dtype",
    "CosineSimilarity": "axis reduction name dtype",
    "SparseCategoricalCrossentropy": "from_logits ignore_class reduction axis name dtype",
}
_ALIASES = {
    **plain.ALIASES,
    "cosine_proximity": "cosine_similarity",
    "kullback_leibler_divergence": "kl_divergence",
}


def get(identifier) -> Any:
    """Return the function or the object that a loss argument stands for; None for None."""
    if identifier is None or (callable(identifier) and not isinstance(identifier, type)):
        return identifier
    if isinstance(identifier, type):
        return identifier()
    if isinstance(identifier, str):
        if is_elsewhere(identifier):
            return find(identifier)
        if identifier in plain.CLASSES:
            return __getattr__(identifier)()
    return plain.get(_ALIASES.get(identifier, identifier) if isinstance(identifier, str) else identifier)


def serialize(loss):
    """Return a loss as JSON values."""
    return plain.loss_config(loss._in_training() if isinstance(loss, Loss) else loss)


deserialize = deserializer(plain.get)


def for_training(given) -> Any:
    """Return losses as rnnkit's `compile` takes them, nested as they are."""
    if isinstance(given, dict) and "class_name" not in given:
        return dict(zip(given, for_training(list(given.values())), strict=True))
    if isinstance(given, (list, tuple)):
        return like(given, [for_training(one[0] if _is_one(one) else one) for one in given])
    found = get(given)
    if isinstance(found, Loss) and (type(found).__call__ is Loss.__call__ or type(found).call is not Loss.call):
        return found._in_training()
    own = found is None or isinstance(found, (plain.Loss, OfBatch)) or found in plain.LOSSES.values()
    return found if own else OfBatch(found)


def _is_one(given) -> bool:
    return isinstance(given, (list, tuple)) and len(given) == 1


def _make(name: str):
    if name in plain.CLASSES:
        kind = plain.CLASSES[name]
        body = {
            "__module__": __name__,
            "__doc__": f"The loss `rnnkit.losses.{name}` as one number.",
            "_kind": kind,
            "_order": _ORDERS.get(name, "reduction name dtype"),
        }
        return type(name, (_Plain,), body)
    return plain.LOSSES[_ALIASES.get(name, name)]


MADE = [*plain.CLASSES, *plain.LOSSES, *_ALIASES]
__getattr__, __dir__ = namespace("losses", _make, MADE)
