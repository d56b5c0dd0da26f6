"""Forecasters of panels: a fit and a forecast."""

# smoke: forecasting.Panel.track_seconds\('Theta, 1 series'\)

import numpy as np

import rnnkit as rk

from .measure import Timed

SEASON, STEPS, HORIZON = 12, 96, 12


def panel(count: int) -> list[np.ndarray]:
    """Return series of months with trends and seasons, all of different lengths."""
    rng, month = np.random.default_rng(0), np.arange(STEPS)
    wave = 10 * np.sin(2 * np.pi * month / SEASON)
    return [100 + wave[: STEPS - i % 30] + rng.normal(size=STEPS - i % 30).cumsum() for i in range(count)]


class Panel(Timed):
    """Series of up to eight years of months, by the model and by how many there are."""

    params = [
        "Theta, 1 series",
        "Theta, 100 series",
        "ExponentialSmoothing, 20 series",
        "Auto, 1 series",
        "Auto, 20 series",
    ]
    param_names = ("model",)

    def make(self, case):
        name, _, count = case.partition(", ")
        series, model = panel(int(count.split()[0])), getattr(rk.forecast, name)(SEASON)
        return lambda: model.fit(series).predict(HORIZON)
