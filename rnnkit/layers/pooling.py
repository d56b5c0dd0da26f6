"""Pooling along time: the largest or the mean of each window, and the largest of all steps."""

from __future__ import annotations

import numpy as np

from rnnkit.layers.shaping import Shaping
from rnnkit.layers.support import validation
from rnnkit.layers.support.windows import Windows, channels_last, one_size, padding_name


class OverTime(Shaping):
    """Base of layers that move the steps of x ``(B, T, F)``, and read what a mask masks, NaN and infinity as 0."""

    _least_rank = 3
    _axes = "batch, time"
    _padding = "lengths"

    def _shape(self, shape):
        found = super()._shape(shape)
        if len(found) != 3:
            raise validation.shape_error("x", "batch, time", None, found)
        return found


class Pooling(OverTime):
    """Base of pooling by windows.

    Parameters
    ----------
    pool_size : int
        Steps of a window.
    strides : int, optional
        From one window to the next; `pool_size` unless given.
    padding : {"valid", "same"}
        With "same" there are ``ceil(T / strides)`` windows, which end at the ends of a sequence.
    data_format : {"channels_last"}, optional
    dtype, seed, name
        As in every layer.
    """

    def __init__(
        self, pool_size=2, strides=None, padding="valid", data_format=None, *, dtype=None, seed=None, name=None
    ):
        super().__init__(dtype=dtype, seed=seed, name=name)
        channels_last(data_format)
        self.pool_size = one_size(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else one_size(strides, "strides")
        self.padding = padding_name(padding)
        self._windows = Windows(self.pool_size, self.strides, self.padding)

    def compute_output_shape(self, input_shape):
        """Return ``(B, L, F)``."""
        shape = self._shape(input_shape)
        return self._windows.shape(shape, shape[2])

    def get_config(self):
        """Return the constructor's arguments as JSON values."""
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return own | super().get_config()


class MaxPooling1D(Pooling):
    """The largest of each window's steps, for each feature; where several are, the first of them has the gradient.

    Parameters
    ----------
    pool_size : int
        Steps of a window.
    strides : int, optional
        From one window to the next; `pool_size` unless given.
    padding : {"valid", "same"}
        With "same" there are ``ceil(T / strides)`` windows, which end at the ends of a sequence.
    data_format : {"channels_last"}, optional
    dtype, seed, name
        As in every layer.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
    [[[3.0], [2.0]]]
    """

    def _moved(self, x, mask):
        windows, length = self._windows, x.shape[1]
        count = windows.count(length)
        padded = windows.padded(x, -np.inf)
        places = list(windows.places(count))
        largest = padded[:, places[0]].copy()
        for place in places[1:]:
            np.maximum(largest, padded[:, place], out=largest)

        def back(d):
            found, left = np.zeros_like(padded), np.ones(largest.shape, bool)
            for place in places:
                taken = left & (padded[:, place] == largest)
                found[:, place] += np.where(taken, d, d.dtype.type(0))
                left &= ~taken
            before, _ = windows.pads(length)
            return found[:, before : before + length].copy()

        return largest, back


class AveragePooling1D(Pooling):
    """The mean of each window's steps, for each feature; steps that `padding` adds don't count.

    Parameters
    ----------
    pool_size : int
        Steps of a window.
    strides : int, optional
        From one window to the next; `pool_size` unless given.
    padding : {"valid", "same"}
        With "same" there are ``ceil(T / strides)`` windows, which end at the ends of a sequence.
    data_format : {"channels_last"}, optional
    dtype, seed, name
        As in every layer.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.AveragePooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
    [[[2.0], [1.0]]]
    """

    def _moved(self, x, mask):
        windows, length = self._windows, x.shape[1]
        count = windows.count(length)
        padded = windows.padded(x)
        sums = np.zeros((x.shape[0], count, x.shape[2]), x.dtype)
        for place in windows.places(count):
            sums += padded[:, place]
        steps = _steps_in(windows, length, count).astype(x.dtype)[:, None]

        def back(d):
            before, after = windows.pads(length)
            found, each = np.zeros((x.shape[0], before + length + after, x.shape[2]), d.dtype), d / steps
            for place in windows.places(count):
                found[:, place] += each
            return found[:, before : before + length].copy()

        return sums / steps, back


class GlobalMaxPooling1D(OverTime):
    """The largest of all steps, ``(B, T, F)`` to ``(B, F)``; where several are, they share the gradient.

    A mask changes nothing but NaN and infinity, as in Keras: mask with a value that isn't the largest.

    Parameters
    ----------
    data_format : {"channels_last"}, optional
    keepdims : bool
        Keep the time axis, ``(B, 1, F)``.
    dtype, seed, name
        As in every layer.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.GlobalMaxPooling1D()(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[3.0]]
    """

    def __init__(self, data_format=None, keepdims=False, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        channels_last(data_format)
        self.keepdims = bool(keepdims)

    def _moved(self, x, mask):
        if not x.shape[1]:
            raise ValueError("expected at least one time step to find the largest of, got none")
        largest = x.max(axis=1, keepdims=True)
        shape = largest.shape

        def back(d):
            taken = x == largest
            count = np.maximum(taken.sum(axis=1, keepdims=True), 1).astype(d.dtype)
            return np.where(taken, d.reshape(shape) / count, d.dtype.type(0))

        return largest.copy() if self.keepdims else largest[:, 0].copy(), back

    def compute_output_shape(self, input_shape):
        """Return ``(B, F)``, or ``(B, 1, F)``."""
        batch_size, _, features = self._shape(input_shape)
        return (batch_size, 1, features) if self.keepdims else (batch_size, features)

    def get_config(self):
        """Return the constructor's arguments as JSON values."""
        return {"keepdims": self.keepdims} | super().get_config()


def _steps_in(windows: Windows, length: int, count: int) -> np.ndarray:
    """How many steps of a sequence each window has."""
    before, _ = windows.pads(length)
    starts = np.arange(count) * windows.stride - before
    return np.minimum(starts + windows.size, length) - np.maximum(starts, 0)
