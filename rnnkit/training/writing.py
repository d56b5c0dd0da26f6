"""Outputs of many batches, written to the caller's arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from rnnkit.layers.support.symbolic import leaves


def written(parts: Iterable, out: Any, rows: int | None):
    """Write the results of several calls one after the other to given arrays, and return these.

    Results are arrays, or nested lists of them as `out` is, which has anything with ``shape``, ``dtype`` and rows that
    can be set. `rows` is their number in all, None if it isn't known before. A ValueError says that they don't fill
    `out`, or that a result has another shape: rows written before stay. A TypeError refuses a place that can't be
    written to, or of another kind of numbers.
    """
    places = leaves(out)
    for place in places:
        if not all(hasattr(place, name) for name in ("shape", "dtype", "__setitem__")):
            raise TypeError(f"expected out as an array to write to, got {type(place).__name__}")
        if isinstance(place, np.ndarray) and not place.flags.writeable:
            raise ValueError("expected out as an array that can be written to, got a read-only one")
        if rows is not None and (not place.shape or place.shape[0] != rows):
            raise ValueError(f"expected out with {rows} rows, got the shape {tuple(place.shape)}")
    done = 0
    for part in parts:
        found = leaves(part)
        if len(found) != len(places):
            raise ValueError(f"expected out with {len(found)} arrays, as a call returns, got {len(places)}")
        for place, one in zip(places, found, strict=True):
            _check(place, one, done)
            place[done : done + len(one)] = one
        done += len(found[0])
    if any(place.shape[0] != done for place in places):
        raise ValueError(f"expected out with {done} rows, as there are outputs, got {places[0].shape[0]}")
    return out


def _check(place, part, done) -> None:
    if tuple(place.shape[1:]) != part.shape[1:] or place.shape[0] < done + len(part):
        raise ValueError(f"expected out of shape (rows, {', '.join(map(str, part.shape[1:]))}), got {place.shape}")
    if not np.can_cast(part.dtype, place.dtype, "same_kind"):
        raise TypeError(f"expected out of {part.dtype}, got {place.dtype}")
