"""Layers along the time axis for ONNX operators without a layer of Keras."""

from __future__ import annotations

import numpy as np

from rnnkit.layers.merging import Merge
from rnnkit.layers.pooling import OverTime
from rnnkit.layers.shaping import Shaping
from rnnkit.layers.weighted import Computed
from rnnkit.recording import repeated


class TimeSlice(Shaping):
    """A layer that slices the steps of x ``(B, T, …)``: ``x[:, start:stop:step]``.

    Parameters
    ----------
    start, stop, step : int, optional
        As in a slice.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.time_layers import TimeSlice
    >>> TimeSlice(step=-1)(np.array([[1.0, 2.0, 3.0]]))
    array([[3., 2., 1.]])
    """

    _least_rank = 2
    _axes = "batch, time"

    def __init__(self, start=None, stop=None, step=None, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.start, self.stop, self.step = start, stop, step

    def _result(self, x, mask, training):
        return x[:, self.start : self.stop : self.step]

    @property
    def _stream_refusal(self):  # type: ignore[override]
        last = (self.start, self.stop, self.step) in ((-1, None, None), (-1, None, 1))
        return None if last else super()._stream_refusal


class TimeReduce(OverTime, Computed):
    """The mean, sum or extremum of all steps, ``(B, T, …)`` to ``(B, …)``; the first of equal ones gets the gradient.

    Parameters
    ----------
    how : {"mean", "sum", "max", "min"}
    """

    _least_rank, _most_rank = 2, None

    def __init__(self, how, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        if how not in ("mean", "sum", "max", "min"):
            raise ValueError(f"expected 'mean', 'sum', 'max' or 'min', got {how!r}")
        self.how = how

    def _computed(self, weights, x, mask, training):
        time, shape, dtype = x.shape[1], x.shape, x.dtype
        if self.how in ("mean", "sum"):
            by = time if self.how == "mean" else 1

            def reduced():
                total = np.zeros((shape[0], *shape[2:]))  # in double precision, step by step
                for t in range(time):
                    total += x[:, t]
                return (total / by).astype(dtype)

            shared = lambda d: np.array(np.broadcast_to(d[:, None] / dtype.type(by), shape))
            return repeated(reduced, x), lambda d: ({}, repeated(lambda: shared(d), d))
        place = repeated(lambda: (np.argmax if self.how == "max" else np.argmin)(x, axis=1)[:, None], x)

        def back(d):
            found = np.zeros(shape, dtype)
            np.put_along_axis(found, place, d[:, None], axis=1)
            return found

        y = repeated(lambda: np.take_along_axis(x, place, axis=1)[:, 0], x, place)
        return y, lambda d: ({}, repeated(lambda: back(d), place, d))

    def compute_output_shape(self, input_shape):
        """Return ``(B, …)``."""
        batch, _, *rest = self._shape(input_shape)
        return (batch, *rest)


class StepCount(Shaping):
    """The number of steps of x ``(B, T, …)``, for every row.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.time_layers import StepCount
    >>> StepCount()(np.zeros((2, 5, 3)))
    array([5., 5.])
    """

    _least_rank = 2
    _axes = "batch, time"

    def _result(self, x, mask, training):
        return np.zeros_like(x.reshape((x.shape[0], -1))[:, 0]) + x.shape[1]


class StepNumbers(Shaping):
    """The number of each step of x ``(B, T, …)``, from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.time_layers import StepNumbers
    >>> StepNumbers()(np.zeros((2, 3, 5)))
    array([[0., 1., 2.],
           [0., 1., 2.]])
    """

    _least_rank = 2
    _axes = "batch, time"

    def _result(self, x, mask, training):
        return np.zeros_like(x.reshape((*x.shape[:2], -1))[:, :, 0]) + np.arange(x.shape[1])


class RepeatOverTime(Merge):
    """The first of two arrays ``(B, …)`` at every step of the second ``(B, T, …)``.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.time_layers import RepeatOverTime
    >>> RepeatOverTime()([np.ones((2, 3)), np.ones((2, 5, 7))]).shape
    (2, 5, 3)
    """

    _stream_refusal = None

    def _merged_shape(self, shapes):
        if len(shapes) != 2 or len(shapes[1]) < 2:
            raise ValueError(f"expected an array and one with steps, got {shapes}")
        (batch, *rest), (_, time, *_) = shapes
        return (batch, time, *rest)

    def _result(self, arrays, mask, training):
        x, like = arrays
        return np.broadcast_to(x[:, None], (x.shape[0], like.shape[1], *x.shape[1:]))


class LengthMask(Merge):
    """A mask of the steps of the second array ``(B, T, …)``: 1 before a row's length, from the first array ``(B,)``.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.time_layers import LengthMask
    >>> LengthMask()([np.array([1, 3]), np.zeros((2, 3, 1))])
    array([[1., 0., 0.],
           [1., 1., 1.]])
    """

    def _merged_shape(self, shapes):
        if len(shapes) != 2 or len(shapes[0]) != 1 or len(shapes[1]) < 2:
            raise ValueError(f"expected lengths (batch,) and an array (batch, time, …), got {shapes}")
        return (shapes[0][0], shapes[1][1])

    def _result(self, arrays, mask, training):
        lengths, like = arrays
        return np.where(np.arange(like.shape[1]) < lengths[:, None], 1.0, 0.0)
