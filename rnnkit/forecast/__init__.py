"""Networks that forecast, back-tests, and the command ``rnnkit forecast``."""

from __future__ import annotations

import importlib

from rnnkit.forecast.registry import MODULES

_PLACES = {name: f"models.{module}" for name, module in MODULES.items()} | {
    "Series": "data.files",
    "autocorrelation": "scoring.metrics",
    "coverage": "scoring.metrics",
    "cross_validation": "scoring.validation",
    "evaluate": "scoring.evaluation",
    "find_season": "fitting.season",
    "ljung_box": "scoring.metrics",
    "mean_absolute_error": "scoring.metrics",
    "mean_absolute_scaled_error": "scoring.metrics",
    "naive": "models.baselines",
    "pinball_loss": "scoring.metrics",
    "read_series": "data.files",
    "read_table": "data.files",
    "reconcile": "fitting.hierarchy",
    "root_mean_squared_error": "scoring.metrics",
    "root_mean_squared_scaled_error": "scoring.metrics",
    "seasonal_naive": "models.baselines",
    "symmetric_percentage_error": "scoring.metrics",
    "write_table": "data.files",
}

__all__ = sorted(_PLACES, key=lambda name: (not name.isupper(), name))  # as isort orders them


def __getattr__(name: str):
    """Import a name on first access, so that the command answers ``--version`` without importing a network."""
    if name in _PLACES:
        return getattr(importlib.import_module(f"rnnkit.forecast.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'rnnkit.forecast' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
