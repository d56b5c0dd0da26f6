"""Distributions of intermittent demand: a demand comes with some chance, and has the size of one of the past."""

from __future__ import annotations

import numpy as np

from rnnkit.forecast.fitting.decomposition import known_means

_APART = 1.32  # mean steps between demands, from which Syntetos, Boylan and Croston (2005) call a series intermittent
_LEAST = 4  # values of an intermittent series
_NEAR = 1e-9  # a level, by which rounding can't move an edge to the next size


def is_intermittent(values) -> np.ndarray:
    """Return a mask ``(N,)`` of the intermittent series: no value is negative, and most steps are without demand.

    The mean interval between demands, from the first one on, is 1.32 steps or more, as in the classes "intermittent"
    and "lumpy" of Syntetos, Boylan and Croston (2005), "On the categorization of demand patterns".
    """
    known, came = ~np.isnan(values), values > 0
    since = known & (np.arange(values.shape[1]) >= np.argmax(came, axis=1)[:, None])
    sparse = since.sum(axis=1) >= _APART * came.sum(axis=1)
    return sparse & (known.sum(axis=1) >= _LEAST) & ~(values < 0).any(axis=1)


class Demands:
    """The distributions of the next demands: past values ``(N, T)``, means of what comes ``(N, H)``.

    The chance of a demand is the mean over the mean size of past demands. A size is one of those of the past with equal
    chances; if the mean exceeds their mean, there is always a demand, and all sizes grow with it.
    """

    def __init__(self, values, mean):
        came = values > 0
        self.count = came.sum(axis=1)[:, None]
        self.sizes = np.sort(np.where(came, values, np.inf), axis=1)
        size = known_means(np.where(came, values, np.nan))[:, None]
        ratio = mean / np.where(size > 0, size, np.inf)
        self.mean, self.chance, self.scale = mean, np.minimum(ratio, 1.0), np.maximum(ratio, 1.0)

    def quantiles(self, level) -> np.ndarray:
        """Return the quantiles ``(N, H)`` of a level in [0, 1], or of one for each mean."""
        chance = np.where(self.chance > 0, self.chance, np.inf)
        place = np.ceil((1 - (1 - level) / chance) * self.count).astype(int) - 1
        size = np.take_along_axis(self.sizes, np.clip(place, 0, np.maximum(self.count - 1, 0)), axis=1)
        return np.where((level > 1 - self.chance) & (self.count > 0), size, 0.0) * self.scale

    def band(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the edges ``(N, H)`` of a band with the mean in it: central, or from 0 on where 0 is too likely."""
        upper = np.minimum((1 + level) / 2, np.maximum(level, self.chance))
        edges = self.quantiles((1 - level) / 2 - _NEAR), self.quantiles(upper + _NEAR)
        return np.minimum(edges[0], self.mean), np.maximum(edges[1], self.mean)

    def levels(self, came) -> np.ndarray:
        """Return the least levels ``(N, H)`` of bands that contain the values which came; NaN where there is none."""
        below, upto = np.empty((2, *came.shape))
        for lead in range(came.shape[1]):
            sizes = self.sizes * self.scale[:, lead, None]
            below[:, lead] = (sizes < came[:, lead, None]).sum(axis=1)
            upto[:, lead] = (sizes <= came[:, lead, None]).sum(axis=1)
        count = np.maximum(self.count, 1)
        lower = np.where(came > 0, 1 - self.chance + self.chance * below / count, 0.0)
        upper = 1 - self.chance + self.chance * upto / count
        above = np.where(lower > self.chance, lower, 2 * lower - 1)
        needed = np.maximum(np.where(came <= self.mean, 0.0, above), np.where(came >= self.mean, 0.0, 1 - 2 * upper))
        return np.where(np.isnan(came), np.nan, np.clip(needed, 0.0, 1.0))
