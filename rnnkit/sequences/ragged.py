"""Lists of sequences of unequal lengths, as calls and `fit` take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit import allocation
from rnnkit.arrays import has_shape, real
from rnnkit.sequences.labelled import is_labelled, sequence


class Ragged:
    """Sequences ``(T_i, …)`` that differ in their lengths alone: the axes behind that of time are `rest`."""

    def __init__(self, sequences: list[np.ndarray], rest: tuple, dtype: np.dtype):
        self.sequences, self.rest, self.dtype = sequences, rest, dtype
        self.lengths = np.array([len(one) for one in sequences], np.intp)

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def shape(self) -> tuple:
        """That of all of them in one array."""
        return (len(self), int(self.lengths.max(initial=0)), *self.rest)

    @property
    def is_even(self) -> bool:
        """Whether all are of the same length."""
        return len(set(self.lengths.tolist())) == 1

    def __getitem__(self, rows) -> Ragged:
        chosen = self.sequences[rows] if isinstance(rows, slice) else [self.sequences[row] for row in rows]
        return Ragged(chosen, self.rest, self.dtype)

    def padded(self, length: int, side: str = "post") -> np.ndarray:
        """One array ``(B, length, …)``, 0 where a sequence has no step: behind it, or with "pre" before it."""
        shape = (len(self), length, *self.rest)
        allocation.check("the padded sequences", shape, self.dtype)
        found = np.zeros(shape, self.dtype)
        for row, one in zip(found, self.sequences, strict=True):
            row[length - len(one) if side == "pre" else 0 :][: len(one)] = one
        return found

    def mask(self, length: int) -> np.ndarray:
        """Which steps of `padded` are the sequences' own."""
        return np.arange(length) < self.lengths[:, None]


def ragged(value, what: str) -> Ragged:
    """A list of sequences, each checked: an error if they differ in more than their lengths, or aren't numbers."""
    found = [_sequence(one, f"{what}[{i}]") for i, one in enumerate(value)]
    rest = next((one.shape[1:] for one in found if one.size or one.ndim > 1), ())
    for i, one in enumerate(found):
        if one.ndim == 1 and not one.size:
            found[i] = one.reshape(0, *rest)  # an empty list has no more axes
        elif one.shape[1:] != rest:
            wanted = ", ".join(["T", *map(str, rest)])
            raise ValueError(
                f"expected all sequences of {what} of shape ({wanted}), as the first is; got {one.shape} at {i}"
            )
    held = [one.dtype for one in found if one.size]
    return Ragged(found, rest, np.result_type(*held) if held else found[0].dtype)


def is_list_of_sequences(value, axes: int, exactly: bool) -> bool:
    """Whether this is a list of sequences, of so many axes with that of time, rather than one array, or several.

    A list of arrays of as many axes as a sequence has is one; if `exactly`, more axes are something else. Lists in
    lists are one array where their lengths are equal, and sequences where they aren't.
    """
    if type(value) not in (list, tuple) or not value:
        return False
    arrays = [one for one in value if has_shape(one)]
    if arrays:
        counts = {len(one.shape) for one in arrays}
        more = not exactly and len(value) > 1
        return counts == {axes} or (more and len(counts) == 1 and min(counts) > axes)
    lists = [one for one in value if isinstance(one, (list, tuple))]
    return bool(lists) and len({len(one) for one in lists}) > 1


def by_step(value, lengths: np.ndarray) -> bool:
    """Whether a list has an entry, of the same number of steps, for each sequence."""
    if type(value) not in (list, tuple) or len(value) != len(lengths):
        return False
    return all(hasattr(one, "__len__") and len(one) == n for one, n in zip(value, lengths.tolist(), strict=True))


def batch_length(longest: int) -> int:
    """How long sequences of a batch are padded: not each length is another, so that calls can be repeated."""
    unit = 1 << max(0, longest.bit_length() - 4)
    return -(-longest // unit) * unit


def buckets(lengths: np.ndarray, waste: float, most: int | None) -> list[np.ndarray]:
    """Rows that are put together, `most` at a time: those of like lengths.

    `waste` is the share of its length that a sequence may be padded by, beside a few steps; 0 puts equal lengths
    together.
    """
    order = np.argsort(lengths, kind="stable")
    found: list[list[int]] = []
    limit = -1
    for row in order.tolist():
        length = int(lengths[row])
        if length > limit or (most is not None and len(found[-1]) == most):
            found.append([])
            limit = int(length * (1 + waste)) + (4 if waste else 0)
        found[-1].append(row)
    return [np.array(rows) for rows in found]


def _sequence(value, what: str) -> np.ndarray:
    if value is None or not (has_shape(value) or isinstance(value, (list, tuple))):
        raise TypeError(f"expected {what} to be a sequence, an array or a list; got {_shown(value)}")
    if is_labelled(value):
        value = sequence(value, what)
    found = real(value, what, complex_too=True)  # which a layer may take
    if not found.ndim:
        raise TypeError(f"expected {what} to be a sequence, an array with an axis of time; got a single number")
    return found


def _shown(value: Any) -> str:
    return repr(value) if value is None or isinstance(value, (int, float)) else type(value).__name__
