"""Ridge regression on a long series' recent values and season terms, one for each lead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rnnkit.forecast.fitting.decomposition import known_sums
from rnnkit.forecast.fitting.profiles import Profiles, are_apart, periods_of
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import refined_period
from rnnkit.forecast.fitting.shortcut import ROWS, Shortcut, hold
from rnnkit.forecast.models.forecaster import Ahead, SeasonalForecaster, with_arguments

LEAST, _CYCLES = 48, 3  # least values for a regression, and least cycles of the first season
_SEASONS, _LAGS = 1.5, 18  # lags, in seasons or in steps without a season
_PER_LAG = 3  # least values for each lag
_BEYOND = 2.0  # range of forecast logarithms beyond those known, in units of their range


@with_arguments
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

    season: int | Sequence[int] | None = None
    future_covariates: Sequence[str] = ()
    _takes_seasons = True

    def _fitted(self, values, lengths) -> dict[str, np.ndarray]:
        return {"able": able(values, periods_of(self.season)[0])}

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        if h is None:
            return self._within(values, lengths, fitted)
        held, known = hold(values), ~np.isnan(values)
        moves = np.diff(held, axis=1)
        count = known.sum(axis=1) - 1
        size = np.where(count > 0, known_sums(moves**2) / np.maximum(count, 1), held[:, -1] ** 2)
        spread = np.sqrt(np.where((count > 0) | (size > 0), size, 1.0)[:, None] * np.arange(1, h + 1))
        forecast = np.repeat(held[:, -1:], h, axis=1)
        ends = values.shape[1] - np.argmax(known[:, ::-1], axis=1)
        for rows in self._alike(values, fitted["able"], ends, lengths - ends):
            end = ends[rows[0]]
            found = self._many(values[rows, :end], h + int(lengths[rows[0]] - end))
            forecast[rows], spread[rows] = found[:, :, -h:]
        return Ahead(forecast, spread, np.zeros(len(values), bool))

    def _within(self, values, lengths, fitted) -> Ahead:
        forecast, spread = np.full((2, *values.shape), np.nan)
        held = np.where(np.cumsum(~np.isnan(values), axis=1) > 0, hold(values), np.nan)
        for row, length in enumerate(lengths):
            if not fitted["able"][row]:
                forecast[row, 1:] = held[row, :-1]
                spread[row] = np.sqrt(np.nanmean(np.diff(held[row]) ** 2)) if length > 1 else np.nan
        for rows in self._alike(values, fitted["able"], lengths):
            length = lengths[rows[0]]
            forecast[rows, 1:length], spread[rows, 1:length] = self._many(values[rows, :length], 1, within=True)
        return Ahead(forecast, spread, np.zeros(len(values), bool))

    def _alike(self, values, able, ends, *keys) -> Iterator[np.ndarray]:
        """Yield rows of the series `able` with the same ends and other keys, apart from those with gaps."""
        rows = np.flatnonzero(able)
        gaps = np.isnan(values[rows]).sum(axis=1) > values.shape[1] - ends[rows]
        _, group = np.unique(np.stack([gaps, ends[rows], *(key[rows] for key in keys)]), axis=1, return_inverse=True)
        order = np.argsort(group, kind="stable")
        for part in np.split(rows[order], np.flatnonzero(np.diff(group[order])) + 1):
            each = max(1, ROWS // (2 * int(ends[part[0]]))) if len(part) else 1
            yield from np.split(part, range(each, len(part), each)) if len(part) else ()

    def _many(self, values, h, within: bool = False) -> np.ndarray:
        """Return forecasts and spreads ``(2, N, h)`` of series that end with a value, or `within` ``(2, N, T - 1)``."""
        least = np.nanmin(values, axis=1)
        raw, positive, counts = least != 0, least > 0, least == 0
        logs = np.log(values[positive])
        every = np.concatenate([values[raw], logs, np.sqrt(values[counts])])
        plain, of_logs, roots = np.split(self._of_scale(every, h, within), [raw.sum(), raw.sum() + len(logs)], axis=1)
        low, high = np.nanmin(logs, axis=1)[:, None], np.nanmax(logs, axis=1)[:, None]
        forecast, spread = of_logs
        forecast = np.exp(np.clip(forecast, low - _BEYOND * (high - low), high + _BEYOND * (high - low)))
        found = np.empty((2, len(values), plain.shape[2]))
        found[:, raw] = plain
        found[:, positive] = (found[:, positive] + np.stack([forecast, forecast * np.minimum(spread, 1.0)])) / 2
        forecast, spread = np.maximum(roots[0], 0.0), roots[1]
        found[:, counts] = np.stack([forecast**2, (2 * forecast + spread) * spread])
        return found

    def _of_scale(self, values, h, within: bool) -> np.ndarray:
        """Return forecasts and spreads of values, logarithms or roots, as `_many`."""
        periods, lengths = periods_of(self.season), np.full(len(values), values.shape[1])
        if not are_apart(periods):
            return _recent(values, periods[0], h, within)
        apart = Profiles.of(values, lengths, periods, kinds=False)
        found = np.empty((2, len(values), values.shape[1] - 1 if within else h))
        for first in np.unique(apart.found[:, 0]):
            rows = apart.found[:, 0] == first
            found[:, rows] = _recent(apart.rest[rows], periods[0], h, within, first)
        found[0] += apart.inside[:, 1:] if within else apart.seasons(h)
        return found


def _recent(values, season: int, h: int, within: bool, apart: bool = False) -> np.ndarray:
    """Return forecasts and spreads by the last values, and season terms unless the season is `apart`; see `_many`."""
    scale, length = Scale.of(values), values.shape[1]
    if (alone := length > ROWS or np.isnan(values).any()) and len(values) > 1:
        return np.concatenate([_recent(one[None], season, h, within, apart) for one in values], axis=1)
    times = np.broadcast_to(np.arange(length), values.shape)
    z = scale.standardise(values, times)
    learned = min(h, length // 4)
    waves = 0 if apart else min(2, season // 2)
    period = refined_period(z, season, each=True) if waves else 0.0
    shortcut = Shortcut(learned, _lags(season, length), waves, period)
    said = (shortcut.fit if alone else shortcut.fit_each)(z, times).changes(z, times)
    width = np.sqrt(np.nanmean(shortcut.errors(z, said) ** 2, axis=1))
    ahead, steps = hold(z)[..., None] + said, _repeated(h, learned, season)
    at = np.arange(1, length) if within else length + np.arange(h)
    one = ahead[:, :-1, 0] if within else ahead[:, -1, steps]
    sizes = width[:, :1] if within else width[:, steps]
    return np.stack([scale.restore(one, at), scale.spread[:, None] * np.broadcast_to(sizes, one.shape)])


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
