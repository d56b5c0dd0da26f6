"""Level, trend and spread of series, taken out before a network reads them and put back into its forecasts."""

from __future__ import annotations

import numpy as np

LEAST = 4  # values, from which on a series has a slope
_MEASURED = ("middle", "level", "slope", "spread")


class Scale:
    """A straight line and a standard deviation per series, measured on the values that are there.

    ``z_t = (y_t - level - slope (t - middle)) / spread``, the line by least squares.

    Parameters
    ----------
    values : ndarray (B, T) of float64
        Series in rows, NaN where a value is missing; at least one value in each row.
    first : int
        The time of the first column.

    Examples
    --------
    >>> scale = Scale(np.array([[1.0, 3.0, np.nan, 7.0, 9.0]]))
    >>> scale.slope.round(6).tolist()
    [2.0]
    >>> scale.restore(np.zeros((1, 2)), np.array([[5, 6]])).round(6).tolist()
    [[11.0, 13.0]]
    """

    def __init__(self, values, first: int = 0):
        known = ~np.isnan(values)
        times = np.broadcast_to(first + np.arange(values.shape[1], dtype=np.float64), values.shape)
        self.middle = np.mean(times, axis=1, where=known)
        self.level = np.mean(values, axis=1, where=known)
        centred = times - self.middle[:, None]
        denominator = np.sum(centred**2, axis=1, where=known)
        numerator = np.sum(centred * (values - self.level[:, None]), axis=1, where=known)
        enough = (denominator > 0) & (known.sum(axis=1) >= LEAST)  # two or three values are no trend
        self.slope = np.where(enough, numerator / np.where(denominator > 0, denominator, 1.0), 0.0)
        residual = values - self.line(times)
        spread = np.sqrt(np.mean(residual**2, axis=1, where=known))
        # A straight line leaves rounding errors only: those are not a spread to divide by.
        self.spread = np.where(spread > 1e-12 * np.max(np.abs(values), axis=1, where=known, initial=0.0), spread, 1.0)

    def line(self, times) -> np.ndarray:
        """The trend's value at times ``(B, n)``."""
        return self.level[:, None] + self.slope[:, None] * (times - self.middle[:, None])

    def standardise(self, values, times) -> np.ndarray:
        """Values ``(B, n)`` at times ``(B, n)``, without trend and in units of the spread."""
        return (values - self.line(times)) / self.spread[:, None]

    def restore(self, standardized, times) -> np.ndarray:
        """What `standardise` was given."""
        return standardized * self.spread[:, None] + self.line(times)

    def arrays(self) -> dict[str, np.ndarray]:
        """What it measured, by name."""
        return {f"scale/{name}": getattr(self, name) for name in _MEASURED}

    @classmethod
    def of_arrays(cls, arrays) -> Scale:
        """One that measured what `arrays` gave."""
        scale = cls.__new__(cls)
        for name in _MEASURED:
            setattr(scale, name, arrays[f"scale/{name}"])
        return scale
