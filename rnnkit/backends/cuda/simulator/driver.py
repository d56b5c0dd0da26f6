"""The functions of a GPU's driver for numba's simulator: device memory is NumPy's, streams do all at once."""

from __future__ import annotations

import ctypes
import math

import numpy as np


class Memory:
    def __init__(self, size: int, stream: int):
        if size > free_bytes():
            raise MemoryError
        self._array, self.streams = np.empty(size, np.uint8), {stream}
        self.address = self._array.ctypes.data if size else 0


def free_bytes() -> float:
    """Return infinity, as the simulator says: there is always more."""
    return math.inf


def current_device() -> int:
    return 0


def device_of(address: int) -> int | None:
    return 0 if address else None


def copy(target: int, source: int, size: int, stream: int) -> None:
    ctypes.memmove(target, source, size)


upload = download = copy


def fill_zero(address: int, size: int, stream: int) -> None:
    ctypes.memset(address, 0, size)


def wait(stream: int) -> None:
    pass


def wait_for_all() -> None:
    pass


class Mark:
    """The place in a stream behind all work in it so far, which is done at once here."""

    def __init__(self, stream: int):
        pass

    def passed(self) -> bool:
        return True


def follow(stream: int, before: int) -> None:
    pass


def move(target: int, source: int, shape, target_strides, source_strides, itemsize: int, stream: int) -> None:
    element = f"V{itemsize}"
    array_at(target, shape, element, target_strides)[...] = array_at(source, shape, element, source_strides)


def pointwise(name: str, target: int, first: int, second, count: int, dtype, stream: int) -> None:
    other = array_at(second, (count,), dtype) if isinstance(second, int) else second
    function = np.add if name == "add" else np.multiply
    function(array_at(first, (count,), dtype), other, out=array_at(target, (count,), dtype))


def array_at(address: int, shape, dtype, strides=None) -> np.ndarray:
    """Return the memory at an address as an array that doesn't own it."""
    found = {"shape": tuple(shape), "strides": strides, "typestr": np.dtype(dtype).str, "version": 3}
    holder = type("At", (), {"__array_interface__": found | {"data": (address, False)}})
    return np.asarray(holder())
