"""Figures of a panel's forecasts, with small axes for each series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """Prepend a series' last value to its forecasts, so that they are drawn without a gap.

    >>> joined(np.array([1, 2, 3]), np.array([5.0, 6.0, np.nan]), np.array([4, 5]), [np.array([7.0, 8.0])])
    (array([2, 4, 5]), [array([6., 7., 8.])])
    """
    last = np.flatnonzero(~np.isnan(values))[-1:]
    return np.append(times[last], ahead), [np.append(values[last], column) for column in columns]


def small_multiples(series: Sequence[Drawn], name: str, levels: Sequence[float]):
    """Make a figure with axes for each series, with a model's forecasts and its bands of these levels."""
    try:
        from matplotlib import get_backend, pyplot
    except ImportError:
        raise ImportError("plot needs matplotlib; install it with: pip install 'rnnkit[plots]'") from None
    figure = draw_series(lambda size: pyplot.figure(figsize=size, layout="constrained"), series, name, levels)
    if in_jupyter() and "inline" in get_backend().lower():
        pyplot.close(figure)  # otherwise a notebook would show it twice
    return figure


def draw_series(make: Callable, series: Sequence[Drawn], name: str, levels: Sequence[float]):
    """Draw `small_multiples` on a figure made by ``make`` for a size."""
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


def draw_one(axes, one: Drawn, name: str, levels: Sequence[float], ticks: int = 5) -> None:
    """Draw one series with a model's forecasts and its bands of these levels, in a light frame."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

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
        axes.plot(one.ahead, one.actual, color=ACTUAL_COLOUR, lw=1.1, marker=".", ms=3, label="what came")
    axes.set_title(one.title, loc="left", fontsize=9)
    axes.tick_params(labelsize=8)
    if one.times.dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=ticks)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.margins(x=0.02)
