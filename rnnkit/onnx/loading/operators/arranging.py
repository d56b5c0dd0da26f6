"""Operators that rearrange a value's numbers along other axes, and those of known sizes and ranges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnkit.onnx.loading.axes import LARGEST_AXIS, TIME, Array, Axis, Constant, Value, batch_of, numbers
from rnnkit.onnx.loading.graph import Node, axis_of, operator


@operator("Transpose")
def transpose(node: Node, x: Value):
    order = node.attribute("perm", list(reversed(range(len(x.axes)))))
    if sorted(order) != list(range(len(x.axes))):
        raise ValueError(f"expected perm as an order of {len(x.axes)} axes, got {order}")
    return viewed(node, x, order)


def viewed(node: Node, x: Value, places) -> Any:
    """Return a value with its axes from `places` in x, None for new ones of size 1; others of size 1 are removed."""
    axes = [Axis(1) if place is None else x.axes[place] for place in places]
    if isinstance(x, Constant):
        return Constant(_viewed(x.array, places), tuple(axes), x.name, x.trainable)

    def emit(steps, refs):
        if batch_of(x.axes) != batch_of(axes):
            raise ValueError("expected the batch axis to stay; it is dropped")
        old, new = steps.forms.placed(x.axes), [(places[i], axis) for i, axis in steps.forms.placed(axes)]
        gone = [place for place, one in enumerate(old) if one not in new]
        if any(old[place][1].number != 1 for place in gone):
            raise ValueError("expected axes of size 1 to be left out, got an open one of features")
        left = [one for one in old if one in new]
        ref = steps.ordered(steps.without_axes(refs[0], gone), [left.index(one) for one in new if one in left])
        return steps.with_axes(ref, [place for place, one in enumerate(new) if one not in left])

    found = node.array(axes, x.kind, [x], emit)
    found.moves = True
    return found


def _viewed(array: np.ndarray, places) -> np.ndarray:
    """Return a view with the axes at these positions, and new ones of size 1."""
    kept = [place for place in places if place is not None]
    away = [axis for axis in range(array.ndim) if axis not in kept]
    order = np.argsort(np.argsort(kept)).tolist()
    new = tuple(i for i, place in enumerate(places) if place is None)
    return np.expand_dims(array.squeeze(tuple(away)).transpose(order), new)


@operator("Squeeze")
def squeeze(node: Node, x: Value, axes: Value | None = None):
    """Remove axes of size 1."""
    given = node.given("axes", axes)
    rank = len(x.axes)
    away = [i for i, a in enumerate(x.axes) if a.size == 1] if given is None else [axis_of(i, rank) for i in given]
    if wrong := [i for i in away if x.axes[i].size not in (1, None)]:
        raise ValueError(f"expected an axis of size 1 to leave out, got one of {x.axes[wrong[0]].size}")
    return viewed(node, x, [i for i in range(rank) if i not in away])


@operator("Unsqueeze")
def unsqueeze(node: Node, x: Value, axes: Value | None = None):
    given = node.given("axes", axes)
    if given is None:
        raise ValueError("expected axes")
    rank = len(x.axes) + len(given)
    new = {axis_of(i, rank) for i in given}
    rest = iter(range(len(x.axes)))
    if len(new) < len(given):
        raise ValueError(f"expected different axes, got {given}")
    return viewed(node, x, [None if i in new else next(rest) for i in range(rank)])


@operator("Reshape")
def reshape(node: Node, x: Value, shape: Value | None = None):
    sizes = node.given("shape", shape)
    if sizes is None:
        raise ValueError("expected a shape")
    if not node.attribute("allowzero", 0):
        sizes = [x.axes[i].number if size == 0 and i < len(x.axes) else size for i, size in enumerate(sizes)]
    _fix(x.axes, sizes)
    return reshaped(node, x, filled(x.axes, sizes))


def _fix(axes, sizes) -> None:
    """Give open axes the sizes named by a reshape that keeps all axes, as exporters for a given length do."""
    long = [axis for axis in axes if axis.number != 1]
    if len(long) != len(sizes) or -1 not in sizes:
        return
    pairs = [(axis, size) for axis, size in zip(long, sizes, strict=True) if size not in (-1, axis.number)]
    if all(axis.open and 0 < size < LARGEST_AXIS for axis, size in pairs):
        for axis, size in pairs:
            axis.join(Axis(size))


def filled(axes, sizes) -> list[int]:
    """Return sizes with -1 replaced by the remaining size."""
    if sizes.count(-1) > 1 or any(size < -1 for size in sizes):
        raise ValueError(f"expected sizes with at most one -1, got {sizes}")
    total, known = math.prod(numbers(axes)), math.prod(size for size in sizes if size != -1)
    if known == 0 or total % known or (-1 not in sizes and total != known):
        shown = str(tuple("open" if axis.open else axis.number for axis in axes)).replace("'", "")
        raise ValueError(f"expected a shape with as many numbers as {shown}, got {sizes}")
    return [total // known if size == -1 else size for size in sizes]


@operator("Flatten")
def flatten(node: Node, x: Value):
    """Reshape to two axes: those before an axis, and the others."""
    axis = node.attribute("axis", 1)
    axis = axis_of(axis, len(x.axes)) if axis != len(x.axes) else axis
    return reshaped(node, x, filled(x.axes, [math.prod(numbers(x.axes[:axis])), -1]))


def reshaped(node: Node, x: Value, sizes) -> Array:
    axes = node.axes.regroup(x.axes, sizes)

    def emit(steps, refs):
        old, new = steps.forms.placed(x.axes), steps.forms.placed(axes)
        if batch_of(x.axes) != batch_of(axes):
            raise ValueError("expected a reshape that leaves the batch axis as it is")
        if [axis for _, axis in old] == [axis for _, axis in new]:
            return refs[0]
        if [axis for _, axis in old if axis.role == TIME] == [axis for _, axis in new if axis.role == TIME]:
            return steps.add("Reshape", refs, shape=steps.forms.sizes(axes, node.label))
        shape, ordered = steps.forms.shape(axes, node.label), sorted(new, key=lambda one: one[0])
        ref = steps.ordered(refs[0], sorted(range(len(old)), key=lambda place: old[place][0]))
        ref = steps.add("Reshape", [ref], shape=[shape[new.index(one)] for one in ordered])
        return steps.ordered(ref, [ordered.index(one) for one in new])

    def layers(target):
        if {*target.forms.row_axes(x.axes)} != {*target.forms.row_axes(axes)}:
            return None
        return target.shaped(target.tensor(x), target.kept(x), target.forms.shape(axes, node.label))

    found = node.array(axes, x.kind, [x], emit, layers)
    found.moves = True
    return found


@operator("Tile")
def tile(node: Node, x: Value, repeats: Value):
    """Repeat a known array along axes of size 1."""
    counts = node.integers(repeats, "the repeats of Tile")
    if len(counts) != len(x.axes):
        raise ValueError(f"expected repeats for {len(x.axes)} axes, got {len(counts)}")
    axes = tuple(one if n == 1 else node.axes.of(one.number * n) for one, n in zip(x.axes, counts, strict=True))
    if all(n == 1 for n in counts):
        return x
    if not isinstance(x, Constant) or any(n != 1 and one.number != 1 for one, n in zip(x.axes, counts, strict=True)):
        raise ValueError("expected Tile of a constant along axes of size 1")
    return Constant(np.broadcast_to(x.array, numbers(axes)), axes, x.name, x.trainable)


@operator("Expand")
def expand(node: Node, x: Value, shape: Value):
    """Repeat a value along axes of size 1."""
    sizes = node.integers(shape, "the shape of Expand")
    axes = node.axes.broadcast(x.axes, [node.axes.of(size) for size in sizes])
    if isinstance(x, Constant):
        return Constant(np.broadcast_to(x.array, numbers(axes)), axes, x.name, x.trainable)
    more = len(axes) - len(x.axes)
    if all(a.root is b.root for a, b in zip(axes[more:], x.axes, strict=True)) and all(
        one.size == 1 for one in axes[:more]
    ):
        return viewed(node, x, [*[None] * more, *range(len(x.axes))])

    emit = lambda steps, refs: steps.expanded(steps.aligned(x, refs[0], axes), axes)
    return node.array(axes, x.kind, [x], emit)


def constant(node: Node, array: np.ndarray) -> Constant:
    """Return an array as a value, with axes found by their sizes."""
    return Constant(array, tuple(node.axes.of(n) for n in array.shape), node.name)


@operator("Constant")
def constants(node: Node):
    for name, dtype in {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}.items():
        if (value := node.attribute(name)) is not None:
            return constant(node, np.array(value, dtype))
    value = node.attribute("value")
    if not isinstance(value, np.ndarray):
        raise ValueError("expected a constant that holds numbers")
    return constant(node, value)


@operator("Shape")
def shape(node: Node, x: Value):
    rank = len(x.axes)
    start, end = node.attribute("start", 0), node.attribute("end", rank)
    return constant(node, np.array(numbers(x.axes[start:end]), np.int64))


@operator("Size")
def size(node: Node, x: Value):
    return constant(node, np.array(math.prod(numbers(x.axes)), np.int64))


@operator("ConstantOfShape")
def constant_of_shape(node: Node, sizes: Value):
    """Return an array of one repeated number, which takes no memory."""
    value = node.attribute("value", np.zeros(1, np.float32))
    axes = tuple(node.axes.of(n) for n in node.integers(sizes, "the shape of ConstantOfShape"))
    if value.size != 1:
        raise ValueError(f"expected one number as the value, got {value.size}")
    return Constant(np.broadcast_to(value.reshape(()), numbers(axes)), axes)


@operator("Range")
def ranges(node: Node, start: Value, limit: Value, delta: Value):
    first, last, step = (node.known(one, "the bounds of Range").reshape(()) for one in (start, limit, delta))
    if (axis := node.open_size(limit)) is not None:
        if (int(first), int(last), int(step)) != (0, axis.number, 1):
            raise ValueError("expected a range of open length from 0 to it, in steps of 1")
        found = node.array([axis], "int", [], lambda steps, refs: steps.add("Steps", [steps.along(axis)]))
        found.of_call = True
        return found
    count = max(0, int(np.ceil((last - first) / step)))
    node.graph.file.spend(count)
    return constant(node, (first + np.arange(count) * step).astype(first.dtype))
