"""The same call while another process keeps a core busy."""

import math
import sys
import time
from collections.abc import Callable

import numpy as np
import peers
import problems
from benchmarks import sizes
from benchmarks.busy import CPUS, busy_process, each
from section import Section
from timing import THREADS, Figures, Settings
from writing import table

import rnnkit as rk

CALLS, TURNS = 20, 5
LIMIT = 5.0  # seconds for another library: threads that wait for each other at every step may take some for one call
LIBRARIES = ("rnnkit", "torch")


def in_turns(runners: dict[str, Callable], turns: int) -> dict[str, list[float]]:
    """Seconds of each of `CALLS` calls in a row of every runner, or as many as fit, as often as there are turns."""
    found: dict[str, list[float]] = {label: [] for label in runners}
    for _ in range(turns):
        for label, run in runners.items():
            limit = math.inf if label == "rnnkit" else LIMIT
            if sum(found[label]) < limit:
                time.sleep(0.03)
                found[label] += each(run, CALLS, limit)
    return found


def set_threads(threads: int) -> None:
    """Set them for both libraries."""
    rk.set_num_threads(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def measure(settings: Settings) -> Figures:
    """Times on one thread with nothing beside, then on all threads beside the other process, pinned and free."""
    turns = 1 if settings.quick else TURNS
    figures = {}
    for size in sizes.BUSY[:2] if settings.quick else sizes.BUSY:
        problem = problems.make("LSTM", size)
        runners = {"rnnkit": lambda problem=problem: problem.layer(problem.x)}
        runners |= peers.available([peers.torch], settings, problem, THREADS)
        set_threads(1)
        alone = {f"{label}, alone": times for label, times in in_turns(runners, turns).items()}
        set_threads(THREADS)
        for where, cpu in {"pinned": CPUS[-1:], "free": []}.items():
            if where == "pinned" and not cpu:
                settings.note("no process was pinned to a CPU, as this system can't.")
                continue
            with busy_process(*cpu):
                figures[f"{sizes.text(size)}, {where}"] = alone | in_turns(runners, turns)
    return figures


def write(figures: Figures) -> list[str]:
    """Median, 95th percentile and maximum over the median of the library's own one-thread times."""
    libraries = [label for label in LIBRARIES if label in next(iter(figures.values()))]
    lines = []
    for row, times in figures.items():
        line = [row]
        for label in libraries:
            alone = np.median(times[f"{label}, alone"])
            shares = np.array([np.median(times[label]), np.quantile(times[label], 0.95), max(times[label])]) / alone
            fewer = f" (calls: {len(times[label])})" if len(times[label]) < CALLS * TURNS else ""
            line += [f"{1e3 * alone:.3g}", " / ".join(f"{share:.2f}" for share in shares) + fewer]
        lines.append(line)
    header = ["size, other process"]
    for label in libraries:
        header += [f"{label}, one thread, ms", f"{label}, next to it"]
    return table(header, lines)


SECTIONS = {
    "busy": Section(
        "Next to a busy process",
        f"An LSTM on {THREADS} threads while another process keeps one core busy. That process is pinned to the last "
        "CPU, or free to run where the operating system puts it. The columns show median / 95th percentile / maximum "
        "of the calls' times, each divided by the library's own median time on one thread without the busy process. "
        f"There are {CALLS * TURNS} calls per library, {CALLS} in a row; another library makes fewer if they take "
        f"more than {LIMIT:.0f} seconds.",
        measure,
        write,
    )
}
