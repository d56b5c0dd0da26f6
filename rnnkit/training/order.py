"""The order of rows in an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rnnkit.arguments import whole


def in_blocks(sizes: Sequence[int], rng: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of these sizes in random order, each as its number and its rows in random order, counted from 0.

    One block gives the order ``rng.permutation(rows)``. Drawn from sizes alone, so that it is the same for all data.
    """
    for block in rng.permutation(len(sizes)).tolist() if len(sizes) > 1 else range(len(sizes)):
        yield block, rng.permutation(sizes[block])


def shuffled(rows: int, rng: np.random.Generator, blocks: Sequence[int] | None = None) -> np.ndarray:
    """Return all rows in random order, or in that of `in_blocks`.

    >>> shuffled(6, np.random.default_rng(0), blocks=(2, 4)).tolist()
    [0, 1, 5, 4, 2, 3]
    """
    if blocks is None:
        return rng.permutation(rows)
    starts = np.cumsum([0, *blocks])
    return np.concatenate([starts[block] + own for block, own in in_blocks(blocks, rng)])


def checked_blocks(sizes: Sequence[int], rows: int) -> tuple[int, ...]:
    """Return the sizes of blocks given as ``shuffle`` to `fit`; a ValueError if they don't add up to so many rows."""
    found = tuple(whole(size, "a size in shuffle", 0) for size in sizes)
    if sum(found) != rows:
        raise ValueError(f"expected shuffle as True, False or sizes of blocks of {rows} rows in all; got {sum(found)}")
    return found


def first_blocks(blocks: Sequence[int], rows: int) -> tuple[int, ...]:
    """Return the blocks of the first rows alone; the last of them is cut."""
    ends = np.minimum(np.cumsum(blocks), rows)
    return tuple(int(size) for size in np.diff([0, *ends]) if size)
