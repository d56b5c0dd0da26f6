"""Evaluation of forecasts in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.arguments import positive_integer
from rnnkit.forecast.data.frames import EDGE, Columns, SeriesFrame, is_frame, read
from rnnkit.forecast.scoring.metrics import coverage_terms, percentage_terms, pinball_terms
from rnnkit.sequences import tables


def evaluate(
    frame: Any,
    train: Any = None,
    season: int = 1,
    models: Sequence[str] | None = None,
    level: Sequence[float] | None = None,
    *,
    id: Any = "unique_id",
    time: str = "ds",
    target: str = "y",
) -> Any:
    """Score the forecasts of a table.

    Parameters
    ----------
    frame : DataFrame
        A row for each series and time, and for each cutoff if there are several: the actual value, and a column of
        forecasts for each model. The edges of a band of 80 % are in the columns ``Model-lo-80`` and ``Model-hi-80``.
    train : DataFrame or SeriesFrame, optional
        The values before, which mase and rmsse are scaled by.
    season : int
        The lag of the naive forecast that scales mase and rmsse.
    models : sequence of str, optional
        By default all columns other than edges.
    level : sequence of float, optional
        Bands, in percent; by default all.
    id, time, target : str
        The columns of ids, times and values, as in `Auto.fit`.

    Returns
    -------
    DataFrame of the same library
        A row for each series and metric: id, metric, and a column for each model. The metrics are mae, rmse and smape;
        mase and rmsse if there is `train`; coverage-80 and the like for each band, in percent; and pinball, the mean
        over the quantiles that are edges of bands. `rnnkit.forecast.scoring.metrics` has the formulas. Rows without a
        value are left out. A score without a forecast or a band is NaN, and so is an error that is scaled by 0.

    Raises
    ------
    ValueError
        If the table lacks columns or holds something else than numbers, or if `train` lacks a series.

    Examples
    --------
    >>> import polars as pl
    >>> table = pl.DataFrame({"unique_id": ["a", "a"], "ds": [1, 2], "y": [1.0, 2.0], "Naive": [1.0, 1.0]})
    >>> evaluate(table).rows()
    [('a', 'mae', 0.5), ('a', 'rmse', 0.7071...), ('a', 'smape', 33.33...)]
    """
    called, season = Columns(id, time, target), positive_integer(season, "season")
    table = tables.indexed(tables.opened(frame, "the forecasts"), [*called.ids, called.time])
    edges = {name: match for name in table.columns if (match := EDGE.fullmatch(name))}
    if "cutoff" in table.columns:
        tables.check_columns(table, [called.time], "the forecasts", "; time= gives another name")
    if models is None:
        models = [name for name in table.columns if name not in (*called.ids, *called[1:], "cutoff", *edges)]
    if not models:
        raise ValueError(f"expected a column of forecasts at least; got {', '.join(table.columns)}")
    levels = sorted({match[3] for match in edges.values() if match[1] in models}, key=float)
    if level is not None:
        asked = [f"{one:g}" for one in level]
        if lacking := [one for one in asked if one not in levels]:
            raise ValueError(
                f"expected bands of {lacking[0]} % in columns such as {models[0]}-lo-{lacking[0]}; got "
                f"{', '.join(table.columns)}"
            )
        levels = asked
    tables.check_columns(table, [called.target, *models], "the forecasts")
    codes, heads, ids = tables.keyed(table, called.ids)
    if not len(table):
        raise ValueError("expected forecasts with rows; got an empty table")
    found = {
        name: tables.numbers(table, name, codes, ids)
        for name in table.columns
        if name in (called.target, *models) or (name in edges and edges[name][1] in models)
    }
    scales = None
    if train is not None:
        if not isinstance(train, SeriesFrame):
            if not is_frame(train):
                raise TypeError(f"expected train to be a DataFrame; got {type(train).__name__}")
            train = read(train, called)
        places = {one: place for place, one in enumerate(train.ids)}
        if lacking := [one for one in ids if one not in places]:
            raise ValueError(f"expected all series in train; got none for {lacking[0]!r}")
        scales = naive_scales(train.series, season)[:, [places[one] for one in ids]]
    scores = [scored(codes, len(ids), found[called.target], found, model, levels, scales) for model in models]
    metrics = list(scores[0])
    columns: dict[str, Any] = {}
    if heads is not None:
        columns |= {name: tables.repeated(heads[name], len(metrics)) for name in called.ids}
    columns["metric"] = metrics * len(ids)
    for model, score in zip(models, scores, strict=True):
        columns[model] = np.stack([score[metric] for metric in metrics], axis=1).ravel()
    return tables.made(columns, table.implementation)


def scored(
    codes, count: int, actual, found: Mapping[str, np.ndarray], model: str, levels: Sequence[str], scales=None
) -> dict[str, np.ndarray]:
    """Return each metric of a model for each of `count` series ``(B,)``, whose indices by row are `codes`."""
    known = ~np.isnan(actual)
    actual, codes = actual[known], codes[known]
    counts = np.bincount(codes, minlength=count).astype(np.float64)
    counts[counts == 0] = np.nan

    def mean(terms) -> np.ndarray:
        return np.bincount(codes, weights=terms, minlength=count) / counts

    forecast = found[model][known]
    off = actual - forecast
    score = {"mae": mean(np.abs(off)), "rmse": np.sqrt(mean(np.square(off)))}
    score["smape"] = mean(percentage_terms(actual, forecast))
    if scales is not None:
        score |= {"mase": score["mae"] / scales[0], "rmsse": score["rmse"] / scales[1]}
    losses, nothing = [], np.full(len(actual), np.nan)
    for one in levels:
        names = [f"{model}-{edge}-{one}" for edge in ("lo", "hi")]
        low, high = (found[name][known] if name in found else nothing for name in names)
        score[f"coverage-{one}"] = mean(coverage_terms(actual, low, high))
        tail = (1 - float(one) / 100) / 2
        losses += [pinball_terms(actual, low, tail), pinball_terms(actual, high, 1 - tail)]
    if losses:
        score["pinball"] = mean(np.mean(losses, axis=0))
    return score


def naive_scales(series: Sequence[np.ndarray], season: int) -> np.ndarray:
    """Return MAE and RMSE of the seasonal naive forecast within each series ``(2, B)``, as divisors: NaN for 0."""
    values, places = np.concatenate(list(series)), np.repeat(np.arange(len(series)), [len(one) for one in series])
    apart = values[season:] - values[:-season]
    within = (places[season:] == places[:-season]) & ~np.isnan(apart)
    apart, places = apart[within], places[season:][within]
    counts = np.maximum(np.bincount(places, minlength=len(series)), 1)
    sums = [np.bincount(places, weights=terms, minlength=len(series)) for terms in (np.abs(apart), np.square(apart))]
    scales = np.stack([sums[0] / counts, np.sqrt(sums[1] / counts)])
    return np.where(scales == 0, np.nan, scales)
