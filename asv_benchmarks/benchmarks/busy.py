"""Calls while another process keeps a core busy."""

# smoke: busy.Busy.track_median\('8, 200, 8, 64', 'free'\)

import contextlib
import os
import subprocess
import sys
import time

import numpy as np

import rnnkit as rk

from . import sizes
from .cells import layer, sequences

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextlib.contextmanager
def busy_process(cpu: int | None = None):
    """Run one in the meantime, on this CPU or wherever the system puts it."""
    stay = "" if cpu is None else f"import os; os.sched_setaffinity(0, [{cpu}])\n"
    process = subprocess.Popen([sys.executable, "-c", f"{stay}while True: pass"])
    try:
        time.sleep(0.2)  # it has started by then
        yield
    finally:
        process.kill()
        process.wait()


def each(run, calls: int, limit: float = float("inf")) -> list[float]:
    """Seconds of each of so many calls in a row, after one that isn't counted; fewer if all take more than `limit`."""
    begin = time.perf_counter()
    run()
    found = []
    while len(found) < calls and (not found or time.perf_counter() - begin < limit):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


class Busy:
    """Times of calls on two threads over the median on one thread with nothing beside it.

    The other process stays on the last CPU or goes wherever the system puts it.
    """

    params = (list(map(sizes.text, sizes.BUSY)), ["pinned", "free"] if CPUS else ["free"])
    param_names = ("size", "other process")
    unit = "ratio"

    def setup(self, size, where):
        self.before = rk.get_num_threads()
        *shape, units = sizes.numbers(size)
        self.x = sequences(*shape)
        self.layer = layer("LSTMCell", units, return_sequences=True)
        self.layer(self.x)

    def teardown(self, size, where):
        rk.set_num_threads(self.before)

    def track_median(self, size, where):
        return np.median(self._times(where))

    def track_95th_percentile(self, size, where):
        return np.quantile(self._times(where), 0.95)

    def track_maximum(self, size, where):
        return max(self._times(where))

    def _times(self, where):
        rk.set_num_threads(1)
        alone = np.median(each(lambda: self.layer(self.x), 20))
        rk.set_num_threads(2)
        with busy_process(*(CPUS[-1:] if where == "pinned" else [])):
            return np.array(each(lambda: self.layer(self.x), 60)) / alone
