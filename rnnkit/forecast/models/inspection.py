"""A fitted forecaster's results on its own series: fitted values, residuals, components, paths, anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from scipy.special import ndtr

from rnnkit import allocation
from rnnkit.arguments import whole
from rnnkit.forecast.data import frames
from rnnkit.forecast.data.history import History
from rnnkit.forecast.data.timeline import text
from rnnkit.forecast.fitting.profiles import periods_of
from rnnkit.forecast.scoring.metrics import ljung_box

_SCORES = np.linspace(-5.0, 5.0, 201)  # normal scores at which quantiles are computed for paths
_AT_ONCE = 1 << 22  # quantiles in memory
_NAMED = 5  # series


def fitted(model: Any, history: History, levels: Sequence[float]) -> dict[str, np.ndarray]:
    """Return one-step forecasts and the edges of their bands ``(B, T)`` by name; NaN outside of a series."""
    ahead = model._inside(history)
    known = ~np.isnan(ahead.forecast) & (np.arange(history.values.shape[1]) < history.lengths[:, None])
    columns = model._columns_of(history, ahead._replace(forecast=np.nan_to_num(ahead.forecast), inside=True), levels)
    return {name: np.where(known, column, np.nan) for name, column in columns.items()}


def standardized(model: Any, history: History) -> np.ndarray:
    """Return residuals in units of the half width of the band that holds a standard deviation ``(B, T)``."""
    said, lower, upper = fitted(model, history, [100 * (ndtr(1.0) - ndtr(-1.0))]).values()
    width = (upper - lower) / 2
    return (history.values - said) / np.where(width > 0, width, 1.0)


def tested(model: Any, history: History, lags: int | None) -> dict[str, np.ndarray]:
    """Return the columns ``(B,)`` of `Forecaster.check_residuals`."""
    off, season = standardized(model, history), periods_of(model._panel.get("season", history.seasons))[0]
    residuals = history.values - fitted(model, history, [])[model.name]
    count = (~np.isnan(off)).sum(axis=1)
    known = np.maximum(count, 1)
    mean = np.nansum(residuals, axis=1) / known
    usual = np.clip(count // 5, 1, 2 * season if season > 1 else 10)
    chosen = usual if lags is None else np.full(len(off), whole(lags, "lags", 1))
    found = [ljung_box(row, int(lag)) for row, lag in zip(off, chosen, strict=True)]
    statistic, p_value = np.array(found).T
    spread = np.sqrt(np.nansum((residuals - mean[:, None]) ** 2, axis=1) / known)
    return {"count": count, "mean": mean, "sd": spread, "lags": chosen, "ljung_box": statistic, "p_value": p_value}


def out_inside(history: History, columns: dict[str, np.ndarray], first: Any = 0) -> Any:
    """Return columns ``(B, T)`` of the series' steps from `first` on as the user's kind of table, or as arrays."""
    first = np.broadcast_to(first, len(history.lengths))
    steps = first[:, None] + np.arange(int((history.lengths - first).max()))
    inside = steps < history.lengths[:, None]
    if history.frame is not None:
        series = np.nonzero(inside)[0]
        chosen = {name: array[series, steps[inside]] for name, array in columns.items()}
        return frames.handed_out(history.frame.rows(series, steps[inside], chosen))
    last = np.minimum(steps, history.values.shape[1] - 1)
    found = {name: np.take_along_axis(array, last, axis=1) for name, array in columns.items()}
    found = {name: array if array.dtype == bool else np.where(inside, array, np.nan) for name, array in found.items()}
    return {name: array[0] for name, array in found.items()} if history.single else found


def paths(model: Any, history: History, h: int, n: int, seed: Any) -> np.ndarray:
    """Return sample paths ``(n, B, H)`` of the steps after the series' ends, see `Forecaster.simulate`."""
    ahead, random = model._forecast(history, h), np.random.default_rng(seed)
    count = len(history.lengths)
    allocation.check("the paths", (n, count, h))
    found, memory = np.empty((n, count, h)), model._memory(ahead)
    for start in range(0, count, each := max(_AT_ONCE // (len(_SCORES) * h), 1)):
        rows = slice(start, start + each)
        part = ahead._replace(
            forecast=ahead.forecast[rows], spread=ahead.spread[..., rows, :], of_logarithms=ahead.of_logarithms[rows]
        )
        of, places = copy(model), np.arange(count)[rows]
        of._model = {name: array[rows] for name, array in model._model.items()}
        quantiles = of._bands(history.until(places, history.lengths[rows]), part, ndtr(_SCORES))
        shocks, weights = random.standard_normal((n, *part.forecast.shape)), memory[rows]
        scores = np.zeros_like(shocks)
        for lag in range(h):
            scores[..., lag:] += weights[:, lag, None] * shocks[..., : h - lag]
        scores /= np.sqrt(np.cumsum(weights**2, axis=1))
        points = (np.clip(scores, _SCORES[0], _SCORES[-1]) - _SCORES[0]) / (_SCORES[1] - _SCORES[0])
        below = np.minimum(points.astype(np.int64), len(_SCORES) - 2)
        low, high = (np.take_along_axis(quantiles, below + more, axis=0) for more in (0, 1))
        found[:, rows] = low + (points - below) * (high - low)
    return found


def memory_of_growth(spread: np.ndarray) -> np.ndarray:
    """Return weights of innovations ``(N, H)``, of the age 0, 1, …, in the errors of forecasts of these spreads.

    As of exponential smoothing, ``(1, α, α, …)``, whose variance grows as ``1 + (h - 1) α²`` (Hyndman et al. 2008,
    table 6.1); α, from 0 to 1, is the one of least squares.
    """
    width = spread if spread.ndim == 2 else spread[1] - spread[0]
    first, age = np.where(width[:, :1] > 0, width[:, :1], 1.0), np.arange(width.shape[1])
    growth = (age * ((width / first) ** 2 - 1)).sum(axis=1) / max((age**2).sum(), 1)
    return np.where(age > 0, np.sqrt(np.clip(growth, 0.0, 1.0))[:, None], 1.0)


def counted_series(history) -> str:
    """Return the number of series, and the first ids if there are ids."""
    count = len(history.lengths)
    ids = [] if history.frame is None else [str(one) for one in history.frame.ids[:_NAMED] if one is not None]
    named = f": {', '.join(ids)}{', …' if count > len(ids) else ''}" if ids else ""
    return f"{count:,} series{named}"


def between(lengths) -> str:
    """Return the range of lengths as text."""
    least, most = int(np.min(lengths)), int(np.max(lengths))
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def spanned(timelines) -> str:
    """Return the first and the last time of all series and the step, as text."""
    last = max(timelines.at(place, np.array([length - 1]))[0] for place, length in enumerate(timelines.lengths))
    return f"{text(timelines.first.min())} to {text(last)}, each {timelines.frequency}"
