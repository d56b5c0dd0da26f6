"""Operators that rearrange a value's numbers along other axes, and those of known sizes and ranges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnkit.onnx.loading.axes import LARGEST_AXIS, TIME, Array, Axis, Constant, Value, numbers
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
        order = steps.forms.order(x.axes, places)
        return refs[0] if order == sorted(order) else steps.add("Transpose", refs, order=order)

    return node.array(axes, x.kind, [x], emit, lambda target: target.viewed(x, axes, places))


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
        old = [axis.root for axis in steps.forms.features(x.axes)]
        new = [axis.root for axis in steps.forms.features(axes)]
        _check_rows(steps.forms, x.axes, axes)
        return refs[0] if old == new else steps.add("Reshape", refs, shape=steps.forms.shape(axes, node.label))

    def layers(target):
        forms = target.forms
        old, new = forms.row_axes(x.axes), forms.row_axes(axes)
        sizes = forms.shape(axes, node.label)
        if set(old) == set(new):
            return target.shaped(target.tensor(x), target.kept(x), sizes)
        _check_rows(forms, x.axes, axes, but=TIME)
        if target.kept(x) == 1 and any(axis.role == TIME for axis in new):  # features become steps
            time = next(axis for axis in new if axis.role == TIME)
            if forms.is_row(axes[0]) and axes[0].role == TIME:
                raise ValueError("expected a reshape that leaves the batch before time")
            return target.shaped(target.tensor(x), 1, [time.number, *sizes])
        inner = [axis for axis in x.axes if axis.role == TIME or forms.is_feature(axis)]
        place = next(i for i, axis in enumerate(inner) if axis.role == TIME)
        order = [*range(1, place + 1), 0, *range(place + 1, len(inner))]
        return target.shaped(target.tensor(x), 1, sizes, order if place else None)

    return node.array(axes, x.kind, [x], emit, layers)


def _check_rows(forms, old, new, but=None):
    kept = lambda axes: {axis for axis in forms.row_axes(axes) if axis.role != but}
    if kept(old) != kept(new):
        raise ValueError("expected a reshape that leaves the batch axis as it is")


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

    def emit(steps, refs):
        ref = steps.aligned(x, refs[0], axes)
        return steps.add("Expand", [ref], shape=steps.forms.shape(axes, node.label))

    def layers(target):
        time = target.forms.time_axis(axes)
        if time is None or target.kept(x) == 2:
            return None
        sizes = target.forms.shape(axes, node.label)
        if target.forms.shape(x.axes) != sizes:
            raise ValueError("expected to repeat along time or features, got both")
        return target.shaped(target.repeated(target.flat(x), time, node.name), 2, sizes)

    return node.array(axes, x.kind, [x], emit, layers)


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
        found = node.array([axis], "int", [], None, lambda target: target.step_numbers(axis))
        found.of_call = True
        return found
    count = max(0, int(np.ceil((last - first) / step)))
    node.graph.file.spend(count)
    return constant(node, (first + np.arange(count) * step).astype(first.dtype))
