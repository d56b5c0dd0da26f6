"""Weights in fewer bits than they are computed with: bfloat16, or int8 with a scale for each column.

Both are rounded once and widened without an error: a weight that was rounded and widened rounds to itself. An int8
weight is ``scale * q`` with the scale in 8 bits, so that the largest number of a column is exactly 127 scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

KINDS = ("bfloat16", "int8")
_LEAST = 2.0**-90  # of a column's largest number, below which it is 0: scales stay normal numbers


def bfloat16_bits(array: np.ndarray) -> np.ndarray:
    """Return the upper halves of float32 numbers, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    return np.where(np.isnan(array), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Return the float32 numbers of upper halves."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_int8(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return finite matrices ``(…, K, N)`` as integers from -127 to 127, and the scales of columns in float32."""
    if not np.isfinite(array).all():
        raise ValueError("expected finite weights to be stored as int8, got infinity or NaN")
    largest = np.abs(array).max(axis=-2, initial=0.0)
    scale = from_bfloat16(bfloat16_bits(np.where(largest < _LEAST, 0, largest / np.float32(127))))
    quotients = np.divide(array, scale[..., None, :], out=np.zeros_like(array), where=scale[..., None, :] > 0)
    return np.clip(np.rint(quotients), -127, 127).astype(np.int8), scale


@dataclass(frozen=True, eq=False)
class Stored:
    """A weight ``(K, N)`` in fewer bits."""

    kind: str  # "bfloat16" or "int8"
    numbers: np.ndarray  # (K, N), the upper halves of float32 as uint16, or int8
    scales: np.ndarray | None = None  # (P, N) of float32, of int8 in each part of the rows
    starts: tuple[int, ...] = (0,)  # first rows of parts: products that read some rows have scales of their own

    @staticmethod
    def of(array: np.ndarray, kind: str, starts: tuple[int, ...] = (0,)) -> Stored:
        """Return a weight rounded to a kind; a ValueError for infinity or NaN in an array for int8."""
        if kind == "bfloat16":
            return Stored(kind, bfloat16_bits(array), None, starts)
        parts = [to_int8(part) for part in np.split(np.asarray(array, np.float32), starts[1:])]
        numbers, scales = (np.concatenate(several) for several in zip(*((q, s[None]) for q, s in parts), strict=True))
        return Stored(kind, numbers, scales, starts)

    @staticmethod
    def checked(kind: str, numbers: np.ndarray, scales: np.ndarray | None, starts) -> Stored:
        """Return a stored weight from parts of unknown origin; a ValueError if it isn't one."""
        rows = [*starts, len(numbers)]
        fits = kind in KINDS and numbers.ndim == 2 and numbers.dtype == (np.uint16 if kind == "bfloat16" else np.int8)
        fits = fits and rows[0] == 0 and all(isinstance(n, int) and n <= following for n, following in pairwise(rows))
        if kind == "int8":
            fits = fits and scales is not None and scales.shape == (len(starts), numbers.shape[1])
            fits = fits and scales is not None and scales.dtype == np.float32
        if not fits:
            raise ValueError(f"expected the numbers of a weight stored as bfloat16 or int8, got {kind!r}")
        return Stored(kind, numbers, scales if kind == "int8" else None, tuple(starts))

    @property
    def nbytes(self) -> int:
        """The bytes of memory that it takes."""
        return self.numbers.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def expanded(self) -> np.ndarray:
        """Return the weight as float32, read-only."""
        if self.scales is None:
            array = from_bfloat16(self.numbers)
        else:
            rows = np.diff([*self.starts, len(self.numbers)])
            array = self.numbers * np.repeat(self.scales, rows, axis=0)
        array.flags.writeable = False
        return array


class StoredWeight(np.ndarray):
    """Placeholder for a float32 weight: of its shape, NaN everywhere, without memory of its own."""

    stored: Stored

    @classmethod
    def of(cls, stored: Stored) -> StoredWeight:
        """Return the placeholder of a stored weight."""
        found = np.broadcast_to(np.full((), np.nan, np.float32), stored.numbers.shape).view(cls)
        found.stored = stored
        return found

    def rounded(self, values: np.ndarray) -> StoredWeight:
        """Return the placeholder of other values, stored likewise."""
        return StoredWeight.of(Stored.of(values, self.stored.kind, self.stored.starts))

    def __array_finalize__(self, obj):
        """Leave parts and results without `stored`."""

    def __reduce__(self):
        return StoredWeight.of, (self.stored,)

    def __deepcopy__(self, memo):
        return self


def expanded(array: np.ndarray) -> np.ndarray:
    """Return a weight itself, or the weight that a placeholder represents."""
    return array.stored.expanded() if isinstance(array, StoredWeight) else array


def all_expanded(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return `expanded` of weights by name."""
    return {name: expanded(array) for name, array in arrays.items()}
