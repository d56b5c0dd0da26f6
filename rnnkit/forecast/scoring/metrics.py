"""Metrics of forecasts, over the known values, and tests of residuals for autocorrelation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import chdtrc

from rnnkit.arguments import whole
from rnnkit.arrays import with_gaps
from rnnkit.docstrings import described_as
from rnnkit.hints import Array


def mean_absolute_error(actual: Array, forecast: Array) -> float:
    """Compute ``mean |actual - forecast|`` over the values that are not NaN; NaN without any.

    Parameters
    ----------
    actual, forecast : array_like of the same shape
        NaN where a value isn't known.

    Returns
    -------
    float
        In the values' unit; NaN without any.

    Examples
    --------
    >>> mean_absolute_error(np.array([1.0, np.nan, 3.0]), np.array([2.0, 2.0, 5.0]))
    1.5
    """
    return float(_mean(np.abs(np.subtract(with_gaps(actual, "actual"), with_gaps(forecast, "forecast")))))


@described_as(mean_absolute_error)
def root_mean_squared_error(actual: Array, forecast: Array) -> float:
    """Compute ``sqrt(mean (actual - forecast)²)`` over the values that are not NaN.

    Examples
    --------
    >>> root_mean_squared_error(np.array([1.0, np.nan, 3.0]), np.array([2.0, 2.0, 10.0]))
    5.0
    """
    return float(np.sqrt(_mean(np.square(np.subtract(with_gaps(actual, "actual"), with_gaps(forecast, "forecast"))))))


def naive_error(training, season: int | None = None) -> float:
    """Return ``mean |y_t - y_{t-m}|`` of the training part, m the season (Hyndman and Koehler 2006, equation 3.1)."""
    m, training = season or 1, with_gaps(training, "training")
    return mean_absolute_error(training[m:], training[:-m])


@described_as(mean_absolute_error)
def mean_absolute_scaled_error(actual: Array, forecast: Array, training: Array, season: int | None = None) -> float:
    """Compute the mean absolute error over `naive_error` of the training part; NaN where that is 0.

    Hyndman and Koehler (2006).

    Parameters
    ----------
    training : array_like (T,)
        The values before the forecast.
    season : int, optional
        Steps of a season; 1 unless given.

    Returns
    -------
    float
        Below 1 for a forecast better than the naive one within the training part.

    Examples
    --------
    >>> mean_absolute_scaled_error([8.0, 9.0], [7.0, 7.0], [1.0, 2.0, 4.0])
    1.0
    """
    return _ratio(mean_absolute_error(actual, forecast), naive_error(training, season))


@described_as(mean_absolute_scaled_error)
def root_mean_squared_scaled_error(actual: Array, forecast: Array, training: Array, season: int | None = None) -> float:
    """Compute the root mean squared error over the naive forecast's within the training part; NaN where that is 0.

    With a season of 1 that is the measure of the M5 competition (Makridakis, Spiliotis and Assimakopoulos 2022,
    equation 1). A season of m compares with the value m steps before.

    Examples
    --------
    >>> root_mean_squared_scaled_error([8.0, 9.0], [7.0, 2.0], [1.0, 2.0, 9.0])
    1.0
    """
    m, training = season or 1, with_gaps(training, "training")
    return _ratio(root_mean_squared_error(actual, forecast), root_mean_squared_error(training[m:], training[:-m]))


@described_as(mean_absolute_error)
def symmetric_percentage_error(actual: Array, forecast: Array) -> float:
    """Compute the mean of `percentage_terms` over the values that are not NaN: the sMAPE of the M3 competition.

    Returns
    -------
    float
        Between 0 and 200, in percent.

    Examples
    --------
    >>> symmetric_percentage_error([0.0, 1.0, np.nan], [0.0, 3.0, 1.0])
    50.0
    """
    return float(_mean(percentage_terms(with_gaps(actual, "actual"), with_gaps(forecast, "forecast"))))


@described_as(mean_absolute_error)
def pinball_loss(actual: Array, forecast: Array, quantile: float) -> float:
    """Compute the mean of `pinball_terms` over the values that are not NaN.

    Parameters
    ----------
    quantile : float
        Between 0 and 1.

    Examples
    --------
    >>> pinball_loss([1.0, 5.0], [3.0, 3.0], 0.75)
    1.0
    """
    return float(_mean(pinball_terms(with_gaps(actual, "actual"), with_gaps(forecast, "forecast"), quantile)))


def coverage(actual: Array, lower: Any, upper: Any) -> float:
    """Compute the share of values within a band, its edges included, in percent, over the values that are not NaN.

    Parameters
    ----------
    actual, lower, upper : array_like of the same shape

    Returns
    -------
    float
        In percent.

    Examples
    --------
    >>> coverage([1.0, 5.0, np.nan], [0.0, 0.0, 0.0], [2.0, 2.0, 2.0])
    50.0
    """
    lower, upper = with_gaps(lower, "lower"), with_gaps(upper, "upper")
    return float(_mean(coverage_terms(with_gaps(actual, "actual"), lower, upper)))


def autocorrelation(residuals: Array, lags: int) -> np.ndarray:
    """Return the autocorrelation at the lags 1 to `lags` ``(lags,)``, over the values that are not NaN.

    Parameters
    ----------
    residuals : array_like (T,)
        NaN where there is none.
    lags : int

    Returns
    -------
    ndarray (lags,)
        0 for a constant series, and at lags as long as the series.

    Examples
    --------
    >>> autocorrelation([1.0, -1.0, 1.0, -1.0], 2).tolist()
    [-0.75, 0.5]
    """
    values, lags = with_gaps(residuals, "residuals"), whole(lags, "lags", 1)
    if values.ndim != 1:
        raise ValueError(f"expected residuals of shape (time,); got {values.shape}")
    known = ~np.isnan(values)
    off = np.where(known, values - (values[known].mean() if known.any() else 0.0), 0.0)
    power = off @ off
    sums = np.array([off[lag:] @ off[:-lag] for lag in range(1, lags + 1)])
    return sums / power if power > 0 else 0.0 * sums


def ljung_box(residuals: Array, lags: int = 10, parameters: int = 0) -> tuple[float, float]:
    """Compute the test of residuals for autocorrelation of Ljung and Box (1978), "On a measure of lack of fit".

    Parameters
    ----------
    residuals : array_like (T,)
        NaN where there is none.
    lags : int
        k, the number of autocorrelations.
    parameters : int
        Of the model, subtracted from the degrees of freedom.

    Returns
    -------
    tuple of float
        The statistic ``n (n + 2) Σ r_i² / (n - i)`` over the lags i, with n values that are not NaN, and its p-value by
        the chi-square distribution of ``k - parameters`` degrees of freedom; a small one tells of autocorrelation. NaN
        for fewer than k + 1 values, or without a degree of freedom.

    Examples
    --------
    >>> statistic, p_value = ljung_box(np.sin(np.arange(50.0)), lags=5)
    >>> p_value < 0.01
    True
    """
    r, count = autocorrelation(residuals, lags), int((~np.isnan(with_gaps(residuals, "residuals"))).sum())
    if count <= lags or lags <= parameters:
        return np.nan, np.nan
    statistic = count * (count + 2) * float((r**2 / (count - np.arange(1, lags + 1))).sum())
    return statistic, float(chdtrc(lags - parameters, statistic))


def percentage_terms(actual, forecast) -> np.ndarray:
    """Compute ``200 |y - f| / (|y| + |f|)`` of each value, 0 where both are 0 (Makridakis 1993, as in M3)."""
    size = np.abs(actual) + np.abs(forecast)
    return 200 * np.abs(actual - forecast) / np.where(size == 0, 1.0, size)


def pinball_terms(actual, forecast, quantile: float) -> np.ndarray:
    """Compute ``max(q (y - f), (q - 1) (y - f))`` of each value (Koenker and Bassett 1978, equation 3.1)."""
    return np.maximum(quantile * (actual - forecast), (quantile - 1) * (actual - forecast))


def coverage_terms(actual, lower, upper) -> np.ndarray:
    """Return 100 for each value within its band, otherwise 0; NaN where one of the three is."""
    return np.where(np.isnan(actual + lower + upper), np.nan, 100.0 * ((lower <= actual) & (actual <= upper)))


def _ratio(error, scale) -> float:
    return error / scale if scale else np.nan


def _mean(terms) -> float:
    known = ~np.isnan(terms)
    return np.mean(terms[known]) if known.any() else np.nan
