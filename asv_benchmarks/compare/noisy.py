"""The LSTM, forward and its gradients, on hosts that take the CPU away, beside other libraries."""

import functools
import math
import statistics
import sys
import time
from collections.abc import Callable

import gradients
import numpy as np
import peers
import problems
from benchmarks import sizes
from hosts import NOISES, each
from section import Section
from timing import THREADS, Figures, Settings
from writing import table

import rnnkit as rk

LIMIT = 3.0  # seconds for another library: threads that wait for each other at every step may take some for one call
OURS, ALONE = "rnnkit", "rnnkit, one thread"
PEERS = ("ONNX Runtime", "torch")
Runners = dict[str, Callable[[], object]]


def forward(problem: problems.Problem, settings: Settings) -> Runners:
    """All outputs."""
    theirs = peers.available([peers.onnxruntime, peers.torch], settings, problem, THREADS)
    return {OURS: lambda: problem.layer(problem.x)} | theirs


def backward(problem: problems.Problem, settings: Settings) -> Runners:
    """Outputs and gradients."""
    g = gradients.cotangents(problem.size)
    theirs = peers.available([gradients.gradient_peers.torch], settings, problem, g, THREADS)
    return {OURS: gradients.ours(problem, g).run} | {label: peer.run for label, peer in theirs.items()}


def on_threads(threads: int, run: Callable) -> list[float]:
    """Seconds of each of our calls in a row on so many threads."""
    rk.set_num_threads(threads)
    return each(run)


def in_turns(runners: Runners, turns: int) -> dict[str, list[float]]:
    """Seconds of each call of every runner, ours on one thread too, in as many turns as fit."""
    wanted = {
        OURS: functools.partial(on_threads, THREADS, runners[OURS]),
        ALONE: functools.partial(on_threads, 1, runners[OURS]),
    } | {label: functools.partial(each, run, limit=LIMIT) for label, run in runners.items() if label != OURS}
    found: dict[str, list[float]] = {label: [] for label in wanted}
    for _ in range(turns):
        for label, measure in wanted.items():
            if label in (OURS, ALONE) or sum(found[label]) < LIMIT:
                time.sleep(0.03)  # threads of the one before may still be spinning
                found[label] += measure()
    return found


def measure(make: Callable, settings: Settings) -> Figures:
    """Median, 95th percentile and mean in every kind of noise, by size."""
    turns = 1 if settings.quick else settings.rounds
    wanted = settings.rows(sizes.CELLS, 2)
    runners = {sizes.text(size): make(problems.make("LSTM", size), settings) for size in wanted}
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(THREADS)
    for run in (run for those in runners.values() for run in those.values()):
        run()
    figures = {}
    for name, noise in NOISES.items():
        try:
            with noise():
                for size, those in runners.items():
                    times = in_turns(those, turns)
                    figures[f"{name}: {size}"] = {
                        label: [float(np.median(found)), float(np.quantile(found, 0.95)), float(np.mean(found))]
                        for label, found in times.items()
                    }
        except OSError as error:
            settings.note(f"Without {name}: {error}.")
    rk.set_num_threads(THREADS)
    return figures


def shares(times: dict[str, list[float]]) -> list[float]:
    """Our median, 95th percentile and mean over those of the better of the others, and our median over one thread's."""
    theirs = [times[label] for label in PEERS if label in times]
    better = [min((one[k] for one in theirs), default=math.nan) for k in range(3)]
    return [*(ours / other for ours, other in zip(times[OURS], better, strict=True)), times[OURS][0] / times[ALONE][0]]


def write(figures: Figures) -> list[str]:
    """Times and ratios of every size, by noise, then the means and the worst by noise."""
    labels = [label for label in (OURS, ALONE, *PEERS) if label in next(iter(figures.values()))]
    lines, found = [], {}
    for row, times in figures.items():
        ours = shares(times)
        found.setdefault(row.split(":")[0], []).append(ours)
        shown = [" / ".join(f"{1e3 * number:.3g}" for number in times[label][:2]) for label in labels]
        lines.append([row, *shown, *(f"{share:.2f}" for share in ours)])
    ratios = ["median", "95th percentile", "mean", "median, over one thread"]
    short = [
        [noise, *(f"{statistics.geometric_mean(kind):.2f} ({max(kind):.2f})" for kind in zip(*those, strict=True))]
        for noise, those in found.items()
    ]
    return [
        *table(["beside it", *ratios], short),
        "",
        *table(["beside it / size", *labels, *ratios], lines),
    ]


TEXT = (
    f"An LSTM on {THREADS} threads, in milliseconds: median / 95th percentile of each call's time, all libraries in "
    "turns. Ratios are of our figure to that of the better of the other libraries, and of our median to that of our "
    "own calls on one thread in the same noise. In the first table they are geometric means over the sizes, with "
    "the worst one in brackets. Where a library's slow calls take long, few of its calls are slow, and its median "
    "doesn't show them; the mean does. *One like it* is another process that calls an LSTM on as many threads, "
    "again and again. A *quota* is a limit of CPU time for every 100 ms, as containers have. In *slices* of 5 to "
    "100 ms, the process is stopped, or one of the CPUs runs something of a higher priority, as when a hypervisor "
    "takes it away."
)
SECTIONS = {
    "noisy": Section("Hosts that are not quiet", TEXT, functools.partial(measure, forward), write),
    "noisy-gradients": Section(
        "Hosts that are not quiet: gradients",
        "As above, with the gradients with respect to all weights and the input.",
        functools.partial(measure, backward),
        write,
    ),
}
