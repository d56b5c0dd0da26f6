"""Steps without memory that see any axes of x: the base of layers with an `axis`."""

from __future__ import annotations

import math
from typing import Any, Unpack

from rnnkit.arguments import is_integer, shown
from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.hints import LayerOptions
from rnnkit.layers.memoryless import Memoryless


class OverAxes(Memoryless):
    """Base of layers whose step sees the axes that `axis` names, as one axis; it keeps their shape.

    Parameters
    ----------
    axis : int or sequence of int
        Not the batch axis; their sizes have to be known when the layer is built.
    """

    def __init__(self, axis: Any = -1, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        several = list(axis) if isinstance(axis, (list, tuple)) else [axis]
        if not several or not all(is_integer(one) and one != 0 for one in several):
            raise ValueError(f"expected axis as one or several integers, not the batch axis 0; got {shown(axis)}")
        self.axis: Any = [int(one) for one in several] if isinstance(axis, (list, tuple)) else int(axis)

    def sees(self, rank: int) -> tuple[int, ...]:
        """Return the axes that the step sees of an array of so many axes, in order.

        Raises
        ------
        ValueError
            If there is no such axis behind the batch axis, or one is named twice.
        """
        axes = self.axis if isinstance(self.axis, list) else [self.axis]
        found = sorted({axis + rank if axis < 0 else axis for axis in axes})
        if not 0 < found[0] <= found[-1] < rank or len(found) < len(axes):
            raise ValueError(
                f"expected axis {self.axis} of {self.name!r} to name axes behind the batch axis, each once; x has "
                f"{rank} axes"
            )
        return tuple(found)

    def reads_more(self, rank: Any) -> Any:
        """Return other axes."""
        return None if self.sees(rank) == (rank - 1,) else f"computes along the axes {self.sees(rank)}"

    def _padding_of(self, shape):
        return "lengths" if 1 in self.sees(len(shape)) and len(shape) > 2 else super()._padding_of(shape)

    def _sizes(self, shape) -> tuple:
        return tuple(shape[axis] for axis in self.sees(len(shape)))

    def _features_of(self, shape):
        sizes = self._sizes(shape)
        return (None if None in sizes else math.prod(sizes),)

    def _opened(self, shape):
        axes = self.sees(len(shape))
        return tuple(size if axis in axes else None for axis, size in enumerate(shape))

    def _check_shape(self, shape):
        expected = self._input_shape
        axes = self.axis if isinstance(self.axis, list) else [self.axis]
        same_rank = len(shape) == len(expected) or max(axes) < 0
        if not same_rank or self._sizes(shape) != self._sizes(expected):
            raise ValueError(f"expected x of shape {expected}, as the layer was built for, got {tuple(shape)}")

    def _order(self, rank: int) -> list[int]:
        """Return the axes with those that the step sees at the end."""
        axes = self.sees(rank)
        return [*(axis for axis in range(rank) if axis not in axes), *axes]

    def _steps(self, x):
        rows = _transposed(x, self._order(x.ndim))
        features = math.prod(self._sizes(x.shape))
        between = [size for axis, size in enumerate(x.shape) if axis not in self.sees(x.ndim)][1:]
        return rows.reshape(x.shape[0], math.prod(between), features)

    def _given_back(self, steps, shape):
        order = self._order(len(shape))
        rows = steps.reshape(*(shape[axis] for axis in order))
        return _transposed(rows, sorted(range(len(order)), key=order.__getitem__))

    def _cotangent_steps(self, d, shape):
        return self._steps(d)

    @property
    def _stream_refusal(self):  # type: ignore[override]
        rank = 0 if self._input_shape is None else len(self._input_shape)
        return "computes along the time axis" if rank > 2 and 1 in self.sees(rank) else None


def _transposed(array, order):
    """Return an array with its axes in another order, contiguous."""
    if order == sorted(order):
        return array.copy() if isinstance(array, DeviceArray) and not array.contiguous else array
    return array.transpose(order).copy()
