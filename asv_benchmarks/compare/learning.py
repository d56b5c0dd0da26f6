"""Whether networks learn what they should, over several seeds."""

import functools
import statistics
import time
from collections.abc import Callable

from benchmarks import tasks
from section import Section
from timing import Figures, Settings
from writing import table

SEEDS = (0, 1, 2)
TASKS: dict[str, tuple[str, Callable[[int], float]]] = {
    "adding problem, T = 100": ("mean squared error", tasks.adding),
    "adding problem, T = 400": ("mean squared error", functools.partial(tasks.adding, steps=400)),
    "copy memory, delay 20": ("share recalled", tasks.copying),
    "copy memory, delay 100": ("share recalled", functools.partial(tasks.copying, delay=100)),
    "digits, row by row": ("accuracy on a third held out", tasks.digits),
    "reversing ten symbols": ("share right, on its own", tasks.reversing),
}


def measure(settings: Settings) -> Figures:
    """Train for every seed, from the network's making to its test."""
    figures: Figures = {}
    for name, (_, task) in TASKS.items():
        figures[name] = {"results": [], "seconds": []}
        for seed in SEEDS[:1] if settings.quick else SEEDS:
            start = time.perf_counter()
            try:
                figures[name]["results"].append(task(seed))
            except ImportError as missing:
                settings.note(f"{name} was left out: {missing}.")
                del figures[name]
                break
            figures[name]["seconds"].append(time.perf_counter() - start)
    return figures


def write(figures: Figures) -> list[str]:
    """A row per task: all seeds' results, and the median time."""
    rows = []
    for name, found in figures.items():
        results = ", ".join(f"{result:.4g}" for result in found["results"])
        rows.append([name, TASKS[name][0], results, f"{statistics.median(found['seconds']):.0f}"])
    return table(["task", "measure", f"seeds {', '.join(map(str, SEEDS))}", "seconds"], rows)


SECTIONS = {
    "learning": Section(
        "Learning tasks",
        "Results on unseen data for each seed, and the time of one training in seconds. Adding problem: a user-defined "
        "gated cell with 64 units; predicting a constant has an error of 0.167. Copy memory: an orthogonal cell with "
        "modReLU and 128 units copies ten symbols of an alphabet of eight. Digits: scikit-learn's digits, each read as "
        "eight rows by a bidirectional GRU with 128 units per direction. Reversing: the final state of an encoder is "
        "the first state of a decoder, both GRUs with 128 units; the decoder reads its own predictions.",
        measure,
        write,
    )
}
