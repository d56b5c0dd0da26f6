"""Operators along axes: sums, means, softmax, normalization."""

from __future__ import annotations

import numpy as np

from rnnkit.layers.memoryless import Activation
from rnnkit.onnx.loading.axes import Array, Axis, Constant, Value
from rnnkit.onnx.loading.graph import Node, axis_of, operator
from rnnkit.onnx.loading.operations import REDUCTIONS
from rnnkit.onnx.loading.operators.elementwise import combined

_ACTIVATIONS = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}


@operator(*REDUCTIONS)
def reduce(node: Node, x: Value, axes: Value | None = None):
    """Compute a sum, a mean or the like along some axes."""
    return reduced(node, x, axes, node.op)


def reduced(node: Node, x: Value, axes: Value | None, op: str) -> Array:
    """Return a value reduced along axes."""
    rank, keep = len(x.axes), node.attribute("keepdims", 1)
    given = node.given("axes", axes)
    if given is None or (axes is not None and not given):
        given = [] if node.attribute("noop_with_empty_axes", 0) else list(range(rank))
    node.attribute("noop_with_empty_axes", 0)
    away = sorted({axis_of(i, rank) for i in given})
    left = [Axis(1) if i in away else axis for i, axis in enumerate(x.axes) if keep or i not in away]

    def emit(steps, refs):
        forms = steps.forms
        places = forms.places(x.axes, away, op)
        ref = refs[0]
        if away and not places:
            places = [len(forms.placed(x.axes))]
            ref = steps.with_axes(ref, places)
        ref = steps.add(op, [ref], axes=places) if away else ref
        return steps.with_axes(ref, [forms.place(left, i) for i in away if keep and forms.is_feature(left[i])])

    return node.array(left, x.kind, [x], emit)


@operator("ArgMax", "ArgMin")
def place(node: Node, x: Value):
    """Return the index of the first largest or smallest feature along an axis."""
    axis, keep = axis_of(node.attribute("axis", 0), len(x.axes)), node.attribute("keepdims", 1)
    if node.attribute("select_last_index", 0):
        raise ValueError(f"expected {node.op} to take the first of equal entries")
    left = [Axis(1) if i == axis else one for i, one in enumerate(x.axes) if keep or i != axis]

    def emit(steps, refs):
        if not steps.forms.is_feature(x.axes[axis]):
            raise ValueError(f"expected {node.op} along features or time, got the batch or one entry")
        return steps.add(node.op, refs, axis=steps.forms.place(x.axes, axis))

    return node.array(left, "int", [x], emit)


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node, x: Value):
    """Compute the mean or the maximum along all axes after the first two."""
    places = Constant(np.arange(2, len(x.axes)), (Axis(len(x.axes) - 2),))
    return reduced(node, x, places, "ReduceMean" if node.op == "GlobalAveragePool" else "ReduceMax")


@operator("Softmax", "LogSoftmax")
def softmax(node: Node, x: Value):
    """Compute softmax along one axis of features."""
    rank = len(x.axes)
    axis = axis_of(node.attribute("axis", -1 if node.opset >= 13 else 1), rank)
    if node.opset < 13:
        long = [i for i in range(axis, rank) if x.axes[i].number != 1]
        if len(long) > 1:
            raise ValueError("expected a softmax along one axis")
        axis = long[0] if long else axis
    return _along(node, x, axis, node.op)


@operator("CumSum")
def cumsum(node: Node, x: Value, axis: Value):
    """Compute cumulative sums along one axis of features."""
    if node.attribute("exclusive", 0) or node.attribute("reverse", 0):
        raise ValueError("expected CumSum that is neither exclusive nor reverse")
    (place,) = node.integers(axis, "the axis of CumSum")
    return _along(node, x, axis_of(place, len(x.axes)), "CumSum")


def _along(node, x, axis, op):
    def emit(steps, refs):
        forms = steps.forms
        place = forms.place(x.axes, axis, op)
        if forms.is_feature(x.axes[axis]):
            return steps.add(op, refs, axis=place)
        return steps.without_axes(steps.add(op, [steps.with_axes(refs[0], [place])], axis=place), [place])

    def layers(target):
        forms = target.forms
        is_last = forms.is_feature(x.axes[axis]) and not forms.placed(x.axes[axis + 1 :])
        if op not in _ACTIVATIONS or not is_last:
            return None
        return Activation(_ACTIVATIONS[op], dtype=target.dtype, name=target.named(node.name))(target.tensor(x))

    return node.array(x.axes, x.kind, [x], emit, layers)


@operator("LayerNormalization")
def layer_normalization(node: Node, x: Value, scale: Value, bias: Value | None = None):
    """Normalize to mean 0 and variance 1 along the last axes, then scale and shift."""
    first = axis_of(node.attribute("axis", -1), len(x.axes))
    epsilon = float(node.attribute("epsilon", 1e-5))
    node.attribute("stash_type")
    if node.wanted(1) or node.wanted(2):
        raise ValueError("expected LayerNormalization without its mean and deviation as outputs")
    more = [scale] if bias is None else [scale, bias]

    def emit(steps, refs):
        forms = steps.forms
        places = forms.places(x.axes, range(first, len(x.axes)), node.op)
        aligned = [steps.aligned(one, ref, x.axes) for one, ref in zip(more, refs[1:], strict=True)]
        return steps.add("LayerNormalization", [refs[0], *aligned], axes=places, epsilon=epsilon)

    return node.array(x.axes, x.kind, [x, *more], emit)


@operator("BatchNormalization")
def batch_normalization(node: Node, x: Value, scale: Value, bias: Value, mean: Value, variance: Value):
    """Normalize with the statistics of training, along the second axis."""
    epsilon = float(node.attribute("epsilon", 1e-5))
    node.attribute("momentum")
    if node.attribute("training_mode", 0) or any(node.wanted(i) for i in range(1, len(node.outputs))):
        raise ValueError("expected BatchNormalization outside of training")
    arrays = [node.known(one, "the weights of BatchNormalization") for one in (scale, bias, mean, variance)]
    factor = arrays[0] / np.sqrt(arrays[3] + arrays[3].dtype.type(epsilon))
    shift = arrays[1] - arrays[2] * factor
    ones = (1,) * (len(x.axes) - 2)

    def constant(array, name):
        return Constant(array.reshape(-1, *ones), (Axis(array.size), *(Axis(1) for _ in ones)), name, True)

    scaled = combined(node, "Mul", [x, constant(factor, "scale")])
    return combined(node, "Add", [scaled, constant(shift, "shift")])
