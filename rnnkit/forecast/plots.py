"""Figures of a panel's forecasts, with small axes for each series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from rnnkit.console import in_jupyter

HISTORY_COLOUR, FORECAST_COLOUR, ACTUAL_COLOUR = "#3d4451", "#1f6fb4", "#d1741a"
MARKED = 200  # steps of a history, up to which each has a mark
BANDS = (0.28, 0.16, 0.1)  # opacities, the narrowest first


class Drawn(NamedTuple):
    """Data drawn for one series."""

    title: str
    times: np.ndarray
    values: np.ndarray
    ahead: np.ndarray  # the times of the forecast
    columns: Mapping[str, np.ndarray]  # forecast and bands by their names in a table
    actual: np.ndarray | None = None  # actual values; NaN if unknown
    tests: Sequence[Sequence[np.ndarray]] = ()  # times, forecast and edges of the band from earlier origins


def joined(times, values, ahead, columns: Sequence[Any]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return times and columns of forecasts after a series' last value, so that they are drawn without a gap."""
    last = np.flatnonzero(~np.isnan(values))[-1:]
    return np.append(times[last], ahead), [np.append(values[last], column) for column in columns]


def _shown(draw: Callable) -> Callable[..., Any]:
    """Return ``draw(make, …)`` with a maker of figures of pyplot; the figure is shown once in a notebook."""

    @wraps(draw)
    def picture(*given: Any):
        try:
            from matplotlib import get_backend, pyplot
        except ImportError:
            raise ImportError("plot needs matplotlib; install it with: pip install 'rnnkit[plots]'") from None
        figure = draw(lambda size: pyplot.figure(figsize=size, layout="constrained"), *given)
        if in_jupyter() and "inline" in get_backend().lower():
            pyplot.close(figure)  # otherwise a notebook would show it twice
        return figure

    return picture


@_shown
def stacked_pictures(make: Callable, series: Sequence[Drawn]):
    """Make a figure with a column for each series, of axes for each of their columns."""
    names = list(series[0].columns)
    figure = make((max(4.2 * len(series), 6.5), 1.4 * len(names) + 0.5))
    axes = figure.subplots(len(names), len(series), sharex="col", squeeze=False)
    for column, one in zip(axes.T, series, strict=True):
        column[0].set_title(one.title, loc="left", fontsize=9)
        for place, values in zip(column, one.columns.values(), strict=True):
            place.plot(one.times, values, color=HISTORY_COLOUR if place is column[0] else FORECAST_COLOUR, lw=1.1)
            _lighten(place, one.times)
            (low, high), least = place.get_ylim(), 0.1 * float(np.nanmax(one.values) - np.nanmin(one.values))
            if high - low < least:  # not the noise of a constant component
                place.set_ylim((low + high - least) / 2, (low + high + least) / 2)
    for place, name in zip(axes[:, 0], names, strict=True):
        place.set_ylabel(name, fontsize=9)
    figure.align_ylabels()
    return figure


@_shown
def residual_pictures(make: Callable, series: Sequence[Drawn]):
    """Make a figure of residuals ``(T,)``, their autocorrelations from lag 1 on and their histogram for each series."""
    figure = make((10.0, 2.3 * len(series) + 0.3))
    rows = figure.subplots(len(series), 3, squeeze=False, width_ratios=(2, 1, 1))
    for (over_time, correlated, counted), one in zip(rows, series, strict=True):
        off, correlations = one.columns.values()
        known = off[~np.isnan(off)]
        over_time.plot(one.times, off, color=HISTORY_COLOUR, lw=0.9, marker="." if len(off) <= MARKED else None, ms=3)
        over_time.set_title(one.title, loc="left", fontsize=9)
        correlated.bar(np.arange(1, len(correlations) + 1), correlations, color=FORECAST_COLOUR, width=0.5)
        bound = 1.96 / np.sqrt(max(len(known), 1))
        correlated.axhspan(-bound, bound, color=HISTORY_COLOUR, alpha=0.12, lw=0)
        counted.hist(known, bins=min(30, max(len(known) // 4, 5)), color=FORECAST_COLOUR)
        for axes, times in ((over_time, one.times), (correlated, known), (counted, known)):
            _lighten(axes, times)
    for axes, title in zip(rows[0, 1:], ("autocorrelation by lag", "histogram"), strict=True):
        axes.set_title(title, loc="left", fontsize=9)
    said = "residuals over their expected spread"
    rows[0, 0].set_title(f"{series[0].title}: {said}" if series[0].title else said, loc="left", fontsize=9)
    return figure


def draw_series(make: Callable, series: Sequence[Drawn], name: str, levels: Sequence[float]):
    """Make a figure with axes for each series, with a model's forecasts and its bands of these levels."""
    across = min(len(series), 3 if len(series) <= 9 else 5)
    down, (width, height) = -(-len(series) // across), (4.2, 2.5) if across <= 3 else (3.2, 2.0)
    figure = make((width * max(across, 2), height * down + 0.7))
    every = figure.subplots(down, across, squeeze=False).ravel()
    for axes, one in zip(every, series, strict=False):
        draw_one(axes, one, name, levels)
    for axes in every[len(series) :]:
        axes.remove()
    lines, labels = every[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper left", ncols=len(labels), frameon=False, fontsize=9)
    return figure


small_multiples = _shown(draw_series)


def draw_one(axes, one: Drawn, name: str, levels: Sequence[float], ticks: int = 5) -> None:
    """Draw one series with a model's forecasts and its bands of these levels, in a light frame."""
    ahead, columns = joined(one.times, one.values, one.ahead, list(one.columns.values()))
    said = dict(zip(one.columns, columns, strict=True))
    marker = "." if len(one.times) <= MARKED else None
    axes.plot(one.times, one.values, color=HISTORY_COLOUR, lw=1.1, marker=marker, ms=3, label="history")
    for steps, forecast, lower, upper in one.tests:
        axes.fill_between(steps, lower, upper, color=ACTUAL_COLOUR, alpha=0.15, lw=0)
        label = "forecast at the time" if steps is one.tests[0][0] else None
        axes.plot(steps, forecast, color=ACTUAL_COLOUR, lw=1.4, label=label)
    for level, opacity in zip(sorted(levels), BANDS * len(levels), strict=False):
        edges = (said[f"{name}-{edge}-{level:g}"] for edge in ("lo", "hi"))
        axes.fill_between(ahead, *edges, color=FORECAST_COLOUR, alpha=opacity, lw=0, label=f"{level:g} % band")
    axes.plot(ahead, said[name], color=FORECAST_COLOUR, lw=1.6, label=f"forecast of {name}")
    if one.actual is not None:
        colour = HISTORY_COLOUR if one.tests else ACTUAL_COLOUR
        axes.plot(one.ahead, one.actual, color=colour, lw=1.1, marker=".", ms=3, label="what came")
    axes.set_title(one.title, loc="left", fontsize=9)
    _lighten(axes, one.times, ticks)


def _lighten(axes, times, ticks: int = 5) -> None:
    """Give axes over these times a light frame and few ticks."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.tick_params(labelsize=8)
    if times.dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=ticks)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.margins(x=0.02)
