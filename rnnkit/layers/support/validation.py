"""Checks of users' arguments: every array is converted to the layer's kind, or refused by an error in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rnnkit.arguments import integer
from rnnkit.arrays import floating, in_precision, real
from rnnkit.backends.cuda.memory import interop
from rnnkit.backends.cuda.memory.array import DeviceArray, upload
from rnnkit.complex_pairs import to_pairs


def given(value, what: str, stream: int | None = None, complex_too: bool = False) -> Any:
    """Return `value` as an array of real numbers, on the host or in a GPU's memory, where it is."""
    if isinstance(value, np.ndarray) or not interop.on_device(value):
        return array(value, what, complex_too=complex_too)
    return interop.take(value, what, interop.stream_of(value) if stream is None else stream)


def numbers(value, what: str, complex_too: bool = False) -> Any:
    """Return `value` as `given` does, in a dtype that layers compute with: integers, float32 or float64."""
    return in_precision(given(value, what, complex_too=complex_too), what)


def like(value, what: str, array: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return `value` in an array's shape and dtype; with an axis, complex numbers as the pairs along it."""
    found = numbers(value, what, complex_too=axis is not None)
    shape = array.shape if axis is None else (*array.shape[:axis], *array.shape[axis + 1 :])
    if found.shape != shape:
        raise ValueError(f"expected {what} of shape {shape}, got {found.shape}")
    if axis is not None:
        return to_pairs(found, axis, array.dtype)
    return found if found.dtype == array.dtype else found.astype(array.dtype, order="C")


def moved(value, stream: int | None) -> Any:
    """Return `value` on the host, or with a stream in a GPU's memory."""
    if stream is None:
        return value.copy_to_host() if isinstance(value, DeviceArray) else value
    return value if isinstance(value, DeviceArray) else upload(value, stream)


def reshapeable(x) -> Any:
    """Return `x`, in a GPU's memory as a contiguous array."""
    return x.copy() if isinstance(x, DeviceArray) and not x.contiguous else x


array = real  # of the host's memory, by the name that layers use


def precision_of(x: np.ndarray) -> np.dtype:
    """Return the precision for an input: its own, or float32 for integers and booleans."""
    kind = x.dtype.kind
    return floating(np.finfo(x.dtype).dtype if kind == "c" else x.dtype) if kind in "fc" else np.dtype("float32")


def cast(x: Any, dtype: np.dtype, kept_axes: int = 2) -> Any:
    """Return `x` in `dtype`, its axes from `kept_axes` on contiguous; a copy only if necessary, and none on a GPU."""
    if isinstance(x, DeviceArray):
        return _as_it_stands(x, dtype, kept_axes)
    if x.dtype != dtype:  # so is another byte order
        return x.astype(dtype, order="C")
    stride = x.itemsize
    for axis in range(x.ndim - 1, kept_axes - 1, -1):
        if x.strides[axis] != stride and x.shape[axis] > 1:
            return x.copy()
        stride *= x.shape[axis]
    return x if x.flags.aligned else x.copy()


def _as_it_stands(x: DeviceArray, dtype: np.dtype, kept_axes: int) -> DeviceArray:
    if x.dtype != dtype:
        raise TypeError(
            f"expected a device array of {dtype}, the layer's precision, got {x.dtype}; convert it with "
            f"astype('{dtype}') or, of torch, to(torch.{dtype})"
        )
    if x.size and not x[(0,) * min(kept_axes, x.ndim)].contiguous:
        raise ValueError(
            f"expected a device array with contiguous features, got strides {x.strides} of the shape {x.shape}; "
            "ascontiguousarray or, of torch, contiguous() copies it"
        )
    return x


def mask(value, batch_size: int, length: int) -> Any:
    """Return a mask ``(B, T)`` or ``(B, T, 1)`` as booleans ``(B, T)``; of any numbers, non-zero uses the step."""
    found = given(value, "mask")
    if found.shape == (batch_size, length, 1):
        found = found[:, :, 0]
    if found.shape != (batch_size, length):
        raise ValueError(
            f"expected mask of shape {(batch_size, length)}, one value per step; got {found.shape}"
            f"{_mask_hint(found, batch_size, length)}"
        )
    if isinstance(found, DeviceArray):
        if found.itemsize != 1:
            raise TypeError(f"expected a mask of booleans in a GPU's memory, got {found.dtype}; take mask != 0")
        found = found if found.contiguous else found.copy()
        return replace(found, dtype=np.dtype(bool))
    return (found != 0).astype(bool, order="C", copy=False)


def _mask_hint(found, batch_size: int, length: int) -> str:
    if found.shape == (batch_size,) and found.dtype.kind in "iu":
        return f"; of lengths, rk.sequence_mask(lengths, {length}) makes a mask"
    if found.shape[:2] == (batch_size, length):
        return "; mask.any(axis=-1) uses steps with any feature"
    return ""


def finite_under_mask(x, steps_used):
    """Return `x` ``(B, T, …)`` with 0 in place of NaN and infinity at masked steps, which reach no result or gradient.

    An x of other axes or in a GPU's memory, and one whose mask isn't ``(B, T)``, is returned as it is.
    """
    if steps_used is None or isinstance(x, DeviceArray) or x.ndim < 3 or x.dtype.kind != "f":
        return x
    found = given(steps_used, "mask")
    if isinstance(found, DeviceArray) or found.shape not in (x.shape[:2], (*x.shape[:2], 1)):
        return x
    used = mask(found, *x.shape[:2])
    finite = used.reshape(*used.shape, *(1,) * (x.ndim - 2)) | np.isfinite(x)
    return x if finite.all() else np.where(finite, x, x.dtype.type(0))


def steps(value) -> Any:
    """Return a mask as given, of any shape with the axes of batch and time."""
    found = given(value, "mask")
    if found.ndim < 2:
        raise ValueError(f"expected mask of shape (batch, time), one value per step; got {found.shape}")
    return found


def constants(value, batch_size: int, dtype: np.dtype, pairs: tuple[bool, ...] = ()) -> tuple[np.ndarray, ...]:
    """Return a list of arrays ``(B, …)``, cast; `pairs` marks complex ones, which become pairs ``(B, 2, …)``."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"expected constants to be a list of arrays, got {type(value).__name__}")
    flags = pairs or (False,) * len(value)
    if len(flags) != len(value):
        raise ValueError(f"expected {len(flags)} constants, as at the first call, got {len(value)}")
    found = tuple(numbers(one, "constants", c) for one, c in zip(value, flags, strict=True))
    for one in found:
        if one.ndim == 0 or one.shape[0] != batch_size:
            raise ValueError(
                f"expected constants of shape ({batch_size}, …), one entry per row of x, got {one.shape}; "
                "what all rows share is a weight or an array that the step captures"
            )
    found = tuple(one.copy() if isinstance(one, DeviceArray) and not one.contiguous else one for one in found)
    return tuple(
        to_pairs(one, 1, dtype) if c else cast(one, dtype, kept_axes=0) for one, c in zip(found, flags, strict=True)
    )


def parts_of_dtype(dtype) -> tuple[Any, bool]:
    """Return the precision of a layer's `dtype`, and whether it is one of complex numbers."""
    if isinstance(dtype, (str, type, np.dtype)) and str(getattr(dtype, "__name__", dtype)).startswith("complex"):
        return np.empty(0, dtype).real.dtype, True
    return dtype, False


def shape_error(what: str, axes: str, features, got) -> ValueError:
    """Return the error for an array of another rank or with other features than expected."""
    tail = "features" if features is None else ", ".join(map(str, features))
    hint = _axes_hint(what, features, tuple(got)) if axes == "batch, time" else ""
    return ValueError(f"expected {what} of shape ({axes}, {tail}), got {tuple(got)}{hint}")


def _axes_hint(what: str, features, got: tuple) -> str:
    """Return the advice for sequences whose axes are in another order or missing."""
    if 0 in got:
        return ""
    if len(got) == 1:
        return f"; one sequence of numbers is {what}[None, :, None]"
    if len(got) == 2:
        one, numbers = f"one sequence is {what}[None]", f"sequences of one number per step are {what}[:, :, None]"
        if features is None:
            return f"; {one}, {numbers}"
        return f"; {one}" if got[1:] == features else f"; {numbers}" if features == (1,) else ""
    if len(got) == 3 and features == got[1:2]:
        return f"; {what}.swapaxes(1, 2) has the features last"
    return ""


def shape(value, least_rank: int, axes: str, most_rank: int | None = None) -> tuple:
    """Return an input shape ``(B, …)`` with None for unknown sizes."""
    try:
        found = tuple(None if size is None else integer(size, "a size") for size in value)
    except (TypeError, ValueError):
        raise ValueError(f"expected a shape such as (None, None, 8), got {value!r}") from None
    fits = least_rank <= len(found) <= (most_rank or len(found))
    if not fits or any(size is not None and size < 0 for size in found):
        raise shape_error("x", axes, None, found)
    return found
