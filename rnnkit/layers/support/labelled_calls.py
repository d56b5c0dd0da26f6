"""Calls, and the data of a fit, on arrays of xarray: dimensions by their names, results with coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rnnkit.layers.support.facts import takes_sequences
from rnnkit.layers.support.symbolic import leaves, shape_leaves
from rnnkit.sequences.labelled import arranged, beside, is_labelled, labelled
from rnnkit.steps.nesting import mapped


def called(layer: Any, call: Callable, arguments: tuple, keywords: dict):
    """Return the result of a call, vjp or trajectory on a DataArray; None for other first arguments and tables."""
    names, count = call.__code__.co_varnames, call.__code__.co_argcount  # has no names for a user's class
    first: Any = arguments[0] if arguments else keywords.get(names[1])
    if not is_labelled(first) or (x := ordered(layer, first)) is None:
        return None
    more = dict(zip(names[2:count], arguments[1:], strict=False)) | keywords
    rest = arguments[max(count - 1, 1) :]
    if not arguments:
        del more[names[1]]
    if "mask" in more:
        more["mask"] = in_chunks(beside(more["mask"], x, "mask"))
    chunked = in_chunks(x)
    found = getattr(layer, call.__name__)(x.values if isinstance(chunked, StoredRows) else chunked, *rest, **more)
    if call.__name__ == "trajectory":
        return _trajectory(layer, found, x)
    if call.__name__ == "vjp":
        return _with_pullback(layer, found, x, first.dims)
    return named(layer, found, x)


def _trajectory(layer, found, x):
    """Return outputs and states of each step as DataArrays, in the processing order of the layer or each half."""
    outputs, states = found
    one, other = (getattr(layer, half, layer).go_backwards for half in ("forward_layer", "backward_layer"))
    half = len(leaves(states)) // 2
    turned = iter([one] * (len(leaves(outputs)) + half) + [other] * (half + 1))
    return mapped(found, lambda array: labelled(array, x, (None, None), next(turned)))


def _with_pullback(layer, found, x, dims):
    """Return outputs as DataArrays and a pullback on DataArrays; `dims` are those of the input as it came."""
    outputs, pullback = named(layer, found[0], x), found[1]

    def like_input(gradients):
        if gradients.x is None:
            return gradients
        return replace(gradients, x=x.copy(data=gradients.x).rename(None).transpose(*dims))

    pullback.take, pullback.give = lambda d: _like(d, outputs), like_input
    return outputs, pullback


def _like(given, outputs):
    """Return cotangents, nested as outputs are, with the dimensions of DataArrays in their order."""
    if isinstance(outputs, (list, tuple)) and isinstance(given, (list, tuple)) and len(given) == len(outputs):
        return [_like(one, like) for one, like in zip(given, outputs, strict=True)]
    if not is_labelled(given) or not is_labelled(outputs):
        return given
    if set(given.dims) != set(outputs.dims):
        raise ValueError(f"expected d_outputs with the dimensions {outputs.dims}, as the outputs', got {given.dims}")
    return beside(given, outputs, "d_outputs").transpose(*outputs.dims).values


def ordered(layer: Any, x):
    """Return a DataArray in the layer's order of dimensions; None for a table of rows, which has no time."""
    if "time" not in x.dims and len(x.dims) == 2 and not layer._reads_ids and "time" not in layer._axes:
        return None
    axes = 2 if layer._reads_ids else 3
    return arranged(x, "x", axes if len(x.dims) <= axes else None)


def named(layer: Any, result, x):
    """Return results as DataArrays, nested as they are."""
    shapes = iter(shape_leaves(layer.compute_output_shape((None, None, *x.shape[2:]))))
    turned = iter([*layer._reverses_time, *[False] * len(leaves(result))])
    return mapped(result, lambda one: labelled(one, x, next(shapes), next(turned)))


def plain(value):
    """Return the array in a DataArray; a `StoredRows` if it isn't in memory."""
    if not is_labelled(value):
        return value
    return value.values if getattr(value.variable, "_in_memory", False) else StoredRows(value)


def in_chunks(value):
    """Return the array in a DataArray as `plain` does, but an array in chunks as it is."""
    return value.data if is_labelled(value) and value.chunks is not None else plain(value)


class StoredRows:
    """A DataArray that isn't in memory, whose rows are read when they are used."""

    def __init__(self, of):
        self.of, self.shape, self.dtype = of, of.shape, of.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        return self.of[rows].values


def for_training(model, x, y, weights) -> tuple[Any, Any, Any]:
    """Return the data of a fit, with DataArrays in the model's order of dimensions."""
    if is_labelled(x):
        found = ordered(model, x)
        x = x if found is None else found
        y, weights = _like_outputs(model, y, x, "y"), _like_outputs(model, weights, x, "sample_weight")
    elif isinstance(x, Mapping) or (isinstance(x, (list, tuple)) and not takes_sequences(model)):
        x = mapped(x, lambda one: plain(arranged(one, "x", None)) if is_labelled(one) else one)
    return plain(x), y, weights


def _like_outputs(model, values, x, what):
    """Return targets or weights for `x`, those by step in the order of the outputs' steps."""
    turned = model._reverses_time
    if isinstance(values, Mapping):
        by_name = dict(zip(model._interface._output_names(), turned, strict=True))
        return {name: _like_output(one, x, what, by_name.get(name, False)) for name, one in values.items()}
    if isinstance(values, (list, tuple)):
        if not any(is_labelled(one) for one in values):
            return values
        return [_like_output(one, x, what, own) for one, own in zip(values, turned, strict=False)]
    return _like_output(values, x, what, turned[0])


def _like_output(value, x, what, turned: bool):
    if not is_labelled(value):
        return value
    value = beside(value, x, what)
    if turned and "time" in value.dims:
        value = value.isel(time=slice(None, None, -1))
    return plain(value)
