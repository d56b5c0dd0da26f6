"""Parts of batches, and the contributions of parts to an update."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from rnnkit.layers.support.row_gradient import RowGradient, added_up
from rnnkit.training.batches import Batch

# Errors that are made of one text, which `told_where` extends.
_PLAIN_ERRORS = {ValueError, TypeError, IndexError, ArithmeticError, FloatingPointError, MemoryError, RuntimeError}


@dataclass(slots=True)
class Piece:
    """Some rows of an update's batch."""

    batch: Batch
    total: int  # rows of the whole batch
    where: str  # which rows they are, in words


@dataclass(slots=True)
class Told:
    """Arrays of some rows for metrics: by output, None where no metric reads it."""

    y: list
    weights: list | None
    outputs: list
    masks: list


@dataclass(slots=True)
class Summand:
    """Contribution of a part to an update.

    The gradients are first those of all outputs without a mask, scaled for the whole batch; then those of each output
    with one, which are still to be divided by the share of the batch's steps that are used.
    """

    gradients: list[dict]
    moved: dict  # weights that calls change, times the share of rows
    sums: np.ndarray  # (outputs, 2), see `Part`
    rows: int
    masked: tuple[int, ...]  # the outputs of the last `gradients`
    told: list[Told]  # in the order of the rows
    seconds: float = 0.0  # of computing it
    sent: int = 0  # bytes that a worker sent

    @property
    def nbytes(self) -> int:
        """The bytes of the gradients and the moved weights."""
        arrays = [one for group in (*self.gradients, self.moved) for one in group.values()]
        return sum(one.ids.nbytes + one.rows.nbytes if isinstance(one, RowGradient) else one.nbytes for one in arrays)


def spans(rows: int, parts: int) -> list[tuple[int, int]]:
    """Return the start and end of each part: of equal sizes, the first ones larger by a row; without empty ones.

    >>> spans(10, 4), spans(2, 4)
    ([(0, 3), (3, 6), (6, 8), (8, 10)], [(0, 1), (1, 2)])
    """
    each, more = divmod(rows, parts)
    ends = np.cumsum([each + (i < more) for i in range(parts)]).tolist()
    return [(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True) if start < end]


def cut(batch: Batch, parts: int) -> list[Piece]:
    """Return a batch in parts, see `spans`."""

    def some(arrays, rows):
        return None if arrays is None else [None if one is None else one[rows] for one in arrays]

    found = []
    for start, end in spans(batch.rows, parts):
        rows = slice(start, end)
        mask = None if batch.mask is None else batch.mask[rows]
        own = Batch(some(batch.x, rows) or [], some(batch.y, rows), some(batch.weights, rows), mask)
        found.append(Piece(own, batch.rows, f"rows {start} to {end - 1} of the batch"))
    return found


def added(summands: Sequence[Summand | None]) -> Summand | None:
    """Return the sum of several, in pairs of neighbours, then in pairs of pairs; None adds nothing."""
    level = list(summands)
    while len(level) > 1:
        level = [_pair(*two) for two in zip_longest(level[::2], level[1::2])]
    return level[0]


def _pair(a: Summand | None, b: Summand | None) -> Summand | None:
    if a is None or b is None:
        return b if a is None else a
    return Summand(
        [both(one, other) for one, other in zip(a.gradients, b.gradients, strict=True)],
        both(a.moved, b.moved),
        a.sums + b.sums,
        a.rows + b.rows,
        a.masked,
        a.told + b.told,
        a.seconds + b.seconds,
        a.sent + b.sent,
    )


def both(a: dict, b: dict) -> dict:
    """Return the sums of two gradients, by weight."""
    return {name: added_up(array, b[name]) for name, array in a.items()}


def times(gradient, factor: float):
    """Return a gradient times a number, of its dtype."""
    if isinstance(gradient, RowGradient):
        return RowGradient(gradient.ids, gradient.rows * gradient.dtype.type(factor), gradient.shape)
    return gradient * gradient.dtype.type(factor)


def together(told: Sequence[Told], outputs: int) -> Told:
    """Return the arrays of several parts as those of one batch."""
    if not told:
        return Told([None] * outputs, None, [None] * outputs, [None] * outputs)

    def joined(lists):
        return [None if any(one is None for one in own) else np.concatenate(own) for own in zip(*lists, strict=True)]

    weights = [one.weights for one in told]
    return replace(
        told[0],
        y=joined(one.y for one in told),
        weights=None if any(one is None for one in weights) else joined(weights),
        outputs=joined(one.outputs for one in told),
        masks=joined(one.masks for one in told),
    )


@contextlib.contextmanager
def told_where(where: str) -> Iterator[None]:
    """Add the place `where` to errors inside."""
    try:
        yield
    except Exception as error:
        if type(error) in _PLAIN_ERRORS:
            raise type(error)(f"{where}: {error}") from error
        error.add_note(f"in {where}")
        raise
