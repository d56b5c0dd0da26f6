"""Series of any lengths as one array, gaps and ends as NaN: what a batch of rows with a mask needs."""

from __future__ import annotations

import numpy as np

from rnnkit.arrays import refuse, with_gaps


class Panel:
    """One or several series, and what else is known at each step, checked and padded.

    Parameters
    ----------
    y : array_like (T,) or (B, T), or list of array_like
        One series, or several; NaN, None or masked in gaps.
    x : array_like (T,), (T, F), or a list of them, optional
        Features for each step of each series.

    Attributes
    ----------
    values : ndarray (B, T) of float64
        NaN in gaps and after a series' end.
    covariates : ndarray (B, T, F) of float64 or None
        NaN after a series' end.
    lengths : ndarray (B,) of int
        Steps of each series, a gap at its end included.
    single : bool
        Whether `y` was one series rather than a list.

    Raises
    ------
    ValueError
        For another rank, other lengths, no series, an infinite value, or a series without any step to read.
    TypeError
        For what isn't numbers.
    """

    def __init__(self, y, x=None):
        for value, what in ((y, "y"), (x, "x")):
            if not isinstance(value, (list, tuple, np.ndarray)):
                refuse(value, what)  # now, as not everything that is refused can be asked for its rows
        self.single = not _several(y)
        series = [_column(one, "y", 1) for one in ([y] if self.single else y)]
        self.lengths = np.array([len(one) for one in series])
        self.values = _padded(series)
        self.covariates = None
        if x is not None:
            features = [_column(one, "x", 2) for one in ([x] if self.single else x)]
            if [len(one) for one in features] != self.lengths.tolist() or len({one.shape[1] for one in features}) > 1:
                shapes = ", ".join(str(one.shape) for one in features[:3])
                raise ValueError(
                    f"expected x with one row per step of y ({self.lengths[:3].tolist()}) and the same features for "
                    f"each series; got {shapes}"
                )
            self.covariates = _padded(features)
        if not self.known.any(axis=1).all():
            also = "" if x is None else " and all its features"
            raise ValueError(f"expected a step with a value{also} in every series; got one without any")

    @property
    def features(self) -> int:
        """How many features there are besides the value."""
        return 0 if self.covariates is None else self.covariates.shape[2]

    @property
    def times(self) -> np.ndarray:
        """The number of each step, ``(B, T)``."""
        return np.broadcast_to(np.arange(self.values.shape[1]), self.values.shape)

    @property
    def known(self) -> np.ndarray:
        """Where a step can be read ``(B, T)``: its value is there, and all its features."""
        known = ~np.isnan(self.values)
        return known if self.covariates is None else known & ~np.isnan(self.covariates).any(axis=2)


def check_horizon(horizon: int, steps: int) -> None:
    """Refuse to forecast further than the longest series, of so many steps, goes.

    Raises
    ------
    ValueError
        If no step has a value so far ahead to learn from.
    """
    if horizon >= steps:
        raise ValueError(
            f"expected values to learn from for each of {horizon} leads; got {steps} steps: give a longer series or a "
            "shorter horizon"
        )


def _several(y) -> bool:
    if isinstance(y, (list, tuple)):
        return len(y) == 0 or np.ndim(y[0]) > 0
    return np.ndim(y) == 2


def _column(series, name, rank) -> np.ndarray:
    array = with_gaps(series, name)
    if rank == 2 and array.ndim == 1:
        array = array[:, None]
    if array.ndim != rank:
        shape = "(time,)" if rank == 1 else "(time, features)"
        raise ValueError(f"expected each series of {name} of shape {shape}; got {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"expected {name} to be finite, NaN where a value is missing; got an infinite value")
    return array


def _padded(series) -> np.ndarray:
    if not series:
        raise ValueError("expected at least one series; got an empty list")
    length = max(len(one) for one in series)
    padded = np.full((len(series), length, *series[0].shape[1:]), np.nan)
    for row, one in zip(padded, series, strict=True):
        row[: len(one)] = one
    return padded
