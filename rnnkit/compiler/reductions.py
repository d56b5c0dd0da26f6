"""Reductions of symbols over feature axes."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.products import matmul
from rnnkit.compiler.symbol import OverRows, Symbol, Untraceable


def _axes(x, axis, what):
    if axis is None:
        axis = tuple(range(x.ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple(x.feature_axis(a, what) for a in axes)


def _reduced(x, node, axes, keepdims):
    """The symbol of a node that lost these of x's feature axes."""
    rank = len(x.node.shape)
    kept = [i for i in range(rank) if i not in axes]
    if keepdims:
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.node.shape))
        return x.made(x.graph.reshape(node, shape), x.axis)
    return x.made(node, None if x.axis is None else sum(1 for i in kept if i < x.axis))


def _reduction(op):
    def reduce(x, axis=None, dtype=None, out=None, keepdims=False, **extra):
        if out is not None or {
            k for k, v in extra.items() if not (k in ("initial", "where") and v in (True, np._NoValue))
        }:
            raise Untraceable(f"np.{op} with out=, initial= or where=; write np.where before it")
        x = _symbol(x)
        if axis is None and x.axis is not None:
            return OverRows(f"{op} over all axes goes along the batch axis too; give axis=-1 or the feature axes")
        axes = _axes(x, axis, op)
        return _reduced(x, x.graph.reduce(op, x.node, axes), axes, keepdims is True)

    return reduce


def _symbol(x):
    return x if isinstance(x, Symbol) else np.stack(x)


def _count(x, axis, what) -> int:
    x = _symbol(x)
    if axis is None and x.axis is not None:
        return 1  # the sum that it divides refuses
    return int(np.prod([x.node.shape[a] for a in _axes(x, axis, what)]))


sum_of, prod_of, max_of, min_of = (_reduction(op) for op in ("sum", "prod", "max", "min"))


def mean_of(x, axis=None, dtype=None, out=None, keepdims=False, **extra):
    return sum_of(x, axis, keepdims=keepdims, out=out, **extra) / float(_count(x, axis, "mean"))


def var_of(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **extra):
    x = _symbol(x)
    if axis is None and x.axis is not None:
        return sum_of(x)
    deviation = np.square(x - mean_of(x, axis, keepdims=True))
    correction = extra.pop("correction", ddof)
    return sum_of(deviation, axis, keepdims=keepdims, out=out, **extra) / float(_count(x, axis, "var") - correction)


def std_of(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **extra):
    return np.sqrt(var_of(x, axis, None, out, ddof, keepdims, **extra))


def any_of(x, axis=None, out=None, keepdims=False, **extra):
    return max_of(x.astype(bool), axis, keepdims=keepdims) > 0.5


def all_of(x, axis=None, out=None, keepdims=False, **extra):
    return min_of(x.astype(bool), axis, keepdims=keepdims) > 0.5


def _log_sum_exp(x, axis=None, dtype=None, out=None, keepdims=False, **extra):
    top = max_of(x, axis, keepdims=True)
    if isinstance(top, OverRows):
        return top
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(sum_of(np.exp(x - top), axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis)


def _first_axis(reduce):
    """A ufunc's ``reduce`` goes along axis 0 where nothing else is said."""
    return lambda x, axis=0, *args, **keywords: reduce(x, axis, *args, **keywords)


UFUNC_REDUCTIONS = {
    "add": _first_axis(sum_of),
    "multiply": _first_axis(prod_of),
    "maximum": _first_axis(max_of),
    "minimum": _first_axis(min_of),
    "logical_or": _first_axis(any_of),
    "logical_and": _first_axis(all_of),
    "logaddexp": _first_axis(_log_sum_exp),
}


def place_of(reduction):
    def place(x, axis=None, out=None, keepdims=False, **extra):
        if axis is None and x.axis is not None:
            return max_of(x)
        inner = _axes(x, axis, "argmax")
        if len(inner) != 1:
            raise Untraceable("np.argmax over several axes; give one axis")
        shape = [1] * len(x.node.shape)
        shape[inner[0]] = n = x.node.shape[inner[0]]
        places = x.made(x.graph.literal(np.arange(float(n)).reshape(shape)), x.axis)
        found = reduction(x, axis, keepdims=True)
        return min_of(np.where(np.equal(x, found), places, float(n)), axis, keepdims=keepdims is True)

    return place


def cumsum(x, axis=None, dtype=None, out=None):
    """A running sum, as a product with a triangular matrix of ones."""
    if axis is None or out is not None:
        raise Untraceable("np.cumsum without an axis")
    inner = x.feature_axis(axis, "cumsum")
    n = x.node.shape[inner]
    moved = np.moveaxis(x, axis, -1)
    return np.moveaxis(matmul(moved, x.made(x.graph.literal(np.triu(np.ones((n, n)))))), -1, axis)


def norm_of(x, ord=None, axis=None, keepdims=False):
    if ord not in (None, 2, 1, np.inf) or (ord is not None and isinstance(axis, tuple)):
        raise Untraceable(f"np.linalg.norm of order {ord}")
    if ord in (1, np.inf):
        return (sum_of if ord == 1 else max_of)(np.abs(x), axis, keepdims=keepdims)
    return np.sqrt(sum_of(np.square(x), axis, keepdims=keepdims))
