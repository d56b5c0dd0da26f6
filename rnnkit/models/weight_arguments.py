"""The arguments of `add_weight`, in Keras's orders."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from rnnkit.initializers import initializer
from rnnkit.steps.weight_options import WeightOptions

_ORDER_3 = tuple("shape initializer dtype trainable autocast regularizer constraint aggregation name".split())
_ORDER_2 = tuple("name shape dtype initializer regularizer trainable constraint".split())


def weight_arguments(known, arguments, keywords):
    """Return shape, initializer, options, name and dtype of a weight, for the argument orders of Keras 3 and 2.

    The dtype is None unless it is one of integers or booleans of a weight that isn't trained.
    """
    order = _ORDER_2 if arguments and (arguments[0] is None or isinstance(arguments[0], str)) else _ORDER_3
    unknown = sorted(set(keywords) - {*_ORDER_3, "synchronization"})
    if len(arguments) > len(order) or unknown:
        got = unknown or f"{len(arguments)} arguments"
        raise TypeError(f"expected arguments of add_weight among {', '.join(_ORDER_3)}; got {got}")
    given: dict[str, Any] = dict(zip(order, arguments, strict=False)) | keywords
    shape, trainable, name = given.get("shape"), given.get("trainable"), given.get("name")
    shape = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    if name is None:
        free = ("variable" if i == 0 else f"variable_{i}" for i in range(len(known) + 1))
        name = next(one for one in free if one not in known)
    elif not isinstance(name, str):
        raise TypeError(f"expected name to be a string, got {name!r}")
    weight_options = WeightOptions(
        True if trainable is None else bool(trainable), given.get("regularizer"), given.get("constraint")
    )
    dtype: Any = np.dtype(getattr(given.get("dtype"), "name", given.get("dtype")))  # float64 for None
    if dtype.kind == "c":
        raise TypeError(f"expected {name!r} to hold real numbers, got dtype {dtype}; weights of cells may be complex")
    if weight_options.trainable or dtype.kind == "f":
        dtype = None
    start = _start(given.get("initializer", "glorot_uniform" if dtype is None else "zeros"))
    return shape, start, weight_options, name.replace("/", "_"), dtype


def _start(given):
    """Return an initializer ``(shape, rng)``, also for a function ``(shape, dtype)``."""
    found = initializer("glorot_uniform" if given is None else given)
    if callable(given):
        try:
            names = list(inspect.signature(given).parameters)
        except (TypeError, ValueError):
            return found
        if len(names) == 1 or "dtype" in names[1:2]:
            return lambda shape, rng: np.asarray(given(shape))
    return found
