"""Baseline forecasts."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.docstrings import described_as


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
