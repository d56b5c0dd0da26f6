"""A layer with all layers inside it: their weights by path, and changes of all of them or none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rnnkit.circumstances import circumstances
from rnnkit.execution.execution import build_lock
from rnnkit.layers.support.assignments import by_attributes
from rnnkit.steps.weight_options import WeightOptions


def all_layers(layer: Any) -> list[Any]:
    """Return a layer and all inside it."""
    return [layer, *_layers_below(layer)]


@by_attributes
def _layers_below(layer: Any) -> list[Any]:
    return [one for part in layer._parts().values() for one in all_layers(part)]


def held_by(layer: Any) -> Any:
    """Return a layer's own weights, see `rnnkit.layers.support.held_weights.HeldWeights`."""
    return layer._held_weights((layer,))


def gathered(layer: Any, own: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a function gives by name of a layer and of those inside, with their paths before the names."""
    found = dict(own(layer))
    if not layer._held_weights.of_all:
        for path, part in layer._parts().items():
            found.update({f"{path}/{name}": one for name, one in gathered(part, own).items()})
    return found


def arrays_by_name(layer: Any) -> dict[str, np.ndarray]:
    """Return all weights."""
    return gathered(layer, lambda one: one._held_weights((one,)).arrays())


@by_attributes
def options_by_name(layer: Any) -> dict[str, WeightOptions]:
    """Return the options of every weight in training, by the names of `arrays_by_name`."""
    found = dict(layer._held_weights((layer,)).options())
    if not layer._held_weights.of_all:
        for path, part in layer._parts().items():
            found.update({f"{path}/{name}": one for name, one in options_by_name(part).items()})
    return found if layer.trainable else {name: replace(one, trainable=False) for name, one in found.items()}


def put_arrays(layer: Any, arrays: Mapping[str, np.ndarray], sparse: Any = frozenset()) -> None:
    """Replace weights by checked and frozen arrays; those named `sparse` are sparse from here on."""
    parts = {} if layer._held_weights.of_all else layer._parts()
    own = {name: array for name, array in arrays.items() if name.partition("/")[0] not in parts}
    layer._held_weights((layer,)).replace(own, sparse & own.keys())
    for path, part in parts.items():
        inside = {n.partition("/")[2]: a for n, a in arrays.items() if n.partition("/")[0] == path}
        if inside:
            put_arrays(part, inside, {n.partition("/")[2] for n in sparse if n.partition("/")[0] == path})


def build_with(layer: Any, shape: Any, dtype: Any) -> None:
    """Build a layer with the precision in place, unless it is built; a failure leaves it as it was."""
    shape = layer._shape(shape)
    with build_lock:
        if layer.built:
            return
        layer.dtype, layer._scope = dtype, circumstances().scope
        try:
            layer._build(shape)
        except BaseException:
            layer.dtype = layer._given_dtype
            raise
        layer._input_shape = layer._opened(shape)
        layer.built = True


@contextlib.contextmanager
def all_or_nothing(layer: Any, is_tried: bool = False) -> Iterator[None]:
    """Leave a layer and those inside as they were if what is done inside fails; if it `is_tried`, but for building."""
    before = [
        (one, one.built, getattr(one, "_kept", None), one._held_weights((one,)).moving()) for one in all_layers(layer)
    ]
    is_done = False
    try:
        yield
        is_done = not is_tried
    except BaseException:
        for one, built, _, _ in before:
            if one.built and not built:
                one._forget()
        raise
    finally:
        for one, _, kept, moving in () if is_done else before:
            if getattr(one, "_kept", None) is not kept:
                one._kept = kept
            if moving:
                held_by(one).put(moving)
