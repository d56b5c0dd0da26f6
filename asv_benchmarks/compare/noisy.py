"""The LSTM, forward and its gradients, on hosts that take the CPU away: processes, quotas, and a busy hypervisor."""

import contextlib
import functools
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import peers
from benchmarks import sizes
from measuring import SCRIPTS, THREADS, Figures, Settings, section
from writing import table

import rnnkit as rk

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
FILLED = 0.15  # seconds of calls in a row
LEAST = 3  # of them
LIMIT = 3.0  # seconds for another library: threads that wait for each other at every step may take some for one call
OURS, ALONE = "rnnkit", "rnnkit, one thread"
PEERS = ("ONNX Runtime", "torch")

PINNED = SCRIPTS["noise"]["pinned"].format(cpu=CPUS[-1] if CPUS else 0)


@contextlib.contextmanager
def beside(script: str, processes: int = 1, before: str = "") -> Iterator[None]:
    command = [sys.executable, "-c", before + SCRIPTS["noise"][script]]
    running = [subprocess.Popen(command) for _ in range(processes)]
    try:
        time.sleep(3.0 if script == "alike" else 0.3)  # they have started by then
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
        limit = str(int(100_000 * share))
        old, new = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": limit}, {"cpu.max": f"{limit} 100000"}
        for file, text in (old if name else new).items():
            (group / file).write_text(text)
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


NOISES: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
    "nothing": contextlib.nullcontext,
    "busy process": lambda: beside("busy"),
    "busy process on one CPU": lambda: beside("busy", before=PINNED),
    "one like it": lambda: beside("alike"),
    "three like it": lambda: beside("alike", 3),
    "quota of 150 %": lambda: quota(1.5),
    "quota of 100 %": lambda: quota(1.0),
    "stopped in slices": lambda: beside("stopping"),
    "one CPU taken in slices": lambda: beside("stealing", before=PINNED),
}


def each(run: Callable, limit: float = math.inf, threads: int | None = None) -> list[float]:
    """Return seconds of each of the calls, at least `LEAST` within `limit`, that fill `FILLED` after a first one."""
    if threads:
        rk.set_num_threads(threads)
    begin = time.perf_counter()
    run()
    found: list[float] = []
    while not found or sum(found) < FILLED or (len(found) < LEAST and time.perf_counter() - begin < limit):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


def in_turns(runners: dict[str, Callable], turns: int) -> dict[str, list[float]]:
    """Return seconds of each call of every runner, ours on one thread too, in as many turns as fit."""
    wanted = {label: functools.partial(each, runners[OURS], threads=n) for label, n in ((OURS, THREADS), (ALONE, 1))}
    wanted |= {label: functools.partial(each, run, LIMIT) for label, run in runners.items() if label != OURS}
    found: dict[str, list[float]] = {label: [] for label in wanted}
    for _ in range(turns):
        for label, measured in wanted.items():
            if label in (OURS, ALONE) or sum(found[label]) < LIMIT:
                time.sleep(0.03)  # threads of the one before may still be spinning
                found[label] += measured()
    return found


def measure(gradient: bool, settings: Settings) -> Figures:
    """Return median, 95th percentile and mean in every kind of noise, by size."""
    turns = 1 if settings.quick else settings.rounds
    makers = [peers.torch] if gradient else [peers.onnxruntime, peers.torch]
    runners = {
        sizes.text(size): peers.runners(peers.make("LSTM", size), settings, gradient, makers)
        for size in settings.rows(sizes.CELLS, 2)
    }
    figures = {}
    for name, noise in NOISES.items():
        try:
            with noise():
                for size, those in runners.items():
                    figures[f"{name}: {size}"] = {
                        label: [float(np.median(found)), float(np.quantile(found, 0.95)), float(np.mean(found))]
                        for label, found in in_turns(those, turns).items()
                    }
        except OSError as error:
            settings.note(f"Without {name}: {error}.")
    rk.set_num_threads(THREADS)
    return figures


def write(figures: Figures) -> list[str]:
    """Return means and the worst by noise, then times of every size, and ratios to the best other, or to one thread."""
    labels = [label for label in (OURS, ALONE, *PEERS) if label in next(iter(figures.values()))]
    lines, found = [], {}
    for row, times in figures.items():
        others = [times[label] for label in labels if label in PEERS] or [[math.nan] * 3]
        ours = [one / min(theirs) for one, *theirs in zip(times[OURS], *others, strict=True)]
        ours.append(times[OURS][0] / times[ALONE][0])
        found.setdefault(row.split(":")[0], []).append(ours)
        shown = [" / ".join(f"{1e3 * number:.3g}" for number in times[label][:2]) for label in labels]
        lines.append([row, *shown, *(f"{share:.2f}" for share in ours)])
    ratios = ["median", "95th percentile", "mean", "median, over one thread"]
    short = [
        [noise, *(f"{statistics.geometric_mean(kind):.2f} ({max(kind):.2f})" for kind in zip(*those, strict=True))]
        for noise, those in found.items()
    ]
    return [*table(["beside it", *ratios], short), "", *table(["beside it / size", *labels, *ratios], lines)]


section("noisy", write, threads=THREADS)(functools.partial(measure, False))
section("noisy-gradients", write)(functools.partial(measure, True))
