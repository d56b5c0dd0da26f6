"""How fast the machine multiplies, adds and copies, and how much of that an LSTM and the parts of its gradient use."""

import contextlib
import functools
import math
import statistics
import threading
import time
from collections.abc import Callable
from concurrent import futures
from unittest import mock

import numpy as np
import peers
from benchmarks import sizes
from measuring import THREADS, Figures, Settings, in_turns, seconds, section
from writing import Pair, both, rows_of, table

import rnnkit as rk
from rnnkit.backends.cpu.language import programs
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.weight_sums import OuterSum

CHAINS = 12  # a multiply-add takes some four cycles and two start in each: eight in flight, and some to spare
LOOPS = 12_000_000  # some 20 ms
COPIED = 1 << 28  # bytes, more than any cache has


# Steps of x = x * 0.5 + start in `CHAINS` registers, which no loop leaves; other starts, or one would stand for all.
CHAIN = """
from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd.vector import *

@compiled
def run(loops, start):
    a, half = splat_float32(start), fill_float32(0.5)
    {starts} = {values}
    for k in range(loops):
        {steps}
    store_scalar_float32(start + 4, reduce_add({sum}))
"""


@functools.cache
def _chains() -> Callable:
    names = [f"x_{k}" for k in range(CHAINS)]
    values = ", ".join(f"a * fill_float32({k}.0)" for k in range(1, CHAINS + 1))
    steps = "; ".join(f"{x} = fma({x}, half, a)" for x in names)
    text = CHAIN.format(starts=", ".join(names), values=values, steps=steps, sum=" + ".join(names))
    return programs.load(text, 2).function


def _multiply():
    numbers = np.ones(2, np.float32)
    _chains()(LOOPS, numbers.ctypes.data)


def flops(threads: int = 1) -> float:
    """Return floating point operations per second of threads at once, float32; a multiply-add counts as two."""
    return 2 * LANES["float32"] * CHAINS * LOOPS * threads / _at_once([_multiply] * threads)


def bandwidth(threads: int = 1) -> float:
    pairs = [[np.ones(COPIED // threads, np.uint8) for _ in range(2)] for _ in range(threads)]
    return 2 * (COPIED // threads) * threads / _at_once([functools.partial(np.copyto, *pair) for pair in pairs])


def _at_once(works: list[Callable]) -> float:
    gate = threading.Barrier(len(works) + 1)
    with futures.ThreadPoolExecutor(len(works)) as pool:
        for work in works:
            pool.submit(lambda work=work: (gate.wait(), work()))
        gate.wait()
        start = time.perf_counter()
    return time.perf_counter() - start


PEAK = {  # of registers alone the best, as nothing is faster than that
    "registers alone, GFLOP/s": lambda _, speeds: f"{max(speeds['registers alone']) / 1e9:.0f}",
    "LSTM, GFLOP/s": lambda _, speeds: Pair((kind(speeds["LSTM"]) / 1e9 for kind in (max, statistics.median)), ".0f"),
    "share": lambda _, speeds: " / ".join(
        f"{kind(speeds['LSTM']) / max(speeds['registers alone']):.0%}" for kind in (max, statistics.median)
    ),
}


@section("peak", rows_of("threads", PEAK), size=sizes.text(sizes.PEAK))
def peak(settings: Settings) -> Figures:
    """Measure operations per second of the products of the layer and, in turn with it, of registers alone."""
    problem = peers.make("LSTM", (8, *sizes.PEAK[1:]) if settings.quick else sizes.PEAK)
    operations = sum(work(problem.size)[part] for part in ("recurrent kernel", "kernel"))
    figures = {}
    for threads in range(1, THREADS + 1):
        rk.set_num_threads(threads)
        runners = {
            "registers alone": functools.partial(flops, threads),
            "LSTM": lambda: operations / seconds(lambda: problem.layer(problem.x)),
        }
        figures[str(threads)] = in_turns(runners, settings.rounds, measure=lambda run: run())
    rk.set_num_threads(THREADS)
    return figures


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
    """Return floating point operations of each part's products."""
    batch, steps, features, units = size
    inward, back = (2.0 * batch * steps * rows * 4 * units for rows in (features, units))
    return {"forward": inward + back, "backward": inward + back, "recurrent kernel": back, "kernel": inward}


def traffic(size: sizes.Size, backward) -> dict[str, float]:
    """Return bytes that each part has to read or write once."""
    batch, steps, features, units = size
    forward = features + units + sum(backward.residuals.values())
    elements = {
        "forward": forward,
        "backward": forward + sum(backward.operands.values()),
        "recurrent kernel": 5 * units,
        "kernel": features + 4 * units,
    }
    return {part: 4.0 * batch * steps * each for part, each in elements.items()}


def one_call(problem: peers.Problem, g: np.ndarray, backward) -> dict[str, float]:
    spent: dict[str, float] = {}
    with stopwatch(backward, spent):
        start = time.perf_counter()
        _, pullback = problem.layer.vjp(problem.x)
        pullback(g)
        whole = time.perf_counter() - start
    return spent | {"the rest": whole - sum(spent.values()), "all": whole}


def _write_parts(figures: Figures) -> list[str]:
    """Return minimum and median of each part, what the machine allows at its best, and the share of that."""
    machine = {what: max(speeds) for what, speeds in figures["machine"].items()}
    lines = []
    for row, found in figures.items():
        if row == "machine":
            continue
        least = [1e3 * found[what][0] / speed if what in found else math.nan for what, speed in machine.items()]
        share = max(least) / (1e3 * min(found["seconds"]))
        shown = [*(f"{bound:.3g}" for bound in least), f"{share:.0%}"] if least[0] == least[0] else [""] * 3
        lines.append([row, both(found["seconds"], 1e3), *shown])
    speeds = "{:.0f} GFLOP/s, {:.0f} GB/s".format(*(1e-9 * speed for speed in machine.values()))
    page = table(["size: part", "ms", "multiply-adds, ms", "memory, ms", "share"], lines)
    return [f"The machine at its best: {speeds}.", "", *page]


@section("gradients-parts", _write_parts)
def parts(settings: Settings) -> Figures:
    """Measure every part in each round, inside of whole calls, the machine's speeds, and the parts' work."""
    figures: Figures = {"machine": {"operations": [], "bytes": []}}
    for size in [sizes.CELLS[2]] if settings.quick else sizes.PARTS:
        problem = peers.make("LSTM", size)
        g = peers.cotangents(problem)
        problem.layer.vjp(problem.x)[1](g)
        (backward,) = problem.layer._execution.gradients.values()
        rows = {part: figures.setdefault(f"{sizes.text(size)}: {part}", {"seconds": []}) for part in PARTS}
        for _ in range(settings.rounds):
            figures["machine"]["operations"].append(flops(THREADS))
            figures["machine"]["bytes"].append(bandwidth(THREADS))
            one_call(problem, g, backward)  # finds its arrays in the caches again
            for part, passed in one_call(problem, g, backward).items():
                rows[part]["seconds"].append(passed)
        for what, needed in {"operations": work(size), "bytes": traffic(size, backward)}.items():
            for part, number in (needed | {"all": sum(needed.values())}).items():
                rows[part][what] = [number]
    return figures
