"""Arrays of any library in a GPU's memory: taken where they stand, checked, and given back as their kind."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from rnnkit import arrays
from rnnkit.backends.cuda.memory import dlpack
from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.backends.cuda.memory.availability import driver, simulated
from rnnkit.backends.cuda.memory.dlpack import contiguous_strides

HOST = {np.ndarray, type(None), bool, int, float, str}


def on_device(value) -> bool:
    """Return whether a value is an array in a GPU's memory, of whatever library."""
    if type(value) in HOST:
        return False
    if isinstance(value, DeviceArray) or _dlpack_device(value)[0] == dlpack.CUDA:
        return True
    return _interface(value) is not None


def _interface(value) -> dict | None:
    if getattr(type(value), "__cuda_ndarray__", False) and simulated():
        return value.__array_interface__ | {"version": 3, "stream": None}  # numba's simulator has no other
    try:
        return value.__cuda_array_interface__
    except AttributeError:  # of an array on the host, too
        return None
    except RuntimeError as error:
        arrays.refuse(value, "an array")
        raise TypeError(f"expected an array that shows its memory; {_kind(value)} says: {error}") from None


def _dlpack_device(value) -> tuple[int, int]:
    found = getattr(value, "__dlpack_device__", None)
    if found is None or isinstance(value, (np.ndarray, np.generic)):
        return 0, 0
    try:
        kind, number = found()
    except Exception:  # for a device that DLPack doesn't know, or an object without memory
        return 0, 0
    return int(kind), int(number)


def library_of(value) -> str:
    root = type(value).__module__.partition(".")[0]
    return {"jaxlib": "jax", "numba_cuda": "numba"}.get(root, root)


def _kind(value) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


class Handle(int):
    """A stream's handle that keeps the stream alive: memory is freed in its order, maybe long after the call."""

    kept: Any = None


def stream_handle(stream) -> int:
    """Return a user's stream as the driver's handle, 0 for the default one; a TypeError for other objects."""
    if isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0:
        found = stream
    elif hasattr(stream, "__cuda_stream__"):
        found = int(stream.__cuda_stream__()[1])
    elif hasattr(stream, "cuda_stream"):  # torch's
        found = int(stream.cuda_stream)
    elif hasattr(stream, "ptr"):  # CuPy's
        found = int(stream.ptr)
    elif type(stream).__module__.startswith("numba.cuda.simulator"):
        found = 0
    else:
        wanted = "a handle, a stream of numba, CuPy or torch, or None"
        raise TypeError(f"expected stream to be {wanted}; got {_kind(stream)}")
    handle = Handle(0 if found == 1 else found)  # both are the default stream
    handle.kept = stream
    return handle


def current_stream(library: str) -> int | None:
    """Return the stream that a library puts its work in now, None where the library has no such function."""
    module: Any = sys.modules.get(library)
    if library == "torch" and module is not None:
        return stream_handle(module.cuda.current_stream())
    if library == "cupy" and module is not None:
        return stream_handle(module.cuda.get_current_stream())
    return None


def stream_of(value) -> int:
    """Return the stream that an array's user works in: the library's current one, or the array's own."""
    if isinstance(value, DeviceArray):
        return value.stream
    found = current_stream(library_of(value))
    return _written_in(_interface(value)) if found is None else found


def _written_in(interface) -> int:
    given = None if interface is None else interface.get("stream")
    return 0 if given is None else stream_handle(given)


def take(value, what: str, stream: int) -> DeviceArray:
    """Return an array of any library, without a copy, for work in a stream that waits for the array's writer.

    A ValueError refuses an array on another device than the current one, one that was freed, or whose elements aren't
    aligned; a TypeError big-endian numbers and what is no real number.
    """
    if isinstance(value, DeviceArray):
        return value.ordered_in(stream)
    arrays.refuse(value, what)
    interface = None if library_of(value) == "jax" else _interface(value)  # jax orders streams by DLPack alone
    if interface is None:
        held = dlpack.take(value.__dlpack__(stream=stream or 1), stream)  # 1 is the default stream there
        found = DeviceArray(held, held.address, held.shape, held.strides, held.dtype, stream)
    else:
        found = _by_interface(value, interface, what)
    _check(found, what, _dlpack_device(value))
    if found.stream == stream:
        return found
    if current_stream(library_of(value)) is None and (interface or {}).get("stream") is None:
        found.stream = stream  # there is no stream to wait for
        return found
    return found.ordered_in(stream)


def _by_interface(value, interface, what) -> DeviceArray:
    if interface.get("mask") is not None:
        raise TypeError(f"expected {what} without a mask inside, got one of {_kind(value)}")
    dtype = np.dtype(interface["typestr"])
    if dtype.byteorder == ">" if sys.byteorder == "little" else dtype.byteorder == "<":
        raise TypeError(f"expected {what} in the byte order of this machine, got dtype {dtype.str}")
    shape = tuple(interface["shape"])
    strides = interface.get("strides")
    strides = contiguous_strides(shape, dtype.itemsize) if strides is None else tuple(strides)
    current = current_stream(library_of(value))
    stream = _written_in(interface) if current is None or interface.get("stream") is not None else current
    return DeviceArray(value, int(interface["data"][0] or 0), shape, strides, dtype, stream)


def _check(array: DeviceArray, what, stands) -> None:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected {what} to hold real numbers, got dtype {array.dtype}")
    if not array.size:
        return
    if any(number % array.itemsize for number in (array.address, *array.strides)):
        raise ValueError(f"expected {what} with aligned elements, got strides {array.strides} of {array.dtype}")
    current, kind = driver().current_device(), stands[0]
    device = driver().device_of(array.address)
    if device is None:
        raise ValueError(f"expected {what} in a GPU's memory, got address {array.address:#x}, which is freed or none")
    device = stands[1] if kind == dlpack.CUDA else device
    if device != current:
        wanted = f"on device {current}, the current one"
        raise ValueError(f"expected {what} {wanted}, got it on device {device}; copy it there first")


class _Shown:
    """An array as another library takes it by its interface."""

    def __init__(self, array: DeviceArray, ordered: bool):
        self.array = array
        stream = None if ordered else array.stream or 1
        self.__cuda_array_interface__ = array.__cuda_array_interface__ | {"stream": stream}


def give(array: DeviceArray, library: str):
    """Return the array in a library's kind, without a copy, for its current stream; as it is without that library."""
    module: Any = sys.modules.get(library)
    if module is None:
        return array
    current = current_stream(library)
    if current is not None:
        array = array.ordered_in(current)  # torch would ignore the array's stream, and CuPy would wait here
    shown = _Shown(array, ordered=current is not None)
    if library == "cupy":
        return module.asarray(shown)
    if library == "torch":
        return module.as_tensor(shown, device=f"cuda:{driver().current_device()}")
    if library == "jax":
        return module.dlpack.from_dlpack(array)
    if library == "numba":
        numba_cuda: Any = sys.modules["numba.cuda"]
        if simulated():
            return numba_cuda.to_device(array.copy_to_host())
        return numba_cuda.as_cuda_array(shown, sync=False)
    return array
