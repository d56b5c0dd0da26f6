"""Level, trend and spread of series, removed before a network reads the values and added back to its forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST = 4  # values needed for a slope
_MEASURED = ("middle", "level", "slope", "spread")


class Scale:
    """A straight line by least squares and a standard deviation per series, fitted to its known values.

    ``z_t = (y_t - level - slope (t - middle)) / spread`` of values ``(B, T)``; the first column has the time `first`.
    """

    def __init__(self, values, first: int = 0):
        known = ~np.isnan(values)
        times = np.broadcast_to(first + np.arange(values.shape[1], dtype=np.float64), values.shape)
        self.middle = np.mean(times, axis=1, where=known)
        self.level = np.mean(values, axis=1, where=known)
        centred = times - self.middle[:, None]
        denominator = np.sum(centred**2, axis=1, where=known)
        numerator = np.sum(centred * (values - self.level[:, None]), axis=1, where=known)
        enough = (denominator > 0) & (known.sum(axis=1) >= LEAST)  # too few values for a trend otherwise
        self.slope = np.where(enough, numerator / np.where(denominator > 0, denominator, 1.0), 0.0)
        residual = values - self.line(times)
        spread = np.sqrt(np.mean(residual**2, axis=1, where=known))
        # The residuals of an exact line are rounding errors, too small to divide by.
        self.spread = np.where(spread > 1e-12 * np.max(np.abs(values), axis=1, where=known, initial=0.0), spread, 1.0)

    def line(self, times) -> np.ndarray:
        """Return the line's values at times ``(B, n)``."""
        return self.level[:, None] + self.slope[:, None] * (times - self.middle[:, None])

    def standardise(self, values, times) -> np.ndarray:
        """Return values ``(B, n)`` at times ``(B, n)``, without trend and in units of the spread."""
        return (values - self.line(times)) / self.spread[:, None]

    def restore(self, standardized, times) -> np.ndarray:
        """Invert `standardise`."""
        return standardized * self.spread[:, None] + self.line(times)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the measured arrays by name, for `of_arrays`."""
        return {f"scale/{name}": getattr(self, name) for name in _MEASURED}

    @classmethod
    def of_stretches(cls, parts: Sequence[Stretch]) -> Scale:
        """Make a scale from consecutive stretches of the series, equal to that of the whole up to rounding."""
        count, middle, level, power, slope, rest, largest = (np.stack(found) for found in zip(*parts, strict=True))
        scale, total = cls.__new__(cls), count.sum(axis=0)
        scale.middle = (count * middle).sum(axis=0) / total
        scale.level = (count * level).sum(axis=0) / total
        off, above = middle - scale.middle, level - scale.level
        denominator = (power + count * off**2).sum(axis=0)
        numerator = (slope * power + count * off * above).sum(axis=0)
        enough = (denominator > 0) & (total >= LEAST)
        scale.slope = np.where(enough, numerator / np.where(denominator > 0, denominator, 1.0), 0.0)
        squares = rest + count * (above - scale.slope * off) ** 2 + power * (slope - scale.slope) ** 2
        spread = np.sqrt(squares.sum(axis=0) / total)
        scale.spread = np.where(spread > 1e-12 * largest.max(axis=0), spread, 1.0)
        return scale

    @classmethod
    def of_arrays(cls, arrays) -> Scale:
        """Make a scale from the result of `arrays`."""
        scale = cls.__new__(cls)
        for name in _MEASURED:
            setattr(scale, name, arrays[f"scale/{name}"])
        return scale


class Stretch(NamedTuple):
    """Sums over a stretch of series ``(B,)`` each, which `Scale.of_stretches` combines to their scale.

    Each stretch has a straight line of its own. Squared residuals from any other line follow from these numbers without
    cancellation.
    """

    values: np.ndarray  # number of known values
    middle: np.ndarray  # their mean time, 0 without any
    level: np.ndarray  # their mean
    power: np.ndarray  # the sum of squares of their times, from the middle
    slope: np.ndarray  # of the line
    rest: np.ndarray  # the sum of squared residuals of the line
    largest: np.ndarray  # the largest absolute value

    @classmethod
    def of(cls, values, first: int) -> Stretch:
        """Measure values ``(B, T)``, NaN where missing, from the time `first` on."""
        known = ~np.isnan(values)
        count = known.sum(axis=1)
        some = np.maximum(count, 1)
        times = np.broadcast_to(first + np.arange(values.shape[1], dtype=np.float64), values.shape)
        middle, level = np.sum(times, axis=1, where=known) / some, np.sum(values, axis=1, where=known) / some
        off, above = times - middle[:, None], values - level[:, None]
        power = np.sum(off**2, axis=1, where=known)
        slope = np.sum(off * above, axis=1, where=known) / np.where(power > 0, power, 1.0)
        rest = np.sum((above - slope[:, None] * off) ** 2, axis=1, where=known)
        largest = np.max(np.abs(values), axis=1, where=known, initial=0.0)
        return cls(count, middle, level, power, slope, rest, largest)
