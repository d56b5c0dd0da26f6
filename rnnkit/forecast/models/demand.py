"""The intermittent series of `Auto`: means whose weights the panel's held-out ends give, and calibrated bands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.decomposition import known_means, known_sums
from rnnkit.forecast.fitting.held_out import Ends
from rnnkit.forecast.models.forecaster import forecast_in_blocks, in_blocks
from rnnkit.forecast.models.intermittent import TSB, Demands, is_intermittent
from rnnkit.forecast.models.together import Blocks

_LEADS = 12  # of a held-out end
_ENDED = 12  # least steps without demand after which a series may have ended
_SLOW, _FAST = TSB(beta=0.05), TSB(beta=0.2)
_EXPLAINED = 0.5  # share of the variance, below which what a season leaves is no intermittent demand
_EVEN = 8  # weight of a season without effect, in seasons
_OWN, _PRIOR = 300.0, 1000.0  # weights of the panel's squares, and of equal weights, in held-out values
_BELIEVED = 50  # weight of the levels that bands have by themselves, in held-out values
_FEW = 10  # series, below which the ratio of totals is hardly believed
_LEVELS = np.linspace(0, 1, 1001)


def split(series: Blocks, season: int) -> tuple[Blocks, dict[str, np.ndarray]]:
    """Return blocks of the series that aren't intermittent, and what the others' held-out ends teach."""
    if not any(map(np.any, series.map(intermittent, season))):
        return series, {}
    ends = series.made(_Ended.of, season)
    squares, gains, known = (np.concatenate(found).sum(axis=0) for found in zip(*ends.map(_sums), strict=True))
    known, size = max(int(known), 1), np.trace(squares) / len(squares) or 1.0
    panel = {"squares": (squares + size * _PRIOR / known * np.eye(len(squares))) / known, "gains": gains / known}
    totals, levels = zip(*ends.map(_scores, panel), strict=True)
    (said, came), panel["ratio"] = (each := np.concatenate(totals)).sum(axis=0), np.ones(1)
    if said * came > 0:  # the ratio of totals, drawn towards 1 by the variance that it has
        doubt = ((each[:, 0] - each[:, 1]) ** 2).sum() / (said * came) * (1 + _FEW / len(each))
        off = came / said - 1
        panel["ratio"] += off**3 / (off**2 + doubt)
    panel["levels"] = np.quantile(np.concatenate([(np.arange(_BELIEVED) + 0.5) / _BELIEVED, *levels]), _LEVELS)
    return series.made(_regular, season), {f"demand/{name}": array for name, array in panel.items()}


def intermittent(history: History, season: int) -> np.ndarray:
    """Return a mask ``(N,)`` of the intermittent series, but those that covariates or mostly the season may explain."""
    if history.covariates is not None:
        return np.zeros(len(history.lengths), bool)
    values = history.values
    means, counts = _season_means(values, season, 0)
    known, off = counts.sum(axis=1), values - means[:, np.arange(values.shape[1]) % season]
    left = known_sums(off**2) / np.maximum(known - season, 1)
    whole = known_sums((values - known_means(values)[:, None]) ** 2) / np.maximum(known - 1, 1)
    seasonal = (season > 1) & (counts.min(axis=1) > 1) & (left < _EXPLAINED * whole)
    return (is_intermittent(values) & ~seasonal) | _has_ended(values)


def _has_ended(values) -> np.ndarray:
    """Return a mask ``(N,)`` of the series that end in zeros: 12 or more, and more than twice as many as before."""
    known = np.cumsum(~np.isnan(values), axis=1)
    latest = np.maximum.accumulate(np.where(values > 0, known, 0), axis=1)
    idle, last = known - latest, latest[:, -1:]
    before = np.where((latest > 0) & (latest < last), idle, 0).max(axis=1)
    return (np.nanmin(values, axis=1) == 0) & (last[:, 0] > 0) & (idle[:, -1] >= np.maximum(_ENDED, 2 * before + 1))


def some(history: History, mask) -> History:
    """Return the series of a mask."""
    return history.until(rows := np.flatnonzero(mask), history.lengths[rows])


def weights(history: History, season: int, panel) -> np.ndarray:
    """Return the weights ``(N, 3)`` of the contrasts in the mean demands."""
    ended, count = _Ended.of(history, season), len(history.lengths)
    squares, gains = np.zeros((count, 3, 3)), np.zeros((count, 3))
    squares[ended.ends.series], gains[ended.ends.series] = _squares(ended)
    return _solved(squares, gains, panel)


def means(history: History, season: int, shares, panel, h: int) -> np.ndarray:
    """Return the mean demands ``(N, H)`` of the steps after the series' ends."""
    return panel["ratio"] * _combined(*_estimates(history, season, h), shares)


def band(demands: Demands, panel, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of the band that held `level` of what came at the held-out ends."""
    return demands.band(float(np.interp(level, _LEVELS, panel["levels"])))


class _Ended(NamedTuple):
    """A block's intermittent series at their held-out ends."""

    ends: Ends  # R series
    base: np.ndarray  # (R, L)
    contrasts: np.ndarray  # (3, R, L)

    @classmethod
    def of(cls, history: History, season: int) -> _Ended:
        rows = np.flatnonzero(intermittent(history, season))
        ends = Ends.of(history.until(rows, history.lengths[rows]), _LEADS, True, 1, 1)
        return cls(ends._replace(series=rows[ends.series]), *_estimates(ends.history, season, _LEADS))


def _regular(history: History, season: int) -> History:
    return some(history, ~intermittent(history, season))


def _season_means(values, season: int, even: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each place in the season ``(N, m)``, drawn towards that of all, and the number of values."""
    places = [values[:, place::season] for place in range(season)]
    counts = np.stack([(~np.isnan(one)).sum(axis=1) for one in places], axis=1)
    sums = np.stack([known_sums(one) for one in places], axis=1) + even * known_means(values)[:, None]
    return sums / np.maximum(counts + even, 1), counts


def _estimates(history: History, season: int, h: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean demands ``(N, H)`` of a slow and a fast `TSB`, and contrasts ``(3, N, H)`` to others.

    These lead to the mean of all values, from slow to fast, and to the mean of each place in the season, which is drawn
    towards that of all. All are 0 where a series has ended.
    """
    values, lengths = history.values, history.lengths
    if not len(values):
        return np.zeros((0, h)), np.zeros((3, 0, h))
    fitted = in_blocks(_SLOW._fitted, values, lengths)
    slow, fast = (forecast_in_blocks(model._ahead, history, fitted, h).forecast for model in (_SLOW, _FAST))
    mean = known_means(values)[:, None]
    seasons = np.take_along_axis(
        _season_means(values, season, _EVEN)[0], (lengths[:, None] + np.arange(h)) % season, axis=1
    )
    base, goes_on = (slow + fast) / 2, ~_has_ended(values)[:, None]
    return base * goes_on, np.stack([mean - base, fast - slow, seasons - mean]) * goes_on


def _squares(ended: _Ended) -> tuple[np.ndarray, np.ndarray]:
    """Return the squares ``(R, 3, 3)`` and gains ``(R, 3)`` of a regression, in units of each series' moves."""
    came, unit = ended.ends.came, np.sqrt(known_means(np.diff(ended.ends.history.values, axis=1) ** 2))
    unit, known = np.where(unit > 0, unit, np.inf)[:, None], ~np.isnan(came)
    apart, off = np.where(known, ended.contrasts, 0.0) / unit, np.where(known, came - ended.base, 0.0) / unit
    return np.einsum("knl,mnl->nkm", apart, apart), np.einsum("knl,nl->nk", apart, off)


def _sums(ended: _Ended) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return *_squares(ended), (~np.isnan(ended.ends.came)).sum(axis=1)


def _solved(squares, gains, panel) -> np.ndarray:
    gains = gains + _OWN * panel["gains"]
    return np.linalg.solve(squares + _OWN * panel["squares"], gains[..., None])[..., 0]


def _combined(base, contrasts, shares) -> np.ndarray:
    return np.maximum(base + np.einsum("nk,knh->nh", shares, contrasts), 0.0)


def _scores(ended: _Ended, panel) -> tuple[np.ndarray, np.ndarray]:
    """Return the totals ``(R, 2)`` that were forecast and came, and the levels of the bands that contain the latter."""
    came = ended.ends.came
    said = _combined(ended.base, ended.contrasts, _solved(*_squares(ended), panel))
    levels = Demands(ended.ends.history.values, said).levels(came)
    said = np.where(np.isnan(came), 0.0, said)
    return np.stack([said.sum(axis=1), np.nansum(came, axis=1)], axis=1), levels[~np.isnan(levels)]
