"""Layers without a loop along time."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from rnnkit.layers.dense import Dropout
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.merging import Add, Average, Concatenate, Maximum, Merge, Minimum, Multiply, Subtract
from rnnkit.layers.noise import Noise
from rnnkit.layers.pooling import GlobalAveragePooling1D
from rnnkit.layers.shaping import Flatten, RepeatVector, Reshape
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, write, written
from rnnkit.onnx.exporting.step_graph import StepGraph
from rnnkit.onnx.exporting.step_nodes import StepNodes
from rnnkit.onnx.format.package import element_type


@written.register
def _memoryless(layer: Memoryless, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 2), writing.block
    if (reason := layer.reads_more(len(x.shape))) is not None:
        raise ValueError(f"the layer {layer.name!r} can't be exported to ONNX: it {reason}")
    axes = len(x.shape) - 1
    step = StepGraph(layer._execution.step, layer.dtype)
    if axes > 1 and any(node.op == "loop" for node in step.graph.live()):
        raise ValueError(f"the layer {layer.name!r} can't be exported to ONNX: it finds eigenvalues of each time step")
    nodes = StepNodes(block, step, {("x", None): x.name}, block.sizes(x.name, 0, axes), axes)
    output = step.graph.output
    return [Value(nodes.result(output, layer.name), (*x.shape[:-1], *output.shape), x.dtype)], [call.mask]


@written.register
def _dropout(layer: Dropout, writing: Writing, call: Call):
    return _as_it_is(layer, bool(layer.rate), writing, call)


@written.register
def _noise(layer: Noise, writing: Writing, call: Call):
    return _as_it_is(layer, not layer._is_silent(), writing, call)


def _as_it_is(layer, draws: bool, writing: Writing, call: Call):
    if call.training and draws:
        raise ValueError(
            f"the layer {layer.name!r} can't be exported to ONNX: it is called with training=True, and so draws at "
            "random what it does"
        )
    return [array_of(writing, layer, call, 0)], [call.mask]


@written.register
def _embedding(layer: Embedding, writing: Writing, call: Call):
    block, ids = writing.block, writing.block.cast(call.x, np.int64)
    vectors = block.add("Gather", block.weight(layer._table, "embeddings"), ids.name, axis=0)
    mask = writing.condition(ids) if layer.mask_zero else call.mask
    return [Value(vectors, (*ids.shape, layer.output_dim), layer.dtype)], [mask]


@written.register
def _masking(layer: Masking, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 3), writing.block
    value = block.number(layer.mask_value, x.dtype)
    other = block.add("Not", block.add("Equal", x.name, value))
    features = block.integers(*range(2, len(x.shape)))
    count = block.add("ReduceSum", block.add("Cast", other, to=element_type(np.int32)), features, keepdims=1)
    any_other = block.add("Greater", count, block.number(0, np.int32))
    zero = block.number(0, x.dtype)
    output = replace(x, name=block.add("Where", any_other, x.name, zero))
    used = Value(block.add("Squeeze", any_other, features, name="used"), x.shape[:2], np.dtype(bool))
    if call.mask is not None:
        before = writing.step_mask(call.mask, x)
        used = replace(used, name=block.add("And", used.name, before.name))
    return [output], [used]


# Several arrays

_OPERATORS = {Add: "Add", Average: "Add", Subtract: "Sub", Multiply: "Mul", Maximum: "Max", Minimum: "Min"}


@written.register(Add)
@written.register(Average)
@written.register(Subtract)
@written.register(Multiply)
@written.register(Maximum)
@written.register(Minimum)
def _elementwise(layer, writing: Writing, call: Call):
    arrays, masks = _several(layer, writing, call)
    operator = next(name for kind, name in _OPERATORS.items() if isinstance(layer, kind))
    name = reduce(partial(writing.block.add, operator), [one.name for one in arrays])
    if isinstance(layer, Average):
        name = writing.block.add("Div", name, writing.block.number(len(arrays), layer.dtype))
    shape = tuple(_size(sizes) for sizes in zip(*(one.shape for one in arrays), strict=True))
    mask = None if any(one is None for one in masks) else _any(writing, masks, arrays)
    return [Value(name, shape, layer.dtype)], [mask]


@written.register
def _concatenate(layer: Concatenate, writing: Writing, call: Call):
    arrays, masks = _several(layer, writing, call)
    block, axis = writing.block, layer.axis % len(arrays[0].shape)
    shape = [_size(sizes) for sizes in zip(*(one.shape for one in arrays), strict=True)]
    sizes = [one.shape[axis] for one in arrays]
    shape[axis] = sum(sizes) if all(isinstance(size, int) for size in sizes) else None
    output = Value(block.add("Concat", *(one.name for one in arrays), axis=axis), tuple(shape), layer.dtype)
    if all(mask is None for mask in masks):
        return [output], [None]
    masks = [_all_used(block, one) if mask is None else mask for one, mask in zip(arrays, masks, strict=True)]
    if axis != 1:
        return [output], [_any(writing, masks, arrays)]
    steps = [writing.step_mask(mask, one).name for mask, one in zip(masks, arrays, strict=True)]
    return [output], [Value(block.add("Concat", *steps, axis=1), output.shape[:2], np.dtype(bool))]


def _several(layer: Merge, writing: Writing, call: Call) -> tuple[list[Value], list]:
    """The arrays that a layer is called on, in its dtype, and a mask or None for each."""
    arrays = [writing.block.cast(one, layer.dtype) for one in call.x]
    return arrays, call.mask if isinstance(call.mask, list) else [call.mask] * len(arrays)


def _size(sizes):
    """The size of an axis whose sizes of 1 are repeated."""
    longer = [size for size in sizes if size != 1]
    return next((size for size in longer if isinstance(size, int)), longer[0] if longer else 1)


def _any(writing, masks, arrays) -> Value:
    """Steps that any of the masks uses."""
    found = [writing.step_mask(mask, x) for mask, x in zip(masks, arrays, strict=True)]
    return replace(found[0], name=reduce(partial(writing.block.add, "Or"), [one.name for one in found]))


def _all_used(block, x: Value) -> Value:
    name = block.add("Expand", block.number(True, bool), block.sizes(x.name, 0, 2))
    return Value(name, x.shape[:2], np.dtype(bool))


# Other axes


@written.register
def _repeat_vector(layer: RepeatVector, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 2), writing.block
    name = block.add("Expand", block.add("Unsqueeze", x.name, block.integers(1)), block.integers(1, layer.n, 1))
    return [Value(name, (x.shape[0], layer.n, *x.shape[1:]), x.dtype)], [None]


@written.register
def _reshape(layer: Reshape, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 1), writing.block
    known = None not in x.shape[1:] and all(isinstance(size, int) for size in x.shape[1:])
    shape = layer.compute_output_shape((None, *(size if isinstance(size, int) else None for size in x.shape[1:])))[1:]
    name = block.add("Reshape", x.name, block.integers(0, *(shape if known else layer.target_shape)))
    return [Value(name, (x.shape[0], *shape), x.dtype)], [None]


@written.register
def _flatten(layer: Flatten, writing: Writing, call: Call):
    x = array_of(writing, layer, call, 1)
    known = all(isinstance(size, int) for size in x.shape[1:])
    size = math.prod(x.shape[1:]) if known else None
    return [Value(writing.block.add("Flatten", x.name, axis=1), (x.shape[0], size), x.dtype)], [None]


@written.register
def _pooling(layer: GlobalAveragePooling1D, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 3), writing.block
    double = np.dtype(np.float64)
    values, one, steps = block.cast(x, double).name, block.number(1, double), block.integers(1)
    if call.mask is None:
        count = block.add("Cast", block.sizes(x.name, 1, 2), to=element_type(double))
    else:
        mask = writing.step_mask(call.mask, x)
        used = block.add("Unsqueeze", mask.name, block.integers(2))
        values = block.add("Where", used, values, block.number(0, double))
        count = block.add(
            "ReduceSum", block.add("Cast", used, to=element_type(double)), steps, keepdims=int(layer.keepdims)
        )
    total = block.add("ReduceSum", values, steps, keepdims=int(layer.keepdims))
    mean = Value(
        block.add("Div", total, block.add("Max", count, one)), (x.shape[0], *[1] * layer.keepdims, x.shape[2]), double
    )
    return [block.cast(mean, x.dtype)], [None]


@written.register
def _time_distributed(layer: TimeDistributed, writing: Writing, call: Call):
    x, block = call.x, writing.block
    batch, time = (block.sizes(x.name, axis, axis + 1) for axis in (0, 1))
    sizes = block.joined(block.add("Mul", batch, time), block.sizes(x.name, 2))
    rows = Value(block.add("Reshape", x.name, sizes), (None, *x.shape[2:]), x.dtype)
    inside = replace(writing, states=False)  # a step is no row of the batch, so none has a state of its own
    outputs, _ = write(layer.layer, inside, call.inside("layer", x=rows, mask=None))
    found = []
    for one in outputs:
        steps = block.add("Reshape", one.name, block.joined(batch, time, block.sizes(one.name, 1)))
        found.append(Value(steps, (*x.shape[:2], *one.shape[1:]), one.dtype))
    return found, [call.mask] * len(found)
