"""Convolutional long short-term memory (Shi et al. 2015): images, or sequences, in place of vectors."""

from __future__ import annotations

import math
from inspect import Signature, signature
from itertools import product

import numpy as np

from rnnkit.arguments import positive_integer, shown
from rnnkit.cells.lstm import LSTMCell
from rnnkit.cells.standard import InvertedDropout
from rnnkit.docstrings import described_as
from rnnkit.steps.declared import Draw
from rnnkit.steps.states import StateSpec


def window_counts(sizes, kernel, strides, dilation, padding: str) -> tuple[int, ...]:
    """Return the number of windows along each axis; not positive if a window is larger than the array."""
    if padding == "same":
        return tuple(-(-n // s) for n, s in zip(sizes, strides, strict=True))
    reaches = [(n - 1) * d + 1 for n, d in zip(kernel, dilation, strict=True)]
    return tuple((n - reach) // s + 1 for n, reach, s in zip(sizes, reaches, strides, strict=True))


class Windows:
    """The windows of an array ``(B, *sizes, channels)`` that a kernel is laid on, `sizes` of them along each axis.

    `kernel` has the kernel's sizes, `strides` and `dilation` the distances of windows and of their entries. With the
    padding "same" there are zeros around the array, and as many windows as entries divided by the strides.
    """

    def __init__(self, sizes, kernel, strides, dilation, channels: int, padding: str):
        self.sizes = window_counts(sizes, kernel, strides, dilation, padding)
        zeros = [0] * len(sizes)
        if padding == "same":
            ends = [
                (c - 1) * s + (n - 1) * d + 1 for c, s, n, d in zip(self.sizes, strides, kernel, dilation, strict=True)
            ]
            zeros = [max(end - n, 0) for end, n in zip(ends, sizes, strict=True)]
        self._around = [(n // 2, n - n // 2) for n in zeros]
        self._padded = [n + z for n, z in zip(sizes, zeros, strict=True)]
        self._places = self._found(kernel, strides, dilation, channels)

    def _found(self, kernel, strides, dilation, channels) -> np.ndarray:
        """Return the flat indices of each window's entries, ``(windows, entries)``."""
        starts = np.array(list(product(*map(range, self.sizes))), np.intp) * strides
        entries = np.array(list(product(*map(range, kernel))), np.intp) * dilation
        along = np.cumprod([1, *self._padded[:0:-1]])[::-1]
        places = (starts @ along)[:, None, None] + (entries @ along)[:, None]
        return (places * channels + np.arange(channels)).reshape(len(starts), len(entries) * channels)

    def convolved(self, x, kernel):
        """Return every window times a kernel ``(*kernel, channels, filters)``."""
        flat = np.pad(x, ((0, 0), *self._around, (0, 0))).reshape((x.shape[0], math.prod(self._padded) * x.shape[-1]))
        found = flat[:, self._places] @ kernel.reshape((self._places.shape[1], kernel.shape[-1]))
        return found.reshape((x.shape[0], *self.sizes, kernel.shape[-1]))


@described_as(LSTMCell)
class ConvLSTMCell(LSTMCell):
    """Long short-term memory of arrays ``(B, *sizes, channels)``, with convolutions in place of products.

    One step is::

        i, f, g, o = quarters of conv(x, kernel) + conv(h, recurrent_kernel) + bias
        c = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
        h = recurrent_activation(o) * activation(c)

    A subclass says how many axes `sizes` has. The convolution of h has no strides, and zeros around it.

    Parameters
    ----------
    filters : int
        F, the channels of either state and of the output.
    kernel_size, strides, dilation_rate : int or tuple of int
        Of the convolution of x.
    padding : {"valid", "same"}
    data_format : {"channels_last"}, optional
    unit_forget_bias : bool
        Start the forget gate's bias at 1.
    dropout, recurrent_dropout : float in [0, 1]
        Rates for x and for h inside their convolutions; one mask per call and gate, only while training.

    Notes
    -----
    States h, c ``(B, *sizes, F)`` each. Weights in order: kernel ``(*kernel_size, channels, 4F)``, recurrent_kernel
    ``(*kernel_size, F, 4F)``, bias ``(4F,)``.
    """

    rank: int

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        *arguments,
        **settings,
    ):
        super().__init__(positive_integer(filters, "filters"), *arguments, **settings)
        self.filters = self.units
        self.kernel_size = self._sizes(kernel_size, "kernel_size")
        self.strides = self._sizes(strides, "strides")
        self.dilation_rate = self._sizes(dilation_rate, "dilation_rate")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError("expected strides or dilation_rate of 1, got both larger")
        if padding not in ("valid", "same"):
            raise ValueError(f"expected padding 'valid' or 'same', got {padding!r}")
        if data_format not in (None, "channels_last"):
            raise ValueError(
                f"expected data_format 'channels_last', got {data_format!r}; np.moveaxis(x, 2, -1) takes the channels "
                "to the end"
            )
        self.padding, self.data_format = padding, data_format
        self._feature_shape: tuple[int, ...] = ()

    # After `dilation_rate` come the arguments of an LSTM behind its units.
    __signature__ = Signature(
        [*list(signature(__init__).parameters.values())[1:-2], *list(signature(LSTMCell).parameters.values())[1:]]
    )

    def _sizes(self, value, what: str) -> tuple[int, ...]:
        """Return one size for each axis; a single one holds for all."""
        several = value if isinstance(value, (list, tuple)) else (value,) * self.rank
        if len(several) != self.rank:
            raise ValueError(f"expected {what} as an integer or {self.rank} of them, got {shown(value)}")
        return tuple(positive_integer(one, what) for one in several)

    def build(self, input_shape):
        """Create ``kernel``, ``recurrent_kernel`` and, with `use_bias`, ``bias``."""
        features = tuple(input_shape[1:])
        axes = ["batch", "time", *("sizes" for _ in range(self.rank)), "channels"]
        if len(features) != self.rank + 1:
            got = ", ".join(map(str, ("batch", "time", *features)))
            raise ValueError(f"expected x of shape ({', '.join(axes)}), got ({got})")
        *sizes, channels = features
        if min(self._counts(features)) < 1:
            raise ValueError(f"expected x of at least one window of {self.kernel_size}, got the sizes {tuple(sizes)}")
        self._of_x = Windows(sizes, self.kernel_size, self.strides, self.dilation_rate, channels, self.padding)
        ones = (1,) * self.rank
        self._of_h = Windows(self._of_x.sizes, self.kernel_size, ones, ones, self.filters, "same")
        width = self.gates * self.filters
        self._add_weights((*self.kernel_size, channels, width), (*self.kernel_size, self.filters, width))
        self._feature_shape = features

    def call(self, inputs, states, training=False, draws=None):
        """Compute one step: ``(h, [h, c])``."""
        n, (h, c) = self.filters, states
        dropped = draws.dropout if training and self.dropout else None
        recurrent = draws.recurrent_dropout if training and self.recurrent_dropout else None
        z = self._convolved(self._of_x, inputs, self.kernel, dropped)
        z = z + self._convolved(self._of_h, h, self.recurrent_kernel, recurrent)
        if self.use_bias:
            z = z + self.bias
        i, f, o = [self.recurrent_activation(z[..., k * n : (k + 1) * n]) for k in (0, 1, 3)]
        c = f * c + i * self.activation(z[..., 2 * n : 3 * n])
        h = o * self.activation(c)
        return h, [h, c]

    def _convolved(self, windows, x, kernel, dropped):
        """Return the convolution for all gates; with dropout each gate has a mask of its own, as in Keras."""
        if dropped is None:
            return windows.convolved(x, kernel)
        n = self.filters
        gates = [windows.convolved(x * dropped[:, k], kernel[..., k * n : (k + 1) * n]) for k in range(self.gates)]
        return np.concatenate(gates, axis=-1)

    def _counts(self, features) -> tuple[int, ...]:
        return window_counts(features[:-1], self.kernel_size, self.strides, self.dilation_rate, self.padding)

    def _states(self, feature_shape=None):
        features = feature_shape or self._feature_shape
        known = len(features) == self.rank + 1
        sizes = self._counts(features) if known else (1,) * self.rank  # until it is built
        return StateSpec([(*(max(n, 1) for n in sizes), self.filters)] * 2)

    def _draws(self, feature_shape):
        rates = {"dropout": (self.dropout, feature_shape)}
        rates["recurrent_dropout"] = self.recurrent_dropout, self._states(feature_shape).shapes[0]
        return {
            name: (Draw((), InvertedDropout(rate)), (self.gates, *shape))
            for name, (rate, shape) in rates.items()
            if rate
        }

    @property
    def state_size(self):
        """The shapes of h and c."""
        return self._states().state_size


class ConvLSTM1DCell(ConvLSTMCell):
    """See `ConvLSTMCell`; of x ``(B, length, channels)``."""

    rank = 1


class ConvLSTM2DCell(ConvLSTMCell):
    """See `ConvLSTMCell`; of x ``(B, height, width, channels)``."""

    rank = 2


class ConvLSTM3DCell(ConvLSTMCell):
    """See `ConvLSTMCell`; of x ``(B, depth, height, width, channels)``."""

    rank = 3
