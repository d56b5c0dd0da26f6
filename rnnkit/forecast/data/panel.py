"""Series of any lengths as one array, NaN in gaps and after ends, for a batch with a mask."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnnkit.arrays import refuse, with_gaps


class Panel(NamedTuple):
    """One or several series and their features, checked and padded."""

    values: np.ndarray  # (B, T), NaN in gaps and after a series' end
    lengths: np.ndarray  # (B,), a gap at the end included
    single: bool  # a series by itself, not a list
    beside: np.ndarray | None = None  # (B, T, F), NaN after a series' end

    @classmethod
    def of(cls, y: Any, x: Any = None) -> Panel:
        """Read arrays: one series ``(T,)`` or several, and features for each step, ``(T,)`` or ``(T, F)`` each.

        A ValueError names another rank, other lengths, no series, an infinite value, or a series without a value; a
        TypeError data that isn't numeric.
        """
        for value, what in ((y, "y"), (x, "x")):
            if not isinstance(value, (list, tuple, np.ndarray)):
                refuse(value, what)  # first, as refused objects may lack rows
        single = not _several(y)
        series = [column(one, "y", 1) for one in ([y] if single else y)]
        lengths, values = np.array([len(one) for one in series]), _padded(series)
        if np.isnan(values).all(axis=1).any():
            raise ValueError("expected a step with a value in every series; got one without any")
        if x is None:
            return cls(values, lengths, single)
        features = [column(one, "x", 2) for one in ([x] if single else x)]
        if [len(one) for one in features] != lengths.tolist() or len({one.shape[1] for one in features}) > 1:
            shapes = ", ".join(str(one.shape) for one in features[:3])
            raise ValueError(
                f"expected x with one row per step of y ({lengths[:3].tolist()}) and the same features for each "
                f"series; got {shapes}"
            )
        return cls(values, lengths, single, _padded(features))


def _several(y) -> bool:
    if isinstance(y, (list, tuple)):
        return len(y) == 0 or np.ndim(y[0]) > 0
    return np.ndim(y) == 2


def column(series: Any, name: str, rank: int) -> np.ndarray:
    """Check one series ``(T,)``, or its features ``(T, F)``."""
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
