"""Networks that forecast, back-tests, and the command ``rnnkit forecast``."""

from __future__ import annotations

import importlib

_PLACES = {
    "BackTest": "backtest",
    "Forecast": "report",
    "ForecastReport": "report",
    "TrainedForecaster": "trained",
    "ESN": "echo_state",
    "ExponentialSmoothing": "exponential_smoothing",
    "Theta": "theta",
    "Series": "series",
    "back_test": "backtest",
    "find_season": "season",
    "forecast_from_file": "report",
    "backtest_and_forecast": "report",
    "mean_absolute_error": "metrics",
    "naive": "baselines",
    "read_series": "series",
    "root_mean_squared_error": "metrics",
    "seasonal_naive": "baselines",
}

__all__ = [
    "ESN",
    "BackTest",
    "ExponentialSmoothing",
    "Forecast",
    "ForecastReport",
    "Series",
    "Theta",
    "TrainedForecaster",
    "back_test",
    "backtest_and_forecast",
    "find_season",
    "forecast_from_file",
    "mean_absolute_error",
    "naive",
    "read_series",
    "root_mean_squared_error",
    "seasonal_naive",
]


def __getattr__(name: str):
    """Import each name where it is asked for: the command answers ``--version`` without a network."""
    if name in _PLACES:
        return getattr(importlib.import_module(f"rnnkit.forecast.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'rnnkit.forecast' has no attribute {name!r}")
