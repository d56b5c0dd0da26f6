"""Small linear systems, one per row: elimination after Gauss and Jordan, written in operations on whole arrays."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import first_symbol, lift
from rnnkit.compiler.tracing.contractions import matmul
from rnnkit.compiler.tracing.reductions import max_of, place_of

_LARGEST = 16  # unknowns: each adds a handful of loops to the program
_largest = place_of(max_of, of_nan=False)


def inverse(a):
    """``np.linalg.inv``."""
    if a.axis is None and a.ndim == 2 and not a.node.batched:
        return a.made(a.graph.add("inverse", (a.graph.as_float(a.node),), a.node.shape))
    return _eliminated(a, np.zeros_like(a) + np.eye(_unknowns(a)))


def solve(a, b):
    """``np.linalg.solve``."""
    like = first_symbol(a, b)
    a, b = lift(like, a), lift(like, b)
    if a.axis is None:
        return matmul(inverse(a), b)
    if b.ndim == 1:
        b = b[:, None]
        return _eliminated(a, b + np.zeros_like(a[..., :1]))[..., 0]
    return _eliminated(a, b + np.zeros_like(a[..., :1]))


def _unknowns(a) -> int:
    for axis in (-2, -1):
        a.feature_axis(axis, "a linear system")
    rows, columns = a.node.shape[-2:]
    if rows != columns:
        raise ValueError(f"expected square matrices, got {rows} x {columns}")
    if rows > _LARGEST:
        raise Untraceable(f"a linear system of {rows} unknowns for each row of the batch")
    return rows


def _eliminated(a, b):
    """The b of ``a x = b``, turned into x while a is turned into ones; the largest pivot first, as LAPACK does."""
    n = _unknowns(a)
    both, places = np.concatenate([a, b], axis=-1), np.arange(n)
    for column in range(n):
        sizes = np.where(places < column, -1.0, np.abs(both[..., column]))
        chosen = (places == _largest(sizes, axis=-1)[..., None])[..., None]
        pivot = np.sum(np.where(chosen, both, 0.0), axis=-2, keepdims=True)
        both = np.where(chosen, both[..., column : column + 1, :], both)
        pivot = pivot / pivot[..., column : column + 1]
        both = np.where(places[:, None] == column, pivot, both - both[..., column : column + 1] * pivot)
    return both[..., n:]
