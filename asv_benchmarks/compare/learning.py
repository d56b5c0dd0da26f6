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
        "What is learned",
        "Results on unseen data for each seed, and the seconds of one training. The adding problem: a gated cell of "
        "one's own, 64 units; 0.167 is the error of a constant. Copying ten of eight symbols: an orthogonal cell with "
        "modReLU, 128 units. Digits: scikit-learn's, rows as eight steps, a GRU in both directions, 128 units each. "
        "Reversing: an encoder whose state starts a decoder, GRUs of 128 units, which reads what it said itself.",
        measure,
        write,
    )
}
