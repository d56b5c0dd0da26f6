"""Baseline forecasts, and the last cycle of a season once more as a member of a combination."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.docstrings import described_as
from rnnkit.forecast.fitting.decomposition import known_means
from rnnkit.forecast.fitting.shortcut import hold
from rnnkit.forecast.models.forecaster import Ahead


def naive(history: Any, horizon: int) -> np.ndarray:
    """Return the last value known, again and again.

    Parameters
    ----------
    history : ndarray (T,)
        NaN in gaps.
    horizon : int
        H, the number of steps to forecast.

    Returns
    -------
    ndarray (H,)

    Examples
    --------
    >>> naive(np.array([1.0, 5.0, np.nan]), 2).tolist()
    [5.0, 5.0]
    """
    return np.full(horizon, history[~np.isnan(history)][-1])


@described_as(naive)
def seasonal_naive(history: Any, horizon: int, season: int) -> np.ndarray:
    """Return the value known a season ago, or more seasons where that one is a gap.

    Where no season has a value, the last one known.

    Parameters
    ----------
    season : int
        Steps of a season.

    Examples
    --------
    >>> seasonal_naive(np.array([1.0, 2.0, 3.0, 4.0, np.nan, 6.0]), 4, season=3).tolist()
    [4.0, 2.0, 6.0, 4.0]
    """
    forecast = naive(history, horizon)
    for lead in range(horizon):
        same_phase = history[::-1][season - 1 - lead % season :: season]
        known = same_phase[~np.isnan(same_phase)]
        if len(known):
            forecast[lead] = known[0]
    return forecast


class LastCycle:
    """Forecasts by the values of one season before, or the last one without any; a gap has the value before it."""

    def __init__(self, season: int):
        self.season = season

    def _fitted(self, values, lengths) -> dict[str, np.ndarray]:
        moves = values[:, self.season :] - values[:, : -self.season]
        return {"size": np.sqrt(known_means(moves**2))}

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        if h is None:
            before = np.pad(values, ((0, 0), (self.season, 0)), constant_values=np.nan)[:, : values.shape[1]]
            return Ahead(before, np.broadcast_to(fitted["size"][:, None], values.shape), np.zeros(len(values), bool))
        steps, last = np.arange(h), lengths[:, None] - 1
        places = last + 1 - self.season + steps % self.season
        forecast = np.take_along_axis(hold(values), np.where(places < 0, last, places), axis=1)
        spread = fitted["size"][:, None] * np.sqrt(1 + steps // self.season)
        return Ahead(forecast, spread, np.zeros(len(values), bool))
