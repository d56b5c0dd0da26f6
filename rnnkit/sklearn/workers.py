"""Processes in which joblib runs fits in parallel."""

from __future__ import annotations

import multiprocessing
import os

from rnnkit.backends.shared.thread_pool import get_num_threads, set_num_threads


def share_processors() -> None:
    """In a worker process of joblib, use joblib's share of threads, unless ``RNNKIT_NUM_THREADS`` is a number."""
    from joblib.parallel import get_active_backend

    if "RNNKIT_NUM_THREADS" in os.environ or multiprocessing.parent_process() is None:
        return
    if get_active_backend()[0].nesting_level:
        set_num_threads(min(get_num_threads(), int(os.environ.get("NUMBA_NUM_THREADS", 1))))
