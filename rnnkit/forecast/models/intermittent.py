"""Intermittent demand: its forecasters, from sizes and intervals or means over steps, and its distributions."""

from __future__ import annotations

import numpy as np

from rnnkit.cells.smoothing import additive_smoothing, croston, tsb
from rnnkit.forecast.data.history import UnfitSeries
from rnnkit.forecast.fitting.decomposition import known_means
from rnnkit.forecast.fitting.hierarchy import means_over
from rnnkit.forecast.fitting.side_by_side import outputs
from rnnkit.forecast.models.forecaster import Ahead, Forecaster, with_arguments

_APART = 1.32  # mean steps between demands, from which Syntetos, Boylan and Croston (2005) call a series intermittent
_LEAST = 4  # values of an intermittent series
_NEAR = 1e-9  # a level, by which rounding can't move an edge to the next size


@with_arguments
class Croston(Forecaster):
    """Croston's method for intermittent demand: the smoothed size of demands over the smoothed interval between them.

    The recurrence is the cell `rnnkit.cells.croston`, which starts from the means. Forecasts are means, the same for
    all steps ahead. Quantiles and bands take the sizes of past demands; where a step without demand is likely, a band
    begins at 0. Croston (1972), "Forecasting and stock control for intermittent demands".

    Parameters
    ----------
    alpha : float in (0, 1]
        The smoothing parameter, of sizes if there are several.

    Examples
    --------
    >>> Croston().fit([0, 0, 4, 0, 0, 4, 0, 0, 4]).predict(2).round(3)
    array([1.333, 1.333])
    """

    alpha: float = 0.1
    _bands_are = "drawn from the sizes of past demands"

    def _fitted(self, values, lengths):
        if (negative := (values < 0).any(axis=1)).any():
            row = int(np.argmax(negative))
            raise UnfitSeries(row, f"expected demands of 0 or more; got {np.nanmin(values[row]):g}")
        came, known = values > 0, np.cumsum(~np.isnan(values), axis=1)
        before = known[np.arange(len(values)), values.shape[1] - 1 - np.argmax(came[:, ::-1], axis=1)]
        return {
            "chance": came.sum(axis=1) / known[:, -1],
            "size": known_means(np.where(came, values, np.nan)),
            "interval": before / np.maximum(came.sum(axis=1), 1),  # up to the last demand
        }

    def _rate(self, values, lengths, fitted) -> np.ndarray:
        """Return the mean demand of a step ``(N,)`` after the series' ends."""
        interval = 1 / np.where(fitted["chance"] > 0, fitted["chance"], 1.0)
        states = [fitted["size"], interval, np.zeros(len(values))]
        return _after(croston, values, lengths, [self.alpha], states)

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        rate = self._rate(values, lengths, fitted)[:, None]
        spread = np.sqrt(known_means((values - rate) ** 2))[:, None]
        return Ahead(np.repeat(rate, h, axis=1), np.repeat(spread, h, axis=1), np.zeros(len(values), bool))

    def _bands(self, history, ahead, probabilities):
        demands = Demands(history.values, ahead.forecast)
        return np.stack([demands.quantiles(one) for one in probabilities])

    def _edges(self, history, ahead, levels):
        demands = Demands(history.values, ahead.forecast)
        return [demands.band(one / 100) for one in levels]


@with_arguments
class SBA(Croston):
    """Croston's method times ``1 - α / 2``, which takes out its bias.

    Syntetos and Boylan (2005), "The accuracy of intermittent demand estimates".

    Examples
    --------
    >>> SBA().fit([0, 0, 4, 0, 0, 4, 0, 0, 4]).predict(2).round(3)
    array([1.267, 1.267])
    """

    def _rate(self, values, lengths, fitted):
        return (1 - self.alpha / 2) * super()._rate(values, lengths, fitted)


@with_arguments
class TSB(Croston):
    """The method of Teunter, Syntetos and Babai: the smoothed chance of a demand times the smoothed size.

    The forecast falls while there is no demand. The recurrence is the cell `rnnkit.cells.tsb`, which starts from the
    means. Teunter, Syntetos and Babai (2011), "Intermittent demand: linking forecasting to inventory obsolescence".

    Parameters
    ----------
    beta : float in (0, 1]
        The smoothing parameter of the chance.

    Examples
    --------
    >>> TSB().fit([0, 0, 4, 0, 0, 4, 0, 0, 0, 0, 0, 0]).predict(2).round(3)
    array([0.556, 0.556])
    """

    beta: float = 0.1

    def _rate(self, values, lengths, fitted):
        return _after(tsb, values, lengths, [self.alpha, self.beta], [fitted["chance"], fitted["size"]])


@with_arguments
class IMAPA(Croston):
    """The mean of simple exponential smoothing of means over 1, 2, … steps, up to the mean interval between demands.

    Petropoulos and Kourentzes (2015), "Forecast combinations for intermittent demand".

    Examples
    --------
    >>> IMAPA().fit([0, 0, 4, 0, 0, 4, 0, 0, 4]).predict(2).round(2)
    array([1.44, 1.44])
    """

    alpha: float = 0.15

    def _rate(self, values, lengths, fitted):
        longest, rate = np.round(fitted["interval"]).astype(int), np.zeros(len(values))
        for steps in range(1, longest.max() + 1):
            rows = np.flatnonzero(longest >= steps)
            rate[rows] += self._smoothed(values[rows], lengths[rows], steps)
        return rate / longest

    def _smoothed(self, values, lengths, size: int) -> np.ndarray:
        """Return the smoothed means over `size` steps."""
        means, count = means_over(values, lengths, size)
        first = means[np.arange(len(means)), np.argmax(~np.isnan(means), axis=1)]
        states = [np.nan_to_num(first), np.zeros(len(means)), np.zeros((len(means), 1))]
        return _after(additive_smoothing, means, count, [self.alpha, 0.0, 0.0, 0.0], states, period=1)


@with_arguments
class ADIDA(IMAPA):
    """Simple exponential smoothing of means over as many steps as there are from demand to demand.

    Nikolopoulos, Syntetos, Boylan, Petropoulos and Assimakopoulos (2011), "An aggregate-disaggregate intermittent
    demand approach (ADIDA) to forecasting".

    Examples
    --------
    >>> ADIDA().fit([0, 0, 4, 0, 0, 4, 0, 0, 4]).predict(2).round(3)
    array([1.333, 1.333])
    """

    alpha: float = 0.2

    def _rate(self, values, lengths, fitted):
        interval, rate = np.round(fitted["interval"]).astype(int), np.zeros(len(values))
        for steps in np.unique(interval):
            rows = np.flatnonzero(interval == steps)
            rate[rows] = self._smoothed(values[rows], lengths[rows], steps)
        return rate


def _after(make, values, lengths, constants, states, **settings) -> np.ndarray:
    """Return the outputs ``(N,)`` of a cell one step after the series' ends."""
    constants = np.tile(np.array(constants, float), (len(values), 1))
    return outputs(make, values, lengths, 1, constants, states, **settings)[:, 0]


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
