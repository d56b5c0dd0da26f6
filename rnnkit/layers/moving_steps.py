"""Layers that move whole steps or axes: Permute, ZeroPadding1D, Cropping1D, UpSampling1D."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from rnnkit.arguments import is_integer, positive_integer, shown
from rnnkit.hints import LayerOptions, Shape
from rnnkit.layers.pooling import OverTime
from rnnkit.layers.shaping import Shaping
from rnnkit.layers.support.windows import channels_last, two_sizes


class Permute(Shaping):
    """The axes of every row in another order.

    Parameters
    ----------
    dims : sequence of int
        Axes of x in their new order, from 1 on: the batch axis stays.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Permute((2, 1))(np.zeros((4, 5, 3))).shape
    (4, 3, 5)
    """

    def __init__(self, dims: Any, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        if not isinstance(dims, (list, tuple)) or not all(is_integer(axis) for axis in dims):
            raise ValueError(f"expected dims as a tuple of axes such as (2, 1), got {shown(dims)}")
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(f"expected dims to name each axis from 1 on once, got {tuple(dims)}")
        self.dims: tuple[Any, ...] = tuple(int(axis) for axis in dims)

    def _shape(self, shape):
        found = super()._shape(shape)
        if len(found) != len(self.dims) + 1:
            raise ValueError(f"expected x with {len(self.dims)} axes behind the batch axis, got {found}")
        return found

    def _result(self, x, mask, training):
        return x.transpose((0, *self.dims))


class ZeroPadding1D(OverTime, Shaping):
    """Steps of zeros before and after each sequence.

    Parameters
    ----------
    padding : int or (int, int)
        The numbers of steps before the first and after the last.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.ZeroPadding1D((2, 0))(np.ones((1, 1, 1))).ravel()
    array([0., 0., 1.])
    """

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        channels_last(data_format)
        self.padding: Any = two_sizes(padding, "padding")

    def _result(self, x, mask, training):
        return np.pad(x, ((0, 0), self.padding, (0, 0)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, T + sum(padding), F)``."""
        batch_size, length, features = self._shape(input_shape)
        return (batch_size, None if length is None else length + sum(self.padding), features)

    _check_shape = Shaping._check_result


class Cropping1D(OverTime, Shaping):
    """Each sequence without its first and last steps.

    Parameters
    ----------
    cropping : int or (int, int)
        The numbers of steps to remove at the beginning and at the end.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Cropping1D((1, 0))(np.array([[[1.0], [2.0], [3.0]]])).ravel()
    array([2., 3.])
    """

    def __init__(self, cropping: Any = (1, 1), **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.cropping: Any = two_sizes(cropping, "cropping")

    def _result(self, x, mask, training):
        before, after = self.cropping
        return x[:, before : x.shape[1] - after]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, T - sum(cropping), F)``."""
        batch_size, length, features = self._shape(input_shape)
        if length is not None and length <= sum(self.cropping):
            raise ValueError(f"expected more than {sum(self.cropping)} time steps to crop, got {length}")
        return (batch_size, None if length is None else length - sum(self.cropping), features)

    _check_shape = Shaping._check_result


class UpSampling1D(OverTime, Shaping):
    """Each step `size` times.

    Parameters
    ----------
    size : int

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.UpSampling1D(2)(np.array([[[1.0], [2.0]]])).ravel()
    array([1., 1., 2., 2.])
    """

    def __init__(self, size: Any = 2, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.size: int = positive_integer(size, "size")

    def _result(self, x, mask, training):
        length, features = x.shape[1:]
        steps = np.broadcast_to(x[:, :, None], (x.shape[0], length, self.size, features))
        return steps.reshape((x.shape[0], self.size * length, features))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, size * T, F)``."""
        batch_size, length, features = self._shape(input_shape)
        return (batch_size, None if length is None else self.size * length, features)

    _check_shape = Shaping._check_result
