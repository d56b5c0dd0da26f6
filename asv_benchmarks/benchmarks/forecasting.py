"""Forecasters of panels: a fit and a forecast."""

# smoke: forecasting.Panel.time_forecast\('Theta', 1\)

import numpy as np

import rnnkit as rk

MODELS = ("Theta", "ExponentialSmoothing", "GlobalRNN", "Auto")
SEASON, STEPS, HORIZON = 12, 96, 12


def panel(count: int) -> list[np.ndarray]:
    """Series of months with trends and seasons, all of different lengths."""
    rng, month = np.random.default_rng(0), np.arange(STEPS)
    wave = 10 * np.sin(2 * np.pi * month / SEASON)
    return [100 + wave[: STEPS - i % 30] + rng.normal(size=STEPS - i % 30).cumsum() for i in range(count)]


class Panel:
    """Series of up to eight years of months, by the model and by how many there are."""

    params = (MODELS, (1, 100))
    param_names = ("model", "series")

    def setup(self, model, series):
        self.panel = panel(series)
        self.model = getattr(rk.forecast, model)(SEASON)
        self.time_forecast(model, series)

    def time_forecast(self, model, series):
        self.model.fit(self.panel).predict(HORIZON)
