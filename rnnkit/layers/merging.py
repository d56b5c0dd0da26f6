"""Layers that make one array of several: side by side, or element by element."""

from __future__ import annotations

from functools import reduce
from typing import Any, Unpack

import numpy as np

from rnnkit.arguments import integer
from rnnkit.custom_gradients import custom_gradient
from rnnkit.hints import Array, LayerOptions, Shape
from rnnkit.layers.base import makes_no_mask
from rnnkit.layers.support import entry, symbolic, validation
from rnnkit.layers.traced import Traced


class Merge(Traced):
    """Base of layers that take a list of arrays; a subclass has `_merged_shape` and `_result`."""

    _axes = "batch, …"
    _padding = "masked"
    _takes_list = True

    def _taken(self, inputs, mask):
        if not isinstance(inputs, (list, tuple)) or not inputs:
            got = "an empty list" if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            raise TypeError(f"expected {type(self).__name__} to be given a list of arrays, got {got}")
        return [validation.numbers(one, "x") for one in inputs]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the merged array, from a list of shapes."""
        return self._merged_shape(self._shape(input_shape))

    @makes_no_mask
    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return steps that any of the masks uses; None if an array has none."""
        if mask is None or any(one is None for one in mask):
            return None
        return np.logical_or.reduce([_steps(one) for one in mask])

    def _shape(self, shape):
        if symbolic.is_shape(shape):
            raise TypeError(f"expected {type(self).__name__} to be given a list of arrays, got one of shape {shape}")
        return [validation.shape(one, self._least_rank, self._axes) for one in shape]

    def _build(self, shape):
        self._merged_shape(shape)

    def _opened(self, shape):
        return shape

    def _check_shape(self, shape):
        """Any number of arrays that go together will do."""
        self._merged_shape(shape)

    def _merged_shape(self, shapes) -> tuple:
        raise NotImplementedError


class Concatenate(Merge):
    """Arrays side by side along an axis, as `numpy.concatenate`.

    Parameters
    ----------
    axis : int
        Not the batch axis. Along the time axis masks are joined too.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Concatenate()([np.zeros((2, 5, 3)), np.zeros((2, 5, 1))]).shape
    (2, 5, 4)
    """

    _least_rank = 2

    def __init__(self, axis: Any = -1, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.axis: Any = integer(axis, "axis")
        if self.axis == 0:
            raise ValueError("expected an axis other than 0, the batch's, to concatenate along")

    def _merged_shape(self, shapes):
        rank = len(shapes[0])
        axis = self.axis + rank if self.axis < 0 else self.axis
        if not 0 < axis < rank:
            raise ValueError(f"expected arrays with an axis {self.axis} behind the batch axis, got {listed(shapes)}")
        joined: list = []
        for sizes in _by_axis(shapes, self):
            if len(joined) == axis:
                joined.append(None if None in sizes else sum(sizes))
            else:
                joined.append(_same(sizes, shapes, f"in all but axis {self.axis}"))
        return tuple(joined)

    def _result(self, arrays, mask, training):
        return np.concatenate(arrays, axis=self.axis)

    def _padding_of(self, shape):
        return "lengths" if self.axis in (1, 1 - len(shape)) else super()._padding_of(shape)

    @makes_no_mask
    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return steps that any of the masks uses, an array without one using all; side by side along the time axis."""
        if mask is None or all(one is None for one in mask):
            return None
        steps = [
            np.ones_like(array, bool, shape=np.shape(array)[:2]) if one is None else _steps(one)
            for array, one in zip(inputs, mask, strict=True)
        ]
        in_time = self.axis % np.ndim(inputs[0]) == 1
        return np.concatenate(steps, axis=1) if in_time else np.logical_or.reduce(steps)

    @property
    def _stream_refusal(self):  # type: ignore[override]
        return "joins arrays along an axis that may be time" if self.axis in (1, -2) else None


class Elementwise(Merge):
    """Base of layers that merge arrays of one shape element by element; a size of 1 is repeated, as NumPy does."""

    _stream_refusal = None

    def _merged_shape(self, shapes):
        return tuple(
            _same([size for size in sizes if size != 1] or [1], shapes, "or of size 1")
            if axis
            else _same(sizes, shapes, "in the batch axis")
            for axis, sizes in enumerate(_by_axis(shapes, self))
        )


class Add(Elementwise):
    """The sum of arrays, from the first to the last.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Add()([np.ones((1, 3)), np.ones((1, 3))])
    array([[2., 2., 2.]])
    """

    def _result(self, arrays, mask, training):
        return reduce(np.add, arrays)


class Subtract(Elementwise):
    """The first of two arrays less the second.

    Raises
    ------
    ValueError
        When it is called on other than two arrays.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Subtract()([np.ones((1, 3)), np.ones((1, 3))])
    array([[0., 0., 0.]])
    """

    def _merged_shape(self, shapes):
        if len(shapes) != 2:
            raise ValueError(f"expected two arrays to subtract, got {len(shapes)}")
        return super()._merged_shape(shapes)

    def _result(self, arrays, mask, training):
        return np.subtract(*arrays)


class Multiply(Elementwise):
    """The product of arrays, element by element, from the first to the last.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Multiply()([np.full((1, 3), 2.0), np.full((1, 3), 3.0)])
    array([[6., 6., 6.]])
    """

    def _result(self, arrays, mask, training):
        return reduce(np.multiply, arrays)


class Average(Elementwise):
    """The mean of arrays, element by element.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Average()([np.zeros((1, 3)), np.ones((1, 3))])
    array([[0.5, 0.5, 0.5]])
    """

    def _result(self, arrays, mask, training):
        return reduce(np.add, arrays) / len(arrays)


class Maximum(Elementwise):
    """The largest of arrays, element by element; where several are, the first of them has the gradient.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Maximum()([np.zeros((1, 3)), np.ones((1, 3))])
    array([[1., 1., 1.]])
    """

    def _result(self, arrays, mask, training):
        return first_maximum(*arrays)


class Minimum(Elementwise):
    """The smallest of arrays, element by element; where several are, the first of them has the gradient.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Minimum()([np.zeros((1, 3)), np.ones((1, 3))])
    array([[0., 0., 0.]])
    """

    def _result(self, arrays, mask, training):
        return first_minimum(*arrays)


def _first(choose):
    """Return a function that reduces arrays by `choose`, and gives the gradient to the first that has the result."""

    @custom_gradient
    def chosen(*arrays):
        found = reduce(choose, arrays)

        def rule(d):
            taken = arrays[0] == found
            parts = [np.where(taken, d, 0.0)]
            for array in arrays[1:]:
                has_it = (array == found) & ~taken
                parts.append(np.where(has_it, d, 0.0))
                taken = taken | has_it
            return parts

        return found, rule

    return chosen


first_maximum, first_minimum = _first(np.maximum), _first(np.minimum)


def _steps(mask):
    """A mask as booleans ``(B, T)``."""
    found = validation.array(mask, "mask") != 0
    return found[:, :, 0] if found.ndim == 3 and found.shape[2] == 1 else found


def _by_axis(shapes, layer):
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"expected arrays of the same rank to go into {type(layer).__name__}, got {listed(shapes)}")
    return zip(*shapes, strict=True)


def _same(sizes, shapes, where):
    """The one size that all have, None if it is open."""
    known = {size for size in sizes if size is not None}
    if len(known) > 1:
        raise ValueError(f"expected arrays of the same shape {where}, got {listed(shapes)}")
    return known.pop() if known else None


def listed(shapes) -> str:
    """Shapes as an error shows them."""
    return ", ".join(str(tuple(shape)) for shape in shapes)


symbolic.MERGING |= {kind.__name__.lower(): kind for kind in (Add, Subtract, Multiply)}
