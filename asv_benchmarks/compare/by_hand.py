"""Steps written for one row beside the same loops written by hand for numba, one thread each."""

import numpy as np
from benchmarks.recurrences import CORPUS, SIZES, data_of, layer_of
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import Pair, both, mean, ratios, table

import rnnkit as rk

LIKE = {"rtol": 2e-3, "atol": 2e-3}  # float32, over thousands of steps


def measure(settings: Settings) -> Figures:
    """Every recurrence of the corpus at three sizes."""
    figures: Figures = {}
    rk.set_num_threads(1)
    try:
        for recurrence in settings.rows(CORPUS[::20] if settings.quick else CORPUS, text=lambda one: one.name):
            layer, row = layer_of(recurrence), {}
            for size in SIZES[:2] if settings.quick else SIZES:
                x, more = data_of(recurrence, size)
                constants = more.get("constants", [])
                ours, theirs = layer(x, **more), recurrence.by_hand(x, *constants)
                same = np.isclose(ours.reshape(theirs.shape), theirs, equal_nan=True, **LIKE).mean()
                if same < 1:  # what decides by rounded values may decide otherwise
                    settings.note(
                        f"{recurrence.name} at {size}: {same:.2%} of the outputs agree within {LIKE['rtol']}."
                    )
                runners = {
                    "numba": lambda x=x, constants=constants, by_hand=recurrence.by_hand: by_hand(x, *constants),
                    "rnnkit": lambda x=x, more=more, layer=layer: layer(x, **more),
                }
                times = in_turns(runners, settings.rounds)
                row |= {f"{_text(size)} {label}": numbers for label, numbers in times.items()}
            figures[recurrence.name] = row
    finally:
        rk.set_num_threads(THREADS)
    return figures


def _text(size) -> str:
    return ", ".join(map(str, size))


def write(figures: Figures) -> list[str]:
    """A line a recurrence: for each size rnnkit's microseconds, and the ratio of numba's time to it."""
    sizes = [size for size in map(_text, SIZES) if any(f"{size} rnnkit" in row for row in figures.values())]
    pairs = {size: [] for size in sizes}
    lines = []
    for name, row in figures.items():
        line = [name]
        for size in sizes:
            pair = ratios([row[f"{size} numba"]], row[f"{size} rnnkit"])
            pairs[size].append(pair)
            line += [both(row[f"{size} rnnkit"], 1e6), Pair(pair, ".2f")]
        lines.append(line)
    header = ["recurrence", *(word for size in sizes for word in (f"{size}: µs", "ratio"))]
    means = ", ".join(f"{mean(pairs[size])} at {size}" for size in sizes)
    return [*table(header, lines), "", f"Geometric means of the ratios: {means}."]


SECTIONS = {
    "by-hand": Section(
        "Loops by hand in numba",
        "Recurrences as people write them for numba, one row at a time, with decisions, loops and arrays "
        "(`asv_benchmarks/corpus`), in float32, on one thread, in microseconds. Sizes are rows and steps. The ratio is "
        "the time of the same loop written by hand and compiled by numba, divided by rnnkit's.",
        measure,
        write,
    )
}
