"""Layers without a traced step, each as an equivalent NumPy function of arrays."""

from __future__ import annotations

from dataclasses import replace
from functools import partial, reduce

import numpy as np

from rnnkit.layers.attention import Attending
from rnnkit.layers.batch_normalization import BatchNormalization
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.masking import Masking
from rnnkit.layers.multi_head_attention import MultiHeadAttention
from rnnkit.layers.parametric_relu import PReLU
from rnnkit.layers.pooling import GlobalAveragePooling1D, Pooling
from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, refuse_draws, written
from rnnkit.onnx.exporting.whole_arrays import by_function
from rnnkit.onnx.loading.layers import ConstantRows


@written.register
def _pooling(layer: Pooling, writing: Writing, call: Call):
    return by_function(writing, layer, partial(_pooled, layer), [array_of(writing, layer, call, 3)]), [None]


def _pooled(layer, x, weights):
    if layer._computes == "largest":
        return reduce(np.maximum, _windows(layer, x, -np.inf))
    total = reduce(np.add, _windows(layer, x, 0.0))
    if layer.padding == "valid":
        return total / layer.pool_size
    return total / reduce(np.add, _windows(layer, np.where(x > 0, 1.0, 1.0), 0.0))


def _windows(layer, x, filling) -> list:
    """Return the first step of each window, the second one, and so on."""
    windows = layer._windows
    if any(pads := windows.pads(x.shape[1])):
        x = np.pad(x, ((0, 0), pads, (0, 0)), constant_values=filling)
    starts = [k * windows.dilation for k in range(windows.size)]
    return [x[:, start : start - windows.span + 1 or None : windows.stride] for start in starts]


@written.register
def _convolution(layer: Conv1D, writing: Writing, call: Call):
    return by_function(writing, layer, partial(_convolved, layer), [array_of(writing, layer, call, 3)]), [None]


def _convolved(layer, x, weights):
    steps, groups = _windows(layer, x, 0.0), layer.groups
    kernel, part, each = weights["kernel"], x.shape[2] // groups, layer.filters // groups
    found = []
    for g in range(groups):
        rows = np.concatenate([step[:, :, g * part : (g + 1) * part] for step in steps], axis=2)
        found.append(rows @ kernel[:, :, g * each : (g + 1) * each].reshape((len(steps) * part, each)))
    y = np.concatenate(found, axis=2)
    return layer.activation(y + weights["bias"] if layer.use_bias else y)


@written.register
def _average(layer: GlobalAveragePooling1D, writing: Writing, call: Call):
    x = array_of(writing, layer, call, 3)
    masks = [] if call.mask is None else [replace(writing.step_mask(call.mask, x), shape=x.shape[:2])]
    return by_function(writing, layer, partial(_averaged, layer), [x, *masks]), [None]


def _averaged(layer, x, *mask_and_weights):
    mask, *_ = mask_and_weights
    if isinstance(mask, dict):
        return x.mean(axis=1, keepdims=layer.keepdims)
    used = np.where(mask[:, :, None], 1.0, 0.0)
    total = np.where(mask[:, :, None], x, 0.0).sum(axis=1, keepdims=layer.keepdims)
    return total / np.maximum(used.sum(axis=1, keepdims=layer.keepdims), 1.0)


@written.register
def _masking(layer: Masking, writing: Writing, call: Call):
    x = array_of(writing, layer, call, 3)
    output, used = by_function(writing, layer, partial(_masked, layer), [x])
    if call.mask is None:
        return [output], [used]
    both = writing.block.add("And", used.name, writing.step_mask(call.mask, x).name)
    return [output], [replace(used, name=both)]


def _masked(layer, x, weights):
    used = (x != layer.mask_value).any(axis=tuple(range(2, x.ndim)))
    return [np.where(used.reshape((*x.shape[:2], *(1,) * (x.ndim - 2))), x, 0.0), used]


@written.register(BatchNormalization)
@written.register(PReLU)
def _computed(layer, writing: Writing, call: Call):
    refuse_draws(layer, call.training and bool(layer._moving()), "computes with its batch")
    computed = lambda x, weights: layer._computed(weights, x, None, False)[0]
    return by_function(writing, layer, computed, [array_of(writing, layer, call, 2)]), [call.mask]


@written.register
def _constant(layer: ConstantRows, writing: Writing, call: Call):
    rows = lambda x, weights: np.broadcast_to(weights["rows"], (x.shape[0], *layer.shape))
    return by_function(writing, layer, rows, [call.x]), [None]


# Attention


@written.register
def _attention(layer: Attending, writing: Writing, call: Call):
    refuse_draws(layer, call.training and layer.dropout > 0)
    arrays, heads = [writing.block.cast(one, layer.dtype) for one in call.x], isinstance(layer, MultiHeadAttention)
    flowing = call.mask if isinstance(call.mask, list) else []
    masks = dict(zip(layer._names, flowing, strict=False))
    masks |= {name.removesuffix("_mask"): one for name, (one,) in call.more.items()}
    of_arrays = dict(zip(layer._names, (*arrays[:2], arrays[-1]), strict=True))
    given: dict[str, Value] = {}
    for name, mask in masks.items():
        if mask is not None and name in of_arrays and (heads or name != "key"):
            own = of_arrays[name]
            given[name] = replace(writing.step_mask(mask, own), shape=own.shape[:2])
        elif mask is not None and name == "attention":
            given[name] = writing.condition(mask)

    wanted = {name: call.options.get(name, False) for name in ("return_attention_scores", "use_causal_mask")}

    def attended(*values):
        found = dict(zip(given, values[len(arrays) : -1], strict=True))
        own = [found.get(name) for name in layer._names]
        others = [found.get("attention")] if heads else []
        return layer._attended(values[-1], list(values[: len(arrays)]), own, False, *others, **wanted)[0]

    outputs = by_function(writing, layer, attended, [*arrays, *given.values()])
    return outputs, [given.get("query"), None][: len(outputs)]
