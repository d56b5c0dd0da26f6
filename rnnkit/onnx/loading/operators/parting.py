"""Operators that split or join values."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.layers.embedding import Embedding
from rnnkit.layers.merging import Concatenate
from rnnkit.onnx.loading.axes import Array, Axis, Constant, Value
from rnnkit.onnx.loading.graph import Node, axis_of, operator
from rnnkit.onnx.loading.operators.arranging import viewed


@operator("Slice")
def slices(node: Node, x: Value, starts=None, ends=None, axes=None, steps=None):
    starts, ends = node.given("starts", starts), node.given("ends", ends)
    if starts is None or ends is None:
        raise ValueError("expected starts and ends")
    places = node.given("axes", axes) or list(range(len(starts)))
    steps = [1] * len(starts) if steps is None else node.integers(steps, "steps")
    if not len(starts) == len(ends) == len(places) == len(steps):
        raise ValueError("expected as many starts, ends, axes and steps")
    for axis, start, stop, step in zip(places, starts, ends, steps, strict=True):
        x = part(node, x, axis_of(axis, len(x.axes)), start, stop, step)
    return x


def part(node: Node, x: Value, axis: int, start: Any, stop: Any, step: int = 1) -> Any:
    whole = x.axes[axis]
    if step == 0:
        raise ValueError("expected steps other than 0")
    start, stop = _cleaned(start, stop, step, whole)
    if start in (0, None) and stop is None and step == 1:
        return x
    if whole.open:
        known = _known_length(start, stop, step)
        new = node.axes.open(whole) if known is None else Axis(known, kin=whole)
    else:
        new = Axis(len(range(whole.number)[slice(start, stop, step)]), kin=whole)
    if start is None and stop is None and step == -1:
        new = whole
    axes = [*x.axes[:axis], new, *x.axes[axis + 1 :]]

    def emit(steps, refs):
        place = steps.forms.place(x.axes, axis, "a slice")
        if not steps.forms.is_feature(whole):
            raise ValueError("expected a slice that is not empty")
        ref = steps.add("Slice", refs, axis=place, start=start, stop=stop, step=step)
        return steps.without_axes(ref, [] if steps.forms.is_feature(new) else [place])

    return node.array(axes, x.kind, [x], emit)


def _cleaned(start: int, stop: int, step: int, whole: Axis) -> tuple[int | None, int | None]:
    """Return a slice's bounds, None at an end; a ValueError for no entries, or bounds by another axis's size."""
    size = whole.number
    start = max(-(1 << 62), min(1 << 62, start))
    stop = max(-(1 << 62), min(1 << 62, stop))
    if not range(size)[start:stop:step]:
        raise ValueError("expected a slice that is not empty")
    first, end, _ = slice(start, stop, step).indices(size)
    bounds = (
        None if first == (0 if step > 0 else size - 1) else start,
        None if end == (size if step > 0 else -1) else stop,
    )
    return (_of_open(bounds[0], size), _of_open(bounds[1], size)) if whole.open else bounds


def _of_open(bound: int | None, number: int) -> int | None:
    """Return a bound along an axis of open size, counted from either end."""
    if bound is None or abs(bound) <= 1024:
        return bound
    if not 0 <= number - abs(bound) <= 1024:
        raise ValueError("expected a slice whose bounds count from either end")
    return bound - number if bound > 0 else bound + number


def _known_length(start, stop, step) -> int | None:
    """Return the length of a slice if it is the same for all long enough axes, otherwise None."""
    if start is not None and stop is not None and (start < 0) == (stop < 0):
        return len(range(start, stop, step))
    if step == 1 and start is not None and start < 0 and stop is None:
        return -start
    if step == 1 and start is None and stop is not None and stop >= 0:
        return stop
    return None


@operator("Split")
def split(node: Node, x: Value, sizes: Value | None = None):
    axis = axis_of(node.attribute("axis", 0), len(x.axes))
    lengths = node.given("split", sizes)
    count = node.attribute("num_outputs", len(node.outputs))
    whole = x.axes[axis].size
    if whole is None:
        raise ValueError("expected a split of an axis of known size")
    if lengths is None:
        each = -(-whole // count)
        lengths = [min(each, whole - each * i) for i in range(count)]
    if sum(lengths) != whole or any(n < 0 for n in lengths) or len(lengths) != len(node.outputs):
        raise ValueError(f"expected {len(node.outputs)} parts of {whole}, got {lengths}")
    ends = np.cumsum(lengths).tolist()
    return [part(node, x, axis, end - n, end) for n, end in zip(lengths, ends, strict=True)]


@operator("Gather")
def gather(node: Node, x: Value, indices: Value):
    """Select entries of an axis by index: a table's rows by ids, or chosen steps and features."""
    axis = axis_of(node.attribute("axis", 0), len(x.axes))
    if isinstance(x, Constant) and isinstance(indices, Constant):
        return node.array([*x.axes[:axis], *indices.axes, *x.axes[axis + 1 :]], x.kind, [])
    if isinstance(x, Constant):
        return _embedded(node, x, indices, axis)
    places = node.known(indices, "the indices of Gather from a value that is computed")
    if places.ndim == 0:
        place = int(places)
        place = place - x.axes[axis].number if place > x.axes[axis].number // 2 and x.axes[axis].open else place
        found = part(node, x, axis, place, place + 1 if place != -1 else 1 << 62)
        return viewed(node, found, [i for i in range(len(found.axes)) if i != axis])
    if places.ndim != 1 or places.size > 1 << 16:
        raise ValueError(f"expected indices as a number or a list, got an array {places.shape}")
    size, whole = x.axes[axis].size, x.axes[axis]
    chosen = [int(i) for i in places]
    if size is None or any(not -size <= i < size for i in chosen):
        raise ValueError(f"expected indices along an axis of known size {size}")
    if len(chosen) == 1:
        return part(node, x, axis, chosen[0] % size, chosen[0] % size + 1)
    new = Axis(len(chosen))

    def emit(steps, refs):
        place = steps.forms.place(x.axes, axis, "Gather")
        source = steps.with_axes(refs[0], [] if steps.forms.is_feature(whole) else [place])
        return steps.add("Take", [source], axis=place, places=[i % size for i in chosen])

    return node.array([*x.axes[:axis], new, *x.axes[axis + 1 :]], x.kind, [x], emit)


def _embedded(node, table, ids, axis):
    if axis != 0 or len(table.axes) != 2 or table.kind != "float" or ids.kind != "int":
        raise ValueError("expected integers that look up rows of a table of floating-point numbers (ids, features)")

    def layers(target):
        rows, width = table.array.shape
        layer = Embedding(rows, width, dtype=target.dtype, name=target.named(node.name))
        (found,) = target.called(layer, [table.array], target.tensor(ids))
        kept = target.kept(ids)
        return target.shaped(found, kept, [*target.forms.shape(ids.axes), *([width] if width > 1 else [])])

    return node.array([*ids.axes, table.axes[1]], "float", [ids], None, layers)


@operator("Concat")
def concat(node: Node, *inputs):
    if len(inputs) == 1:
        node.attribute("axis")
        return inputs[0]
    rank = len(inputs[0].axes)
    axis = axis_of(node.attribute("axis"), rank)
    node.check_sizes(inputs)
    if any(len(one.axes) != rank for one in inputs):
        raise ValueError("expected arrays of the same rank")
    axes = []
    for i, several in enumerate(zip(*(one.axes for one in inputs), strict=True)):
        if i == axis:
            sizes = [one.number for one in several]
            for one in several[1:]:
                several[0].be_like(one)
            is_open = any(one.open for one in several)
            axes.append(node.axes.open(several[0]) if is_open else Axis(sum(sizes), kin=several[0]))
        else:
            for one in several[1:]:
                several[0].join(one)
            axes.append(several[0])

    def emit(steps, refs):
        place = steps.forms.place(axes, axis, "Concat")
        like = next(ref for one, ref in zip(inputs, refs, strict=True) if isinstance(one, Array))
        found = [steps.repeated(one, like) if ref is None else ref for one, ref in zip(inputs, refs, strict=True)]
        thin = [not steps.forms.is_feature(one.axes[axis]) for one in inputs]
        whole = [steps.with_axes(ref, [place] * own) for ref, own in zip(found, thin, strict=True)]
        return steps.add("Concat", whole, axis=place)

    def layers(target):
        if any(isinstance(one, Constant) for one in inputs) or len({target.kept(one) for one in inputs}) > 1:
            return None
        place, tensors = target.whole.place(axes, axis, "Concat"), [target.tensor(one) for one in inputs]
        for i, one in enumerate(inputs):
            if not target.whole.is_feature(one.axes[axis]):
                kept, sizes = target.kept(one), target.forms.shape(one.axes)
                tensors[i] = target.shaped(
                    tensors[i], kept, [*sizes[: 1 + place - kept], 1, *sizes[1 + place - kept :]]
                )
        return Concatenate(1 + place, dtype=target.dtype, name=target.named(node.name))(tensors)

    return node.array(axes, inputs[0].kind, inputs, emit, layers)
