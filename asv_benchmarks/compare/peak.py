"""How much of the machine's multiply-adds a layer uses."""

import statistics

import problems
from benchmarks import sizes
from machine import flops, operations
from section import Section
from timing import THREADS, Figures, Settings, in_turns, seconds
from writing import Pair, table

import rnnkit as rk


def measure(settings: Settings) -> Figures:
    """Floating point operations per second of the layer and, in turn with it, of registers alone."""
    problem = problems.make("LSTM", (8, *sizes.PEAK[1:]) if settings.quick else sizes.PEAK)
    figures = {}
    for threads in range(1, THREADS + 1):
        rk.set_num_threads(threads)
        runners = {
            "registers alone": lambda threads=threads: flops(threads),
            "LSTM": lambda: operations(problem.size) / seconds(lambda: problem.layer(problem.x)),
        }
        figures[str(threads)] = in_turns(runners, settings.rounds, measure=lambda run: run())
    rk.set_num_threads(THREADS)
    return figures


def write(figures: Figures) -> list[str]:
    """Best and median of both, and the share: of the best peak, as nothing is faster than that."""
    lines = []
    for threads, speeds in figures.items():
        best, middle = max(speeds["LSTM"]), statistics.median(speeds["LSTM"])
        peak = max(speeds["registers alone"])
        lines.append([threads, f"{peak / 1e9:.0f}", Pair([best / 1e9, middle / 1e9], ".0f")])
        lines[-1].append(f"{best / peak:.0%} / {middle / peak:.0%}")
    return table(["threads", "registers alone, GFLOP/s", "LSTM, GFLOP/s", "share"], lines)


SECTIONS = {
    "peak": Section(
        "Share of the machine's peak performance",
        f"An LSTM at {sizes.text(sizes.PEAK)}, of which only the operations of the products are counted. It is "
        "compared with a loop of multiply-adds that never leaves the registers, on the same number of threads. The "
        "table shows the best result of that loop, and best / median of the LSTM.",
        measure,
        write,
    )
}
