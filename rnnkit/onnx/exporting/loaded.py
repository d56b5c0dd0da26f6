"""The layers that `rk.onnx.load` makes where no layer of Keras does what an operator did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, written
from rnnkit.onnx.format.package import element_type
from rnnkit.onnx.loading.layers import Arrange, ConstantRows
from rnnkit.onnx.loading.time_layers import (
    LengthMask,
    RepeatOverTime,
    StepCount,
    StepNumbers,
    TimeReduce,
    TimeSlice,
)

_OVER_TIME = {"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin"}
_FAR = np.iinfo(np.int64).max


@written.register
def _arrange(layer: Arrange, writing: Writing, call: Call):
    x, block, kept = array_of(writing, layer, call, layer.kept), writing.block, layer.kept
    name = x.name
    if layer.order is not None:
        name = block.add("Transpose", name, perm=[*range(kept), *(axis + kept for axis in layer.order)])
    if kept == 1 or not layer.shape:  # time may be among the axes that are joined, so the sizes are taken from x
        sizes = block.joined(block.sizes(x.name, 0, kept), block.integers(*layer.shape))
    else:
        sizes = block.integers(*[0] * kept, *layer.shape)
    return [Value(block.add("Reshape", name, sizes), (*x.shape[:kept], *layer.shape), x.dtype)], [None]


@written.register
def _time_slice(layer: TimeSlice, writing: Writing, call: Call):
    x, step = array_of(writing, layer, call, 2), layer.step or 1
    start = layer.start if layer.start is not None else 0 if step > 0 else -1
    stop = layer.stop if layer.stop is not None else _FAR if step > 0 else -_FAR
    name = writing.block.add("Slice", x.name, *(writing.block.integers(number) for number in (start, stop, 1, step)))
    shape = layer.compute_output_shape((None, None, *x.shape[2:]))
    return [Value(name, (x.shape[0], shape[1], *x.shape[2:]), x.dtype)], [None]


@written.register
def _time_reduce(layer: TimeReduce, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 2), writing.block
    exact = block.cast(x, np.float64 if layer.how in ("mean", "sum") else x.dtype)
    name = block.add(_OVER_TIME[layer.how], exact.name, block.integers(1), keepdims=0)
    return [block.cast(Value(name, (x.shape[0], *x.shape[2:]), exact.dtype), x.dtype)], [None]


@written.register
def _step_count(layer: StepCount, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 2), writing.block
    count = block.add("Cast", block.sizes(x.name, 1, 2), to=element_type(x.dtype))
    return [Value(block.add("Expand", count, block.sizes(x.name, 0, 1)), x.shape[:1], x.dtype)], [None]


@written.register
def _step_numbers(layer: StepNumbers, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 2), writing.block
    places = _step_numbers_of(block, x, x.dtype)
    return [Value(block.add("Expand", places, block.sizes(x.name, 0, 2)), x.shape[:2], x.dtype)], [None]


def _step_numbers_of(block, x: Value, dtype) -> str:
    """The numbers of the steps of x from 0."""
    count = block.add("Squeeze", block.sizes(x.name, 1, 2), block.integers(0))
    zero, one = (block.constant(np.array(number)) for number in (0, 1))
    return block.add("Cast", block.add("Range", zero, count, one), to=element_type(dtype))


@written.register
def _constant_rows(layer: ConstantRows, writing: Writing, call: Call):
    block, hold = writing.block, writing.block.weight if layer.trainable else writing.block.constant
    rows = hold(layer.weights["rows"], "rows")
    name = block.repeated(rows, block.sizes(call.x.name, 0, 1), layer.shape, "start")
    return [Value(name, (call.x.shape[0], *layer.shape), layer.dtype)], [None]


@written.register
def _repeat_over_time(layer: RepeatOverTime, writing: Writing, call: Call):
    (x, like), block = call.x, writing.block
    x = block.cast(x, layer.dtype)
    step = block.add("Unsqueeze", x.name, block.integers(1))
    name = block.repeated(step, block.sizes(like.name, 0, 2), x.shape[1:])
    return [replace(x, name=name, shape=(*like.shape[:2], *x.shape[1:]))], [None]


@written.register
def _length_mask(layer: LengthMask, writing: Writing, call: Call):
    (lengths, like), block = call.x, writing.block
    places = _step_numbers_of(block, like, layer.dtype)
    ends = block.add("Unsqueeze", block.cast(lengths, layer.dtype).name, block.integers(1))
    used = Value(block.add("Less", places, ends), like.shape[:2], np.dtype(bool))
    return [block.cast(used, layer.dtype)], [None]
