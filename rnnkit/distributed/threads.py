"""The share of a worker's threads that a task may use."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections import Counter

from rnnkit.backends.shared.thread_pool import at_most, get_num_threads

_lock = threading.Lock()
_running: Counter[str] = Counter()  # tasks, by the worker's address


@contextlib.contextmanager
def share():
    """Run a task on all threads of its worker if no other task runs there when it begins, otherwise on one.

    A worker of Dask has a known number of threads. The threads of Dask's own scheduler, and a program that computes
    without workers, share those of `rnnkit.get_num_threads`. In a process of ``scheduler="processes"`` a task has one.
    """
    worker, most = _place()
    with _lock:
        alone = not _running[worker]
        _running[worker] += 1
    try:
        with at_most(most if alone else 1):
            yield
    finally:
        with _lock:
            _running[worker] -= 1


def _place() -> tuple[str, int]:
    """Return the worker of this task, and its number of threads."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            worker = distributed.get_worker()
        except ValueError:
            pass
        else:
            return worker.address, worker.state.nthreads
    return "", 1 if multiprocessing.parent_process() is not None else get_num_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]
    os.register_at_fork(after_in_child=_running.clear)
