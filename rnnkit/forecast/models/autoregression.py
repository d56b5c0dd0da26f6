"""Ridge regression on a long series' recent values and season terms, one for each lead."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import refined_period
from rnnkit.forecast.fitting.shortcut import Shortcut, hold
from rnnkit.forecast.models.forecaster import Ahead, SeasonalForecaster

LEAST = 120  # least values for a regression
_SEASONS, _LAGS = 1.5, 18  # lags, in seasons or in steps without a season


class Autoregression(SeasonalForecaster):
    """A direct autoregression: from the last values to each lead by a ridge regression of its own.

    A straight line is subtracted first. The regressions are those of `rnnkit.forecast.fitting.shortcut.Shortcut`; their
    strength and the use of season terms are chosen on the third and the fourth quarter of a series. They are
    solved where the horizon is known, so each forecast uses all values up to then. A series of fewer than 120 values
    holds its last value.

    Parameters
    ----------
    season : int, optional
        Steps of a season, 1 for none; by default inferred from a table's times, and none for arrays.
    future_covariates : sequence of str
        As `ExponentialSmoothing` takes them.

    Examples
    --------
    >>> wave = np.sin(np.arange(200) * 0.3)
    >>> bool(np.abs(Autoregression().fit(wave).predict(2) - np.sin([60.0, 60.3])).max() < 0.01)
    True
    """

    def _fitted(self, values, lengths) -> dict[str, np.ndarray]:
        return {"able": able(values)}

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
        season, learned = self.season or 1, min(h, len(values) // 4)
        scale, ahead, width = self._regressed(values, learned)
        # Leads that can't be fitted repeat the last step or the last season.
        steps = np.arange(h)
        cycle = min(season, learned)
        steps = np.where(steps < learned, steps, learned - cycle + (steps - learned) % cycle)
        at = len(values) + np.arange(h)
        return np.stack([scale.restore(ahead[-1:, steps], at[None])[0], scale.spread[0] * width[steps]])

    def _regressed(self, values, leads: int) -> tuple[Scale, np.ndarray, np.ndarray]:
        """Return the scale, the standardized forecasts after each step ``(T, leads)``, and their errors' sizes."""
        scale, season = Scale(values[None]), self.season or 1
        times = np.arange(len(values))[None]
        z = scale.standardise(values[None], times)
        lags = min(int(np.ceil(_SEASONS * season)) if season > 1 else _LAGS, len(values) // 3)
        period = refined_period(z, season) if season > 1 else 0.0
        shortcut = Shortcut(leads, lags, min(2, season // 2), period).fit(z, times)
        said = shortcut.changes(z, times)
        return scale, hold(z)[0, :, None] + said[0], np.sqrt(np.nanmean(shortcut.errors(z, said)[0] ** 2, axis=0))

    def _within(self, values, lengths, fitted, h) -> Ahead:
        forecast, spread = np.full((2, *values.shape), np.nan)
        held = np.where(np.cumsum(~np.isnan(values), axis=1) > 0, hold(values), np.nan)
        for row, length in enumerate(lengths):
            if fitted["able"][row]:
                scale, ahead, width = self._regressed(values[row, :length], 1)
                steps = np.arange(1, length)
                forecast[row, 1:length] = scale.restore(ahead[None, :-1, 0], steps[None])[0]
                spread[row, 1:length] = scale.spread[0] * width[0]
            else:
                forecast[row, 1:] = held[row, :-1]
                spread[row] = np.sqrt(np.nanmean(np.diff(held[row]) ** 2)) if length > 1 else np.nan
        return Ahead(forecast, spread, np.zeros(len(values), bool))


def able(values) -> np.ndarray:
    """Return a mask ``(N,)`` of the series that have enough values and aren't constant."""
    known = ~np.isnan(values)
    enough = known.sum(axis=1) >= LEAST
    return enough & (np.nanmax(values, axis=1) > np.nanmin(values, axis=1))
