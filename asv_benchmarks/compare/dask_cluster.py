"""Layers on dask arrays: one prediction on one and on two workers, and what a chunk costs beyond Dask's own."""

import importlib.util
import statistics

from benchmarks import sizes
from section import Section
from timing import Figures, Settings
from writing import both, table


def _available(settings: Settings) -> bool:
    there = importlib.util.find_spec("distributed") is not None
    if not there:
        settings.note("dask was not installed.")
    return there


def measure_workers(settings: Settings) -> Figures:
    """Seconds of a prediction, on one worker and on two in turns."""
    if not _available(settings):
        return {}
    from benchmarks import chunks

    figures: Figures = {"1": {"seconds": []}, "2": {"seconds": []}}
    for _ in range(max(1, settings.rounds // 3)):
        for count, row in figures.items():
            with chunks.computing("cluster", int(count)):
                y = chunks.prediction(256 if settings.quick else chunks.BATCH)
                row["seconds"] += chunks.seconds(y, min(3, settings.rounds))
    return figures


def write_workers(figures: Figures) -> list[str]:
    """Times, and how many times as fast as one worker."""
    one = figures["1"]["seconds"] if figures else []
    lines = []
    for count, row in figures.items():
        ratios = (kind(one) / kind(row["seconds"]) for kind in (min, statistics.median))
        lines.append([count, both(row["seconds"], 1), " / ".join(f"{ratio:.2f}" for ratio in ratios)])
    return table(["workers", "s", "speed-up"], lines)


def measure_chunks(settings: Settings) -> Figures:
    """Milliseconds of a chunk beyond the same tasks without layers, on Dask's threads and on a worker."""
    if not _available(settings):
        return {}
    from benchmarks import chunks

    figures: Figures = {}
    for where in ("threads", "cluster"):
        with chunks.computing(where):
            for name, one in chunks.overheads(chunks.milliseconds(1 if settings.quick else 3)).items():
                figures.setdefault(name, {})[where] = [one]
    return figures


def write_chunks(figures: Figures) -> list[str]:
    """A row for each model."""
    lines = [[name, *(f"{row[where][0]:.2f}" for where in ("threads", "cluster"))] for name, row in figures.items()]
    return table(["layers", "one thread, ms", "one worker, ms"], lines)


SECTIONS = {
    "dask-workers": Section(
        "On workers of Dask",
        f"`predict` of an LSTM with all outputs and a Dense(1) at {sizes.text(sizes.WORKERS)}, in chunks of 512 rows "
        "that are made on the workers, in seconds. Each worker is a process of one thread; scheduler and client "
        "run beside them.",
        measure_workers,
        write_workers,
    ),
    "dask-chunks": Section(
        "Overhead of a chunk on Dask",
        "Milliseconds for each of 500 chunks of almost nothing, 10 along the batch and 50 along time, beyond those of "
        "the same tasks (keys, dependencies, sizes of results) with functions that do nothing. Making the graph "
        "counts.",
        measure_chunks,
        write_chunks,
    ),
}
