"""Ridge regression on a long series' recent values and season terms, one for each lead."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.fitting.profiles import LONGEST, Profiles
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import refined_period
from rnnkit.forecast.fitting.shortcut import STRENGTHS, Shortcut, hold
from rnnkit.forecast.models.forecaster import Ahead, SeasonalForecaster, periods_of

LEAST, _CYCLES = 48, 3  # least values for a regression, and least cycles of the first season
_SEASONS, _LAGS = 1.5, 18  # lags, in seasons or in steps without a season
_RECENT = 16384  # most steps that the regression on aligned values reads
_BEYOND = 2.0  # range of forecast logarithms beyond those known, in units of their range


class Autoregression(SeasonalForecaster):
    """A direct autoregression: from the last values to each lead by a ridge regression of its own.

    A straight line is subtracted first. The regressions are those of `rnnkit.forecast.fitting.shortcut.Shortcut`; their
    strength and the use of season terms are chosen on the third and the fourth quarter of a series. They are
    solved where the horizon is known, so each forecast uses all values up to then. The forecast of a positive series is
    the mean of that of its values and of its logarithms. A series of fewer than 48 values, or of three cycles of its
    season, holds its last value.

    Of several seasons, or of one of more than 24 steps, the seasons are taken out first
    (`rnnkit.forecast.fitting.profiles.Profiles`), and a second regression, on the recent values and the value of one
    season before each lead, predicts the change from that season; the forecast is the mean of both.

    Parameters
    ----------
    season : int or sequence of int, optional
        Steps of a season, 1 for none, or of several seasons; by default inferred from a table's times, and none for
        arrays.

    Examples
    --------
    >>> wave = np.sin(np.arange(200) * 0.3)
    >>> bool(np.abs(Autoregression().fit(wave).predict(2) - np.sin([60.0, 60.3])).max() < 0.01)
    True
    """

    _takes_seasons = True

    def _fitted(self, values, lengths) -> dict[str, np.ndarray]:
        return {"able": able(values, periods_of(self.season)[0])}

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        forecast, spread = np.empty((2, len(values), h))
        for row, (one, length) in enumerate(zip(values, lengths, strict=True)):
            known = np.flatnonzero(~np.isnan(one))
            if fitted["able"][row]:
                forecast[row], spread[row] = self._one(one[: known[-1] + 1], h + int(length) - 1 - known[-1])[:, -h:]
            else:
                forecast[row] = one[known[-1]]
                moves = np.diff(one[known])
                size = np.mean(moves**2) if len(moves) else one[known[-1]] ** 2 or 1.0
                spread[row] = np.sqrt(size * np.arange(1, h + 1))
        return Ahead(forecast, spread, np.zeros(len(values), bool))

    def _one(self, values, h) -> np.ndarray:
        """Return forecast and spread ``(2, h)`` of one series whose last value is known."""
        found = self._of_scale(values, h)
        if np.nanmin(values) > 0:
            logs = np.log(values)
            low, high = np.nanmin(logs), np.nanmax(logs)
            forecast, spread = self._of_scale(logs, h)
            forecast = np.exp(np.clip(forecast, low - _BEYOND * (high - low), high + _BEYOND * (high - low)))
            found = (found + [forecast, forecast * np.minimum(spread, 1.0)]) / 2
        return found

    def _of_scale(self, values, h) -> np.ndarray:
        """Return forecast and spread ``(2, h)`` of values or of logarithms."""
        periods, length = periods_of(self.season), np.array([len(values)])
        if len(periods) == 1 and periods[0] <= LONGEST:
            return _recent(values, periods[0], h)
        apart = Profiles.of(values[None], length, periods)
        found = _recent(apart.rest[0], periods[0], h, apart.found[0, 0]) + [apart.seasons(h)[0], np.zeros(h)]
        longest = [period for period, there in zip(periods, apart.found[0], strict=True) if there][-1:]
        return (found + _aligned(values, longest[0], periods[0], h)) / 2 if longest else found


def _recent(values, season: int, h: int, apart: bool = False) -> np.ndarray:
    """Return forecast and spread ``(2, h)`` by the last values, and by season terms unless the season is `apart`."""
    scale = Scale(values[None])
    times = np.arange(len(values))[None]
    z = scale.standardise(values[None], times)
    learned = min(h, len(values) // 4)
    waves = 0 if apart else min(2, season // 2)
    period = refined_period(z, season) if waves else 0.0
    shortcut = Shortcut(learned, _lags(season, len(values)), waves, period).fit(z, times)
    said = shortcut.changes(z, times)
    off = shortcut.errors(z, said)
    ahead = z[0, -1] + said[0, -1]
    width = np.sqrt(np.nanmean(off[0] ** 2, axis=0))
    steps = _repeated(h, learned, season)
    at = len(values) + np.arange(h)
    return np.stack([scale.restore(ahead[None, steps], at[None])[0], scale.spread[0] * width[steps]])


def _aligned(values, season: int, first: int, h: int) -> np.ndarray:
    """Return forecast and spread ``(2, h)`` by the last values and the value one season before each lead.

    With z the series in units of its spread, ``z_{t+h} - z_{t+h-m} ≈ w_h · [1, z_t, …, z_{t-lags+1}, z_{t+h-m}]``, by
    ridge regression for each lead.
    """
    values = values[-_RECENT:]
    scale = Scale(values[None])
    z = hold(scale.standardise(values[None], np.arange(len(values))[None]))[0]
    learned = min(h, season, len(values) // 4)
    lags = _lags(first, len(values))
    leads = np.arange(1, learned + 1)
    origins = np.arange(max(lags, season) - 1, len(z))
    features = np.stack([np.ones(len(origins)), *(z[origins - lag] for lag in range(lags))], axis=1)
    before = z[origins[:, None] + leads - season]
    rows = slice(0, len(origins) - learned)
    targets = z[origins[rows, None] + leads] - before[rows]
    weights = _bordered(features[rows], before[rows], targets)
    said = features @ weights[:-1] + before * weights[-1]
    width = np.sqrt(((targets - said[rows]) ** 2).mean(axis=0))
    steps = _repeated(h, learned, season)
    at = len(values) + np.arange(h)
    return np.stack([scale.restore((before[-1] + said[-1])[None, steps], at[None])[0], scale.spread[0] * width[steps]])


def _bordered(features, own, targets) -> np.ndarray:
    """Return ridge weights ``(F + 1, L)`` of common features ``(R, F)`` and one of each lead's own, in the last row.

    Targets and own features are ``(R, L)``; the first feature is the intercept. The ridge strength has the least error
    on the third and the fourth quarter after a fit to those before.
    """
    halves, errors = [len(targets) * part // 4 for part in (2, 3, 4)], np.zeros(len(STRENGTHS))
    for stop, end in zip(halves[:-1], halves[1:], strict=True):
        found = _ridge(features[:stop], own[:stop], targets[:stop], STRENGTHS)
        off = [targets[stop:end] - features[stop:end] @ one[:-1] - own[stop:end] * one[-1] for one in found]
        tried = np.array([(one**2).mean(axis=0) for one in off])
        errors += (tried / np.maximum(tried.min(axis=0), np.finfo(float).tiny)).sum(axis=1)
    return _ridge(features, own, targets, [STRENGTHS[int(np.argmin(errors))]])[0]


def _ridge(features, own, targets, strengths) -> list[np.ndarray]:
    """Return the weights for each strength, by the Schur complement of the common features."""
    from scipy.linalg import cho_factor, cho_solve

    gram, moment, border = features.T @ features, features.T @ targets, features.T @ own
    square, product = (own * own).sum(axis=0), (own * targets).sum(axis=0)
    found = []
    for strength in strengths:
        penalty = np.full(len(gram), strength + 1e-10 * np.trace(gram))
        penalty[0] = 1e-10 * np.trace(gram)
        factor = cho_factor(gram + np.diag(penalty), lower=True)
        solved, across = cho_solve(factor, moment), cho_solve(factor, border)
        last = (product - (border * solved).sum(axis=0)) / (square + penalty[-1] - (border * across).sum(axis=0))
        found.append(np.concatenate([solved - across * last, last[None]]))
    return found


def _lags(season: int, steps: int) -> int:
    return min(int(np.ceil(_SEASONS * season)) if season > 1 else _LAGS, steps // 3)


def _repeated(h: int, learned: int, season: int) -> np.ndarray:
    """Return the lead that stands for each of h; those that can't be fitted repeat the last step or the last season."""
    steps, cycle = np.arange(h), min(season, learned)
    return np.where(steps < learned, steps, learned - cycle + (steps - learned) % cycle)


def able(values, season: int = 1) -> np.ndarray:
    """Return a mask ``(N,)`` of the series that have enough values and aren't constant."""
    known = ~np.isnan(values)
    enough = known.sum(axis=1) >= max(LEAST, _CYCLES * season)
    return enough & (np.nanmax(values, axis=1) > np.nanmin(values, axis=1))
