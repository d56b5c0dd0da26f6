"""Layers on dask arrays: one prediction on one and on two workers, and what a chunk costs beyond Dask's own."""

import importlib.util
import statistics

from benchmarks import sizes
from section import Section
from timing import Figures, Settings
from writing import Pair, both, table


def _available(settings: Settings) -> bool:
    there = importlib.util.find_spec("distributed") is not None
    if not there:
        settings.note("dask was not installed.")
    return there


def measure_workers(settings: Settings) -> Figures:
    """Seconds of a prediction, of an update of a fit and of a panel, on one worker and on two in turns."""
    if not _available(settings):
        return {}
    import chunks
    import fit_on_dask
    import panels_on_dask

    update = fit_on_dask.options().parse_args(["--updates", "3"] if settings.quick else [])
    series = 4_000 if settings.quick else 100_000
    fit = f"an update of fit, {update.batch}, {update.steps}, {update.features}, {update.units}"
    predict, panel = f"predict, {sizes.text(sizes.WORKERS)}", f"Theta on {series:,} series of 60 values"
    figures: Figures = {row: {"1": [], "2": []} for row in (predict, fit, panel)}
    for _ in range(max(1, settings.rounds // 3)):
        for count in (1, 2):
            with chunks.computing("cluster", count):
                y = chunks.prediction(256 if settings.quick else chunks.BATCH)
                figures[predict][str(count)] += chunks.seconds(y, min(3, settings.rounds))
            figures[fit][str(count)].append(fit_on_dask.measured(count, update)[0])
    for count in (1, 2):
        given = panels_on_dask.options().parse_args(["panel", "--series", str(series), "--workers", str(count)])
        figures[panel][str(count)].append(panels_on_dask.measured(given)[0])
    return figures


def write_workers(figures: Figures) -> list[str]:
    """Times, and how many times as fast as one worker two are."""
    lines = []
    for row, times in figures.items():
        ratios = (kind(times["1"]) / kind(times["2"]) for kind in (min, statistics.median))
        shown = [both(times[count], 1) for count in ("1", "2")]
        lines.append([row, *shown, Pair(ratios, ".2f")])
    return table(["what", "one worker, s", "two workers, s", "speed-up"], lines)


def measure_chunks(settings: Settings) -> Figures:
    """Milliseconds of a chunk beyond the same tasks without layers, on Dask's threads and on a worker."""
    if not _available(settings):
        return {}
    import chunks

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
        "Seconds of `predict` by an LSTM with all outputs and a Dense(1), in chunks of 512 rows; of an update of `fit` "
        "by an LSTM and a Dense(1), in 8 parts; and of fitting and forecasting a panel in 50 partitions. All data are "
        "made on the workers. Each worker is a process of one thread; scheduler and client run beside them, on the "
        "same two CPUs.",
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
