"""How long a test may take and wait: multiples of a unit that is measured, so that none fails where a machine is slow.

A limit ends a hang and says whose it is; it measures nothing, and so is many times what the slowest machine needs.
"""

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

TEST = 4000  # units that a test has: the longest takes some 250 beside other work, and a slow spell comes on top
_UNIT = "RNNKIT_TEST_UNIT"
_end: float | None = None  # of the test that runs, by time.monotonic


@functools.cache
def unit() -> float:
    """Seconds that this machine takes to start a Python that imports rnnkit.

    Measured once: workers and the processes of tests inherit it.
    """
    if _UNIT not in os.environ:
        path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import rnnkit"], env=os.environ | {"PYTHONPATH": path}, check=True)
        os.environ[_UNIT] = str(time.perf_counter() - begun)
    return float(os.environ[_UNIT])


def seconds(units: float) -> float:
    """A limit of so many units."""
    return units * unit()


def begin(limit: float) -> None:
    """Count from now on what a test has left of its limit, in seconds."""
    global _end
    _end = time.monotonic() + limit


def left(share: float = 0.9) -> float:
    """Seconds that a test may wait for something: less than it has left, so that what doesn't come can be named."""
    return share * (seconds(TEST) if _end is None else max(0.0, _end - time.monotonic()))


def tries(what: str):
    """As many goes as there is time for, at what depends on how threads happen to run; whoever sees it breaks off."""
    limit = left()
    end = time.monotonic() + limit
    while time.monotonic() < end:
        yield
    raise AssertionError(f"not once within {limit:.0f} s: {what}")


def until(condition, what: str) -> None:
    """Wait for what can only be looked at again and again."""
    for _ in tries(what):
        if condition():
            return
        time.sleep(0.01)  # a pause between two looks, no limit
