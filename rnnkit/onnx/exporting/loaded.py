"""The layers that `rk.onnx.load` makes where no layer of Keras does what an operator did."""

from __future__ import annotations

import numpy as np

from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, written
from rnnkit.onnx.loading.layers import ConstantRows
from rnnkit.onnx.loading.time_layers import TimeReduce

_OVER_TIME = {"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin"}


@written.register
def _time_reduce(layer: TimeReduce, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 2), writing.block
    exact = block.cast(x, np.float64 if layer.how in ("mean", "sum") else x.dtype)
    name = block.add(_OVER_TIME[layer.how], exact.name, block.integers(1), keepdims=0)
    return [block.cast(Value(name, (x.shape[0], *x.shape[2:]), exact.dtype), x.dtype)], [None]


@written.register
def _constant_rows(layer: ConstantRows, writing: Writing, call: Call):
    block, hold = writing.block, writing.block.weight if layer.trainable else writing.block.constant
    rows = hold(layer.weights["rows"], "rows")
    name = block.repeated(rows, block.sizes(call.x.name, 0, 1), layer.shape, "start")
    return [Value(name, (call.x.shape[0], *layer.shape), layer.dtype)], [None]
