"""Layers that compute by kernels or in their own way, each as the NumPy function of arrays that it equals."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from rnnkit.activations import sigmoid
from rnnkit.layers.attention import AdditiveAttention, Attending
from rnnkit.layers.batch_normalization import BatchNormalization
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.masking import Masking
from rnnkit.layers.multi_head_attention import MultiHeadAttention
from rnnkit.layers.parametric_relu import PReLU
from rnnkit.layers.pooling import GlobalAveragePooling1D, Pooling
from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, refuse_draws, written
from rnnkit.onnx.exporting.whole_arrays import by_function


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
    """The first step of each window, the second one, and so on."""
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


@written.register
def _normalization(layer: BatchNormalization, writing: Writing, call: Call):
    refuse_draws(layer, call.training, "computes with its batch")
    normalized = lambda x, weights: layer._by_averages(weights, x)[0]
    return by_function(writing, layer, normalized, [array_of(writing, layer, call, 2)]), [call.mask]


@written.register
def _parametric(layer: PReLU, writing: Writing, call: Call):
    bent = lambda x, weights: layer._computed(weights, x, None, False)[0]
    return by_function(writing, layer, bent, [array_of(writing, layer, call, 2)]), [call.mask]


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

    def attended(query, value, *others):
        key = others[0] if len(arrays) == 3 else value
        found = dict(zip(given, others[len(arrays) - 2 : -1], strict=True))
        return (_headed if heads else _single)(layer, query, value, key, found, others[-1], call.options)

    outputs = by_function(writing, layer, attended, [*arrays, *given.values()])
    shown = 2 if call.options.get("return_attention_scores") else 1
    return outputs[:shown], [given.get("query"), None][:shown]


def _single(layer, query, value, key, masks, weights, options):
    if "value" in masks:
        value, key = (np.where(masks["value"][:, :, None], one, 0.0) for one in (value, key))
    scores = _scores(layer, query, key, weights)
    pairs = _pairs(scores, masks.get("value"), options)
    shares = _softmax(scores if pairs is None else np.where(pairs, scores, scores - 1e9))
    output = shares @ value
    return [np.where(masks["query"][:, :, None], output, 0.0) if "query" in masks else output, shares]


def _scores(layer, query, key, weights):
    scale = weights.get("scale", 1.0)
    if isinstance(layer, AdditiveAttention):
        return (scale * np.tanh(query[:, :, None] + key[:, None])).sum(axis=-1)
    if layer.score_mode == "concat":
        return weights["concat_score_weight"] * np.tanh(scale * (query[:, :, None] + key[:, None])).sum(axis=-1)
    return scale * (query @ np.swapaxes(key, 1, 2))


def _pairs(scores, of_keys, options, window=None):
    """Which pairs count, as conditions that go with scores ``(B, …, T, S)``; None for all."""
    (queries, keys), found = scores.shape[-2:], []
    if of_keys is not None:
        found.append(of_keys.reshape((of_keys.shape[0], *(1,) * (scores.ndim - 2), keys)))
    if options.get("use_causal_mask"):
        found.append(np.tri(queries, keys, dtype=bool))
    if window is not None:
        found += [np.tri(queries, keys, window - 1, dtype=bool), ~np.tri(queries, keys, -window, dtype=bool)]
    return reduce(np.logical_and, found, scores == scores) if found else None


def _softmax(scores):
    exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def _headed(layer, query, value, key, masks, weights, options):
    for name in ("value", "key"):
        if name in masks:
            value, key = (np.where(masks[name][:, :, None], one, 0.0) for one in (value, key))

    def of_heads(name, x):
        kernel = weights[f"{name}/kernel"]
        found = x @ kernel.reshape((x.shape[2], math.prod(kernel.shape[1:])))
        if layer.use_bias:
            found = found + weights[f"{name}/bias"].reshape((math.prod(kernel.shape[1:]),))
        return np.transpose(found.reshape((*x.shape[:2], *kernel.shape[1:])), (0, 2, 1, 3))

    q, k, v = of_heads("query", query), of_heads("key", key), of_heads("value", value)
    scores = (q * (1.0 / math.sqrt(layer.key_dim))) @ np.swapaxes(k, 2, 3)
    known = [masks[name] for name in ("value", "key") if name in masks]
    pairs = _pairs(scores, reduce(np.logical_and, known) if known else None, options, layer.sliding_window)
    own = [masks["query"][:, None, :, None]] if "query" in masks else []
    if "attention" in masks:
        own.append(masks["attention"][:, None] if masks["attention"].ndim == 3 else masks["attention"])
    if own:
        pairs = reduce(np.logical_and, own, scores == scores if pairs is None else pairs)
    empty = options.get("return_attention_scores") or layer.dropout > 0
    shares = _softmax(scores if pairs is None else np.where(pairs, scores, -1e9))
    if pairs is not None and empty:
        shares = np.where(pairs, shares, 0.0)
    found = shares @ v
    if layer.use_gate:
        found = found * sigmoid(of_heads("gate", query))
    kernel = weights["attention_output/kernel"]
    rows = np.transpose(found, (0, 2, 1, 3)).reshape((*query.shape[:2], layer.num_heads * layer.value_dim))
    output = rows @ kernel.reshape((rows.shape[2], math.prod(kernel.shape[2:])))
    if layer.use_bias:
        output = output + weights["attention_output/bias"].reshape((math.prod(kernel.shape[2:]),))
    return [output.reshape((*query.shape[:2], *kernel.shape[2:])), shares]
