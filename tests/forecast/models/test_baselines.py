"""Naive forecasts."""

import numpy as np

from rnnkit.forecast.models.baselines import naive, seasonal_naive


def test_seasonal_naive_goes_back_over_gaps():
    history = np.array([1.0, np.nan, 3.0, 4.0, np.nan, 6.0])
    assert seasonal_naive(history, 7, season=3).tolist() == [4, 6, 6, 4, 6, 6, 4]
    assert naive(history, 2).tolist() == [6, 6]


def test_seasonal_naive_repeats_a_season():
    history = np.arange(24.0) % 12
    assert seasonal_naive(history, 15, season=12).tolist() == [*range(12), 0, 1, 2]
