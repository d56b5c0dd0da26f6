"""Reports as a picture: the whole history on the left, its end with back-test and forecast on the right."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.report import NETWORK, ForecastReport
from rnnkit.forecast.series import InputError
from rnnkit.forecast.table import future
from rnnkit.serialization.atomic_files import replacing

HISTORY, MODEL_COLOUR, FORECAST = "#3d4451", "#d1741a", "#1f6fb4"


def check_drawing(path) -> None:
    """See, before the work, that a picture can be drawn.

    Raises
    ------
    InputError
        If matplotlib is missing, or can't write files of that kind.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise InputError("--plot needs matplotlib; install it with: pip install 'rnnkit[plots]'") from None
    kinds = FigureCanvasBase.get_supported_filetypes()
    if (kind := _kind(path)) not in kinds:
        raise InputError(f"{path} can't be drawn as {kind}; expected one of {', '.join(sorted(kinds))}")


def draw(path, reports: list[ForecastReport]) -> None:
    """Draw a row of two panels per series, and write them to a file of the kind its name says, PNG without one."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(12, 3.5 * len(reports)), layout=ConstrainedLayoutEngine(wspace=0.04, hspace=0.05))
    panels = figure.subplots(len(reports), 2, squeeze=False)
    for report, (left, right) in zip(reports, panels, strict=True):
        _draw_history(left, report)
        _draw_end(right, report)
    with replacing(path) as beside:
        figure.savefig(beside, format=_kind(path), dpi=130)


def _kind(path) -> str:
    return str(path).rpartition(".")[2].lower() if "." in str(path).rpartition("/")[2] else "png"


def _draw_history(axes, report):
    times = report.series.timeline.times
    name = report.series.name if report.model == NETWORK else f"{report.series.name}, {report.model}"
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
        coverage = test.coverage(report.model)
        held = f": the 80 % bands held {100 * coverage:.0f} % of what came" if not np.isnan(coverage) else ""
        title = f"forecasts of {horizon} steps{held}"
    _draw_forecast(axes, report)
    _finish(axes, report, title)


def _draw_test(axes, report, first):
    """The back-test's forecasts from the step `first` on that leave each other room."""
    test, horizon, times = report.test, len(report.forecast), report.series.timeline.times
    drawn: list[int] = []
    for place in range(len(test.origins) - 1, -1, -1):
        origin = test.origins[place]
        if origin > first and (not drawn or origin + horizon <= test.origins[drawn[-1]]):
            drawn.append(place)
    lower, upper = test.edges(report.model)
    for number, place in enumerate(drawn):
        steps = slice(test.origins[place], test.origins[place] + horizon)
        axes.fill_between(times[steps], lower[place], upper[place], color=MODEL_COLOUR, alpha=0.13, lw=0)
        label = "forecast at the time" if number == 0 else None
        said = test.forecasts[report.model][place]
        axes.plot(times[steps], said, color=MODEL_COLOUR, lw=1.6, marker=".", ms=4, label=label)


def _draw_forecast(axes, report):
    steps = future(report)
    axes.fill_between(steps, report.lower, report.upper, color=FORECAST, alpha=0.25, lw=0, label="80 % band")
    axes.plot(steps, report.forecast, color=FORECAST, lw=1.8, marker=".", ms=4, label="forecast")


def _finish(axes, report, title):
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if report.series.timeline.times.dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(report.series.timeline.name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.margins(x=0.02)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.14 * (high - low))  # room for the legend
    axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8, handlelength=1.5, columnspacing=1.2)
