"""Pooling along time: the largest or the mean of each window, and the largest of all steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, Unpack

import numpy as np

from rnnkit.custom_gradients import by_kernels
from rnnkit.hints import LayerOptions, Shape
from rnnkit.layers.base import Layer, any_shape, no_mask
from rnnkit.layers.merging import first_maximum
from rnnkit.layers.shaping import Shaping
from rnnkit.layers.support import validation
from rnnkit.layers.support.windows import Windows, channels_last, one_size, padding_name


class OverTime(Layer):
    """Base of layers that move a window over the steps of x ``(B, T, F)``; they read masked NaN and infinity as 0."""

    _least_rank = 3
    _most_rank: int | None = 3
    _open_axes = 2
    _axes = "batch, time"
    _padding: str | None = "lengths"

    compute_mask = no_mask
    _stream_refusal: str | None = "needs whole sequences"

    _check_shape = any_shape


class Pooling(OverTime, Shaping):
    """Base of pooling by windows.

    Parameters
    ----------
    pool_size : int
        Steps of a window.
    strides : int, optional
        From one window to the next; `pool_size` unless given.
    padding : {"valid", "same"}
        With "same" there are ``ceil(T / strides)`` windows, which end at the ends of a sequence.
    """

    _of_windows: Callable  # from x and `Windows` to the result

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: Any = "valid",
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(**options)
        channels_last(data_format)
        self.pool_size: Any = one_size(pool_size, "pool_size")
        self.strides: Any = self.pool_size if strides is None else one_size(strides, "strides")
        self.padding: Any = padding_name(padding)
        self._windows = Windows(self.pool_size, self.strides, self.padding)

    def _result(self, x, mask, training):
        return self._of_windows(x, windows=self._windows)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, L, F)``."""
        shape = self._shape(input_shape)
        return self._windows.shape(shape, shape[2])


def _by_windows(kernel: str, shape, made, windows: Windows, *arrays) -> np.ndarray:
    """Return the array of the shape `made` that a kernel makes of arrays, for windows of an x of a shape."""
    from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

    (before, _), count = windows.pads(shape[1]), windows.count(shape[1])
    sizes = *shape, count, windows.size, windows.stride, before
    return run_kernel(f"time_windows.window_{kernel}", arrays[0].dtype, *arrays, New(made), *sizes)


def _of_windows(kernel: str, x, windows: Windows) -> np.ndarray:
    return _by_windows(kernel, x.shape, windows.shape(x.shape, x.shape[2]), windows, x)


@by_kernels(
    partial(_of_windows, "largest"),
    lambda d, x, windows: _by_windows("largest_back", x.shape, x.shape, windows, d, x),
    "x",
)
def window_largest(x, windows: Windows):
    """Return the largest number of each window."""
    return first_maximum(*windows.steps(x, -np.inf))


@by_kernels(
    partial(_of_windows, "means"),
    lambda d, shape, windows: _by_windows("means_back", shape, shape, windows, d),
    "shape",
)
def window_means(x, windows: Windows):
    """Return the mean of each window's steps, without those that its padding adds."""
    total = reduce(np.add, windows.steps(x))
    if windows.padding == "valid":
        return total / windows.size
    return total / reduce(np.add, windows.steps(np.where(x > 0, 1.0, 1.0)))


class MaxPooling1D(Pooling):
    """The largest of each window's steps, for each feature; where several are, the first of them has the gradient.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
    [[[3.0], [2.0]]]
    """

    _of_windows = staticmethod(window_largest)


class AveragePooling1D(Pooling):
    """The mean of each window's steps, for each feature; steps that `padding` adds don't count.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.AveragePooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
    [[[2.0], [1.0]]]
    """

    _of_windows = staticmethod(window_means)


class OverAll(OverTime):
    """Base of pooling over all steps, ``(B, T, F)`` to ``(B, F)``.

    Parameters
    ----------
    keepdims : bool
        Keep the time axis, ``(B, 1, F)``.
    """

    def __init__(self, data_format: str | None = None, keepdims: Any = False, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        channels_last(data_format)
        self.keepdims: bool = bool(keepdims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, F)``, or ``(B, 1, F)``."""
        batch_size, _, features = self._shape(input_shape)
        return (batch_size, 1, features) if self.keepdims else (batch_size, features)


class GlobalMaxPooling1D(OverAll, Shaping):
    """The largest of all steps, ``(B, T, F)`` to ``(B, F)``; where several are, they share the gradient.

    A mask changes nothing but NaN and infinity, as in Keras: mask with a value that isn't the largest.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.GlobalMaxPooling1D()(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[3.0]]
    """

    def _result(self, x, mask, training):
        if not x.shape[1]:
            raise ValueError("expected at least one time step to find the largest of, got none")
        return x.max(axis=1, keepdims=self.keepdims)


def _mean(x, used=None):
    from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

    return run_kernel("time_windows.mean_over_time", x.dtype, x, New((len(x), x.shape[2])), used, *x.shape)


def _mean_back(d, shape, used=None):
    from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

    return run_kernel("time_windows.mean_over_time_back", d.dtype, d, New(shape), used, *shape)


@by_kernels(_mean, _mean_back, "shape")
def mean_over_time(x, used=None):
    """Return the mean of steps, of the `used` ones if these aren't None; 0 of none."""
    if used is None:
        return x.mean(axis=1)
    count = np.where(used[:, :, None], 1.0, 0.0).sum(axis=1)
    return np.where(used[:, :, None], x, 0.0).sum(axis=1) / np.maximum(count, 1.0)


class GlobalAveragePooling1D(OverAll, Shaping):
    """The mean over time, ``(B, T, F)`` to ``(B, F)``; under a mask over the used steps, 0 for a row without any.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.GlobalAveragePooling1D()(np.array([[[1.0], [3.0], [9.0]]]), mask=[[1, 1, 0]])
    array([[2.]])
    """

    _padding = "masked"

    def __init__(self, keepdims: Any = False, data_format: str | None = None, **options: Unpack[LayerOptions]):
        super().__init__(data_format, keepdims, **options)

    def _result(self, x, mask, training):
        mean = mean_over_time(x, mask)
        return mean[:, None] if self.keepdims else mean

    def _takes_mask(self):
        return True

    def _masks(self, mask, arrays, training):
        return None if mask is None else validation.mask(mask, *arrays[0].shape[:2])
