"""Classical decomposition of many series at once: a centred moving average, seasonal factors, and a test for them."""

from __future__ import annotations

import numpy as np

_DEVIATE = 1.6448536269514722  # the normal distribution's 95 % quantile: a two-sided test at 10 %


def known_sums(values: np.ndarray) -> np.ndarray:
    """Return the sum of each row's known values ``(N,)``, added in order, so that padding with NaN changes no bit."""
    return (
        np.cumsum(np.where(np.isnan(values), 0.0, values), axis=1)[:, -1] if values.shape[1] else np.zeros(len(values))
    )


def known_means(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row's values ``(N,)`` that aren't NaN, 0 without any; see `known_sums`."""
    return known_sums(values) / np.maximum((~np.isnan(values)).sum(axis=1), 1)


def moving_average(values: np.ndarray, period: int) -> np.ndarray:
    """Return the centred moving average over a season, ``(N, T)``; over an even period the two ends count half.

    NaN within half a season of a row's first and last value, and where less than half of the weights have one (Hyndman
    and Athanasopoulos 2021, "Forecasting: principles and practice", section 3.3).
    """
    weights = np.ones(period + 1 - period % 2)
    if period % 2 == 0:
        weights[[0, -1]] = 0.5
    half, average = len(weights) // 2, np.full(values.shape, np.nan)
    if values.shape[1] < len(weights):
        return average
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    total, weight = np.zeros((2, len(values), values.shape[1] - 2 * half))
    for lag, w in enumerate(weights):
        end = lag + total.shape[1]
        total += w * filled[:, lag:end]
        weight += w * known[:, lag:end]
    middle = np.arange(half, half + total.shape[1])
    after = values.shape[1] - np.argmax(known[:, ::-1], axis=1)
    inside = (np.argmax(known, axis=1)[:, None] <= middle - half) & (middle + half < after[:, None])
    enough = inside & (weight >= period / 2)
    average[:, half : half + total.shape[1]] = np.where(enough, total / np.maximum(weight, 0.5), np.nan)
    return average


def seasonal_factors(values: np.ndarray, period: int, multiplicative: bool, seasons: int | None = None) -> np.ndarray:
    """Return each series' seasonal factors by classical decomposition, ``(N, m)``, for the steps 0, 1, … of a season.

    Ratios to the moving average, of mean 1, if `multiplicative`, otherwise differences, of mean 0; of the first
    `seasons`, or of all. Ones or zeros for a series that is too short, or whose ratios aren't all positive.
    """
    average, length = moving_average(values, period), values.shape[1]
    last = length if seasons is None else min(length, (seasons + 1) * period)
    with np.errstate(all="ignore"):
        apart = values / average if multiplicative else values - average
    apart[:, last:] = np.nan
    padded = np.full((len(values), -(-length // period) * period), np.nan)
    padded[:, :length] = np.where(np.isfinite(apart), apart, np.nan)
    steps = padded.reshape(len(values), -1, period)
    known = (~np.isnan(steps)).sum(axis=1)
    factors = np.nansum(steps, axis=1) / np.maximum(known, 1)
    found = (known > 0).all(axis=1)
    if multiplicative:
        mean = factors.mean(axis=1, keepdims=True)
        factors = factors / np.where(mean > 0, mean, 1.0)
        found &= (factors > 0.01).all(axis=1)
        return np.where(found[:, None], factors, 1.0)
    return np.where(found[:, None], factors - factors.mean(axis=1, keepdims=True), 0.0)


def is_seasonal(values: np.ndarray, period: int) -> np.ndarray:
    """Return whether the autocorrelation at the season's lag is significant, ``(N,)``.

    The test of Fiorucci et al. (2016), section 4.1: ``|r_m| > q sqrt((1 + 2 Σ_{i<m} r_i²) / n)`` with the normal
    distribution's 95 % quantile q, for series of more than two seasons. A trend raises every r_i and so hides a season;
    the test is therefore applied to the values, and to their residuals from a straight line.
    """
    return _is_significant(values, period) | _is_significant(values - _line(values), period)


def _line(values) -> np.ndarray:
    times = np.where(np.isnan(values), np.nan, np.arange(values.shape[1], dtype=np.float64))
    off = times - known_means(times)[:, None]
    power = known_sums(off**2)
    slope = known_sums(off * values) / np.where(power > 0, power, 1.0)
    return known_means(values)[:, None] + slope[:, None] * off


def _is_significant(values, period) -> np.ndarray:
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    centred = np.where(known, values - known_means(values)[:, None], 0.0)
    power = known_sums(centred**2)
    lags = range(1, min(period, values.shape[1] - 1) + 1)
    r = np.stack([known_sums(centred[:, lag:] * centred[:, :-lag]) for lag in lags] or [0 * power], axis=1)
    r /= np.where(power > 0, power, 1.0)[:, None]
    bound = _DEVIATE * np.sqrt((1 + 2 * (r[:, :-1] ** 2).sum(axis=1)) / np.maximum(count, 1))
    return (count > 2 * period) & (power > 0) & (np.abs(r[:, -1]) > bound)
