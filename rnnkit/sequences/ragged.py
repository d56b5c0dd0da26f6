"""Lists of sequences of unequal lengths, as arguments of calls and `fit`."""

from __future__ import annotations

import numpy as np

from rnnkit import allocation
from rnnkit.arrays import has_shape, real
from rnnkit.sequences.labelled import is_labelled, sequence


class Ragged:
    """Sequences ``(T_i, *rest)`` of unequal lengths."""

    def __init__(self, sequences: list[np.ndarray], rest: tuple, dtype: np.dtype):
        self.sequences, self.rest, self.dtype = sequences, rest, dtype
        self.lengths = np.array([len(one) for one in sequences], np.intp)

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def shape(self) -> tuple:
        """The shape of the padded array of all sequences."""
        return (len(self), int(self.lengths.max(initial=0)), *self.rest)

    @property
    def is_even(self) -> bool:
        """Whether all are of the same length."""
        return len(set(self.lengths.tolist())) == 1

    def __getitem__(self, rows) -> Ragged:
        chosen = self.sequences[rows] if isinstance(rows, slice) else [self.sequences[row] for row in rows]
        return Ragged(chosen, self.rest, self.dtype)

    def padded(self, length: int, side: str = "post") -> np.ndarray:
        """Return one array ``(B, length, …)``, padded with 0 after each sequence, or before it with "pre"."""
        shape = (len(self), length, *self.rest)
        allocation.check("the padded sequences", shape, self.dtype)
        found = np.zeros(shape, self.dtype)
        for row, one in zip(found, self.sequences, strict=True):
            row[length - len(one) if side == "pre" else 0 :][: len(one)] = one
        return found

    def mask(self, length: int) -> np.ndarray:
        """Return the mask of the sequences' own steps in `padded`."""
        return np.arange(length) < self.lengths[:, None]


def ragged(value, what: str) -> Ragged:
    """Check a list of sequences; an error if they differ in more than their lengths, or aren't numeric."""
    found = [_sequence(one, f"{what}[{i}]") for i, one in enumerate(value)]
    rest = next((one.shape[1:] for one in found if one.size or one.ndim > 1), ())
    for i, one in enumerate(found):
        if one.ndim == 1 and not one.size:
            found[i] = one.reshape(0, *rest)  # an empty list lacks the other axes
        elif one.shape[1:] != rest:
            wanted = ", ".join(["T", *map(str, rest)])
            raise ValueError(
                f"expected all sequences of {what} of shape ({wanted}), as the first is; got {one.shape} at {i}"
            )
    held = [one.dtype for one in found if one.size]
    return Ragged(found, rest, np.result_type(*held) if held else found[0].dtype)


def is_list_of_sequences(value, axes: int, exactly: bool) -> bool:
    """Return whether a value is a list of sequences of `axes` axes, rather than one or several arrays.

    A list of arrays with `axes` axes is such a list; if `exactly`, more axes are something else. Nested lists are one
    array if their lengths are equal, and sequences otherwise.
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
    """Return whether a list has an entry for each sequence, with the same number of steps."""
    if type(value) not in (list, tuple) or len(value) != len(lengths):
        return False
    return all(hasattr(one, "__len__") and len(one) == n for one, n in zip(value, lengths.tolist(), strict=True))


def batch_length(longest: int) -> int:
    """Return the padded length of a batch, rounded up so that few distinct lengths occur and calls can be repeated."""
    unit = 1 << max(0, longest.bit_length() - 4)
    return -(-longest // unit) * unit


def buckets(lengths: np.ndarray, waste: float, most: int | None) -> list[np.ndarray]:
    """Return groups of rows of similar lengths, with at most `most` rows each.

    `waste` is the largest share of its length by which a sequence may be padded, beside a few steps; with 0 only equal
    lengths are grouped.
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
        got = repr(value) if value is None or isinstance(value, (int, float)) else type(value).__name__
        raise TypeError(f"expected {what} to be a sequence, an array or a list; got {got}")
    if is_labelled(value):
        value = sequence(value, what)
    found = real(value, what, complex_too=True)  # which a layer may take
    if not found.ndim:
        raise TypeError(f"expected {what} to be a sequence, an array with an axis of time; got a single number")
    return found
