"""How far forecasts were off, over whatever has a known value."""

from __future__ import annotations

import numpy as np

from rnnkit.arrays import with_gaps


def mean_absolute_error(actual, forecast) -> float:
    """``mean |actual - forecast|`` over the values that are not NaN.

    >>> mean_absolute_error(np.array([1.0, np.nan, 3.0]), np.array([2.0, 2.0, 5.0]))
    1.5
    """
    return float(np.nanmean(np.abs(np.subtract(with_gaps(actual, "actual"), with_gaps(forecast, "forecast")))))


def root_mean_squared_error(actual, forecast) -> float:
    """``sqrt(mean (actual - forecast)²)`` over the values that are not NaN.

    >>> root_mean_squared_error(np.array([1.0, np.nan, 3.0]), np.array([2.0, 2.0, 10.0]))
    5.0
    """
    return float(
        np.sqrt(np.nanmean(np.square(np.subtract(with_gaps(actual, "actual"), with_gaps(forecast, "forecast")))))
    )


def naive_error(training, season: int | None = None) -> float:
    """What the mean absolute scaled error divides by (Hyndman and Koehler 2006, equation 3.1, and its seasonal form).

    The mean of ``|y_t - y_{t-m}|`` within the training part, where both are known; m is the season, or 1.

    >>> naive_error(np.array([1.0, 2.0, 4.0, np.nan, 7.0]))
    1.5
    >>> naive_error(np.array([1.0, 2.0, 4.0, np.nan, 7.0]), season=2)
    3.0
    """
    m, training = season or 1, with_gaps(training, "training")
    return mean_absolute_error(training[m:], training[:-m])
