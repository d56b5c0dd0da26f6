"""The last cycle of a season once more, as a member of a combination."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.fitting.decomposition import known_means
from rnnkit.forecast.fitting.shortcut import hold
from rnnkit.forecast.models.forecaster import Ahead


class LastCycle:
    """Forecasts by the values of one season before, or the last one without any; a gap has the value before it."""

    def __init__(self, season: int):
        self.season = season

    def _fitted(self, values, lengths) -> dict[str, np.ndarray]:
        moves = values[:, self.season :] - values[:, : -self.season]
        return {"size": np.sqrt(known_means(moves**2))}

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        steps, last = np.arange(h), lengths[:, None] - 1
        places = last + 1 - self.season + steps % self.season
        forecast = np.take_along_axis(hold(values), np.where(places < 0, last, places), axis=1)
        spread = fitted["size"][:, None] * np.sqrt(1 + steps // self.season)
        return Ahead(forecast, spread, np.zeros(len(values), bool))

    def _within(self, values, lengths, fitted, h) -> Ahead:
        before = np.pad(values, ((0, 0), (self.season, 0)), constant_values=np.nan)[:, : values.shape[1]]
        spread = np.broadcast_to(fitted["size"][:, None], values.shape)
        return Ahead(before, spread, np.zeros(len(values), bool))
