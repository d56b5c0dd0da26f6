"""The last cycle of a season once more, as a member of a combination."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.fitting.decomposition import known_means
from rnnkit.forecast.fitting.profiles import from_the_end, in_cycles
from rnnkit.forecast.models.forecaster import Ahead


class LastCycle:
    """The forecasts of many series by their last values known at the same step of a season, or by their last ones."""

    def __init__(self, season: int):
        self.season = season

    def _fitted(self, values, lengths) -> dict[str, np.ndarray]:
        moves = values[:, self.season :] - values[:, : -self.season]
        return {"size": np.sqrt(known_means(moves**2))}

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        cycles = in_cycles(from_the_end(values, lengths), self.season)  # (N, cycles, m)
        latest = np.take_along_axis(cycles, np.argmax(~np.isnan(cycles), axis=1)[:, None], axis=1)[:, 0]
        places = np.argmax(~np.isnan(latest), axis=1)[:, None]
        latest = np.where(np.isnan(latest), np.take_along_axis(latest, places, axis=1), latest)
        ahead, steps = latest[:, ::-1], np.arange(h)
        spread = fitted["size"][:, None] * np.sqrt(1 + steps // self.season)
        return Ahead(ahead[:, steps % self.season], spread, np.zeros(len(values), bool))

    def _within(self, values, lengths, fitted, h) -> Ahead:
        before = np.pad(values, ((0, 0), (self.season, 0)), constant_values=np.nan)[:, : values.shape[1]]
        spread = np.broadcast_to(fitted["size"][:, None], values.shape)
        return Ahead(before, spread, np.zeros(len(values), bool))
