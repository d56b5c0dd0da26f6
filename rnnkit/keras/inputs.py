"""The inputs of models."""

from __future__ import annotations

import inspect
from abc import ABCMeta

from rnnkit.keras import settings
from rnnkit.keras.arguments import dropped
from rnnkit.layers.base import Layer
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.symbolic import leaves


class KerasTensor(metaclass=ABCMeta):  # noqa: B024  # its instances are others'
    """A symbolic tensor; `KerasTensor(shape, dtype)` makes one, with the batch axis, that no layer gives."""

    def __new__(cls, shape, dtype="float32", *others, name=None, **keywords):
        """Make it, as `Input` does."""
        return Input(batch_shape=tuple(shape), dtype=dtype, name=name)

    @classmethod
    def __subclasshook__(cls, kind):
        """Return whether it is a class of symbolic tensors."""
        return issubclass(kind, symbolic.SymbolicTensor)


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

    _symbol: symbolic.SymbolicTensor

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
    """The inputs of a layer or a model, as its attribute `input_spec`: calls with anything else are a ValueError.

    Parameters
    ----------
    dtype
        Nothing.
    shape : tuple, optional
        With the batch axis, None for any size.
    ndim, max_ndim, min_ndim : int, optional
        The number of axes, and its limits.
    axes : dict of int to int, optional
        Sizes of single axes.
    """

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None, **keywords):
        self.dtype, self.shape, self.ndim = dtype, shape, ndim if shape is None else len(shape)
        self.max_ndim, self.min_ndim, self.axes = max_ndim, min_ndim, axes or {}

    def check(self, inputs, name) -> None:
        """Refuse inputs of another shape."""
        sizes = dict(enumerate(self.shape or ())) | {int(axis): size for axis, size in self.axes.items()}
        for shape in (tuple(one.shape) for one in leaves(inputs)):
            least, most = (own if self.ndim is None else self.ndim for own in (self.min_ndim, self.max_ndim))
            fits = (least or 0) <= len(shape) <= (len(shape) if most is None else most)
            for axis, size in sizes.items():
                fits = fits and -len(shape) <= axis < len(shape) and (size is None or shape[axis] in (size, None))
            if not fits:
                told = {key: value for key, value in vars(self).items() if value not in (None, {})}
                raise ValueError(f"expected inputs of {name!r} as its input_spec says, {told}; got {shape}")
