"""Level, trend and spread of series, removed before a network reads the values and added back to its forecasts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST = 4  # values needed for a slope


class Scale(NamedTuple):
    """A straight line by least squares and a standard deviation per series ``(B,)``, of its known values.

    ``z_t = (y_t - level - slope (t - middle)) / spread``.
    """

    middle: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, values) -> Scale:
        """Measure values ``(B, T)``, NaN where missing, at the times 0, 1, …"""
        known = ~np.isnan(values)
        times = np.broadcast_to(np.arange(values.shape[1], dtype=np.float64), values.shape)
        middle = np.mean(times, axis=1, where=known)
        level = np.mean(values, axis=1, where=known)
        centred = times - middle[:, None]
        denominator = np.sum(centred**2, axis=1, where=known)
        numerator = np.sum(centred * (values - level[:, None]), axis=1, where=known)
        enough = (denominator > 0) & (known.sum(axis=1) >= LEAST)  # too few values for a trend otherwise
        slope = np.where(enough, numerator / np.where(denominator > 0, denominator, 1.0), 0.0)
        residual = values - cls(middle, level, slope, level).line(times)
        spread = np.sqrt(np.mean(residual**2, axis=1, where=known))
        return cls.checked(middle, level, slope, spread, np.max(np.abs(values), axis=1, where=known, initial=0.0))

    @classmethod
    def checked(cls, middle, level, slope, spread, largest) -> Scale:
        """Make a scale; residuals of an exact line are rounding errors, too small to divide by, of the `largest`."""
        return cls(middle, level, slope, np.where(spread > 1e-12 * largest, spread, 1.0))

    @classmethod
    def of_arrays(cls, arrays) -> Scale:
        """Make a scale from the result of `arrays`."""
        return cls(*(arrays[f"scale/{name}"] for name in cls._fields))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the measured arrays by name."""
        return {f"scale/{name}": array for name, array in self._asdict().items()}

    def line(self, times) -> np.ndarray:
        """Return the line's values at times ``(B, n)``."""
        return self.level[:, None] + self.slope[:, None] * (times - self.middle[:, None])

    def standardise(self, values, times) -> np.ndarray:
        """Return values ``(B, n)`` at times ``(B, n)``, without trend and in units of the spread."""
        return (values - self.line(times)) / self.spread[:, None]

    def restore(self, standardized, times) -> np.ndarray:
        """Invert `standardise`."""
        return standardized * self.spread[:, None] + self.line(times)
