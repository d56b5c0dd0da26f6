"""Networks that forecast, back-tests, and the command ``rnnkit forecast``."""

from __future__ import annotations

import importlib

_PLACES = {
    "ESN": "models.echo_state",
    "Auto": "models.auto",
    "Autoregression": "models.autoregression",
    "BackTest": "scoring.backtest",
    "ExponentialSmoothing": "models.exponential_smoothing",
    "Forecast": "command.report",
    "ForecastReport": "command.report",
    "GlobalRNN": "models.global_rnn",
    "Series": "data.series",
    "Theta": "models.theta",
    "TrainedForecaster": "models.trained",
    "back_test": "scoring.backtest",
    "backtest_and_forecast": "command.report",
    "coverage": "scoring.metrics",
    "cross_validation": "scoring.validation",
    "evaluate": "scoring.evaluation",
    "find_season": "fitting.season",
    "forecast_from_file": "command.report",
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

__all__ = list(_PLACES)


def __getattr__(name: str):
    """Import a name on first access, so that the command answers ``--version`` without importing a network."""
    if name in _PLACES:
        return getattr(importlib.import_module(f"rnnkit.forecast.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'rnnkit.forecast' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
