"""Layers without a loop along time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnnkit.layers.dense import Dropout
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.noise import Noise
from rnnkit.layers.pooling import GlobalAveragePooling1D
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
