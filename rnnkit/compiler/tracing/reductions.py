"""Reductions of symbols over feature axes."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from rnnkit.compiler.ir.operations import REDUCTIONS
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.contractions import matmul
from rnnkit.compiler.tracing.symbol import OverRows, Symbol

LONGEST = 64  # columns that are unrolled or compared each with each


def _axes(x, axis, what):
    if axis is None:
        axis = tuple(range(x.ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple(x.feature_axis(a, what) for a in axes)


def _reduced(x, node, axes, keepdims):
    """Return the symbol of a node that lost these of x's feature axes."""
    rank = len(x.node.shape)
    kept = [i for i in range(rank) if i not in axes]
    if keepdims:
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.node.shape))
        return x.made(x.graph.reshape(node, shape), x.axis)
    return x.made(node, None if x.axis is None else sum(1 for i in kept if i < x.axis))


def _reduction(op):
    combine = getattr(np, REDUCTIONS[op].combine)

    def reduce(x, axis=None, dtype=None, out=None, keepdims=False, initial=np._NoValue, where=True):
        if out is not None:
            raise Untraceable(f"np.{op} with out=; write the result to a name")
        x = _in_type(_symbol(x), op, dtype)
        if where is not True and where is not np._NoValue:
            x = np.where(where, x, REDUCTIONS[op].of_nothing(x.node.kind))
        if axis is None and x.axis is not None:
            return OverRows(f"{op} over all axes goes along the batch axis too; give axis=-1 or the feature axes")
        axes = _axes(x, axis, op)
        result = _reduced(x, x.graph.reduce(op, x.node, axes), axes, keepdims is True)
        if x.node.kind == "bool":  # counted in floats, which is exact
            result = result.astype(bool if op in ("max", "min") else int)
        return result if initial is np._NoValue else combine(result, initial)

    return reduce


def _in_type(x, op, dtype):
    """Return an array in the type in which NumPy sums it."""
    if dtype is not None:
        return x.astype(dtype)
    if not x.node.is_integer or op not in ("sum", "prod"):
        return x
    return x.astype(np.add.reduce(np.empty(0, x.dtype)).dtype)


def _symbol(x):
    return x if isinstance(x, Symbol) else np.stack(x)


def _count(x, axis, what) -> int:
    x = _symbol(x)
    if axis is None and x.axis is not None:
        return 1  # the sum raises the error
    return int(np.prod([x.node.shape[a] for a in _axes(x, axis, what)]))


sum_of, prod_of, max_of, min_of = map(_reduction, ("sum", "prod", "max", "min"))


def mean_of(x, axis=None, dtype=None, out=None, keepdims=False):
    x = _symbol(x)
    x = x.astype(dtype or float) if dtype is not None or not x.is_float else x
    return sum_of(x, axis, keepdims=keepdims, out=out) / float(_count(x, axis, "mean"))


def average(x, axis=None, weights=None, keepdims=False):
    if weights is None:
        return mean_of(x, axis, keepdims=keepdims)
    if np.ndim(weights) == 1 and x.ndim > 1:
        (inner,) = _axes(x, axis, "average")
        weights = np.reshape(weights, [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    total = sum_of(weights + np.zeros_like(x), axis, keepdims=keepdims)
    return sum_of(x * weights, axis, keepdims=keepdims) / total


def var_of(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, correction=None):
    x = _symbol(x)
    if axis is None and x.axis is not None:
        return sum_of(x)
    deviation = np.square(x - mean_of(x, axis, keepdims=True))
    freedom = _count(x, axis, "var") - (ddof if correction is None else correction)
    return sum_of(deviation, axis, keepdims=keepdims, out=out) / float(freedom)


def std_of(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, correction=None):
    return np.sqrt(var_of(x, axis, None, out, ddof, keepdims, correction))


def any_of(x, axis=None, out=None, keepdims=False):
    return max_of(_ones(x), axis, keepdims=keepdims) > 0.5


def all_of(x, axis=None, out=None, keepdims=False):
    return min_of(_ones(x), axis, keepdims=keepdims) > 0.5


def _ones(x):
    return _symbol(x).astype(bool).astype(float)


def log_sum_exp(x, axis=None, dtype=None, out=None, keepdims=False):
    top = max_of(x, axis, keepdims=True)
    if isinstance(top, OverRows):
        return top
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(sum_of(np.exp(x - top), axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis)


UFUNC_REDUCTIONS = {"add": sum_of, "multiply": prod_of, "maximum": max_of, "minimum": min_of, "logaddexp": log_sum_exp}
UFUNC_REDUCTIONS |= {"logical_or": any_of, "logical_and": all_of}


def place_of(reduction):
    """Return the function of the index of an extreme, that of the first NaN if there is one."""

    def place(x, axis=None, out=None, keepdims=False):
        if axis is None and x.axis is not None:
            return max_of(x)
        inner = _axes(x, axis, "argmax")
        if len(inner) != 1:
            raise Untraceable("np.argmax over several axes; give one axis")
        shape = [1] * len(x.node.shape)
        shape[inner[0]] = n = x.node.shape[inner[0]]
        places = x.made(x.graph.literal(np.arange(float(n)).reshape(shape)), x.axis)
        chosen = np.equal(x, reduction(x, axis, keepdims=True))
        chosen = chosen | np.not_equal(x, x) if x.is_float else chosen
        found = min_of(np.where(chosen, places, n - 1.0), axis, keepdims=keepdims is True)
        return found.astype(np.intp)

    return place


def running(ufunc, x, axis=0, dtype=None, out=None):
    """Compute ``ufunc.accumulate``, in order; sums of more than `LONGEST` columns in parts, each in order.

    Those of whole arrays, whose length may be open, are a product with a triangle of ones.
    """
    if axis is None or out is not None:
        raise Untraceable(f"np.{ufunc.__name__}.accumulate without an axis")
    n = x.node.shape[x.feature_axis(axis, "accumulate")]
    if ufunc in (np.add, np.multiply):
        x = _in_type(x, "sum", int if dtype is None and x.node.kind == "bool" else dtype)
    if ufunc is np.add and x.graph.whole:
        ones = x.made(x.graph.literal(np.triu(np.ones((n, n), x.dtype))))
        sums = matmul(np.moveaxis(x, axis, -1), ones)
        return np.moveaxis(sums, -1, axis)  # type: ignore[type-var]  # a symbol stands in for an array
    if ufunc is np.add and n > LONGEST:
        return np.moveaxis(_sums_in_parts(np.moveaxis(x, axis, -1), math.isqrt(n)), -1, axis)
    if n > LONGEST:
        raise Untraceable(f"np.{ufunc.__name__}.accumulate over {n} columns")
    parts = np.split(x, n, axis) if n else []
    return np.concatenate(list(itertools.accumulate(parts, ufunc)), axis) if n else x


def _sums_in_parts(x, width):
    """Return running sums along the last axis: those of parts of `width` columns, and of the parts before."""
    *rest, n = x.node.shape
    full: Any = np.concatenate([x, np.zeros_like(x[..., : -n % width])], -1)
    sums = np.cumsum(x.made(x.graph.reshape(full.node, (*rest, -(-n // width), width)), x.axis), -1)
    totals = np.cumsum(sums[..., -1], -1)
    before = np.concatenate([np.zeros_like(totals[..., :1]), totals[..., :-1]], -1)
    found: Any = sums + before[..., None]
    return x.made(x.graph.reshape(found.node, full.node.shape), x.axis)[..., :n]


def of_numbers(reduce, start):
    """Return a reduction without NaN, which starts with `start`; NaN if there is no number and `start` is infinite."""

    def reduced(x, axis=None, dtype=None, out=None, keepdims=False):
        found = reduce(np.where(np.isnan(x), start, x), axis, dtype, out, keepdims)
        return np.where(all_of(np.isnan(x), axis, keepdims=keepdims), np.nan, found) if np.isinf(start) else found

    return reduced


def nanmean(x, axis=None, dtype=None, out=None, keepdims=False):
    total = of_numbers(sum_of, 0.0)(x, axis, dtype, out, keepdims)
    return total / sum_of(~np.isnan(x), axis, keepdims=keepdims)


def nanvar(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    deviation = np.where(np.isnan(x), 0.0, np.square(x - nanmean(x, axis, keepdims=True)))
    freedom = sum_of(~np.isnan(x), axis, keepdims=keepdims) - ddof
    return sum_of(deviation, axis, dtype, out, keepdims) / np.where(freedom > 0, freedom, np.nan)


def norm_of(x, ord=None, axis=None, keepdims=False):
    x = x if x.is_float else x.astype(float)
    of_matrix = isinstance(axis, tuple) or (axis is None and x.ndim != 1)
    if ord not in (None, 2, 1, np.inf) or (ord is not None and of_matrix):
        raise Untraceable(f"np.linalg.norm of order {ord}")
    if ord in (1, np.inf):
        return (sum_of if ord == 1 else max_of)(np.abs(x), axis, keepdims=keepdims)
    return np.sqrt(sum_of(np.square(x), axis, keepdims=keepdims))
