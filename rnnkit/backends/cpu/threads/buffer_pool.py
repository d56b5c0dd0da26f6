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
_free: list[np.ndarray] = []


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
        fits = [i for i, memory in enumerate(_free) if wanted <= memory.nbytes <= 2 * wanted + (1 << 20)]
        memory = _free.pop(min(fits, key=lambda i: _free[i].nbytes)) if fits else None
    if memory is None:
        memory = aligned(wanted, np.uint8)
    return np.asarray(_Loan(memory))[:wanted].view(dtype)


def _take_back():
    """Add returned buffers to the free ones, and drop the oldest beyond the pool's limit."""
    while _returned:
        _free.append(_returned.popleft())
    total = sum(memory.nbytes for memory in _free)
    while total > tuning.POOL_KEPT:
        total -= _free.pop(0).nbytes


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]
