"""Facts about layers that other packages ask for, and their states set aside."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import numpy as np

from rnnkit.layers.support.layer_tree import all_layers

axis_names: Callable[[Any], str] = attrgetter("_axes")  # of the leading axes of its input, for errors
built_shape: Callable[[Any], Any] = attrgetter("_input_shape")  # with None for open sizes; None before it is built
keeps_states: Callable[[Any], bool] = attrgetter("_keeps_states")  # whether calls go on from the last one's states
reads_complex: Callable[[Any], bool] = attrgetter("_reads_complex")
reads_ids: Callable[[Any], bool] = attrgetter("_reads_ids")
stream_refusal: Callable[[Any], str | None] = attrgetter("_stream_refusal")  # why it can't take one step at a time
reverses_time: Callable[[Any], list[bool]] = attrgetter("_reverses_time")  # for each output, against the input's order

is_operation: Callable[[Any], bool] = attrgetter("_is_operation")


def parts_by_path(layer: Any) -> dict[str, Any]:
    """Return the layers inside of one, by the path that their weights' names begin with."""
    return layer._parts()


def takes_sequences(layer: Any) -> bool:
    """Return whether a list of arrays is a list of sequences for a layer."""
    return layer._padding is not None and not layer._takes_list


def padding_of(layer: Any, shape: tuple) -> str | None:
    """Return which sequences are joined in a batch for inputs of a shape, see `Layer._padding`."""
    return layer._padding_of(shape)


def check_input(layer: Any, shape: Any) -> None:
    """Refuse another input shape than a layer was built for."""
    layer._check_shape(layer._shape(shape))


def set_precision(layer: Any, dtype: Any, complex_too: bool = False) -> None:
    """Let a layer that isn't built, or whose weights are replaced, compute in a dtype; perhaps with complex inputs."""
    layer.dtype = layer._given_dtype = dtype
    if complex_too:
        layer._reads_complex = True


def set_operation(layer: Any, is_operation: bool) -> None:
    """Say whether a layer is what an operator or a function recorded."""
    layer._is_operation = is_operation


def record_up_to(layer: Any, size: int) -> None:
    """Let so many bytes of arguments be recorded, see `rnnkit.layers.support.runner`."""
    layer._recorded_bytes = size


def generator_of(layer: Any) -> np.random.Generator | None:
    """Return a copy of the generator that a layer's calls draw from, if they have drawn."""
    return copy.deepcopy(layer._generator)


def restart(layer: Any, generator: np.random.Generator | None) -> None:
    """Let a layer draw from a generator as it is, and forget the states between its calls."""
    layer._generator = copy.deepcopy(generator)
    if "_kept" in vars(layer):
        layer._kept = None


@contextlib.contextmanager
def states_aside(layer: Any) -> Iterator[None]:
    """Restart stateful layers inside, and restore their states afterwards."""
    having = [one for one in all_layers(layer) if hasattr(one, "_kept")]
    kept = [one._kept for one in having]
    for one in having:
        one._kept = None
    try:
        yield
    finally:
        for one, states in zip(having, kept, strict=True):
            one._kept = states
