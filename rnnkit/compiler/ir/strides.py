"""The walk of a loop over stored values: element numbers as offsets and strides, or as a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class Walk:
    """The elements of a buffer's row that a loop touches, one for each place of the loop."""

    offset: int  # element of the first place
    strides: tuple[int, ...]  # elements from place to place along each axis of the loop; of the table if there is one
    table: np.ndarray | None = None  # int32: the elements of the loop's places in order, where strides can't say them
    # 0, or of how many gates the buffer holds a vector each, in turn: place j is element
    # offset + j // lanes * gates * lanes + j % lanes
    gates: int = 0


def strides_of(index: np.ndarray) -> tuple[int, tuple[int | None, ...]] | None:
    """Return offset and strides of element numbers, or None; the stride of an axis of length 1 is None."""
    if index.size == 0:
        return 0, tuple(_contiguous(index.shape))
    origin = int(index[(0,) * index.ndim])
    strides: list[int | None] = []
    rebuilt = np.full(index.shape, origin)
    for axis, n in enumerate(index.shape):
        if n == 1:
            strides.append(None)
            continue
        step = int(index[tuple(int(i == axis) for i in range(index.ndim))]) - origin
        strides.append(step)
        rebuilt = rebuilt + step * np.arange(n).reshape([-1 if i == axis else 1 for i in range(index.ndim)])
    return (origin, tuple(strides)) if np.array_equal(rebuilt, index) else None


def _contiguous(shape) -> list[int]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return strides[::-1]


def merge_axes(shape, indices, kept: int) -> tuple[tuple[int, ...], int, list[Walk]]:
    """Return the fewest axes over which a loop can run, how many of them are kept, and the walks over them.

    The loop's `shape` has ``kept`` axes whose places each give a result, then the reduced ones; of each sort that there
    was, one is left at least. `indices` are element numbers in that shape for each thing read or written; a written one
    has the kept axes only.
    """
    described = [strides_of(index) for index in indices]
    groups: list[list[int]] = []
    for axis, n in enumerate(shape):
        pairs = zip(described, indices, strict=True)
        follows = (d is None or _follows(d[1], groups[-1], axis, shape, index.ndim) for d, index in pairs)
        if groups and (axis < kept) == (groups[-1][-1] < kept) and (n == 1 or all(follows)):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    dims = tuple(int(np.prod([shape[a] for a in group])) for group in groups)
    walks = []
    for d, index in zip(described, indices, strict=True):
        own = [g for g in groups if g[-1] < index.ndim]
        if d is None:
            walks.append(Walk(0, tuple(_contiguous(dims[: len(own)])), index.reshape(-1).astype(np.int32)))
            continue
        strides: list[int] = []
        for group in own:
            known = [step for step in (d[1][a] for a in group if shape[a] != 1) if step is not None]
            strides.append(known[-1] if known else 1)
        walks.append(Walk(d[0], tuple(strides)))
    return dims, sum(g[-1] < kept for g in groups), walks


def _follows(strides, group, axis, shape, rank) -> bool:
    """Tell whether an axis continues the group before it, for one array that is read or written."""
    if axis >= rank:
        return True
    real = [a for a in group if shape[a] != 1]
    if shape[axis] == 1 or not real or strides[axis] is None:
        return True
    return strides[real[-1]] == strides[axis] * shape[axis]


def row_walk(index: np.ndarray) -> tuple[int, int, int] | None:
    """Return offset, number and stride of an operand's rows of adjacent elements; None if it has another form."""
    described = strides_of(index)
    if described is None:
        return None
    offset, strides = described
    if strides[-1] not in (1, None):
        return None
    rows = int(np.prod(index.shape[:-1]))
    lead = strides_of(index[..., 0].reshape(-1)) if index.size else (0, (index.shape[-1],))
    if lead is None:
        return None
    return offset, rows, lead[1][0] if lead[1][0] is not None else index.shape[-1]
