"""A pool of large buffers: to map and zero new pages takes longer than a call takes to fill them."""

from __future__ import annotations

import os
import threading
from collections import deque

import numpy as np

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.simd.aligned import aligned

_lock = threading.Lock()
_returned: deque[np.ndarray] = deque()  # not yet sorted into `_free`
_free: dict[int, list[np.ndarray]] = {}  # by their bytes, those last that came back last
_held = 0  # bytes of the free ones


class _Loan:
    """The base of a borrowed array: returns the memory to the pool when the last view is gone."""

    def __init__(self, memory):
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self):
        if _returned is None:  # the interpreter is about to end
            return
        # The collector may run this anywhere, also while this thread holds the lock: `borrow` then finds the memory.
        _returned.append(self.memory)
        if _lock.acquire(blocking=False):
            try:
                _take_back()
            finally:
                _lock.release()


def borrow(size: int, dtype) -> np.ndarray:
    """Return an uninitialised array ``(size,)`` that starts at a cache line."""
    dtype = np.dtype(dtype)
    wanted = size * dtype.itemsize
    with _lock:
        _take_back()
        fits = [size for size in _free if wanted <= size <= 2 * wanted + (1 << 20)]
        memory = _taken(min(fits), -1) if fits else None
    if memory is None:
        memory = aligned(wanted, np.uint8)
    return np.asarray(_Loan(memory))[:wanted].view(dtype)


def _take_back():
    """Add returned buffers to the free ones, and drop the oldest beyond the pool's limit."""
    global _held
    while _returned:
        memory = _returned.popleft()
        several = _free.pop(memory.nbytes, [])
        several.append(memory)
        _free[memory.nbytes] = several
        _held += memory.nbytes
    while _held > tuning.POOL_KEPT:
        _taken(next(iter(_free)), 0)


def _taken(size, at) -> np.ndarray:
    """Return one of the free buffers of a size, which is free no more."""
    global _held
    found = _free[size].pop(at)
    _held -= size
    if not _free[size]:
        del _free[size]
    return found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]
