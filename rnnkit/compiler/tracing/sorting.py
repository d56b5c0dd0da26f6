"""Order and computed indices among features: sorting by counting, and look-ups by comparing an index with all.

In a step that is planned by rows, with a line for each number, longer arrays are counted by a loop of the graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.compiler.ir.graph import BY_ROW
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import lift, lifted
from rnnkit.compiler.tracing.contractions import matmul
from rnnkit.compiler.tracing.manipulation import broadcast_to, moveaxis
from rnnkit.compiler.tracing.symbol import Symbol

_LONGEST = 512  # columns that are compared each with each
_UNROLLED = 12  # columns of one row that are sorted without a loop


def _ranks(x, axis):
    """Return x with its axis last, and the rank of each element; NaN comes last, as in NumPy."""
    n = x.node.shape[x.feature_axis(axis, "sort")]
    if n > _LONGEST:
        raise Untraceable(f"sorting {n} columns")
    x = np.moveaxis(x, axis, -1)
    this, other = x[..., :, None], x[..., None, :]
    last, first = np.isnan(this), np.isnan(other)
    tie = (this == other) | (last & first)
    earlier = np.arange(n) < np.arange(n)[:, None]
    before = (other < this) | (last & ~first) | (tie & earlier)
    return x, np.sum(before.astype(float), axis=-1)


def _placed(values, ranks, axis, wanted=None):
    wanted = np.arange(ranks.node.shape[-1]) if wanted is None else np.asarray(wanted)
    chosen = ranks[..., None, :] == wanted.astype(float)[:, None]
    return np.moveaxis(np.sum(np.where(chosen, values, 0), axis=-1, dtype=values.dtype), -1, axis)


def _count(x, values, ordered):
    """Write a row's values into `ordered` in the order of x; read as a step of one row is."""
    missing, places = np.isnan(x), np.arange(len(x))
    for i in range(len(x)):
        this, last = x[i], np.isnan(x[i])
        tie = (x == this) | (missing & last)
        ordered[np.sum((x < this) | (last & ~missing) | (tie & (places < i)))] = values[i]
    return ordered


def _by_loop(x, values):
    """Return values in the order of a row's array, by a loop; None for other arrays, and in steps without loops."""
    reader = x.graph.read
    if x.ndim != 1 or not reader or not reader.frames or x.node.size <= _UNROLLED:
        return None
    if x.axis is not None or all(node.op not in BY_ROW for node in x.graph.nodes):
        return None
    values = lift(x, values)
    return reader.read(_count, x, values, np.zeros_like(values))


def sort(x, axis=-1, kind=None, stable=None):
    if axis is None:
        raise Untraceable("np.sort without an axis")
    return _sorted(x, axis)


def _sorted(x, axis, wanted=None):
    """Return the elements in order, or those of the ranks `wanted`."""
    if (ordered := _by_loop(x, x)) is not None:
        return ordered if wanted is None else ordered[np.asarray(wanted)]
    x, ranks = _ranks(x, axis)
    return _placed(x[..., None, :], ranks, axis, wanted)


def argsort(x, axis=-1, kind=None, stable=None):
    if axis is None:
        raise Untraceable("np.argsort without an axis")
    if (order := _by_loop(x, np.arange(x.node.size))) is not None:
        return order
    x, ranks = _ranks(x, axis)
    return _placed(np.arange(float(x.node.shape[-1])), ranks, axis).astype(np.intp)


def _length_and_shares(x, q, axis, out, method, nan):
    if not isinstance(axis, int) or method != "linear" or isinstance(q, Symbol) or out is not None:
        names = f"np.{nan}quantile or np.{nan}percentile"
        raise Untraceable(f"{names} along one axis, of numbers, by the linear method")
    n, q = x.node.shape[x.feature_axis(axis, f"{nan}quantile")], np.asarray(q, float)
    if not np.all((q >= 0) & (q <= 1)):
        raise ValueError("Quantiles must be in the range [0, 1]")
    return n, q


def quantile(x, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False):
    """Compute ``np.quantile`` for numbers `q`, by linear interpolation."""
    n, q = _length_and_shares(x, q, axis, out, method, "")
    lows = [min(int(share * (n - 1)), n - 1) for share in q.flat]
    elements = _at_ranks(x, axis, {k for low in lows for k in (low, min(low + 1, n - 1))}, keepdims)
    found = []
    for share, low in zip(q.flat, lows, strict=True):
        part, first, second = share * (n - 1) - low, elements[low], elements[min(low + 1, n - 1)]
        step = second - first
        found.append(first + step * part if part < 0.5 else second - step * (1.0 - part))
    return np.stack(found) if q.ndim else found[0]


def median(x, axis=None, out=None, overwrite_input=False, keepdims=False):
    if not isinstance(axis, int) or out is not None:
        raise Untraceable("np.median along one axis")
    n = x.node.shape[x.feature_axis(axis, "median")]
    elements = _at_ranks(x, axis, {(n - 1) // 2, n // 2}, keepdims)
    return elements[n // 2] if n % 2 else (elements[n // 2 - 1] + elements[n // 2]) / 2


def _between(first, second, part):
    step = second - first
    return np.where(part < 0.5, first + step * part, second - step * (1.0 - part))


def nanquantile(x, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, between=_between):
    """Compute ``np.nanquantile``, as `quantile`: the places follow from how many numbers a row has."""
    n, q = _length_and_shares(x, q, axis, out, method, "nan")
    ordered = np.moveaxis(np.sort(np.where(np.isnan(x), np.inf, x), axis=axis), axis, -1)
    last = np.moveaxis(np.sum(np.where(np.isnan(x), 0.0, 1.0), axis=axis, keepdims=True), axis, -1) - 1.0

    def at(place):
        return np.sum(np.where(np.arange(n) == place, ordered, 0.0), axis=-1, keepdims=True)

    found = []
    for share in q.flat:
        low = np.floor(share * last)
        one = between(at(low), at(np.minimum(low + 1.0, last)), share * last - low)
        one = np.moveaxis(np.where(last < 0.0, np.nan, one), -1, axis)
        found.append(one if keepdims else np.squeeze(one, axis))
    return np.stack(found) if q.ndim else found[0]


def nanmedian(x, axis=None, out=None, overwrite_input=False, keepdims=False):
    middle = lambda first, second, part: np.where(part > 0.0, (first + second) / 2, first)
    return nanquantile(x, 0.5, axis, out, keepdims=keepdims, between=middle)


def _at_ranks(x, axis, wanted, keepdims):
    """Return the elements of some ranks; NaN where there is a NaN."""
    missing = np.isnan(x).any(axis=axis, keepdims=keepdims)
    found = np.moveaxis(_sorted(x, axis, sorted(wanted)), axis, 0)
    found = np.expand_dims(found, axis if axis < 0 else axis + 1) if keepdims else found
    return {k: np.where(missing, np.nan, one) for k, one in zip(sorted(wanted), found, strict=True)}


_FEW_KEYS = 3  # the most keys that are searched one after another


def _halved(a, v, side):
    """Search a row's own array by bisection, from the last key's result on, as NumPy does also if it isn't sorted."""

    def less(one, other):
        found = one < other
        return found | (np.isnan(other) & ~np.isnan(one)) if other.is_float else found

    def before(one, other):
        return less(one, other) if side == "left" else ~less(other, one)

    n, found = len(a), []
    last, low, high = None, np.array(0), np.array(len(a))
    for key in v.reshape(-1):
        up = last is not None and before(last, key)
        low, high, last = np.where(up, low, 0), np.where(up | (high >= n), n, high + 1), key
        for _ in range(n.bit_length()):
            middle = np.minimum((low + high) // 2, n - 1)
            there = isinstance(middle, Symbol)
            right = before(a.made(a.graph.take(a.node, middle.node)) if there else a[int(middle)], key)
            low, high = np.where((low < high) & right, middle + 1, low), np.where((low < high) & ~right, middle, high)
        found.append(low)
    return np.stack(found).reshape(v.shape) if found else np.zeros(v.shape, int)


def searchsorted(a, v, side="left", sorter=None):
    """Compute ``np.searchsorted`` in an array that all rows share, or of one row; NaN comes last."""
    a, v = lifted(a, v)
    if sorter is not None or a.axis is not None or a.ndim != 1:
        raise Untraceable("np.searchsorted with a sorter, or in several arrays")
    if a.node.batched and v.node.size <= _FEW_KEYS:  # more keys are searched as if the array is sorted
        return _halved(a, v, side)
    of_nan = np.isnan(v)[..., None]
    before = (a < v[..., None]) | (of_nan & ~np.isnan(a)) if side == "left" else (a <= v[..., None]) | of_nan
    return np.sum(before, axis=-1)


def interp(x, xp, fp, left=None, right=None, period=None):
    """Compute ``np.interp`` as the sum of each interval's contribution."""
    if period is not None:
        raise Untraceable("np.interp with a period")
    x, xp, fp = lifted(x, xp, fp)
    low, length = xp[:-1], xp[1:] - xp[:-1]
    slope = (fp[1:] - fp[:-1]) / np.where(length > 0, length, 1.0)
    found = fp[0] + np.sum(slope * np.minimum(np.maximum(x[..., None] - low, 0.0), length), axis=-1)
    found = found if left is None else np.where(x < xp[0], left, found)
    found = np.where(x >= xp[-1], fp[-1], found)
    return found if right is None else np.where(x > xp[-1], right, found)


def put_along_axis(x: Any, indices: Any, values, axis=-1):
    """Do ``np.put_along_axis``, one index after another."""
    if not isinstance(x, Symbol) or axis is None:
        raise Untraceable("np.put_along_axis into an array of the step, with an axis")
    n = x.node.shape[x.feature_axis(axis, "put_along_axis")]
    given: Any = lift(x, indices)
    found: Any = moveaxis(x, axis, -1)
    values = np.moveaxis(np.zeros_like(given, dtype=x.dtype) + values, axis, -1)
    chosen = _chosen(np.moveaxis(given, axis, -1), n, axis)
    for k in range(values.shape[-1]):
        found = np.where(chosen[..., k, :], values[..., k, None], found)
    x[...] = np.moveaxis(found, -1, axis)


def add_at(x: Any, key, values):
    """Do ``np.add.at``: an assignment in which values at the same index add up."""
    if not isinstance(x, Symbol):
        raise Untraceable("np.add.at into an array that isn't the step's own")
    keys = key if isinstance(key, tuple) else (key,)
    keys = tuple(k.node.attr if isinstance(k, Symbol) and k.node.op == "literal" else k for k in keys)
    if len(keys) == 1 and isinstance(key := keys[0], Symbol):
        if x.axis is not None or x.ndim != 1:
            raise Untraceable("np.add.at at computed places of other than a vector of one row")
        chosen = _chosen(key, len(x), 0)
        values = np.zeros_like(key, dtype=x.dtype) + values
        x += np.sum(np.where(chosen, values[..., None], 0), axis=tuple(range(key.ndim)))
        return
    view, axis = x._part(x._key(keys))
    places = view.index(x.node.shape)
    shape: Any = places.shape if axis is None else (*places.shape[:axis], x.shape[x.axis or 0], *places.shape[axis:])
    values = broadcast_to(lift(x, values), shape)
    flat = values.made(x.graph.reshape(values.node, (places.size,)), values.axis and 0)
    one_hot = places.reshape(-1, 1) == np.arange(x.node.size)
    added = np.sum(np.where(one_hot, flat[..., None], 0), axis=-2)
    x += added.made(x.graph.reshape(added.node, x.node.shape), x.axis)


def bincount(x, weights=None, minlength=0):
    """Compute ``np.bincount`` of numbers below `minlength`."""
    if x.axis is not None or x.ndim != 1 or not minlength:
        raise Untraceable("np.bincount of one row, with a minlength above all that it counts")
    chosen = _chosen(np.where(x < 0, minlength, x), minlength, 0)
    return np.sum(chosen if weights is None else np.where(chosen, lift(x, weights)[:, None], 0), axis=0)


def take_along_axis(x, indices, axis=-1):
    """Return elements at computed indices, each found by comparing its index with all."""
    if not isinstance(x, Symbol) or not isinstance(indices, Symbol) or axis is None:
        raise Untraceable("np.take_along_axis of an array of the step, with an axis")
    n = x.node.shape[x.feature_axis(axis, "take_along_axis")]
    x, indices = np.moveaxis(x, axis, -1), np.moveaxis(indices, axis, -1)  # type: ignore[type-var]  # symbols
    chosen = _chosen(indices, n, axis)
    return np.moveaxis(np.sum(np.where(chosen, x[..., None, :], 0), axis=-1, dtype=x.dtype), -1, axis)


def _chosen(indices, n, axis):
    """Return ``index == arange(n)`` for each index, counted from the end if negative; others fail the step."""
    if not indices.node.is_integer:
        raise IndexError(f"arrays used as indices must be of integer type, got {indices.dtype}; write astype(int)")
    places = indices.astype(np.int64)
    places = np.where(places < 0, places + n, places)
    outside = (places < 0) | (places >= n)
    expected = f"expected indices from {-n} to {n - 1} along axis {axis}, of length {n}"
    line = f"in the line {indices.graph.locate()!r}"
    indices.graph.checks.append((outside.node, f"{expected if n else 'an index into nothing'}, {line}"))
    return places[..., None] == np.arange(n)


def look_up(table, axis, indices):
    """Return ``table[indices]`` along an axis of an array that all rows share."""
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
