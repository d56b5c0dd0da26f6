"""Facts about layers that other packages ask for, and their states set aside."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.layers.support.layer_tree import all_layers


def built_shape(layer: Any) -> Any:
    """Return the input shape that a layer is built for, None for open sizes; None before it is built."""
    return layer._input_shape


def parts_by_path(layer: Any) -> Mapping[str, Any]:
    """Return the layers inside of one, by the path that their weights' names begin with."""
    return layer._parts()


def reads_ids(layer: Any) -> bool:
    """Return whether a layer's inputs are integer ids."""
    return layer._reads_ids


def reads_complex(layer: Any) -> bool:
    """Return whether a layer's inputs are complex numbers."""
    return layer._reads_complex


def keeps_states(layer: Any) -> bool:
    """Return whether a layer's calls start from the states that the last one ended with."""
    return layer._keeps_states


def stream_refusal(layer: Any) -> str | None:
    """Return why a layer can't take one step at a time; None if it can."""
    return layer._stream_refusal


def turns_time(layer: Any) -> Sequence[bool]:
    """Return, for each output, whether its steps are in the reverse order of the input's."""
    return layer._turns_time


def padding_of(layer: Any, shape: tuple) -> str | None:
    """Return which sequences are joined in a batch for inputs of a shape, see `Layer._padding`."""
    return layer._padding_of(shape)


def check_input(layer: Any, shape: Any) -> None:
    """Refuse another input shape than a layer was built for."""
    layer._check_shape(layer._shape(shape))


def checked_shape(layer: Any, shape: Any) -> Any:
    """Return an input shape, checked for its rank."""
    return layer._shape(shape)


def axis_names(layer: Any) -> str:
    """Return the names of the leading axes of a layer's input, for errors."""
    return layer._axes


def set_precision(layer: Any, dtype: Any, complex_too: bool = False) -> None:
    """Let a layer that isn't built, or whose weights are replaced, compute in a dtype; perhaps with complex inputs."""
    layer.dtype = layer._given_dtype = dtype
    if complex_too:
        layer._reads_complex = True


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
