"""Pooling along time: the largest or the mean of each window, and the largest of all steps."""

from __future__ import annotations

from functools import reduce
from typing import Any, Unpack

import numpy as np

from rnnkit.hints import LayerOptions, Shape
from rnnkit.layers.base import Layer, any_shape, no_mask
from rnnkit.layers.shaping import Shaping
from rnnkit.layers.support import validation
from rnnkit.layers.support.windows import Windows, channels_last, one_size, padding_name
from rnnkit.layers.weighted import Computed


class OverTime(Layer):
    """Base of layers that move a window over the steps of x ``(B, T, F)``; they read masked NaN and infinity as 0."""

    _least_rank = 3
    _most_rank: int | None = 3
    _open_axes = 2
    _axes = "batch, time"
    _padding = "lengths"

    compute_mask = no_mask
    _stream_refusal: str | None = "needs whole sequences"

    _check_shape = any_shape


class Pooling(OverTime, Computed):
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

    _computes: str  # of each window

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

    def _traceable(self, x, mask, weights):
        if self._computes == "largest":
            return reduce(np.maximum, self._windows.steps(x, -np.inf))
        total = reduce(np.add, self._windows.steps(x))
        if self.padding == "valid":
            return total / self.pool_size
        return total / reduce(np.add, self._windows.steps(np.where(x > 0, 1.0, 1.0)))

    def _computed(self, weights, x, mask, training):
        from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

        kernel, sizes = f"time_windows.window_{self._computes}", self._sizes(x.shape)
        found = run_kernel(kernel, x.dtype, x, New((x.shape[0], sizes[3], x.shape[2])), *sizes)
        read = (x, found) if self._computes == "largest" else ()

        def back(d):
            return {}, run_kernel(f"{kernel}_back", x.dtype, d.astype(x.dtype, copy=False), *read, New(x.shape), *sizes)

        return found, back

    def _sizes(self, shape) -> tuple[int, ...]:
        """Return the numbers that kernels take for the windows of an x of this shape."""
        count, (before, _) = self._windows.count(shape[1]), self._windows.pads(shape[1])
        return (*shape, count, self.pool_size, self.strides, before)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, L, F)``."""
        shape = self._shape(input_shape)
        return self._windows.shape(shape, shape[2])


class MaxPooling1D(Pooling):
    """The largest of each window's steps, for each feature; where several are, the first of them has the gradient.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
    [[[3.0], [2.0]]]
    """

    _computes = "largest"


class AveragePooling1D(Pooling):
    """The mean of each window's steps, for each feature; steps that `padding` adds don't count.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.AveragePooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
    [[[2.0], [1.0]]]
    """

    _computes = "means"


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


class GlobalAveragePooling1D(OverAll, Computed):
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

    def _traceable(self, x, mask, weights):
        if mask is None:
            return x.mean(axis=1, keepdims=self.keepdims)
        used = np.where(mask[:, :, None], 1.0, 0.0)
        total = np.where(mask[:, :, None], x, 0.0).sum(axis=1, keepdims=self.keepdims)
        return total / np.maximum(used.sum(axis=1, keepdims=self.keepdims), 1.0)

    def _computed(self, weights, x, mask, training):
        from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

        sizes = batch_size, _, features = x.shape
        used = None if mask is None else validation.mask(mask, *x.shape[:2])
        mean = run_kernel("time_windows.mean_over_time", x.dtype, x, New((batch_size, features)), used, *sizes)

        def back(d):
            given = d.astype(x.dtype, copy=False), New(sizes), used, *sizes
            return {}, run_kernel("time_windows.mean_over_time_back", x.dtype, *given)

        return mean[:, None] if self.keepdims else mean, back
