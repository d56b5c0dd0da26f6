"""Windows along the time axis, for convolution and pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnkit.arguments import is_integer, positive_integer, shown
from rnnkit.opaque import opaque


def one_size(value, what: str) -> int:
    """Return a positive integer, also from a tuple of one, as Keras has it."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        (value,) = value
    return positive_integer(value, what)


def two_sizes(value, what: str) -> tuple[int, int]:
    """Return two integers from 0 on, or one for both."""
    several = (value, value) if is_integer(value) else value
    if (
        not isinstance(several, (list, tuple))
        or len(several) != 2
        or not all(is_integer(n) and n >= 0 for n in several)
    ):
        raise ValueError(f"expected {what} to be a whole number of at least 0, or two of them; got {shown(value)}")
    return int(several[0]), int(several[1])


def channels_last(data_format) -> None:
    """Refuse any order of the axes but ``(B, T, F)``."""
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"expected data_format 'channels_last', x of shape (batch, time, features); got {shown(data_format)}; put "
            "rk.Permute((2, 1)) before and behind the layer"
        )


def padding_name(value, *, causal: bool = False) -> str:
    """Return ``valid``, ``same`` or, where it is allowed, ``causal``."""
    known = ("valid", "same", "causal") if causal else ("valid", "same")
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError(f"expected padding to be one of {', '.join(known)}; got {shown(value)}")
    return value.lower()


@dataclass(frozen=True)
class Windows:
    """The `size` steps of each window along time; `stride` is from window to window, `dilation` from step to step."""

    size: int
    stride: int = 1
    padding: str = "valid"
    dilation: int = 1

    @property
    def span(self) -> int:
        """The number of steps from the first of a window to its last, both included."""
        return (self.size - 1) * self.dilation + 1

    def count(self, length: int) -> int:
        """Return the number of windows over so many steps; a ValueError if there is none."""
        covered = length - self.span + 1 if self.padding == "valid" else length
        if covered < 1:
            least = self.span if self.padding == "valid" else 1
            raise ValueError(f"expected at least {least} time steps for windows of {self.span}, got {length}")
        return -(-covered // self.stride)

    def pads(self, length: int) -> tuple[int, int]:
        """Return the numbers of steps added before the first and after the last."""
        if self.padding == "causal":
            return self.span - 1, 0
        if self.padding == "valid":
            return 0, 0
        added = max((self.count(length) - 1) * self.stride + self.span - length, 0)
        return added // 2, added - added // 2

    def shape(self, input_shape, features) -> tuple:
        """Return the shape of results for windows of x ``(B, T, F)``, with so many features; T may be None."""
        batch_size, length = input_shape[:2]
        return (batch_size, None if length is None else self.count(length), features)

    def padded(self, x, value=0.0):
        """Return x ``(B, T, F)`` in C order with the added steps, filled with a value."""
        before, after = self.pads(x.shape[1])
        if not before and not after:
            return x.astype(x.dtype, order="C", copy=False)
        found = np.full_like(x, value, order="C", shape=(x.shape[0], before + x.shape[1] + after, x.shape[2]))
        found[:, before : before + x.shape[1]] = x
        return found

    def steps(self, x, filling=0.0) -> list:
        """Return the first step of each window, the second one, and so on, in terms that the tracer reads."""
        if any(pads := self.pads(x.shape[1])):
            x = np.pad(x, ((0, 0), pads, (0, 0)), constant_values=filling)
        starts = [k * self.dilation for k in range(self.size)]
        return [x[:, start : start - self.span + 1 or None : self.stride] for start in starts]

    def view(self, padded):
        """Return the windows ``(B, L, size, F)`` of a padded x in C order, which share its memory."""
        row, step, one = padded.strides
        shape = padded.shape[0], (padded.shape[1] - self.span) // self.stride + 1, self.size, padded.shape[2]
        return opaque(_view, padded, shape, (row, step * self.stride, step * self.dilation, one))

    def added_up(self, d, shape):
        """Return the cotangent of x ``(B, T, F)``, from that of its windows, whose steps are contiguous in C order."""
        from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

        count, (before, _) = self.count(shape[1]), self.pads(shape[1])
        sizes = *shape, count, self.size, self.stride, self.dilation, before
        return run_kernel("time_windows.window_sums", d.dtype, d, New(shape), *sizes)


def _view(array, shape, strides):
    # Not by as_strided: its result doesn't say that its memory is that of `array`.
    return np.ndarray(shape, array.dtype, array, 0, strides) if array.size else np.zeros(shape, array.dtype)
