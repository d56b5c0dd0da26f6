"""Ridge regression on a long series' recent values and season terms, one for each lead."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.fitting.profiles import Profiles, are_apart, periods_of
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import refined_period
from rnnkit.forecast.fitting.shortcut import Shortcut, hold
from rnnkit.forecast.models.forecaster import Ahead, SeasonalForecaster

LEAST, _CYCLES = 48, 3  # least values for a regression, and least cycles of the first season
_SEASONS, _LAGS = 1.5, 18  # lags, in seasons or in steps without a season
_PER_LAG = 3  # least values for each lag
_BEYOND = 2.0  # range of forecast logarithms beyond those known, in units of their range


class Autoregression(SeasonalForecaster):
    """A direct autoregression: from the last values to each lead by a ridge regression of its own.

    A straight line is subtracted first. The regressions are those of `rnnkit.forecast.fitting.shortcut.Shortcut`; their
    strength and the use of season terms are chosen on the third and the fourth quarter of a series. They are
    solved where the horizon is known, so each forecast uses all values up to then. The forecast of a positive series is
    the mean of that of its values and of its logarithms; of one whose least value is 0, that of its square roots. A
    series of fewer than 48 values, or of three cycles of its season, holds its last value.

    Several seasons, or one of more than 60 steps, are taken out first (`rnnkit.forecast.fitting.profiles.Profiles`).

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

    def _within(self, values, lengths, fitted, h) -> Ahead:
        forecast, spread = np.full((2, *values.shape), np.nan)
        held = np.where(np.cumsum(~np.isnan(values), axis=1) > 0, hold(values), np.nan)
        for row, length in enumerate(lengths):
            if fitted["able"][row]:
                forecast[row, 1:length], spread[row, 1:length] = self._one(values[row, :length], 1, within=True)
            else:
                forecast[row, 1:] = held[row, :-1]
                spread[row] = np.sqrt(np.nanmean(np.diff(held[row]) ** 2)) if length > 1 else np.nan
        return Ahead(forecast, spread, np.zeros(len(values), bool))

    def _one(self, values, h, within: bool = False) -> np.ndarray:
        """Return forecast and spread ``(2, h)`` of a series that ends with a value, or `within` it ``(2, T - 1)``."""
        if np.nanmin(values) == 0:
            forecast, spread = self._of_scale(np.sqrt(values), h, within)
            forecast = np.maximum(forecast, 0.0)
            return np.stack([forecast**2, (2 * forecast + spread) * spread])
        found = self._of_scale(values, h, within)
        if np.nanmin(values) > 0:
            logs = np.log(values)
            low, high = np.nanmin(logs), np.nanmax(logs)
            forecast, spread = self._of_scale(logs, h, within)
            forecast = np.exp(np.clip(forecast, low - _BEYOND * (high - low), high + _BEYOND * (high - low)))
            found = (found + np.stack([forecast, forecast * np.minimum(spread, 1.0)])) / 2
        return found

    def _of_scale(self, values, h, within: bool) -> np.ndarray:
        """Return forecast and spread of values, logarithms or roots, as `_one`."""
        periods, length = periods_of(self.season), np.array([len(values)])
        if not are_apart(periods):
            return _recent(values, periods[0], h, within)
        apart = Profiles.of(values[None], length, periods, kinds=False)
        found = _recent(apart.rest[0], periods[0], h, within, apart.found[0, 0])
        found[0] += apart.inside[0, 1:] if within else apart.seasons(h)[0]
        return found


def _recent(values, season: int, h: int, within: bool, apart: bool = False) -> np.ndarray:
    """Return forecast and spread by the last values, and by season terms unless the season is `apart`; see `_one`."""
    scale, length = Scale.of(values[None]), len(values)
    times = np.arange(length)[None]
    z = scale.standardise(values[None], times)
    learned = min(h, length // 4)
    waves = 0 if apart else min(2, season // 2)
    period = refined_period(z, season) if waves else 0.0
    shortcut = Shortcut(learned, _lags(season, length), waves, period).fit(z, times)
    said = shortcut.changes(z, times)
    width = np.sqrt(np.nanmean(shortcut.errors(z, said)[0] ** 2, axis=0))
    ahead, steps = hold(z)[0, :, None] + said[0], _repeated(h, learned, season)
    at = np.arange(1, length) if within else length + np.arange(h)
    one = ahead[:-1, 0] if within else ahead[-1, steps]
    sizes = np.full(length - 1, width[0]) if within else width[steps]
    return np.stack([scale.restore(one[None], at[None])[0], scale.spread[0] * sizes])


def _lags(season: int, steps: int) -> int:
    return min(int(np.ceil(_SEASONS * season)) if season > 1 else _LAGS, steps // _PER_LAG)


def _repeated(h: int, learned: int, season: int) -> np.ndarray:
    """Return the lead that stands for each of h; those that can't be fitted repeat the last step or the last season."""
    steps, cycle = np.arange(h), min(season, learned)
    return np.where(steps < learned, steps, learned - cycle + (steps - learned) % cycle)


def able(values, season: int = 1) -> np.ndarray:
    """Return a mask ``(N,)`` of the series that have enough values and aren't constant."""
    known = ~np.isnan(values)
    enough = known.sum(axis=1) >= max(LEAST, _CYCLES * season)
    return enough & (np.nanmax(values, axis=1) > np.nanmin(values, axis=1))
