"""Where the data of a model comes in."""

from __future__ import annotations

import inspect

from rnnkit.keras import settings
from rnnkit.keras.arguments import dropped
from rnnkit.layers.support import symbolic

KerasTensor = symbolic.SymbolicTensor


def Input(shape=None, batch_size=None, dtype=None, **keywords):
    """Where a model's data comes in: a symbolic tensor, as `rnnkit.Input` gives.

    Raises
    ------
    ValueError
        For a sparse or ragged input.
    """
    keywords = dropped("Input", keywords, inspect.signature(symbolic.Input).parameters)
    dtype = settings.floatx() if dtype is None else dtype
    shape = (shape,) if isinstance(shape, int) else shape
    return symbolic.Input(shape, batch_size, getattr(dtype, "name", dtype), **keywords)


def InputLayer(shape=None, batch_size=None, dtype=None, *, input_shape=None, batch_input_shape=None, **keywords):
    """`Input`, by the name of a layer: the first of a `Sequential`."""
    if batch_input_shape is not None:
        keywords["batch_shape"] = batch_input_shape
    return Input(input_shape if shape is None else shape, batch_size, dtype, **keywords)


class InputSpec:
    """What a layer of one's own says of its input; nothing is checked by it."""

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None, **keywords):
        self.dtype, self.shape, self.ndim = dtype, shape, ndim
        self.max_ndim, self.min_ndim, self.axes = max_ndim, min_ndim, axes or {}
