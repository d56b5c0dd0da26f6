"""Tests of residuals for autocorrelation."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc

from rnnkit.arguments import whole
from rnnkit.arrays import with_gaps
from rnnkit.hints import Array


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
