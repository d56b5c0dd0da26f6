"""Values beside symbols: numbers and arrays become literals, and axes are aligned for operations."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from rnnkit.arrays import refuse
from rnnkit.compiler.ir import kinds
from rnnkit.compiler.ir.operations import OPERATIONS
from rnnkit.compiler.tracing.batch_axis import BatchSize, LostWeight, MixesRows, RowsDiffer, Untraceable
from rnnkit.compiler.tracing.symbol import Symbol, kind_of
from rnnkit.complex_pairs import is_complex


def unknown(name):
    """Refuse a function that the tracer has no rule for."""
    raise Untraceable(f"{name} can't be traced")


def find_symbol(*values) -> Symbol | None:
    """Return the first symbol among values and lists of values, or None; of a complex one its real part."""
    for value in values:
        found = find_symbol(*value) if isinstance(value, (list, tuple)) else value
        if isinstance(found, Symbol):
            return found
        if is_complex(found) and isinstance(real := found.real, Symbol):  # type: ignore[union-attr]
            return real
    return None


def first_symbol(*values) -> Symbol:
    """Return the first symbol among the arguments of a call on symbols."""
    found = find_symbol(*values)
    assert found is not None
    return found


def lift(like: Symbol, value) -> Symbol:
    """Return a value as a symbol of the same graph: numbers and arrays become literals, weights their symbols."""
    stands = getattr(type(value), "__symbolic__", None)
    if stands is not None:
        value = stands(value)
    if isinstance(value, Symbol):
        return value
    if isinstance(value, BatchSize):
        raise MixesRows("the batch size stands in arithmetic: a step sees rows that have nothing to do with each other")
    if isinstance(value, (list, tuple)) and find_symbol(value) is not None:
        if like.graph.read is not None:
            # Of one row, whose entries may be numbers.
            return np.stack([lift(like, one) for one in value])  # type: ignore[return-value]  # a symbol
        raise Untraceable(
            "a list of arrays where an array is expected; unpack it, as in `(h,) = states`, or write np.stack or "
            "np.concatenate"
        )
    if is_complex(value):
        raise Untraceable("a complex number where a real one is expected; write z.real, z.imag or np.abs(z)")
    refuse(value, "an array in a step")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise Untraceable(f"a value of type {array.dtype} in a step; expected real numbers")
    held: object = array
    while held is not None:
        if name := like.graph.weights.get(id(held)):
            raise LostWeight(
                f"the step uses weight {name!r} by a part cut in build or from inside a function, where no change "
                "of it arrives; cut it in the step, from the cell's own attribute"
            )
        held = getattr(held, "base", None)
    rows = like.graph.rows
    if rows is not None and array.shape.count(rows) == 1:
        axis = array.shape.index(rows)
        first = array.take(0, axis)
        if not np.array_equal(array, np.broadcast_to(np.expand_dims(first, axis), array.shape), equal_nan=True):
            made = "an array made by the number of rows, whose rows differ"
            raise RowsDiffer(f"{made}; for random numbers, declare draws")
        return like.made(like.graph.literal(first), axis)
    if array.dtype.kind in "iu" and array.dtype.name not in kinds.KINDS:
        kind_of(array.dtype, array.dtype)
    return like.made(like.graph.literal(array))


def lifted(*values) -> tuple:
    """Return the arguments of a call on symbols, all as symbols."""
    like = first_symbol(*values)
    return tuple(lift(like, value) for value in values)


def power_by_squares(base, n: int, square, times=operator.mul) -> Any:
    """Return the product of so many equal factors, None of none; `square` is a factor's product with itself."""
    found = None
    while n:
        if n & 1:
            found = base if found is None else times(found, base)
        n >>= 1
        base = square(base) if n else base
    return found


def align(symbols) -> tuple[list, int | None]:
    """Return nodes that broadcast against each other as the symbols do, and the place of the result's batch axis."""
    behind = {s.ndim - s.axis for s in symbols if s.axis is not None}
    if not behind:
        return [s.node for s in symbols], None
    if len(behind) > 1:
        paired = "an operation pairs the batch axis of one array with a feature axis of another"
        raise MixesRows(f"{paired}; add axes with None")
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
    """Return a pointwise operation on symbols and values, computed in the types that NumPy would take."""
    like = first_symbol(*args)
    symbols = [lift(like, a) for a in args]
    try:
        nodes, axis = align(symbols)
        np.broadcast_shapes(*(node.shape for node in nodes))
    except MixesRows:
        raise
    except ValueError:
        shapes = " ".join(str(s.shape) for s in symbols)
        raise ValueError(f"operands could not be broadcast together with shapes {shapes}") from None
    if name in ("floor", "ceil", "trunc") and nodes[0].is_integer:
        return like.made(nodes[0], axis)
    # Python's numbers take the type of the other operands.
    weak = [type(a) if type(a) in (int, float) else None for a in args]
    strong = {node.kind for node, one in zip(nodes, weak, strict=True) if one is None}
    if strong & _EXACT or (strong == {"bool"} and int in weak and "float" not in strong):
        nodes, result = _as_numpy(name, like, nodes, weak)
        return like.made(like.graph.cast(like.graph.pointwise(name, *nodes), result), axis)
    return like.made(like.graph.pointwise(name, *nodes), axis)


_EXACT = {*kinds.INTEGERS, "float32"}


def _as_numpy(name, like, nodes, weak):
    """Return the operands in the types in which NumPy computes an operation, and the kind of its result."""
    types = [one or kinds.dtype_of(node.kind, np.float64) for node, one in zip(nodes, weak, strict=True)]
    ufunc = getattr(np, name, None)
    of_layer = like.of_layer
    if name in OPERATIONS and OPERATIONS[name].operands == "bool":
        return nodes, OPERATIONS[name].result
    if isinstance(ufunc, np.ufunc):
        found = list(ufunc.resolve_dtypes((*types, None)))
    else:
        values = [np.empty(0, t) if isinstance(t, np.dtype) else t(0) for t in types]
        most = np.result_type(*values[name == "where" :])
        most = most if most.kind == "f" or name == "where" else np.dtype(np.float64)
        found = [np.dtype(bool) if name == "where" else most, *[most] * len(nodes)]
    of = [kind_of(dtype, of_layer) for dtype in found]
    if of[-1] == "bool" and int in weak and of[0] in kinds.INTEGERS:
        of[:-1] = ["int64"] * len(nodes)  # any number may be compared with
    for one, kind, value in zip(weak, of, nodes, strict=False):
        if one is int and kind in kinds.INTEGERS:
            kinds.dtype_of(kind, float).type(int(value.attr))  # which raises an OverflowError as NumPy does
    return [like.graph.cast(node, kind) for node, kind in zip(nodes, of, strict=False)], of[-1]
