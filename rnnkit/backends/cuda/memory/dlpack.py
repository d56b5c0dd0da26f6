"""DLPack, by which libraries hand arrays to each other: a struct in a capsule, freed by whoever made it."""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.backends.cuda.memory.availability import driver

CUDA = 2  # the kind of device
_KINDS = {"i": 0, "u": 1, "f": 2, "b": 6}
_NAME, _USED = b"dltensor", b"used_dltensor"


def contiguous_strides(shape, itemsize: int) -> tuple[int, ...]:
    """Return strides in bytes."""
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("kind", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]

_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_python = ctypes.pythonapi
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destructor)(("PyCapsule_New", _python))
_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", _python))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _python))
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", _python))
_raw_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _python))
_raw_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _python))

_given: dict[int, tuple] = {}  # by the struct's address: all that must live until its deleter is called


@_Deleter
def _delete(managed):
    _given.pop(ctypes.addressof(managed.contents), None)


@_Destructor
def _drop(capsule):
    """Release the array of a capsule that nobody took."""
    if _raw_valid(capsule, _NAME):
        _given.pop(_raw_pointer(capsule, _NAME), None)


def capsule(array):
    """Return a capsule of a `DeviceArray`, which lives until the consumer is done with it."""
    sizes = ctypes.c_int64 * max(1, array.ndim)
    shape, strides = sizes(*array.shape), sizes(*(stride // array.itemsize for stride in array.strides))
    place = array.address if array.size else 0, *array.__dlpack_device__()
    tensor = _Tensor(*place, array.ndim, _KINDS[array.dtype.kind], 8 * array.itemsize, 1, shape, strides, 0)
    managed = _Managed(tensor, None, _delete)
    at = ctypes.addressof(managed)
    _given[at] = (managed, shape, strides, array)
    return _new(at, _NAME, _drop)


_leaving: deque = deque()  # (mark, struct) of arrays that nobody here holds any more, while a GPU may still read them
_telling = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child may collect arrays that are left here, too
    os.register_at_fork(after_in_child=_telling._at_fork_reinit)  # type: ignore[attr-defined]


def _tell() -> None:
    """Call the deleters of arrays that the GPU is done with; the others are asked for with the next array."""
    with _telling:
        while _leaving and _leaving[0][0].passed():
            managed = _leaving.popleft()[1]
            managed.contents.deleter(managed)


@dataclass(eq=False)
class Taken:
    """The contents of a capsule; its deleter is called after the work in a stream is done."""

    capsule: Any
    stream: int
    managed: Any
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype

    def __del__(self):
        if self.managed.contents.deleter:
            _leaving.append((driver().Mark(self.stream), self.managed))
        _tell()


def take(capsule, stream: int) -> Taken:
    """Return the array in a capsule, used up, for work in a stream; a TypeError for other objects or unknown dtypes."""
    if not _valid(capsule, _NAME):
        raise TypeError("expected a capsule of DLPack that nobody has taken")
    managed = ctypes.cast(_pointer(capsule, _NAME), ctypes.POINTER(_Managed))
    tensor = managed.contents.tensor
    letter = {number: letter for letter, number in _KINDS.items()}.get(tensor.kind)
    if letter is None or tensor.lanes != 1:
        raise TypeError(f"expected numbers that NumPy has too, got DLPack's type {tensor.kind} of {tensor.bits} bits")
    dtype = np.dtype(f"{letter}{tensor.bits // 8}")
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    strides = contiguous_strides(shape, dtype.itemsize)
    if tensor.strides:
        strides = tuple(tensor.strides[i] * dtype.itemsize for i in range(tensor.ndim))
    _rename(capsule, _USED)
    return Taken(capsule, stream, managed, (tensor.data or 0) + tensor.byte_offset, shape, strides, dtype)
