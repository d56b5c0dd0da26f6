"""Networks that forecast, back-tests, and the command ``rnnkit forecast``."""

from __future__ import annotations

import importlib

_PLACES = {
    "Auto": "auto",
    "Autoregression": "autoregression",
    "BackTest": "backtest",
    "Forecast": "report",
    "ForecastReport": "report",
    "TrainedForecaster": "trained",
    "ESN": "echo_state",
    "GlobalRNN": "global_rnn",
    "ExponentialSmoothing": "exponential_smoothing",
    "Theta": "theta",
    "Series": "series",
    "back_test": "backtest",
    "cross_validation": "validation",
    "coverage": "metrics",
    "evaluate": "evaluation",
    "find_season": "season",
    "forecast_from_file": "report",
    "backtest_and_forecast": "report",
    "mean_absolute_error": "metrics",
    "mean_absolute_scaled_error": "metrics",
    "naive": "baselines",
    "pinball_loss": "metrics",
    "read_series": "series",
    "read_table": "files",
    "root_mean_squared_error": "metrics",
    "root_mean_squared_scaled_error": "metrics",
    "seasonal_naive": "baselines",
    "symmetric_percentage_error": "metrics",
    "write_table": "files",
}

__all__ = [
    "ESN",
    "Auto",
    "Autoregression",
    "BackTest",
    "ExponentialSmoothing",
    "Forecast",
    "ForecastReport",
    "GlobalRNN",
    "Series",
    "Theta",
    "TrainedForecaster",
    "back_test",
    "backtest_and_forecast",
    "coverage",
    "cross_validation",
    "evaluate",
    "find_season",
    "forecast_from_file",
    "mean_absolute_error",
    "mean_absolute_scaled_error",
    "naive",
    "pinball_loss",
    "read_series",
    "read_table",
    "root_mean_squared_error",
    "root_mean_squared_scaled_error",
    "seasonal_naive",
    "symmetric_percentage_error",
    "write_table",
]


def __getattr__(name: str):
    """Import each name where it is asked for: the command answers ``--version`` without a network."""
    if name in _PLACES:
        return getattr(importlib.import_module(f"rnnkit.forecast.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'rnnkit.forecast' has no attribute {name!r}")
