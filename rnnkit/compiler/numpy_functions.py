"""What NumPy's functions do to symbols: ufuncs, reductions, rearrangements, one definition each."""

from __future__ import annotations

import numbers

import numpy as np

from rnnkit.compiler.graph import View
from rnnkit.compiler.operations import OPERATIONS
from rnnkit.compiler.products import dot, einsum, matmul, tensordot
from rnnkit.compiler.symbol import BatchSize, MixesRows, OverRows, Symbol, Untraceable

_UFUNCS = {
    "true_divide": "divide", "fabs": "absolute", "abs": "absolute", "expit": "sigmoid", "bitwise_and": "logical_and",
    "bitwise_or": "logical_or", "bitwise_xor": "logical_xor", "invert": "logical_not", "float_power": "power",
    "conjugate": "positive", "mod": "remainder", "log_expit": "log_sigmoid", "pow": "power",
}  # fmt: skip


def first_symbol(*values) -> Symbol:
    """The first symbol among values and lists of values."""
    for value in values:
        if isinstance(value, Symbol):
            return value
        if isinstance(value, (list, tuple)):
            found = first_symbol(*value)
            if found is not None:
                return found
    return None


def lift(like: Symbol, value) -> Symbol:
    """A value as a symbol of the same graph: numbers and arrays become literals."""
    if isinstance(value, Symbol):
        return value
    if isinstance(value, BatchSize):
        raise MixesRows("the batch size stands in arithmetic: a step sees rows that have nothing to do with each other")
    if isinstance(value, (list, tuple)) and any(isinstance(v, Symbol) for v in value):
        raise Untraceable("a list of arrays where an array is expected; write np.stack or np.concatenate")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise Untraceable(f"a value of type {array.dtype} in a step; expected real numbers")
    return like.made(like.graph.literal(array))


def align(symbols) -> tuple[list, int | None]:
    """Nodes that broadcast against each other as the symbols do, and where the batch axis stands in the result."""
    behind = {s.ndim - s.axis for s in symbols if s.axis is not None}
    if not behind:
        return [s.node for s in symbols], None
    if len(behind) > 1:
        raise MixesRows(
            "an operation pairs the batch axis of one array with a feature axis of another; add axes with None"
        )
    (behind,) = behind
    nodes = []
    for s in symbols:
        node = s.node
        if s.axis is None and s.ndim >= behind:
            at = s.ndim - behind
            if node.shape[at] != 1:
                raise MixesRows(
                    f"an array of shape {node.shape} has {node.shape[at]} entries along the batch axis, "
                    "where rows have nothing to do with each other"
                )
            node = s.graph.reshape(node, (*node.shape[:at], *node.shape[at + 1 :]))
        nodes.append(node)
    rank = max(len(np.broadcast_shapes(*(n.shape for n in nodes))) + 1, behind)
    return nodes, rank - behind


def pointwise(name, *args) -> Symbol:
    """A pointwise operation on symbols and values."""
    like = first_symbol(*args)
    symbols = [lift(like, a) for a in args]
    nodes, axis = align(symbols)
    return like.made(like.graph.pointwise(name, *nodes), axis)


def _power(base, exponent):
    if isinstance(exponent, numbers.Real) and not isinstance(exponent, bool):
        if exponent == 0.5:
            return pointwise("sqrt", base)
        if float(exponent).is_integer() and 1 <= abs(exponent) <= 4:
            result = {1: lambda: base, 2: lambda: np.square(base), 3: lambda: np.square(base) * base}.get(
                abs(int(exponent)), lambda: np.square(np.square(base))
            )()
            return result if exponent > 0 else 1.0 / result
    return pointwise("power", base, exponent)


def _xlogy(x, y):
    return np.where(np.equal(x, 0), np.where(np.isnan(y), np.nan, 0.0), x * np.log(np.where(np.equal(x, 0), 1.0, y)))


_COMPOSED = {
    "positive": lambda x: x.copy(),
    "power": _power,
    "reciprocal": lambda x: pointwise("divide", 1.0, x),
    "isnan": lambda x: pointwise("not_equal", x, x),
    "isinf": lambda x: pointwise("equal", pointwise("absolute", x), np.inf),
    "isfinite": lambda x: pointwise("less", pointwise("absolute", x), np.inf),
    "fmax": lambda a, b: np.where(np.isnan(a), b, np.where(np.isnan(b), a, np.maximum(a, b))),
    "fmin": lambda a, b: np.where(np.isnan(a), b, np.where(np.isnan(b), a, np.minimum(a, b))),
    "heaviside": lambda x, h: np.where(np.isnan(x), np.nan, np.where(np.equal(x, 0), h, np.where(x > 0, 1.0, 0.0))),
    "deg2rad": lambda x: x * (np.pi / 180.0),
    "rad2deg": lambda x: x * (180.0 / np.pi),
    "logaddexp2": lambda a, b: np.logaddexp(a * np.log(2.0), b * np.log(2.0)) / np.log(2.0),
    "logit": lambda x: np.log(x) - np.log1p(-x),
    "xlogy": _xlogy,
    "exp10": lambda x: np.power(10.0, x),
    "signbit": lambda x: pointwise("less", pointwise("copysign", 1.0, x), 0.0),
    "matmul": matmul,
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "ndtr": lambda x: 0.5 * pointwise("erfc", x * (-1.0 / np.sqrt(2.0))),
}
_COMPOSED |= {"radians": _COMPOSED["deg2rad"], "degrees": _COMPOSED["rad2deg"]}
_BOOLEAN = {"add": "logical_or", "multiply": "logical_and", "maximum": "logical_or", "minimum": "logical_and"}


def call_ufunc(ufunc, method, args, keywords):
    """``__array_ufunc__`` of symbols."""
    name = ufunc.__name__
    if method == "reduce":
        return _REDUCE[name](*args, **keywords) if name in _REDUCE else _unknown(f"{name}.reduce")
    if method == "accumulate" and name == "add":
        return cumsum(*args, **keywords)
    if method != "__call__":
        return _unknown(f"{name}.{method}")
    keywords = {k: v for k, v in keywords.items() if not (k == "dtype" or (k == "where" and v is True))}
    if keywords:
        raise Untraceable(f"np.{name} with {', '.join(keywords)}=; write the result to a name")
    name = _UFUNCS.get(name, name)
    if name in ("logical_and", "logical_or", "logical_xor", "logical_not") and ufunc.__name__ in (
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "invert",
    ):
        like = first_symbol(*args)
        if any(lift(like, a).node.kind != "bool" for a in args):
            raise Untraceable(f"np.{ufunc.__name__} of numbers; only of conditions")
    if name in _COMPOSED:
        return _COMPOSED[name](*args)
    if name in _BOOLEAN and all(lift(first_symbol(*args), a).node.kind == "bool" for a in args):
        name = _BOOLEAN[name]
    if name not in OPERATIONS:
        return _unknown(name)
    return pointwise(name, *args)


def call_function(function, args, keywords):
    """``__array_function__`` of symbols."""
    name = function.__name__
    if function.__module__ == "numpy.linalg":
        name = f"linalg.{name}"
    if name not in FUNCTIONS:
        return _unknown(name)
    return FUNCTIONS[name](*args, **keywords)


def _unknown(name):
    raise Untraceable(f"np.{name} can't be traced")


# Reductions


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
    return x if isinstance(x, Symbol) else stack(x, axis=0)


def _count(x, axis, what) -> int:
    x = _symbol(x)
    if axis is None and x.axis is not None:
        return 1  # the sum that it divides refuses
    return int(np.prod([x.node.shape[a] for a in _axes(x, axis, what)]))


_sum, _prod, _max, _min = (_reduction(op) for op in ("sum", "prod", "max", "min"))


def _mean(x, axis=None, dtype=None, out=None, keepdims=False, **extra):
    return _sum(x, axis, keepdims=keepdims, out=out, **extra) / float(_count(x, axis, "mean"))


def _var(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **extra):
    x = _symbol(x)
    if axis is None and x.axis is not None:
        return _sum(x)
    deviation = np.square(x - _mean(x, axis, keepdims=True))
    correction = extra.pop("correction", ddof)
    return _sum(deviation, axis, keepdims=keepdims, out=out, **extra) / float(_count(x, axis, "var") - correction)


def _std(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **extra):
    return np.sqrt(_var(x, axis, None, out, ddof, keepdims, **extra))


def _any(x, axis=None, out=None, keepdims=False, **extra):
    return _max(x.astype(bool), axis, keepdims=keepdims) > 0.5


def _all(x, axis=None, out=None, keepdims=False, **extra):
    return _min(x.astype(bool), axis, keepdims=keepdims) > 0.5


def _log_sum_exp(x, axis=None, dtype=None, out=None, keepdims=False, **extra):
    top = _max(x, axis, keepdims=True)
    if isinstance(top, OverRows):
        return top
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(_sum(np.exp(x - top), axis, keepdims=True)) + top
    return total if keepdims else _squeeze(total, axis)


_REDUCE = {"add": _sum, "multiply": _prod, "maximum": _max, "minimum": _min, "logical_or": _any, "logical_and": _all}
_REDUCE |= {"logaddexp": _log_sum_exp}
_REDUCE = {
    name: (lambda function: lambda x, axis=0, *args, **keywords: function(x, axis, *args, **keywords))(function)
    for name, function in _REDUCE.items()
}


def _arg(reduction):
    def place(x, axis=None, out=None, keepdims=False, **extra):
        if axis is None and x.axis is not None:
            return _max(x)
        inner = _axes(x, axis, "argmax")
        if len(inner) != 1:
            raise Untraceable("np.argmax over several axes; give one axis")
        shape = [1] * len(x.node.shape)
        shape[inner[0]] = n = x.node.shape[inner[0]]
        places = x.made(x.graph.literal(np.arange(float(n)).reshape(shape)), x.axis)
        found = reduction(x, axis, keepdims=True)
        return _min(np.where(np.equal(x, found), places, float(n)), axis, keepdims=keepdims is True)

    return place


def cumsum(x, axis=None, dtype=None, out=None):
    """A running sum, as a product with a triangular matrix of ones."""
    if axis is None or out is not None:
        raise Untraceable("np.cumsum without an axis")
    inner = x.feature_axis(axis, "cumsum")
    n = x.node.shape[inner]
    moved = np.moveaxis(x, axis, -1)
    return np.moveaxis(matmul(moved, x.made(x.graph.literal(np.triu(np.ones((n, n)))))), -1, axis)


def _norm(x, ord=None, axis=None, keepdims=False):
    if ord not in (None, 2, 1, np.inf) or (ord is not None and isinstance(axis, tuple)):
        raise Untraceable(f"np.linalg.norm of order {ord}")
    if ord in (1, np.inf):
        return (_sum if ord == 1 else _max)(np.abs(x), axis, keepdims=keepdims)
    return np.sqrt(_sum(np.square(x), axis, keepdims=keepdims))


# Rearrangements


def concatenate(arrays, axis=0, out=None, **_):
    """Arrays side by side along a feature axis."""
    like = first_symbol(*arrays)
    symbols = [lift(like, a) for a in arrays]
    if out is not None or axis is None:
        raise Untraceable("np.concatenate with out= or axis=None")
    batched = [s for s in symbols if s.axis is not None]
    place = batched[0].axis if batched else None
    if any(s.axis != place for s in batched):
        raise MixesRows("np.concatenate of arrays whose batch axes stand in different places")
    nodes = []
    for s in symbols:
        node = s.node
        if place is not None and s.axis is None:
            raise Untraceable(
                "np.concatenate of a batch with an array without one; write np.zeros_like or np.broadcast_to"
            )
        nodes.append(node)
    inner = (batched[0] if batched else symbols[0]).feature_axis(axis, "concatenate")
    return like.made(like.graph.concatenate(nodes, inner), place)


def stack(arrays, axis=0, out=None, **_):
    """Arrays along a new axis."""
    like = first_symbol(*arrays)
    symbols = [lift(like, a) for a in arrays]
    rank = max(s.ndim for s in symbols) + 1
    return concatenate([np.expand_dims(s, axis % rank) for s in symbols], axis % rank)


def _hstack(arrays, **_):
    return concatenate(arrays, axis=1 if first_symbol(*arrays).ndim > 1 else 0)


def _split(x, sections, axis=0):
    n = x.node.shape[x.feature_axis(axis, "split")]
    if isinstance(sections, numbers.Integral):
        if n % sections:
            raise ValueError(f"np.split can't divide {n} columns into {sections} equal parts")
        cuts = [n // sections * i for i in range(1, sections)]
    else:
        cuts = [int(c) for c in sections]
    return [_part(x, axis, slice(a, b)) for a, b in zip([0, *cuts], [*cuts, None], strict=True)]


def _array_split(x, sections, axis=0):
    if not isinstance(sections, numbers.Integral):
        return _split(x, sections, axis)
    n = x.node.shape[x.feature_axis(axis, "split")]
    return _split(x, np.cumsum([n // sections + (i < n % sections) for i in range(sections - 1)]).tolist(), axis)


def _part(x, axis, part):
    key = [slice(None)] * x.ndim
    key[axis] = part
    return x[tuple(key)]


def _take(x, indices, axis=None, **_):
    if axis is None or isinstance(indices, Symbol):
        raise Untraceable("np.take along an axis, with numbers known when the layer is built")
    return _part(x, axis, np.asarray(indices) if np.ndim(indices) else int(indices))


def _roll(x, shift, axis=None):
    if axis is None or not isinstance(shift, numbers.Integral):
        raise Untraceable("np.roll by one number along one axis")
    n = x.node.shape[x.feature_axis(axis, "roll")]
    return _part(x, axis, np.roll(np.arange(n), shift))


def _flip(x, axis=None):
    for a in (axis,) if isinstance(axis, numbers.Integral) else (axis or ()):
        x = _part(x, a, slice(None, None, -1))
    return x if axis is not None else _unknown("flip without an axis")


def _repeat(x, repeats, axis=None):
    if axis is None or isinstance(repeats, Symbol):
        raise Untraceable("np.repeat along an axis, by a number")
    n = x.node.shape[x.feature_axis(axis, "repeat")]
    return _part(x, axis, np.repeat(np.arange(n), repeats))


def _tile(x, reps):
    reps = (reps,) if isinstance(reps, numbers.Integral) else tuple(reps)
    if len(reps) > x.ndim:
        raise Untraceable("np.tile with more repeats than axes")
    for axis, n in enumerate(reps, x.ndim - len(reps)):
        if n != 1:
            x = concatenate([x] * n, axis)
    return x


def _expand_dims(x, axis):
    axes = (axis,) if isinstance(axis, numbers.Integral) else tuple(axis)
    rank = x.ndim + len(axes)
    axes = {a % rank for a in axes}
    return x[tuple(None if i in axes else slice(None) for i in range(rank))]


def _squeeze(x, axis=None):
    shape = x.shape
    axes = (
        range(x.ndim)
        if axis is None
        else [a % x.ndim for a in ((axis,) if isinstance(axis, numbers.Integral) else axis)]
    )
    drop = {a for a in axes if a != x.axis and shape[a] == 1}
    if axis is not None and len(drop) != len(list(axes)):
        raise ValueError("np.squeeze of an axis that is longer than 1")
    return x[tuple(0 if i in drop else slice(None) for i in range(x.ndim))]


def _moveaxis(x, source, destination):
    source, destination = ([source], [destination]) if isinstance(source, numbers.Integral) else (source, destination)
    source, destination = [s % x.ndim for s in source], [d % x.ndim for d in destination]
    order = [a for a in range(x.ndim) if a not in source]
    for d, s in sorted(zip(destination, source, strict=True)):
        order.insert(d, s)
    return x.transpose(order)


def _swapaxes(x, a, b):
    order = list(range(x.ndim))
    order[a], order[b] = order[b], order[a]
    return x.transpose(order)


def broadcast_to(x, shape, **_):
    """An array stretched to a shape, whose batch axis may be the batch size."""
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    at = [i for i, n in enumerate(shape) if isinstance(n, BatchSize)]
    inner = tuple(int(n) for n in shape if not isinstance(n, BatchSize))
    axis = at[0] if at else None
    if x.axis is not None and (axis is None or len(shape) - axis != x.ndim - x.axis):
        raise MixesRows("np.broadcast_to moves the batch axis")
    frame = x.made(x.graph.literal(np.zeros(inner)), axis)
    (node, _), _ = align([x, frame])
    if node.shape == inner:
        return x.made(node, axis)
    name = ("broadcast", inner)
    return x.made(x.graph.view(node, View(name, lambda a, lead: _broadcast(a, lead, inner))), axis)


def _broadcast(a, lead, inner):
    filled = a.reshape(a.shape[:lead] + (1,) * (len(inner) - (a.ndim - lead)) + a.shape[lead:])
    return np.broadcast_to(filled, a.shape[:lead] + inner)


def _ravel(x, order="C"):
    if x.axis is not None:
        raise Untraceable("flattening a batch; write h.reshape(h.shape[0], -1)")
    return x.reshape(-1)


def _like(value):
    def like(x, fill_value=None, dtype=None, **_):
        fill = value if fill_value is None or value is not None else fill_value
        if isinstance(fill, Symbol):
            return broadcast_to(fill, x.shape)
        dtype = np.dtype(float if dtype is None else dtype)
        return x.made(x.graph.literal(np.full(x.node.shape, fill, bool if dtype == bool else float)), x.axis)

    return like


def _where(condition, *branches):
    if len(branches) != 2:
        raise Untraceable("np.where with one argument; give both branches")
    return pointwise("where", condition, *branches)


def _clip(x, a_min=None, a_max=None, out=None, *, min=None, max=None, **_):
    low, high = a_min if min is None else min, a_max if max is None else max
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _select(conditions, choices, default=0):
    result = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = _where(condition, choice, result)
    return result


def _nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    high, low = (
        (np.finfo(x.dtype).max if posinf is None else posinf),
        (np.finfo(x.dtype).min if neginf is None else neginf),
    )
    x = np.where(np.isnan(x), nan, x)
    return np.where(np.equal(x, np.inf), high, np.where(np.equal(x, -np.inf), low, x))


def _diff(x, n=1, axis=-1, **_):
    return x if n == 0 else _diff(_part(x, axis, slice(1, None)) - _part(x, axis, slice(None, -1)), n - 1, axis)


def _triangle(make):
    def triangle(x, k=0):
        if x.axis is not None and x.axis >= x.ndim - 2:
            raise MixesRows("a triangle of a matrix whose axis is the batch")
        return np.where(make(np.ones(x.node.shape[-2:], bool), k), x, 0.0)

    return triangle


def _diag(x, k=0):
    if x.axis is not None or k:
        raise Untraceable("np.diag of a batch, or off the diagonal")
    n = x.node.shape[0]
    return x * np.eye(n) if x.ndim == 1 else _sum(np.where(np.eye(n, dtype=bool), x, 0.0), 1)


def _inverse(x):
    if x.node.batched or x.ndim != 2:
        raise Untraceable("np.linalg.inv of what isn't a weight")
    return x.made(x.graph.add("inverse", (x.graph.as_float(x.node),), x.node.shape), x.axis)


def _pad(x, pad_width, mode="constant", constant_values=0):
    if mode != "constant" or np.ndim(constant_values):
        raise Untraceable(f"np.pad in mode {mode!r}; only constant")
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    for axis, (before, after) in enumerate(widths):
        for n, first in ((before, True), (after, False)):
            if n:
                x.feature_axis(axis, "pad")
                edge = _part(x, axis, slice(0, 1))
                block = np.full_like(_repeat(edge, n, axis), constant_values)
                x = concatenate([block, x] if first else [x, block], axis)
    return x


FUNCTIONS = {
    "sum": _sum, "prod": _prod, "max": _max, "min": _min, "amax": _max, "amin": _min, "mean": _mean, "var": _var, "std": _std,
    "any": _any, "all": _all, "argmax": _arg(_max), "argmin": _arg(_min), "average": lambda x, axis=None: _mean(x, axis),
    "cumsum": cumsum, "linalg.norm": _norm, "count_nonzero": lambda x, axis=None, keepdims=False: _sum(
        x.astype(bool), axis, keepdims=keepdims),
    "concatenate": concatenate, "stack": stack, "hstack": _hstack, "split": _split, "array_split": _array_split,
    "hsplit": lambda x, sections: _split(x, sections, 1), "take": _take, "roll": _roll, "flip": _flip,
    "fliplr": lambda x: _flip(x, 1), "repeat": _repeat, "tile": _tile, "expand_dims": _expand_dims, "squeeze": _squeeze,
    "moveaxis": _moveaxis, "swapaxes": _swapaxes, "transpose": lambda x, axes=None: x.transpose(*(() if axes is None else (axes,))),
    "reshape": lambda x, shape=None, order="C", **k: x.reshape(shape if shape is not None else k["newshape"], order=order),
    "ravel": _ravel, "broadcast_to": broadcast_to, "copy": lambda x, *_, **__: x.copy(), "shape": lambda x: x.shape,
    "ndim": lambda x: x.ndim, "size": lambda x, axis=None: x.size if axis is None else x.shape[axis],
    "zeros_like": _like(0.0), "ones_like": _like(1.0), "full_like": _like(None), "empty_like": _like(0.0), "where": _where,
    "clip": _clip, "select": _select, "nan_to_num": _nan_to_num, "diff": _diff, "tril": _triangle(np.tril), "triu": _triangle(np.triu),
    "diag": _diag, "linalg.inv": _inverse, "pad": _pad, "einsum": einsum, "dot": dot, "inner": lambda a, b: tensordot(a, b, (-1, -1)),
    "tensordot": tensordot, "real": lambda x: x, "round": lambda x, decimals=0, out=None: (
        np.rint(x) if decimals == 0 else np.rint(x * 10.0**decimals) / 10.0**decimals),
    "iscomplexobj": lambda x: False, "isrealobj": lambda x: True, "atleast_2d": lambda x: x if x.ndim >= 2 else _unknown("atleast_2d"),
    "logspace": lambda *a, **k: _unknown("logspace"), "result_type": lambda *a: first_symbol(*a).dtype,
    "sinc": lambda x: np.where(np.equal(x, 0), 1.0, np.sin(np.pi * x) / np.where(np.equal(x, 0), 1.0, np.pi * x)),
    "isclose": lambda a, b, rtol=1e-5, atol=1e-8: np.abs(a - b) <= atol + rtol * np.abs(b),
    "outer": lambda a, b: _unknown("outer of batches; write a[:, :, None] * b[:, None, :]"),
}  # fmt: skip
FUNCTIONS |= {"around": FUNCTIONS["round"], "linalg.vector_norm": lambda x, axis=None, keepdims=False, ord=2: _norm(x, ord, axis, keepdims),
              "permute_dims": FUNCTIONS["transpose"], "concat": concatenate, "vecdot": lambda a, b: _sum(a * b, -1)}  # fmt: skip
METHODS = {
    name: FUNCTIONS[name]
    for name in "sum prod max min mean var std any all argmax argmin cumsum take repeat squeeze swapaxes ravel clip dot round".split()
} | {
    "flatten": _ravel,
    "conj": lambda x: x,
    "tolist": lambda x: float(x),
    "item": lambda x: float(x),
    "fill": lambda x, value: x.__setitem__(..., value),
}
