"""One measure for all benchmarks: the least of calls that have settled, or the memory that a call takes.

asv takes larger numbers for worse, so everything here is seconds or bytes. A machine that does something else besides
takes the processor away from a call: calls on one thread that were stopped don't count.
"""

import abc
import ctypes
import pathlib
import sys
import time
from collections.abc import Callable

import rnnkit as rk

try:
    import resource
except ImportError:  # on Windows
    resource = None

WARM, WARMED = 60, 0.15  # calls, or seconds of at least LEAST calls, after which nothing is set up any more
FILLED, LEAST = 0.15, 9  # seconds of calls that are looked at, and how many these are at least
SHORT, PLACES = 5e-3, 4  # seconds of a call whose time depends on where its results lie: 0, 16, 32 or 48 bytes off 64
LITTLE = 1 << 20  # bytes below which a difference says nothing
LONGEST = 1.5  # seconds that a few calls may take instead, if one takes long


def seconds(call: Callable[[], object]) -> float:
    """Return the least time of a call, once calls have settled, of short ones with their results at several places."""
    short = min(_times(call, WARM, WARMED, LONGEST / 5)) < SHORT
    found: list[float] = []
    held: list[object] = []
    for _ in range(PLACES if short else 1):
        found += _times(call, float("inf"), FILLED / PLACES if short else FILLED, LONGEST)
        held.append(call())
    return min(found)


def _times(call: Callable[[], object], most: float, filled: float, longest: float) -> list[float]:
    """Return times of calls that weren't stopped.

    Where all were, those on the processor: of a call that was stopped, the system's clock for that may tell some
    microseconds too few, and the least of many would be such an error.
    """
    found: list[float] = []
    stopped: list[float] = []
    calls, passed, alone = 0, 0.0, rk.get_num_threads() == 1
    while calls < most and passed < (filled if calls >= LEAST else longest):
        stops, used, start = _stops(), time.process_time(), time.perf_counter()
        call()
        took = time.perf_counter() - start
        if alone and _stops() > stops:
            stopped.append(time.process_time() - used)
        else:
            found.append(took)
        calls += 1
        passed += took
    return found or stopped


def _stops() -> int:
    """Return how often something else took this process's place, 0 where the system doesn't say."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def peak(call: Callable[[], object]) -> int:
    """Return the bytes that a call takes above what the process held before it."""

    def held(what: str) -> int:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # freed memory that glibc keeps would be taken again without being counted
        trim(0)
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
        before = held("VmRSS")
    except OSError as error:
        raise NotImplementedError("this system doesn't tell the peak") from error  # asv skips it
    call()
    return max(held("VmHWM") - before, LITTLE)


class Benchmark(abc.ABC):
    """A call by the parameters of a benchmark, on one thread unless `make` sets more."""

    version = 1  # of what is measured: asv drops older results where it changes

    @abc.abstractmethod
    def make(self, *params) -> Callable[[], object]:
        """Return the call that is measured."""

    def setup(self, *params):
        rk.set_num_threads(1)
        self.call = self.make(*params)


class Timed(Benchmark):
    """The seconds of a call."""

    unit = "seconds"

    def track_seconds(self, *params):
        return seconds(self.call)


class Memory(Benchmark):
    """The bytes of a call that was made once before, with few steps."""

    unit = "bytes"

    def track_bytes(self, *params):
        return peak(self.call)
