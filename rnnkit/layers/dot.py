"""Dot: products of the rows of two arrays."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from rnnkit.arguments import is_integer, shown
from rnnkit.hints import LayerOptions
from rnnkit.layers.base import no_mask
from rnnkit.layers.merging import Merge, listed

_LEAST_NORM = 1e-7  # by which Keras divides at least


class Dot(Merge):
    """The sums of products of two arrays along an axis of each, row by row.

    It equals, for two arrays of three axes and ``axes=(2, 1)``, ``np.matmul(a, b)``. Of two arrays ``(B, F)`` it gives
    ``(B, 1)``.

    Parameters
    ----------
    axes : int or (int, int)
        The axis of each, not that of the batch; one for both.
    normalize : bool
        Divide both by their norms along these axes first, which gives the cosine of the angle between them.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Dot(axes=1)([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])])
    array([[11.]])
    """

    _least_rank = 2
    _padding = "lengths"

    def __init__(self, axes: Any, normalize: Any = False, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        several = [axes, axes] if is_integer(axes) else axes
        if not isinstance(several, (list, tuple)) or len(several) != 2 or not all(is_integer(n) and n for n in several):
            raise ValueError(f"expected axes as one or two integers, not the batch axis 0; got {shown(axes)}")
        self.axes: Any = int(axes) if is_integer(axes) else [int(axis) for axis in axes]
        self.normalize: bool = bool(normalize)

    compute_mask = no_mask

    def _places(self, shapes) -> list[int]:
        axes = self.axes if isinstance(self.axes, list) else [self.axes, self.axes]
        found = [axis + len(shape) if axis < 0 else axis for axis, shape in zip(axes, shapes, strict=True)]
        if any(not 0 < axis < len(shape) for axis, shape in zip(found, shapes, strict=True)):
            raise ValueError(f"expected arrays with axes {self.axes} behind the batch axis, got {listed(shapes)}")
        return found

    def _merged_shape(self, shapes):
        if len(shapes) != 2:
            raise ValueError(f"expected two arrays for their products, got {len(shapes)}")
        i, k = self._places(shapes)
        first, second = (list(shape) for shape in shapes)
        for what, a, b in (("batch size", first[0], second[0]), ("size along the axes", first[i], second[k])):
            if None not in (a, b) and a != b:
                raise ValueError(f"expected arrays of one {what} for axes={self.axes}, got {listed(shapes)}")
        rows = second[0] if first[0] is None else first[0]
        rest = [*first[1:i], *first[i + 1 :], *second[1:k], *second[k + 1 :]]
        return (rows, *(rest or [1]))

    def _result(self, arrays, mask, training):
        i, k = self._places([one.shape for one in arrays])
        shape = self._merged_shape([(None, *one.shape[1:]) for one in arrays])
        first, second = self._unit(arrays[0], i), self._unit(arrays[1], k)
        first, second = np.moveaxis(first, i, -1), np.moveaxis(second, k, 1)
        rows = first.shape[0]
        a = first.reshape((rows, math.prod(first.shape[1:-1]), first.shape[-1]))
        b = second.reshape((rows, second.shape[1], math.prod(second.shape[2:])))
        return np.matmul(a, b).reshape((rows, *shape[1:]))

    def _unit(self, x, axis):
        """x as it is multiplied."""
        if not self.normalize:
            return x
        norm = np.sqrt((x * x).sum(axis=axis, keepdims=True))
        return x * (1 / np.maximum(norm, _LEAST_NORM))
