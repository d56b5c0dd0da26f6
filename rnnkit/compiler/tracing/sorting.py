"""Order and computed places among features: sorting by counting, looking up by comparing a place with all."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.contractions import matmul
from rnnkit.compiler.tracing.reductions import LONGEST
from rnnkit.compiler.tracing.symbol import Symbol


def _ranks(x, axis):
    """x with its axis last, and for each element how many stand before it; NaN stands last, as in NumPy."""
    n = x.node.shape[x.feature_axis(axis, "sort")]
    if n > LONGEST:
        raise Untraceable(f"sorting {n} columns")
    x = np.moveaxis(x, axis, -1)
    this, other = x[..., :, None], x[..., None, :]
    last, first = np.isnan(this), np.isnan(other)
    tie = (this == other) | (last & first)
    earlier = np.arange(n) < np.arange(n)[:, None]
    before = (other < this) | (last & ~first) | (tie & earlier)
    return x, np.sum(before.astype(float), axis=-1)


def _placed(values, ranks, axis):
    n = ranks.node.shape[-1]
    chosen = ranks[..., None, :] == np.arange(float(n))[:, None]
    return np.moveaxis(np.sum(np.where(chosen, values, 0), axis=-1, dtype=values.dtype), -1, axis)


def sort(x, axis=-1, kind=None, stable=None):
    if axis is None:
        raise Untraceable("np.sort without an axis")
    x, ranks = _ranks(x, axis)
    return _placed(x[..., None, :], ranks, axis)


def argsort(x, axis=-1, kind=None, stable=None):
    if axis is None:
        raise Untraceable("np.argsort without an axis")
    x, ranks = _ranks(x, axis)
    return _placed(np.arange(float(x.node.shape[-1])), ranks, axis).astype(np.intp)


def median(x, axis=None, keepdims=False):
    if not isinstance(axis, int):
        raise Untraceable("np.median along one axis")
    ordered = np.moveaxis(sort(x, axis), axis, 0)
    n = x.node.shape[x.feature_axis(axis, "median")]
    middle = np.where(np.isnan(x).any(axis=axis), np.nan, (ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
    return np.expand_dims(middle, axis) if keepdims else middle


def take_along_axis(x, indices, axis=-1):
    """Elements at computed places, each found by comparing its place with all."""
    if not isinstance(x, Symbol) or not isinstance(indices, Symbol) or axis is None:
        raise Untraceable("np.take_along_axis of an array of the step, with an axis")
    n = x.node.shape[x.feature_axis(axis, "take_along_axis")]
    x, indices = np.moveaxis(x, axis, -1), np.moveaxis(indices, axis, -1)  # type: ignore[type-var]  # symbols
    chosen = _chosen(indices, n, axis)
    return np.moveaxis(np.sum(np.where(chosen, x[..., None, :], 0), axis=-1, dtype=x.dtype), -1, axis)


def _chosen(indices, n, axis):
    """For each index, which of n places it is, counted from the end if it is negative; a step fails by any other."""
    if not indices.node.is_integer:
        raise IndexError(f"arrays used as indices must be of integer type, got {indices.dtype}; write astype(int)")
    places = indices.astype(np.int64)
    places = np.where(places < 0, places + n, places)
    outside = (places < 0) | (places >= n)
    line = indices.graph.locate()
    expected = (
        f"expected indices from {-n} to {n - 1} along axis {axis}, of length {n}" if n else "an index into nothing"
    )
    indices.graph.checks.append((outside.node, f"{expected}, in the line {line!r}"))
    return places[..., None] == np.arange(n)


def look_up(table, axis, indices):
    """``table[indices]`` along an axis of what all rows share."""
    n = table.node.shape[axis]
    table = np.moveaxis(table, axis, 0)
    rest = table.shape[1:]
    chosen = _chosen(indices, n, axis)
    if table.graph.whole:
        found: Any = matmul(chosen.astype(table.dtype), table.reshape(n, -1))
    else:
        found = np.sum(np.where(chosen[..., None], table.reshape(n, -1), 0), axis=-2, dtype=table.dtype)
    found = found.reshape(*indices.shape, *rest)
    source = range(indices.ndim)
    return np.moveaxis(found, list(source), [axis + i for i in source])
