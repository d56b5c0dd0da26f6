"""Reports as pictures: a whole series and its end, or the ends of several series."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.command.inputs import series_name
from rnnkit.forecast.command.panels import PanelReport
from rnnkit.forecast.command.report import ForecastReport, columns
from rnnkit.forecast.command.table import future, number_text
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


def draw(path, reports: list[ForecastReport]) -> None:
    """Draw two panels per series, all of it and its end, and write them to a file of the format of its suffix."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(12, 3.5 * len(reports)), layout=ConstrainedLayoutEngine(wspace=0.04, hspace=0.05))
    for report, panels in zip(reports, figure.subplots(len(reports), 2, squeeze=False), strict=True):
        model, times = report.forecasts[report.model].forecaster, report.series.timeline.times
        if report.test:
            start = times[report.test.origins[0]]
            panels[0].axvspan(start, times[-1], color=ACTUAL_COLOUR, alpha=0.09, lw=0, label="back-test")
        for axes, one in zip(panels, _drawn_twice(report), strict=True):
            draw_one(axes, one, model.name, [report.level], 7)
            axes.set_xlabel(report.series.timeline.name)
            low, high = axes.get_ylim()
            axes.set_ylim(low, high + 0.14 * (high - low))  # room for the legend
            axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8, handlelength=1.5, columnspacing=1.2)
    _write(path, figure)


def draw_panel(path, report: PanelReport, most: int = 9) -> None:
    """Draw the ends of several series, from the best to the worst of the cross-validation, with their forecasts."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    chosen, mase = _chosen(report, most)
    scores = ["" if mase is None else f", MASE {number_text(mase[place], 2)}" for place in chosen]
    drawn = [_drawn(report, place, score) for place, score in zip(chosen, scores, strict=True)]
    make = lambda size: Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    _write(path, draw_series(make, drawn, report.model.name, report.levels[:1]))


def _write(path, figure):
    with replacing(path) as beside:
        figure.savefig(beside, format=_kind(path), dpi=130)


def _chosen(report, most) -> tuple[np.ndarray, np.ndarray | None]:
    """Return indices of series, evenly spread from the best to the worst, and their MASE."""
    if not report.windows:
        return np.arange(min(most, len(report.frame))), None
    order, tested = report.from_best_to_worst(), report.scores(report.model.name)["mase"]
    if len(order) < min(most, len(report.frame)):
        order = np.concatenate([order, np.setdiff1d(np.arange(len(report.frame)), order)])
    return order[np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).astype(int))], tested


def _drawn(report, place, score) -> Drawn:
    timeline, values, horizon = report.frame.timelines[place], report.frame.series[place], report.horizon
    shown = max(4 * horizon, 2 * report.season, 36, (len(report.windows) + 3) * horizon)
    names = report.model._band_names(report.levels[:1])
    tests = []
    for window in report.windows:
        if place in window.series:
            row = int(np.searchsorted(window.series, place))
            times = timeline.times[window.origins[row] :][:horizon]
            tests.append([times, *(window.columns[name][row] for name in names)])
    said = {name: report.columns[name][place] for name in names}
    title = f"{_short(series_name(report.frame, place))}{score}"
    ahead = timeline.ahead(horizon)
    return Drawn(title, timeline.times[-shown:], values[-shown:], ahead, said, tests=tests)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _kind(path) -> str:
    return str(path).rpartition(".")[2].lower() if "." in str(path).rpartition("/")[2] else "png"


def _drawn_twice(report) -> tuple[Drawn, Drawn]:
    """Return a whole series, and its end with the forecasts of the back-test."""
    series, test, horizon = report.series, report.test, len(report.forecast)
    title = series.name if report.model == TITLES["auto"] else f"{series.name}, {report.model}"
    shown = min(max(12 * horizon, 36, 2 * (report.season or 0)), len(series.values) - (test.origins[0] if test else 0))
    end = slice(len(series.values) - shown, None)
    said = f"forecast of {horizon} steps"
    if test:
        title = f"{title}: back-test error {report.share_of_naive(report.model):.2f} of the better naive forecast's"
        coverage = test.coverage(report.model, report.level / 100)
        held = f": the {report.level:g} % bands held {100 * coverage:.0f} % of what came"
        said = f"forecasts of {horizon} steps{'' if np.isnan(coverage) else held}"
    whole = Drawn(title, series.timeline.times, series.values, future(report), columns(report))
    return whole, whole._replace(
        title=said, times=whole.times[end], values=whole.values[end], tests=_tests(report, end.start)
    )


def _tests(report, first: int) -> list[list[np.ndarray]]:
    """Return the back-test's forecasts from the step `first` on, without those that overlap."""
    test, horizon, chosen = report.test, len(report.forecast), []
    for place in range(len(test.origins) - 1, -1, -1) if test else ():
        origin = test.origins[place]
        if origin > first and (not chosen or origin + horizon <= test.origins[chosen[-1]]):
            chosen.append(place)
    if not chosen:
        return []
    lower, upper = test.edges(report.model, report.level / 100)
    said, times = test.forecasts[report.model], report.series.timeline.times
    return [[times[test.origins[i] :][:horizon], said[i], lower[i], upper[i]] for i in chosen]
