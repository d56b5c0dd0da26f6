"""Reports as pictures: a whole series and its end, or the ends of several series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnkit.forecast.command.report import Report
from rnnkit.forecast.command.table import number_text
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.plots import ACTUAL_COLOUR, Drawn, draw_one, draw_series
from rnnkit.forecast.registry import TITLES
from rnnkit.serialization.atomic_files import replacing


def check_drawing(path) -> None:
    """Check before the work that a picture can be drawn; an InputError gives the reason otherwise."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise InputError("--plot needs matplotlib; install it with: pip install 'rnnkit[plots]'") from None
    kinds = FigureCanvasBase.get_supported_filetypes()
    if (kind := _kind(path)) not in kinds:
        raise InputError(f"{path} can't be drawn as {kind}; expected one of {', '.join(sorted(kinds))}")


def draw(path, reports: Sequence[Report], most: int = 9) -> None:
    """Write a picture of single series and their ends, or of `most` of several, in the format of the suffix or PNG."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if len(reports[0].values) > 1:
        make = lambda size: Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
        figure = draw_series(make, _drawn(reports[0], most), reports[0].model.name, reports[0].levels[:1])
    else:
        figure = Figure(figsize=(12, 3.5 * len(reports)), layout=ConstrainedLayoutEngine(wspace=0.04, hspace=0.05))
        for report, panels in zip(reports, figure.subplots(len(reports), 2, squeeze=False), strict=True):
            _draw_single(report, *panels)
    with replacing(path) as beside:
        figure.savefig(beside, format=_kind(path), dpi=130)


def _draw_single(report: Report, left, right) -> None:
    """Draw a whole series, and its end with the forecasts of the test."""
    series, title, horizon, level = report.named(0), next(iter(report.models)), report.horizon, report.levels[0]
    times, name = series.timeline.times, series.name if title == TITLES["auto"] else f"{series.name}, {title}"
    said, first = f"forecast of {horizon} steps", 0
    if report.origins is not None:
        scores, first = report.mean_scores()[title], int(report.origins.ends[0, 0])
        name = f"{name}: error {scores['naive']:.2f} of the better naive forecast's"
        held = f": the {level:g} % bands held {scores[f'coverage-{level:g}']:.0f} % of what came"
        said = f"forecasts of {horizon} steps{'' if np.isnan(scores[f'coverage-{level:g}']) else held}"
        left.axvspan(times[first], times[-1], color=ACTUAL_COLOUR, alpha=0.09, lw=0, label="test")
    shown = min(max(12 * horizon, 36, 2 * report.season), len(times) - first)
    whole = _end(report, 0, name, len(times))
    for axes, one in ((left, whole._replace(tests=())), (right, _end(report, 0, said, shown))):
        draw_one(axes, one, report.model.name, [level], 7)
        axes.set_xlabel(series.timeline.name)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.14 * (high - low))  # room for the legend
        axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8, handlelength=1.5, columnspacing=1.2)


def _drawn(report: Report, most: int) -> list[Drawn]:
    """Return the ends of series, evenly spread from the best to the worst."""
    order, mase = np.arange(len(report.values)), None
    finished = report.finished
    if finished.any():
        best, mase = report.from_best_to_worst(), report.scores(report.model.name)["mase"]
        order = best if len(best) >= most else np.concatenate([best, np.setdiff1d(order, best)])
        order = order[np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).astype(int))]
    shown = max(4 * report.horizon, 2 * report.season, 36, (len(finished) + 3) * report.horizon)
    drawn = []
    for place in order[:most]:
        name = report.named(place).name
        title = name if len(name) <= 24 else f"{name[:23]}…"
        title = title if mase is None else f"{title}, MASE {number_text(mase[place], 2)}"
        drawn.append(_end(report, place, title, shown))
    return drawn


def _end(report: Report, place: int, title: str, shown: int) -> Drawn:
    """Return the last steps of a series, and the forecasts in them that don't overlap."""
    series, horizon, tests = report.named(place), report.horizon, []
    times, names = series.timeline.times, report.model._band_names(report.levels[:1])
    end = len(times)
    for window in np.flatnonzero(report.finished[:, place])[::-1]:
        assert report.origins is not None
        if len(times) - shown < (origin := int(report.origins.ends[window, place])) <= end - horizon:
            end = origin
            tests.append([times[end:][:horizon], *(report.tested[name][window, place] for name in names)])
    said = {name: report.columns[name][place] for name in names}
    return Drawn(title, times[-shown:], series.values[-shown:], series.timeline.ahead(horizon), said, tests=tests)


def _kind(path) -> str:
    return str(path).rpartition(".")[2].lower() if "." in str(path).rpartition("/")[2] else "png"
