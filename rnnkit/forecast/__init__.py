"""Networks that forecast, back-tests, and the command ``rnnkit forecast``."""

from __future__ import annotations

import importlib

_PLACES = {
    "Auto": "models.auto",
    "Autoregression": "models.autoregression",
    "BackTest": "scoring.backtest",
    "Forecast": "command.report",
    "ForecastReport": "command.report",
    "TrainedForecaster": "models.trained",
    "ESN": "models.echo_state",
    "GlobalRNN": "models.global_rnn",
    "ExponentialSmoothing": "models.exponential_smoothing",
    "Theta": "models.theta",
    "Series": "data.series",
    "back_test": "scoring.backtest",
    "cross_validation": "scoring.validation",
    "coverage": "scoring.metrics",
    "evaluate": "scoring.evaluation",
    "find_season": "fitting.season",
    "forecast_from_file": "command.report",
    "backtest_and_forecast": "command.report",
    "mean_absolute_error": "scoring.metrics",
    "mean_absolute_scaled_error": "scoring.metrics",
    "naive": "models.baselines",
    "pinball_loss": "scoring.metrics",
    "read_series": "data.series",
    "read_table": "data.files",
    "root_mean_squared_error": "scoring.metrics",
    "root_mean_squared_scaled_error": "scoring.metrics",
    "seasonal_naive": "models.baselines",
    "symmetric_percentage_error": "scoring.metrics",
    "write_table": "data.files",
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


def __dir__():
    return sorted(__all__)
