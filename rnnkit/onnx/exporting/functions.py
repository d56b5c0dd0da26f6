"""Layers without a traced step, each as an equivalent NumPy function of arrays."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from rnnkit.layers.attention import Attending
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.masking import Masking
from rnnkit.layers.multi_head_attention import MultiHeadAttention
from rnnkit.layers.pooling import GlobalAveragePooling1D, OverTime
from rnnkit.layers.weighted import Computed
from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, refuse_draws, written
from rnnkit.onnx.exporting.whole_arrays import by_function
from rnnkit.onnx.loading.layers import ConstantRows


@written.register(Computed)
@written.register(Conv1D)
def _computed(layer, writing: Writing, call: Call):
    refuse_draws(layer, call.training and bool(layer._moving()), "computes with its batch")
    x, takes_mask = array_of(writing, layer, call, 2), isinstance(layer, GlobalAveragePooling1D)
    masked = takes_mask and call.mask is not None
    masks = [replace(writing.step_mask(call.mask, x), shape=x.shape[:2])] if masked else []
    function = layer._traceable if masked else lambda x, weights: layer._traceable(x, None, weights)
    ends = isinstance(layer, (Conv1D, OverTime))
    return by_function(writing, layer, function, [x, *masks]), [None if ends else call.mask]


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
