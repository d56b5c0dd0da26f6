"""Where the time of a gradient goes, beside what the machine's multiply-adds and its memory allow."""

import contextlib
import math
import time
from unittest import mock

import numpy as np
import problems
from benchmarks import sizes
from benchmarks.cells import sequences
from machine import bandwidth, flops
from section import Section
from timing import THREADS, Figures, Settings
from writing import both, table

from rnnkit.backends.cpu.weight_sums import OuterSum

PARTS = ("forward", "backward", "recurrent kernel", "kernel", "the rest", "all")


@contextlib.contextmanager
def stopwatch(backward, spent: dict[str, float]):
    """Add to `spent` the seconds that the parts of an LSTM's gradients take in the meantime."""

    def timed(owner, attribute, part):
        function = getattr(owner, attribute)

        def run(*arguments, **named):
            start = time.perf_counter()
            result = function(*arguments, **named)
            name = part(*arguments)
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
            return result

        return mock.patch.object(owner, attribute, run)

    def kernel(outer_sum, *_):  # x has other features than h has units
        return "recurrent kernel" if 4 * outer_sum.rows == outer_sum.columns else "kernel"

    with (
        timed(backward.forward, "run", lambda *_: "forward"),
        timed(backward.adjoint, "run", lambda *_: "backward"),
        timed(OuterSum, "add", kernel),
    ):
        yield


def work(size: sizes.Size) -> dict[str, float]:
    """Floating point operations of each part's products."""
    batch, steps, features, units = size
    inward, back = (2.0 * batch * steps * rows * 4 * units for rows in (features, units))
    return {
        "forward": inward + back,
        "backward": inward + back,
        "recurrent kernel": back,
        "kernel": inward,
    }


def traffic(size: sizes.Size, backward) -> dict[str, float]:
    """Bytes that each part has to read or write once."""
    batch, steps, features, units = size
    kept = sum(backward.residuals.values())
    own = sum(backward.operands.values())
    elements = {
        "forward": features + units + kept,
        "backward": features + units + kept + own,
        "recurrent kernel": 5 * units,
        "kernel": features + 4 * units,
    }
    return {part: 4.0 * batch * steps * each for part, each in elements.items()}


def one_call(problem: problems.Problem, g: np.ndarray, backward) -> dict[str, float]:
    """Seconds of every part of one call and its gradients, and of all."""
    spent: dict[str, float] = {}
    with stopwatch(backward, spent):
        start = time.perf_counter()
        _, pullback = problem.layer.vjp(problem.x)
        pullback(g)
        whole = time.perf_counter() - start
    return spent | {"the rest": whole - sum(spent.values()), "all": whole}


def measure(settings: Settings) -> Figures:
    """Seconds of every part in each round, taken inside of whole calls; the machine's speeds; the parts' work."""
    figures: Figures = {"machine": {"operations": [], "bytes": []}}
    for size in [sizes.CELLS[2]] if settings.quick else sizes.PARTS:
        problem = problems.make("LSTM", size)
        g = sequences(*size[:2], size[3])
        problem.layer.vjp(problem.x)[1](g)
        (backward,) = problem.layer._execution.gradients.values()
        figures |= {f"{sizes.text(size)}: {part}": {"seconds": []} for part in PARTS}
        for _ in range(settings.rounds):
            figures["machine"]["operations"].append(flops(THREADS))
            figures["machine"]["bytes"].append(bandwidth(THREADS))
            one_call(problem, g, backward)  # finds its arrays in the caches again
            for part, passed in one_call(problem, g, backward).items():
                figures[f"{sizes.text(size)}: {part}"]["seconds"].append(passed)
        for what, needed in {"operations": work(size), "bytes": traffic(size, backward)}.items():
            for part, number in (needed | {"all": sum(needed.values())}).items():
                figures[f"{sizes.text(size)}: {part}"][what] = [number]
    return figures


def write(figures: Figures) -> list[str]:
    """Minimum and median of each part, what the machine allows at its best, and the share of that."""
    machine = {what: max(speeds) for what, speeds in figures["machine"].items()}
    lines = []
    for row, found in figures.items():
        if row == "machine":
            continue
        least = [1e3 * found[what][0] / speed if what in found else math.nan for what, speed in machine.items()]
        share = max(least) / (1e3 * min(found["seconds"]))
        shown = ["" if math.isnan(bound) else f"{bound:.3g}" for bound in least]
        lines.append([row, both(found["seconds"], 1e3), *shown, "" if math.isnan(share) else f"{share:.0%}"])
    speeds = "{:.0f} GFLOP/s, {:.0f} GB/s".format(*(1e-9 * speed for speed in machine.values()))
    page = table(["size: part", "ms", "multiply-adds, ms", "memory, ms", "share"], lines)
    return [f"The machine at its best: {speeds}.", "", *page]


SECTIONS = {
    "gradients-parts": Section(
        "Where a gradient's time goes",
        "The parts of one call that computes the outputs and gradients of an LSTM, in milliseconds. *Forward* runs the "
        "forward steps, and saves what the backward steps read. *Backward* runs the backward steps, with the products "
        "of the cotangents and the transposed kernels, also that for the gradient of x. *Recurrent kernel* and "
        "*kernel* sum the outer products that make up these weights' gradients; the bias's gradient is computed along "
        "with one of them. *The rest* is Python code between the parts. Two columns show lower bounds for each part: "
        "the time of its multiply-adds in registers alone, and the time to read or write each of its bytes once, at "
        "the speed of a copy that is too large for any cache. The share is the longer bound divided by the time. Data "
        "that stays in a cache can be faster than its bound.",
        measure,
        write,
    )
}
