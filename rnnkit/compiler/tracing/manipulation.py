"""Rearrangements of symbols: joining, cutting, moving and stretching of axes."""

from __future__ import annotations

import numbers

import numpy as np

from rnnkit.compiler.ir.graph import View
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.tracing.batch_axis import MixesRows, Untraceable, is_batch
from rnnkit.compiler.tracing.broadcasting import align, first_symbol, lift, lifted, unknown
from rnnkit.compiler.tracing.symbol import Symbol, kind_of


def concatenate(arrays, axis=0, out=None):
    like = first_symbol(*arrays)
    symbols = [lift(like, a) for a in arrays]
    if axis is None and all(s.axis is None for s in symbols):
        symbols, axis = [s.reshape(-1) for s in symbols], 0
    if out is not None or axis is None:
        raise Untraceable("np.concatenate with out= or axis=None")
    batched = [s for s in symbols if s.axis is not None]
    place = batched[0].axis if batched else None
    if any(s.axis != place for s in batched):
        raise MixesRows("np.concatenate of arrays whose batch axes stand in different places")
    if batched and len(batched) < len(symbols):
        raise Untraceable("np.concatenate of a batch with an array without one; write np.zeros_like or np.broadcast_to")
    inner = (batched[0] if batched else symbols[0]).feature_axis(axis, "concatenate")
    return like.made(like.graph.concatenate([s.node for s in symbols], inner), place)


def stack(arrays, axis=0, out=None):
    symbols = lifted(*arrays)
    rank = max(s.ndim for s in symbols) + 1
    return concatenate([np.expand_dims(s, axis % rank) for s in symbols], axis % rank)


def hstack(arrays):
    if all(np.ndim(one) == 0 for one in arrays):
        return stack(arrays)
    return concatenate(arrays, axis=1 if first_symbol(*arrays).ndim > 1 else 0)


def split(x, sections, axis=0):
    n = x.node.shape[x.feature_axis(axis, "split")]
    if isinstance(sections, numbers.Integral):
        if n % sections:
            raise ValueError(f"np.split can't divide {n} columns into {sections} equal parts")
        cuts = [n // sections * i for i in range(1, sections)]
    else:
        cuts = [int(c) for c in sections]
    return [part(x, axis, slice(a, b)) for a, b in zip([0, *cuts], [*cuts, None], strict=True)]


def array_split(x, sections, axis=0):
    if not isinstance(sections, numbers.Integral):
        return split(x, sections, axis)
    n, count = x.node.shape[x.feature_axis(axis, "split")], int(sections)
    return split(x, np.cumsum([n // count + (i < n % count) for i in range(count - 1)]).tolist(), axis)


def part(x, axis, part):
    key = [slice(None)] * x.ndim
    key[axis] = part
    return x[tuple(key)]


def take(x, indices, axis=None):
    if axis is None:
        raise Untraceable("np.take without an axis")
    if isinstance(indices, Symbol):
        return x[(*(slice(None),) * (axis % x.ndim), indices)]
    return part(x, axis, np.asarray(indices) if np.ndim(indices) else int(indices))


def delete(x, which, axis=None):
    if axis is None:
        unknown("np.delete without an axis")
    n = x.node.shape[x.feature_axis(axis, "delete")]
    return part(x, axis, np.delete(np.arange(n), which))


def diagonal(x, offset=0, axis1=0, axis2=1):
    for axis in (axis1, axis2):
        x.feature_axis(axis, "diagonal")
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = x.node.shape[-2:]
    places = np.diagonal(np.arange(rows * columns).reshape(rows, columns), offset)
    return part(x.reshape(*x.shape[:-2], rows * columns), -1, places)


def roll(x, shift, axis=None):
    if isinstance(axis, tuple):
        for one, a in zip(np.broadcast_to(shift, len(axis)).tolist(), axis, strict=True):
            x = roll(x, one, a)
        return x
    if axis is None or not isinstance(shift, numbers.Integral):
        raise Untraceable("np.roll by one number along one axis")
    n = x.node.shape[x.feature_axis(axis, "roll")]
    return part(x, axis, np.roll(np.arange(n), shift))


def flip(x, axis=None):
    for a in (axis,) if isinstance(axis, numbers.Integral) else (axis or ()):
        x = part(x, a, slice(None, None, -1))
    return x if axis is not None else unknown("np.flip without an axis")


def repeat(x, repeats, axis=None):
    if axis is None or isinstance(repeats, Symbol):
        raise Untraceable("np.repeat along an axis, by a number")
    n = x.node.shape[x.feature_axis(axis, "repeat")]
    return part(x, axis, np.repeat(np.arange(n), repeats))


def tile(x, reps):
    reps = (reps,) if isinstance(reps, numbers.Integral) else tuple(reps)
    if len(reps) > x.ndim:
        raise Untraceable("np.tile with more repeats than axes")
    for axis, n in enumerate(reps, x.ndim - len(reps)):
        if n != 1:
            x = concatenate([x] * n, axis)
    return x.copy()


def expand_dims(x, axis):
    axes = (axis,) if isinstance(axis, numbers.Integral) else tuple(axis)
    rank = x.ndim + len(axes)
    new = {a % rank for a in axes}
    return x[tuple(None if i in new else slice(None) for i in range(rank))]


def squeeze(x, axis=None):
    given = range(x.ndim) if axis is None else (axis,) if isinstance(axis, numbers.Integral) else axis
    axes = [a % x.ndim for a in given]
    drop = {a for a in axes if a != x.axis and x.shape[a] == 1}
    if axis is not None and len(drop) != len(axes):
        raise ValueError("np.squeeze of an axis that is longer than 1")
    return x[tuple(0 if i in drop else slice(None) for i in range(x.ndim))]


def moveaxis(x, source, destination):
    source, destination = ([source], [destination]) if isinstance(source, numbers.Integral) else (source, destination)
    source, destination = [s % x.ndim for s in source], [d % x.ndim for d in destination]
    order = [a for a in range(x.ndim) if a not in source]
    for d, s in sorted(zip(destination, source, strict=True)):
        order.insert(d, s)
    return x.transpose(order)


def swapaxes(x, a, b):
    order = list(range(x.ndim))
    order[a], order[b] = order[b], order[a]
    return x.transpose(order)


def broadcast_to(x, shape, subok=False):
    """Stretch an array to a shape, in which the batch size may stand."""
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    at = [i for i, n in enumerate(shape) if is_batch(n, x.graph)]
    inner = tuple(int(n) for n in shape if not is_batch(n, x.graph))
    axis = at[0] if at else None
    if x.axis is not None and (axis is None or len(shape) - axis != x.ndim - x.axis):
        raise MixesRows("np.broadcast_to moves the batch axis")
    frame = x.made(x.graph.literal(np.zeros(inner)), axis)
    node = align([x, frame])[0][0]
    if node.shape == inner:
        return x.made(node, axis)

    def stretched(a, lead):
        filled = a.reshape(a.shape[:lead] + (1,) * (len(inner) - (a.ndim - lead)) + a.shape[lead:])
        return np.broadcast_to(filled, a.shape[:lead] + inner)

    return x.made(x.graph.view(node, View(("broadcast", inner), stretched)), axis)


def ravel(x, order="C"):
    if x.axis is not None:
        raise Untraceable("flattening a batch; write h.reshape(h.shape[0], -1)")
    return x.reshape(-1)


def filled_like(value):
    def like(x, fill_value=None, dtype=None, order="K", subok=True):
        fill = value if fill_value is None or value is not None else fill_value
        kind = x.node.kind if dtype is None else kind_of(dtype, x.of_layer)
        if isinstance(fill, Symbol):
            filled = broadcast_to(fill, x.shape)
        else:
            dtype = np.float64 if kind in FLOATS else kind
            filled = x.made(x.graph.literal(np.full(x.node.shape, fill, dtype)), x.axis)
        return x.made(x.graph.cast(filled.node, kind), x.axis)

    return like


def diff(x, n=1, axis=-1, prepend=None, append=None):
    """Return the n-th differences along an axis, of an array with others joined to its ends."""
    edge = part(x, axis, slice(0, 1))
    ends = [a if a is None or np.ndim(a) else np.full_like(edge, a) for a in (prepend, append)]
    joined = [a for a in (ends[0], x, ends[1]) if a is not None]
    x = concatenate(joined, axis) if len(joined) > 1 else x
    for _ in range(n):
        x = part(x, axis, slice(1, None)) - part(x, axis, slice(None, -1))
    return x


def pad(x, pad_width, mode="constant", constant_values=0):
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap") or np.ndim(constant_values):
        raise Untraceable(f"np.pad in mode {mode!r}, or with several constants")
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    if mode != "constant":
        for axis, width in enumerate(widths):
            if any(width):
                n = x.node.shape[x.feature_axis(axis, "pad")]
                x = part(x, axis, np.pad(np.arange(n), width, mode))
        return x.copy()
    for axis, (before, after) in enumerate(widths):
        for n, first in ((before, True), (after, False)):
            if n:
                x.feature_axis(axis, "pad")
                shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
                block = broadcast_to(lift(x, constant_values).astype(x.dtype), shape)
                x = concatenate([block, x] if first else [x, block], axis)
    return x.copy()


def unwrap(p, discont=None, axis=-1, *, period=2 * np.pi):
    half = period / 2
    steps = diff(p, axis=axis)
    wrapped = np.remainder(steps + half, period) - half
    wrapped = np.where((wrapped == -half) & (steps > 0), half, wrapped)
    added = np.where(np.abs(steps) < (half if discont is None else max(discont, half)), 0.0, wrapped - steps)
    first = part(p, axis, slice(0, 1))
    return concatenate([first, part(p, axis, slice(1, None)) + np.cumsum(added, axis=axis)], axis)


def trapezoid(y, x=None, dx=1.0, axis=-1):
    like = first_symbol(y, x)
    y = lift(like, y)
    y = y if y.is_float else y.astype(float)
    widths = dx if x is None else np.diff(x, axis=-1 if np.ndim(x) == 1 else axis)
    if np.ndim(widths) == 1:
        widths = np.reshape(widths, [-1 if i == axis % y.ndim else 1 for i in range(y.ndim)])
    return np.sum(widths * (part(y, axis, slice(1, None)) + part(y, axis, slice(None, -1))) / 2.0, axis=axis)


def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Compute ``np.cross`` of vectors of three numbers."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = (np.moveaxis(one, at, -1) for one, at in zip(lifted(a, b), (axisa, axisb), strict=True))
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise Untraceable("np.cross of vectors of other than three numbers")
    (i, j, k), (l, m, n) = ([one[..., at] for at in range(3)] for one in (a, b))
    return stack([j * n - k * m, k * l - i * n, i * m - j * l], axisc)


def kron(a, b):
    """Compute ``np.kron`` of vectors or matrices that have no batch axis."""
    a, b = lifted(a, b)
    if a.axis is not None or b.axis is not None or a.ndim != b.ndim or a.ndim not in (1, 2):
        raise Untraceable("np.kron of two vectors or matrices of one row")
    if a.ndim == 1:
        return (a[:, None] * b).reshape(-1)
    shape = [n * m for n, m in zip(a.node.shape, b.node.shape, strict=True)]
    return (a[:, None, :, None] * b[:, None]).reshape(shape)


def convolve(a, v, mode="full"):
    """Compute ``np.convolve`` as a sum of the longer vector's shifts, one for each entry of the shorter."""
    a, v = lifted(a, v)
    if a.axis is not None or v.axis is not None or mode not in ("full", "same", "valid"):
        raise Untraceable("np.convolve of two vectors of one row")
    a, v = (a, v) if len(a) >= len(v) else (v, a)
    n, m = len(a), len(v)
    full = sum(pad(a, (j, m - 1 - j)) * v[j] for j in range(m))
    first, length = {"full": (0, n + m - 1), "same": ((m - 1) // 2, n), "valid": (m - 1, n - m + 1)}[mode]
    return full[first : first + length]


def correlate(a, v, mode="valid"):
    """Compute ``np.correlate`` with a vector that is no longer than `a`."""
    if np.shape(a)[0] < np.shape(v)[0]:
        raise Untraceable("np.correlate with a vector that is the longer one")
    return convolve(a, flip(v, 0) if isinstance(v, Symbol) else np.flip(v), mode)
