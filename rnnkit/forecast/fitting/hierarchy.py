"""Forecasts of series and of their sums that add up, and of the steps of a season and theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtri

from rnnkit.forecast.data.frames import EDGE, Columns, is_frame
from rnnkit.forecast.fitting.decomposition import known_means
from rnnkit.sequences import tables

METHODS = ("bottom_up", "ols", "wls", "mint_shrink")
_USUAL = Columns()


def reconcile(
    forecasts: Any,
    S: Any,
    *,
    method: str = "mint_shrink",
    past: Any = None,
    nonnegative: bool = False,
    id: str = _USUAL.id,
    time: str = _USUAL.time,
    target: str = _USUAL.target,
) -> Any:
    """Make the forecasts of a hierarchy add up, with their bands.

    They are projected on those that add up, ``S (S' W⁻¹ S)⁻¹ S' W⁻¹ y`` (Wickramasuriya, Athanasopoulos and Hyndman
    2019, "Optimal forecast reconciliation for hierarchical and grouped time series through trace minimization"). Bands
    become normal: the standard deviations are those of the given bands, the correlations those of W.

    Parameters
    ----------
    forecasts : table, array_like (N, H), or dict of array_like (N, H)
        Of all N series, as `predict` returns them; arrays in the order of the rows of S.
    S : table or array_like (N, M)
        The summing matrix: 1 where a series (row) contains one at the bottom (column). A table has the ids in a column
        besides; or, without that column, a row for each series at the bottom with the ids of all series that contain
        it, its own last.
    method : {"mint_shrink", "wls", "ols", "bottom_up"}
        W is the covariance of past errors, shrunk by `shrunk_covariance`; for "wls" their mean squares or, without past
        errors, the numbers of series summed; for "ols" 1. "bottom_up" takes the forecasts at the bottom.
    past : table, or array_like (N, T)
        Past forecasts with what came, as `cross_validation` returns them; for arrays the errors, NaN where unknown.
    nonnegative : bool
        Whether forecasts at the bottom below 0 become 0 before they are summed, and bands end there.
    id, time, target : str
        The tables' columns.

    Returns
    -------
    Of the kind of the forecasts.

    Raises
    ------
    ValueError
        For an S without a row for each series at the bottom alone, series or times that are missing or there twice,
        quantiles, or past errors that are missing.

    Examples
    --------
    >>> reconcile([[10.0], [3.0], [4.0]], [[1, 1], [1, 0], [0, 1]], method="ols").ravel().tolist()
    [9.0, 4.0, 5.0]
    """
    if method not in METHODS:
        raise ValueError(f"expected method to be one of {', '.join(METHODS)}; got {method!r}")
    if not is_frame(forecasts):
        given = forecasts if isinstance(forecasts, Mapping) else {"": forecasts}
        columns = {name: np.asarray(values, np.float64) for name, values in given.items()}
        errors = None if past is None else dict.fromkeys(columns, np.asarray(past, np.float64))
        found = _reconciled(columns, np.asarray(S, np.float64), method, errors, nonnegative)
        return found if isinstance(forecasts, Mapping) else found[""]
    ids, matrix = _summing(tables.opened(S, "S"), id)
    table, numbers = tables.opened(forecasts, "the table of forecasts"), tables.numbers
    places, shape = _places(table, ids, id, [time], "the table of forecasts")
    if not (np.bincount(places, minlength=shape[0] * shape[1]) == 1).all():
        raise ValueError("expected one forecast of each series at each time; got none or several of some")
    names = [name for name in table.columns if name not in (id, time, target, "cutoff")]
    columns, errors = {name: _laid_out(numbers(table, name), places, shape) for name in names}, None
    if past is not None:
        known, what = tables.opened(past, "the table of past forecasts"), "the table of past forecasts"
        tables.check_columns(known, [target, *_models(names)], what)
        rows, size = _places(known, ids, id, [time, *({"cutoff"} & set(known.columns))], what)
        came = numbers(known, target)
        errors = {one: _laid_out(came - numbers(known, one), rows, size) for one in _models(names)}
    found = _reconciled(columns, matrix, method, errors, nonnegative)
    new = {name: values.ravel()[places] for name, values in found.items()}
    return tables.made({one: new.get(one, table[one]) for one in table.columns}, table.implementation)


def _summing(table, id: str) -> tuple[list, np.ndarray]:
    """Return the ids of all series, and the summing matrix ``(N, M)``."""
    if id in table.columns:
        rest = [tables.numbers(table, name) for name in table.columns if name != id]
        return table[id].to_list(), np.stack(rest, axis=1)
    levels = np.array([table[name].to_list() for name in table.columns], object)  # (levels, M)
    ids = list(dict.fromkeys(levels.ravel()))
    return ids, np.array([(levels == one).any(axis=0) for one in ids], np.float64)


def _places(table, ids, id: str, times, what: str) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the place of each row in an array ``(N, T)`` of all series and all times, and its shape."""
    tables.check_columns(table, [id, *times], what)
    rows, heads = tables.codes(table, id)
    known = {one: place for place, one in enumerate(ids)}
    if len(known) < len(ids) or (apart := known.keys() ^ set(heads.to_list())):
        some = "one twice" if len(known) < len(ids) else repr(min(apart, key=str))
        raise ValueError(f"expected each series once in S, and the same ones in {what}; got {some}")
    steps = [np.unique(tables.TimeColumn.of(table, name).values, return_inverse=True)[1] for name in times]
    each, inverse = np.unique(np.stack(steps), axis=1, return_inverse=True)
    count = each.shape[1]
    return np.array([known[one] for one in heads.to_list()])[rows] * count + inverse.ravel(), (len(ids), count)


def _laid_out(values, places, shape) -> np.ndarray:
    found = np.full(shape[0] * shape[1], np.nan)
    found[places] = values
    return found.reshape(shape)


def _models(names) -> list[str]:
    return [name for name in names if not EDGE.fullmatch(name)]


def _reconciled(columns, S, method: str, errors, nonnegative: bool) -> dict[str, np.ndarray]:
    """Return forecasts and bands ``(N, H)`` that add up, by name; `errors` ``(N, T)`` are those of each model."""
    found = dict(columns)
    for name, values in columns.items():
        if values.ndim != 2 or S.ndim != 2 or len(values) != len(S) or not np.isfinite(values).all():
            raise ValueError(f"expected finite forecasts (N, H) and S (N, M); got {values.shape}, {S.shape}")
        if re.search(r"-q0\.\d+$", name):
            raise ValueError(f"expected forecasts and bands, as quantiles don't add up; got {name!r}")
    for model in _models(columns):
        projection = Projection(S, method, None if errors is None else errors[model])
        point = projection.bottom(columns[model])
        found[model] = S @ (np.maximum(point, 0.0) if nonnegative else point)
        edges = [one for one in map(EDGE.fullmatch, columns) if one and one[1] == model]
        off = {one[0]: (1 if one[2] == "hi" else -1) * ndtri(0.5 + float(one[3]) / 200) for one in edges}
        if off:
            spread = np.mean([columns[name] / away for name, away in off.items()], axis=0)
            spread = projection.spread(np.maximum(spread, 0.0))
            edged = {name: found[model] + away * spread for name, away in off.items()}
            found |= {name: np.maximum(edge, 0.0) if nonnegative else edge for name, edge in edged.items()}
    return found


class Projection:
    """The projection on forecasts that add up, by the constraints ``C y = 0``, of which there is one for each sum.

    At the bottom it is ``y - W C' (C W C')⁻¹ C y``, the same as ``(S' W⁻¹ S)⁻¹ S' W⁻¹ y``.
    """

    def __init__(self, S: np.ndarray, method: str, errors: np.ndarray | None):
        single = ((S != 0).sum(axis=1) == 1) & (S.sum(axis=1) == 1)
        alone = single[:, None] & (S == 1)
        if not alone.any(axis=0).all():
            raise ValueError("expected a row of S with a single 1 for each series at the bottom; got none for some")
        given = None if errors is None else len(errors)
        if given != len(S) and (given is not None or method == "mint_shrink"):
            raise ValueError(f"expected past=, errors of {len(S)} series, for {method}; got {given or 'none'}")
        self.S, self.places, self.correlation = S, np.argmax(alone, axis=0), None
        sums = np.delete(np.arange(len(S)), self.places)
        self.constraints = np.eye(len(S))[sums]
        self.constraints[:, self.places] -= S[sums]
        weighted = self.constraints.T
        if method == "mint_shrink" and errors is not None:
            covariance = shrunk_covariance(errors)
            self.correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
            weighted = covariance @ weighted
        elif method == "wls":
            size = S.sum(axis=1) if errors is None else _positive(np.nanmean(errors**2, axis=1))
            weighted = size[:, None] * weighted
        self.gain = np.linalg.solve((self.constraints @ weighted).T, weighted[self.places].T).T
        if method == "bottom_up":
            self.gain[:] = 0.0

    def bottom(self, forecasts) -> np.ndarray:
        """Return the forecasts at the bottom ``(M, H)``."""
        return forecasts[self.places] - self.gain @ (self.constraints @ forecasts)

    def spread(self, spread) -> np.ndarray:
        """Return the standard deviations ``(N, H)`` of forecasts that add up, from those that don't."""
        whole = self.S @ self.bottom(np.eye(len(self.S)))
        if self.correlation is None:
            return np.sqrt(whole**2 @ spread**2)
        scaled = whole * spread.T[:, None]  # (H, N, N)
        return np.sqrt(np.einsum("hij,hij->ih", scaled @ self.correlation, scaled).clip(0))


def _positive(variance) -> np.ndarray:
    return np.maximum(variance, 1e-9 * variance.mean() or 1.0)


def shrunk_covariance(errors: np.ndarray) -> np.ndarray:
    """Return the covariance of errors ``(N, T)``, NaN where unknown, with correlations shrunk towards 0.

    The share taken off them is ``Σ var(r) / Σ r²`` over all pairs (Schäfer and Strimmer 2005, "A shrinkage approach to
    large-scale covariance matrix estimation and implications for functional genomics").
    """
    known = ~np.isnan(errors)
    if (known.sum(axis=1) < 2).any():
        raise ValueError(f"expected two past errors or more of each series; got {known.sum(axis=1).min()}")
    apart = np.where(known, errors - np.nanmean(errors, axis=1, keepdims=True), 0.0)
    variance = _positive((apart**2).sum(axis=1) / (known.sum(axis=1) - 1))
    scaled, pairs = apart / np.sqrt(variance)[:, None], np.maximum(known.astype(float) @ known.T, 2)
    mean, off = scaled @ scaled.T / pairs, ~np.eye(len(errors), dtype=bool)
    doubt = ((scaled**2) @ (scaled**2).T - pairs * mean**2) / (pairs * (pairs - 1))
    taken = min(doubt[off].sum() / max((mean**2)[off].sum(), 1e-300), 1.0)
    correlation = np.where(off, (1 - taken) * mean * pairs / (pairs - 1), 1.0)
    return correlation * np.sqrt(np.outer(variance, variance))


def means_over(values: np.ndarray, lengths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the means over `size` steps of series, counted from their ends, and their numbers ``(N,)``."""
    count = np.maximum(lengths // size, 1)
    steps = (lengths - count * size)[:, None] + np.arange(count.max() * size)
    padded = np.concatenate([values, np.full((len(values), 1), np.nan)], axis=1)
    parts = np.take_along_axis(padded, np.clip(steps, 0, values.shape[1]), axis=1).reshape(-1, size)
    means = np.where(np.isnan(parts).all(axis=1), np.nan, known_means(parts))
    return means.reshape(len(values), -1), count


def agreed(means: Mapping[int, np.ndarray], season: int) -> np.ndarray:
    """Return forecasts of whole seasons ``(N, H)`` that agree with those of means over more steps, by their numbers.

    Weighted by the numbers of steps (Athanasopoulos, Hyndman, Kourentzes and Petropoulos 2017, "Forecasting with
    temporal hierarchies", structural scaling).
    """
    parts = [size * one.reshape(-1, season // size) for size, one in means.items()]
    matrix = np.concatenate([np.repeat(np.eye(season // size), size, axis=1) for size in means])
    weights = Projection(matrix, "wls", None).bottom(np.eye(len(matrix)))
    columns = np.concatenate(parts, axis=1).T
    found = sum(one[:, None] * weight for one, weight in zip(columns, weights.T, strict=True))  # in order, for F3
    return np.reshape(found, means[1].shape)
