"""Reports as pictures: a whole series and its end, or the ends of several series."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.command.inputs import series_name
from rnnkit.forecast.command.panels import PanelReport
from rnnkit.forecast.command.report import ForecastReport
from rnnkit.forecast.command.table import future, number_text
from rnnkit.forecast.data.series import InputError
from rnnkit.forecast.registry import TITLES
from rnnkit.forecast.plots import ACTUAL_COLOUR, FORECAST_COLOUR, HISTORY_COLOUR, Drawn, draw_series, joined, tidy
from rnnkit.serialization.atomic_files import replacing

HISTORY, MODEL_COLOUR, FORECAST = HISTORY_COLOUR, ACTUAL_COLOUR, FORECAST_COLOUR


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
    """Draw a row of two panels per series, and write them to a file of the format of its suffix, PNG by default."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(12, 3.5 * len(reports)), layout=ConstrainedLayoutEngine(wspace=0.04, hspace=0.05))
    panels = figure.subplots(len(reports), 2, squeeze=False)
    for report, (left, right) in zip(reports, panels, strict=True):
        _draw_history(left, report)
        _draw_end(right, report)
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
    columns = {name: report.columns[name][place] for name in names}
    title = f"{_short(series_name(report.frame, place))}{score}"
    ahead = timeline.ahead(horizon)
    return Drawn(title, timeline.times[-shown:], values[-shown:], ahead, columns, tests=tests)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _kind(path) -> str:
    return str(path).rpartition(".")[2].lower() if "." in str(path).rpartition("/")[2] else "png"


def _draw_history(axes, report):
    times = report.series.timeline.times
    name = report.series.name if report.model == TITLES["auto"] else f"{report.series.name}, {report.model}"
    if report.test:
        start = times[report.test.origins[0]]
        axes.axvspan(start, times[-1], color=MODEL_COLOUR, alpha=0.09, lw=0, label="back-test")
        share = report.share_of_naive(report.model)
        name = f"{name}: back-test error {share:.2f} of the better naive forecast's"
    axes.plot(times, report.series.values, color=HISTORY, lw=0.9, label="history")
    _draw_forecast(axes, report)
    _finish(axes, report, name)


def _draw_end(axes, report):
    test, horizon = report.test, len(report.forecast)
    times, values = report.series.timeline.times, report.series.values
    shown = max(12 * horizon, 36, 2 * (report.season or 0))
    shown = min(shown, len(values) - (test.origins[0] if test else 0))
    axes.plot(times[-shown:], values[-shown:], color=HISTORY, lw=1.2, marker=".", ms=4, label="history")
    title = f"forecast of {horizon} steps"
    if test:
        _draw_test(axes, report, len(values) - shown)
        coverage = test.coverage(report.model, report.level / 100)
        held = (
            f": the {report.level:g} % bands held {100 * coverage:.0f} % of what came" if not np.isnan(coverage) else ""
        )
        title = f"forecasts of {horizon} steps{held}"
    _draw_forecast(axes, report)
    _finish(axes, report, title)


def _draw_test(axes, report, first):
    """Draw the back-test's forecasts from the step `first` on, leaving out those that overlap."""
    test, horizon, times = report.test, len(report.forecast), report.series.timeline.times
    drawn: list[int] = []
    for place in range(len(test.origins) - 1, -1, -1):
        origin = test.origins[place]
        if origin > first and (not drawn or origin + horizon <= test.origins[drawn[-1]]):
            drawn.append(place)
    lower, upper = test.edges(report.model, report.level / 100)
    for number, place in enumerate(drawn):
        steps = slice(test.origins[place], test.origins[place] + horizon)
        axes.fill_between(times[steps], lower[place], upper[place], color=MODEL_COLOUR, alpha=0.13, lw=0)
        label = "forecast at the time" if number == 0 else None
        said = test.forecasts[report.model][place]
        axes.plot(times[steps], said, color=MODEL_COLOUR, lw=1.6, marker=".", ms=4, label=label)


def _draw_forecast(axes, report):
    series, columns = report.series, [report.forecast, report.lower, report.upper]
    steps, (said, lower, upper) = joined(series.timeline.times, series.values, future(report), columns)
    axes.fill_between(steps, lower, upper, color=FORECAST, alpha=0.25, lw=0, label=f"{report.level:g} % band")
    own = slice(-len(report.forecast), None)  # without the last known value
    axes.plot(steps, said, color=FORECAST, lw=1.8, marker=".", ms=4, markevery=own, label="forecast")


def _finish(axes, report, title):
    tidy(axes, report.series.timeline.times, 7)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(report.series.timeline.name)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.14 * (high - low))  # room for the legend
    axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8, handlelength=1.5, columnspacing=1.2)
