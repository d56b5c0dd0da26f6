"""Calls on hosts that take the CPU away: other processes, quotas, and a hypervisor that has something better to do."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks import sizes
from benchmarks.cells import layer, sequences

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
FILLED = 0.15  # seconds of calls in a row
LEAST = 3  # of them

BUSY = """
while True:
    pass
"""
PINNED = f"""
import os
os.sched_setaffinity(0, [{CPUS[-1] if CPUS else 0}])
"""
# Slices of 5 to 100 ms in which the benchmark's process is stopped, and as long ones in which it runs.
STOPPING = """
import os, random, signal, time
parent, rng = os.getppid(), random.Random(0)
while os.getppid() == parent:
    time.sleep(rng.uniform(0.005, 0.1))
    os.kill(parent, signal.SIGSTOP)
    try:
        time.sleep(rng.uniform(0.005, 0.1))
    finally:
        os.kill(parent, signal.SIGCONT)
"""
# Slices of 5 to 100 ms in which one CPU runs nothing else, whatever its priority, as when a hypervisor takes it away.
STEALING = """
import os, random, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
parent, rng = os.getppid(), random.Random(0)
while os.getppid() == parent:
    time.sleep(rng.uniform(0.005, 0.1))
    end = time.perf_counter() + rng.uniform(0.005, 0.1)
    while time.perf_counter() < end:
        pass
"""
# Another process that does the same on as many threads.
ALIKE = """
import os
import hosts
parent = os.getppid()
run = hosts.call((32, 100, 16, 64))
while os.getppid() == parent:
    run()
"""


def call(size: sizes.Size) -> Callable[[], object]:
    """A call of an LSTM of this size with all outputs, compiled."""
    *shape, units = size
    x, lstm = sequences(*shape), layer("LSTMCell", units, return_sequences=True)
    lstm(x)
    return lambda: lstm(x)


@contextlib.contextmanager
def beside(script: str, processes: int = 1) -> Iterator[None]:
    """Run a script in so many processes in the meantime."""
    folder = pathlib.Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    running = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(processes)]
    try:
        time.sleep(0.3 if script != ALIKE else 3.0)  # they have started by then
        if any(process.poll() is not None for process in running):
            raise OSError("the process beside it ended")
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


@contextlib.contextmanager
def quota(share: float) -> Iterator[None]:
    """Give this process `share` CPUs in each period of 100 ms, as containers may have; needs Linux and root."""
    first = pathlib.Path("/sys/fs/cgroup/cpu")
    root, name = (first, "cpu") if first.is_dir() else (first.parent, "")
    lines = (line.split(":", 2) for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines())
    before = root / next(path for _, names, path in lines if name in names.split(",")).lstrip("/")
    group = root / f"rnnkit-{os.getpid()}"
    group.mkdir()
    try:
        if name:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text(str(int(100_000 * share)))
        else:
            (group / "cpu.max").write_text(f"{int(100_000 * share)} 100000")
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


NOISES: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
    "nothing": contextlib.nullcontext,
    "busy process": lambda: beside(BUSY),
    "busy process on one CPU": lambda: beside(PINNED + BUSY),
    "one like it": lambda: beside(ALIKE),
    "three like it": lambda: beside(ALIKE, 3),
    "quota of 150 %": lambda: quota(1.5),
    "quota of 100 %": lambda: quota(1.0),
    "stopped in slices": lambda: beside(STOPPING),
    "one CPU taken in slices": lambda: beside(PINNED + STEALING),
}


def each(run: Callable, filled: float = FILLED, limit: float = float("inf")) -> list[float]:
    """Seconds of each of the calls in a row that fill so many, after one that isn't counted; `LEAST` within `limit`."""
    begin = time.perf_counter()
    run()
    found: list[float] = []
    while not found or sum(found) < filled or (len(found) < LEAST and time.perf_counter() - begin < limit):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found
