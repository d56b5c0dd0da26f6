"""Computed indices: ``h[k]`` and ``h[k] = v`` where k differs from row to row."""

from __future__ import annotations

import numbers

import numpy as np

from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import lift
from rnnkit.compiler.tracing.decisions import known
from rnnkit.compiler.tracing.symbol import Symbol


def is_computed(key) -> bool:
    """Tell whether an index is computed, so that it may differ by row."""
    keys = key if isinstance(key, tuple) else (key,)
    bounds = (bound for k in keys if isinstance(k, slice) for bound in (k.start, k.stop))
    computed = (isinstance(k, Symbol) and k.node.kind != "bool" and not k.fixed for k in keys)
    return any(computed) or any(isinstance(bound, Symbol) for bound in bounds)


def copies(key) -> bool:
    """Tell whether an index has index arrays, so that it shows a copy."""
    keys = [known(k) for k in (key if isinstance(key, tuple) else (key,))]
    return any(isinstance(k, (list, np.ndarray)) and np.ndim(k) for k in keys)


def load(reader, array: Symbol, key) -> Symbol:
    """Return the elements at a computed index."""
    keys, several = _keys(array, key)
    if several is not None:
        axis, places = several
        parts = [load(reader, array, (*keys[:axis], place, *keys[axis + 1 :])) for place in places]
        return np.stack(parts, sum(not _is_place(k) for k in keys[:axis]))  # type: ignore[return-value]
    part, flat, index = _place(reader, array, keys)
    found = array.made(array.graph.take(flat, index.node))
    found.unsure = bool(part.shape)
    return found


def store(reader, array: Symbol, key, value) -> None:
    """Write a value to a computed index."""
    keys, several = _keys(array, key)
    if several is not None:
        raise Untraceable("an assignment to several computed places at once; write a loop over them")
    graph, (part, flat, index) = array.graph, _place(reader, array, keys)
    rest = flat.shape[1:]
    new = lift(array, np.broadcast_to(lift(array, value), rest))
    flat = graph.put(flat, index.node, new.node)
    order = _order(keys)
    shape = tuple(part.node.shape[axis] for axis in order)
    back = [order.index(axis) for axis in range(len(order))]
    part._move(graph.transpose(graph.reshape(flat, shape), back))


def _keys(array, key):
    """Return one entry for each axis; and an axis with several computed places, with these, or None."""
    keys = tuple(known(k) for k in (key if isinstance(key, tuple) else (key,)))
    if any(k is None for k in keys) or len([k for k in keys if k is not Ellipsis]) > array.ndim:
        raise Untraceable("a new axis, or too many indices, beside a computed one; index in two steps")
    if (at := next((i for i, k in enumerate(keys) if k is Ellipsis), None)) is not None:
        keys = (*keys[:at], *(slice(None),) * (array.ndim - len(keys) + 1), *keys[at + 1 :])
    keys = (*keys, *(slice(None),) * (array.ndim - len(keys)))
    for axis, k in enumerate(keys):
        if isinstance(k, slice) and any(isinstance(bound, Symbol) for bound in (k.start, k.stop)):
            return keys, (axis, [k.start + n for n in range(_length(k))])
    vector = next((axis for axis, k in enumerate(keys) if isinstance(k, Symbol) and k.ndim), None)
    return keys, None if vector is None else (vector, keys[vector])


def _length(k: slice) -> int:
    start, stop = k.start, k.stop
    if isinstance(start, Symbol) and isinstance(stop, Symbol) and k.step in (None, 1):
        for one, other in (stop.node.args, stop.node.args[::-1]) if stop.node.op == "add" else ():
            if one is start.node and other.op == "literal":
                return int(other.attr)
    raise Untraceable("a slice whose length is computed; write a loop, or h[k : k + 3] of a fixed length")


def _is_place(k) -> bool:
    return isinstance(k, (Symbol, numbers.Integral)) or (isinstance(k, np.ndarray) and not k.ndim)


def _order(keys) -> list[int]:
    """Return the axes, those with an index first."""
    return sorted(range(len(keys)), key=lambda axis: not _is_place(keys[axis]))


def _place(reader, array, keys):
    """Return the part that the slices show, its elements with the indexed axes as one in front, and the flat index."""
    if not all(isinstance(k, slice) or _is_place(k) for k in keys):
        raise Untraceable("an index array beside a computed place; write a loop")
    view, _ = array._part([slice(None) if _is_place(k) else k for k in keys])
    part, graph = array.shown(view, None), array.graph
    order, index = _order(keys), None
    lengths = [part.node.shape[axis] for axis in order if _is_place(keys[axis])]
    for axis, n in zip(order, lengths, strict=False):
        k = keys[axis]
        if isinstance(k, Symbol):
            if not k.node.is_integer:
                raise IndexError(f"an index is a {k.dtype}; write int(…), as all that a step is given is floats")
            k = reader.as_place(k, n, array.shape)
        elif not -n <= k < n:
            raise IndexError(f"index {k} is out of bounds for axis {axis} with size {n}")
        else:
            k = k % n
        index = k if index is None else index * n + k
    rest = [part.node.shape[axis] for axis in order[len(lengths) :]]
    flat = graph.reshape(graph.transpose(part.node, order), (int(np.prod(lengths)), *rest))
    return part, flat, lift(array, index).astype(np.int64)
