"""Calls of layers and models on dask arrays: the same results, lazily, in dask arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.distributed import layerwise, recurrent
from rnnkit.distributed.chunks import checked, chunked, is_chunked, mask_in_chunks, turned
from rnnkit.distributed.sources import are_delayed, source
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support import validation
from rnnkit.layers.support.bound_calls import call_arguments
from rnnkit.layers.support.facts import check_input, keeps_states
from rnnkit.layers.support.layer_tree import all_layers, all_or_nothing, build_with
from rnnkit.layers.support.symbolic import leaves, mapped
from rnnkit.models.functional import Model
from rnnkit.models.graph_model import GraphModel

__all__ = ["answer", "are_delayed", "predicted", "source"]  # interface of a handler
_METHODS = ("__call__", "trajectory", "compute_mask")


def answer(layer: Layer, method, arguments: tuple, keywords: dict):
    """Call a layer's method with a dask array among its arguments; its errors are those of the call.

    A ValueError refuses features that chunks lack: gradients, training, states between calls, a stream of a GPU.
    """
    if method.__name__ not in _METHODS:
        raise ValueError(
            f"expected NumPy arrays for {method.__name__} of {layer.name!r}, got a dask array; layers take dask arrays "
            "in calls, trajectory and predict"
        )
    x, more = _arguments(layer, method, arguments, keywords)
    if more.pop("stream", None) is not None:
        raise ValueError("expected no stream with a dask array, got one")
    mask, training = more.pop("mask", None), more.pop("training", False)
    with all_or_nothing(layer):
        if method.__name__ == "trajectory":
            return _in_one(layer, x, mask, training, more, whole=True)[0]
        outputs, mask_behind = run(layer, x, mask, training, more)
    return mask_behind if method.__name__ == "compute_mask" else outputs


def _arguments(layer, method, arguments, keywords) -> tuple[Any, dict]:
    """Return the inputs of a call, and its other arguments by name, without those that are None."""
    try:
        (_, x), *others = call_arguments(layer, method, arguments, keywords).items()
    except TypeError as error:
        raise TypeError(f"{type(layer).__name__}: {error}") from None
    return x, {name: value for name, value in others if value is not None}


def predicted(model: Layer, x, batch_size, steps, out):
    """Return the result of `predict` by chunks, not batches; a ValueError for arguments not meant for chunks."""
    if steps is not None:
        raise ValueError(f"expected no steps with a dask array, got {steps}; slice it")
    if out is not None:
        raise ValueError("expected no out with a dask array; dask.array.store(y, out) or y.to_zarr(path) writes it")
    return model(x)


def run(layer: Layer, x, mask, training, more) -> tuple[Any, Any]:
    """Call a layer; return its result and the result's masks. `more` are states and constants."""
    if isinstance(layer, GraphModel):
        return _through_graph(layer, x, mask, training)
    return _in_one(layer, x, mask, training, more)


def _in_one(layer, x, mask, training, more, whole=False) -> tuple[Any, Any]:
    """Run a layer that is no model, as `run`; with `whole`, return the result of `trajectory`."""
    if training:
        raise ValueError(f"expected training=False for dask arrays, got {training!r} for the layer {layer.name!r}")
    if kept := [one.name for one in all_layers(layer) if keeps_states(one)]:
        raise ValueError(
            f"expected layers that keep no states between calls for dask arrays; {kept[0]!r} is stateful: make it with "
            "return_state=True, and hand the states to the next call as initial_state"
        )
    if not isinstance(layer, (RNN, Bidirectional)):
        if any(is_chunked(one) for one in leaves(list(more.values()))):
            raise ValueError(f"expected only x and mask of {layer.name!r} as dask arrays, got {', '.join(more)} too")
        x = _entered(x, "x")
        _built_for(layer, x)
        return layerwise.called(layer, x, mask, more)
    if isinstance(x, (list, tuple, dict)):
        raise ValueError(f"expected x of {layer.name!r} as one dask array, got a {type(x).__name__} of arrays")
    x = _entered(x, "x", mask, more)
    _built_for(layer, x)
    x = chunked(x, "x", *x.chunks[:2])
    mask = mask_in_chunks(mask, x)
    outputs = recurrent.called(layer, x, mask, more.get("initial_state"), more.get("constants"), whole)
    return outputs, _recurrent_mask(layer, outputs, mask)


def _recurrent_mask(layer, outputs, mask):
    """Return the masks of a recurrent layer's outputs, with the same nesting."""
    first = layer.forward_layer if isinstance(layer, Bidirectional) else layer
    if mask is None or not first.return_sequences:
        return None
    mask = turned(mask) if first.go_backwards else mask
    if not isinstance(outputs, tuple):
        return mask
    count = 2 if getattr(layer, "merge_mode", "") is None else 1
    return [*[mask] * count, *(mapped(one, lambda _: None) for one in outputs[count:])]


def _through_graph(model: GraphModel, inputs, mask, training) -> tuple[Any, Any]:
    """Run the calls of a model as `GraphModel._with_mask`, those of layers in a line in one task where it can be."""
    names = model._input_names()
    given = model._inputs("inputs").split(inputs)
    if isinstance(model, Model):
        arrays = [_entered(one, f"the input {name!r}") for one, name in zip(given, names, strict=True)]
        model._check_shapes([one.shape for one in arrays])
    else:
        arrays = [_entered(given[0], "x")]
        _built_for(model, arrays[0])
    graph = model._graph
    values, masks = graph.begun(arrays, model._inputs("mask").split(mask))
    done = 0
    while done < len(graph.calls):
        line = [] if training else graph.line(done)
        layer, x, own_mask, train, more = graph.given(graph.calls[done], values, masks, training)
        together = recurrent.beginning([graph.layers[call.layer] for call in line], x)
        last = graph.calls[done + max(len(together), 1) - 1]
        found = (
            recurrent.called_together(together, x, own_mask)
            if len(together) > 1
            else run(layer, x, own_mask, train, more)
        )
        graph.put(last, values, masks, *found)
        done += max(len(together), 1)
    return graph.returned(values), graph.masks_behind(masks)


def _entered(x, what, mask=None, more=None):
    """Return the inputs as dask arrays; NumPy's arrays get the chunks of another argument's rows and steps."""
    if isinstance(x, (list, tuple)) and any(is_chunked(one) for one in leaves(x)):
        rows = next(one for one in leaves(x) if is_chunked(one)).chunks[0]
        return [one if is_chunked(checked(one, what)) else chunked(one, what, rows) for one in x]
    if is_chunked(x):
        return checked(x, what)
    array = validation.array(x, what)
    if is_chunked(mask):
        checked(mask, "mask")
        return chunked(array, what, *mask.chunks[:2])
    others = [one for one in leaves(list((more or {}).values())) if is_chunked(one)]
    return chunked(array, what, checked(others[0], what).chunks[0] if others else (array.shape[0],))


def _built_for(layer: Layer, x) -> None:
    """Build a layer for these inputs; an error if they don't match a built layer."""
    shape = [one.shape for one in x] if isinstance(x, list) else x.shape
    found = np.result_type(*map(validation.precision_of, leaves(x)))
    if layer.built:
        if not isinstance(layer, GraphModel):
            check_input(layer, shape)
        return
    with all_or_nothing(layer):
        build_with(layer, shape, layer.dtype or (np.dtype("float32") if isinstance(layer, Embedding) else found))
