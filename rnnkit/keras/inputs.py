"""The inputs of models."""

from __future__ import annotations

import inspect

from rnnkit.keras import settings
from rnnkit.keras.arguments import dropped
from rnnkit.layers.base import Layer
from rnnkit.layers.support import symbolic

KerasTensor = symbolic.SymbolicTensor


def Input(shape=None, batch_size=None, dtype=None, **keywords):
    """Make the input of a model: a symbolic tensor, as `rnnkit.Input` does.

    Raises
    ------
    ValueError
        For a sparse or ragged input.
    """
    keywords = dropped("Input", keywords, inspect.signature(symbolic.Input).parameters)
    dtype = settings.floatx() if dtype is None else dtype
    shape = (shape,) if isinstance(shape, int) else shape
    return symbolic.Input(shape, batch_size, getattr(dtype, "name", dtype), **keywords)


class InputLayer(Layer):
    """`Input` as a layer: the first one of a `Sequential`, or one for each input in a model's `layers`.

    Examples
    --------
    >>> from rnnkit import keras
    >>> x = keras.Input((3,), name="x")
    >>> [layer.name for layer in keras.Model(x, keras.layers.Dense(1, name="y")(x)).layers]
    ['x', 'y']
    """

    _symbol: KerasTensor

    def __new__(cls, shape=None, batch_size=None, dtype=None, *, input_shape=None, batch_input_shape=None, **keywords):
        """Make a symbolic tensor, as `Input` does."""
        if batch_input_shape is not None:
            keywords["batch_shape"] = batch_input_shape
        return Input(input_shape if shape is None else shape, batch_size, dtype, **keywords)

    @classmethod
    def of(cls, symbol) -> InputLayer:
        """Return the layer of a symbolic input."""
        made = object.__new__(cls)
        Layer.__init__(made, name=symbol.name)
        made._symbol, made.built, made._input_shape = symbol, True, symbol.shape
        return made

    def __call__(self, inputs, mask=None, training=False):
        """Return the inputs as they are."""
        return inputs

    @property
    def input(self):
        """The symbolic input."""
        return self._symbol

    output = input

    @property
    def batch_shape(self) -> tuple:
        """The shape of the input, with the batch axis."""
        return self._symbol.shape

    def get_config(self):
        """Return shape, precision and name."""
        return {"batch_shape": self.batch_shape, "dtype": self._symbol.dtype.name, "name": self.name}


class InputSpec:
    """Description of a layer's input by the layer; nothing is checked by it."""

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None, **keywords):
        self.dtype, self.shape, self.ndim = dtype, shape, ndim
        self.max_ndim, self.min_ndim, self.axes = max_ndim, min_ndim, axes or {}
