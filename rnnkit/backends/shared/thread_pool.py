"""Blocks of rows over a pool of threads, made when it is first needed and again after a fork."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rnnkit.arguments import positive_integer
from rnnkit.backends.shared.placing import keep_away, let_back

_LARGEST_BLOCK = 64  # rows: arrays that a block keeps between two passes should stay in the cache
_lock = threading.Lock()
_pool: Helpers | None = None
_pool_key: tuple[int, int] | None = None
_chosen: int | None = None
_worker = threading.local()


class _Limit(threading.local):
    """The number of threads that calls of this thread may use at most."""

    threads = sys.maxsize


_limit = _Limit()


def get_num_threads() -> int:
    """Return how many threads a call may use.

    By default the CPUs that this process may use (its affinity and its container's quota), or ``RNNKIT_NUM_THREADS``.

    Returns
    -------
    int

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.get_num_threads() >= 1
    True
    """
    global _chosen
    if _chosen is None:
        _chosen = _default()
    most = _limit.threads
    return _chosen if _chosen < most else most


@contextlib.contextmanager
def at_most(n: int):
    before = _limit.threads
    _limit.threads = n
    try:
        yield
    finally:
        _limit.threads = before


def set_num_threads(n: int) -> None:
    """Set how many threads a call may use; results don't depend on it.

    Parameters
    ----------
    n : int
        1 or more.

    Raises
    ------
    ValueError
        If ``n`` is not a positive integer.

    Examples
    --------
    >>> import rnnkit as rk
    >>> before = rk.get_num_threads()
    >>> rk.set_num_threads(1)
    >>> rk.get_num_threads()
    1
    >>> rk.set_num_threads(before)
    """
    global _chosen
    _chosen = positive_integer(n, "n, the number of threads,")


def _default() -> int:
    given = os.environ.get("RNNKIT_NUM_THREADS", "").strip()
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise ValueError(f"expected RNNKIT_NUM_THREADS to be a positive integer, got {given!r}")
        return int(given)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, _quota()))


def _quota() -> int:
    """Return the CPUs that a container may use, by cgroup version 2 or 1."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()[:2]
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return 1_000_000
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return 1_000_000
    return max(1, math.ceil(int(quota) / int(period)))


class Helpers:
    """Threads that wait for work; a waking thread keeps the woken one away from its processor until it runs."""

    def __init__(self, n: int):
        self._executor = ThreadPoolExecutor(n, thread_name_prefix="rnnkit")
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._kept_away: dict[int, set[int]] = {}

    def submit(self, function: Callable, *arguments) -> None:
        """Let one of the threads call a function; a RuntimeError if they were told to end, or there can be no more."""
        with self._lock:
            self._kept_away |= keep_away(self._waiting - self._kept_away.keys())
        self._executor.submit(self._run, function, *arguments)

    def shutdown(self) -> None:
        """End the threads once all submitted work is done."""
        self._executor.shutdown(wait=False)

    def _run(self, function, *arguments):
        thread = threading.get_native_id()
        self._waiting.discard(thread)
        if allowed := self._kept_away.pop(thread, None):
            let_back(allowed)
        try:
            function(*arguments)
        finally:
            self._waiting.add(thread)


def pool(n: int) -> Helpers:
    global _pool, _pool_key
    key = (os.getpid(), n)
    with _lock:
        if _pool is None or _pool_key != key:
            if _pool is not None and _pool_key is not None and _pool_key[0] == os.getpid():
                _pool.shutdown()
            _pool, _pool_key = Helpers(n), key
        return _pool


def _after_fork():
    global _lock, _pool, _pool_key
    _lock, _pool, _pool_key = threading.Lock(), None, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run_blocks(function: Callable[[int, int], None], rows: int, parallel: bool = True) -> None:
    """Call ``function(first, last)`` for blocks of rows, on several threads if there are several blocks and `parallel`.

    The function computes rows ``first … last - 1`` without the GIL. The first exception is raised after all ended.
    """
    threads = min(get_num_threads(), rows) if parallel and not getattr(_worker, "busy", False) else 1
    size = min(max(1, math.ceil(rows / max(threads, 1))), _LARGEST_BLOCK)
    starts = range(0, rows, size)
    if threads <= 1 or len(starts) <= 1:
        for first in starts:
            function(first, min(first + size, rows))
        return
    pending, taken = iter(starts), 0
    changed = threading.Condition()
    errors: list[BaseException] = []

    def work():
        nonlocal taken
        _worker.busy = True
        try:
            while True:
                with changed:
                    first = None if errors else next(pending, None)
                    if first is None:
                        return
                    taken += 1
                try:
                    function(first, min(first + size, rows))
                except BaseException as error:
                    errors.append(error)
                finally:
                    with changed:
                        taken -= 1
                        changed.notify_all()
        finally:
            _worker.busy = False

    helpers = pool(threads - 1)
    for _ in range(min(threads, len(starts)) - 1):
        try:
            helpers.submit(work)
        except RuntimeError:  # the pool was closed, by another thread that set another number or at exit: go on without
            break
    work()  # helpers that start after this find no block
    with changed:
        changed.wait_for(lambda: not taken)
    if errors:
        raise errors[0]
