"""Series of any lengths as one array, NaN in gaps and after ends, for a batch with a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.arrays import refuse, with_gaps


def padded(y: Any, x: Any = None) -> tuple[np.ndarray, np.ndarray, bool, np.ndarray | None]:
    """Read arrays: one series ``(T,)`` or several, and features for each step, ``(T,)`` or ``(T, F)`` each.

    Return the values ``(B, T)``, NaN in gaps and after a series' end; the lengths ``(B,)``, a gap at the end included;
    whether `y` is a series by itself; and the features ``(B, T, F)``. A ValueError names another rank, other lengths,
    no series, an infinite value, or a series without a value; a TypeError data that isn't numeric.
    """
    for value, what in ((y, "y"), (x, "x")):
        if not isinstance(value, (list, tuple, np.ndarray)):
            refuse(value, what)  # first, as refused objects may lack rows
    single = len(y) > 0 and np.ndim(y[0]) == 0 if isinstance(y, (list, tuple)) else np.ndim(y) != 2
    series = [column(one, "y", 1) for one in ([y] if single else y)]
    lengths, values = np.array([len(one) for one in series]), _padded(series)
    if np.isnan(values).all(axis=1).any():
        raise ValueError("expected a step with a value in every series; got one without any")
    if x is None:
        return values, lengths, single, None
    features = [column(one, "x", 2) for one in ([x] if single else x)]
    if [len(one) for one in features] != lengths.tolist() or len({one.shape[1] for one in features}) > 1:
        shapes = ", ".join(str(one.shape) for one in features[:3])
        raise ValueError(
            f"expected x with one row per step of y ({lengths[:3].tolist()}) and the same features for each "
            f"series; got {shapes}"
        )
    return values, lengths, single, _padded(features)


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
