"""Large memory that is lent and comes back: a system that hands out new pages takes longer than a call to fill them."""

from __future__ import annotations

import os
import threading
from collections import deque

import numpy as np

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.simd.aligned import aligned

_lock = threading.Lock()
_back: deque[np.ndarray] = deque()  # what came back and nobody looked at yet
_waiting: list[np.ndarray] = []


class _Loan:
    """What an array stands on; memory comes back when the last of its views is gone."""

    def __init__(self, memory):
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self):
        if _back is None:  # the interpreter is about to end
            return
        # Garbage may be collected anywhere, also while this thread looks for memory: that look then finds it.
        _back.append(self.memory)
        if _lock.acquire(blocking=False):
            try:
                _take_back()
            finally:
                _lock.release()


def lend(size: int, dtype) -> np.ndarray:
    """An array ``(size,)`` with anything in it, that starts at a cache line."""
    dtype = np.dtype(dtype)
    wanted = size * dtype.itemsize
    with _lock:
        _take_back()
        fits = [i for i, memory in enumerate(_waiting) if wanted <= memory.nbytes <= 2 * wanted + (1 << 20)]
        memory = _waiting.pop(min(fits, key=lambda i: _waiting[i].nbytes)) if fits else None
    if memory is None:
        memory = aligned(wanted, np.uint8)
    return np.asarray(_Loan(memory))[:wanted].view(dtype)


def _take_back():
    """Put what came back to what waits, and let the oldest go where that is too much."""
    while _back:
        _waiting.append(_back.popleft())
    total = sum(memory.nbytes for memory in _waiting)
    while total > tuning.LENT_KEPT:
        total -= _waiting.pop(0).nbytes


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]
