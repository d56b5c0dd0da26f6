"""Positions of a layer's weights in Keras: the holders in order, their paths in a file, their shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnkit.cells.conv_lstm import ConvLSTMCell
from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.configured import parameters
from rnnkit.free_names import snake_case
from rnnkit.interop.keras_files import Arrays
from rnnkit.layers.attention import Attending
from rnnkit.layers.base import Layer
from rnnkit.layers.batch_normalization import BatchNormalization
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.dense import Dense
from rnnkit.layers.multi_head_attention import MultiHeadAttention
from rnnkit.layers.normalization import ScaledAndShifted
from rnnkit.layers.parametric_relu import PReLU
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.layer_tree import held_by
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.steps.cell import Under


@dataclass(frozen=True)
class Holder:
    """A cell or a layer with weights of its own, inside a layer."""

    prefix: str  # of the names of its weights in the layer
    path: str  # in Keras's files, relative to the layer
    own: Any  # a cell or a layer
    sees_input: bool = True  # whether it reads the layer's input, rather than the previous holder's output

    def under(self, prefix: str, path: str) -> Holder:
        """Return the holder with prefixed names and paths."""
        return replace(self, prefix=f"{prefix}/{self.prefix}", path=f"{path}/{self.path}".rstrip("/"))


def holders(layer: Layer) -> list[Holder]:
    """Return all holders of weights inside a layer that is no model, in the order of Keras's `get_weights`."""
    if isinstance(layer, Bidirectional):
        sides = {"forward": layer.forward_layer, "backward": layer.backward_layer}
        return [one.under(name, f"{name}_layer") for name, side in sides.items() for one in holders(side)]
    if isinstance(layer, RNN):
        return _of_cell(layer.cell, "", "cell", True)
    if isinstance(layer, TimeDistributed):
        return [one.under("layer", "layer") for one in holders(layer.layer)]
    if isinstance(layer, MultiHeadAttention):
        return [
            Holder(f"{name}/", path, _Projection(layer, name))
            for name, path in _PROJECTIONS.items()
            if name != "gate" or layer.use_gate
        ]
    return [Holder("", "", layer)]


# Paths in Keras's files by the names of the weights.
_PROJECTIONS = {
    "query": "query_dense",
    "key": "key_dense",
    "gate": "_gate_dense",
    "value": "value_dense",
    "attention_output": "output_dense",
}


@dataclass(frozen=True)
class _Projection:
    """A part of an attention layer that is a layer of its own in Keras."""

    layer: MultiHeadAttention
    name: str

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The weights of the part by their names in it."""
        return dict(Under(held_by(self.layer).arrays(), self.name))


def _of_cell(cell, prefix: str, path: str, sees_input: bool) -> list[Holder]:
    if not isinstance(cell, StackedRNNCells):
        return [Holder(prefix, path, cell, sees_input)]
    kinds = (type(getattr(one, "adapted", one)).__name__ for one in cell.cells)
    return [
        holder
        for i, (one, name) in enumerate(zip(cell.cells, file_names(kinds), strict=True))
        for holder in _of_cell(one, f"{prefix}{i}/", f"{path}/cells/{name}", sees_input and not i)
    ]


def file_names(kinds: Iterable[str]) -> list[str]:
    """Return the names of a list's entries in Keras's files, from their classes.

    >>> file_names(["LSTMCell", "Dense", "LSTMCell"])
    ['lstm_cell', 'dense', 'lstm_cell_1']
    """
    seen: dict[str, int] = {}
    names = []
    for kind in kinds:
        name = snake_case(re.sub(r"\W+", "", kind))
        count = seen[name] = seen.get(name, -1) + 1
        names.append(f"{name}_{count}" if count else name)
    return names


def has_weights(layer: Layer) -> bool:
    """Return whether a layer that is no model has weights once it is built."""
    return any(map(_holds, holders(layer)))


def _holds(holder: Holder) -> bool:
    own = holder.own
    if isinstance(own, ScaledAndShifted) and not isinstance(own, BatchNormalization):
        return own.has_gamma or own.has_beta
    if isinstance(own, Attending):
        return bool(own._declared(1, 1, 1))
    return not isinstance(own, Layer) or any(one.name.endswith("_initializer") for one in parameters(type(own)))


def fill(layer: Layer, arrays: Sequence[np.ndarray], what: str, built_for=None) -> None:
    """Build a layer for arrays in Keras's order, and set them; without any arrays, it stays unchanged.

    `built_for` is the input shape that Keras's layer was built for, if known. A ValueError refuses a wrong number of
    arrays, or wrong shapes.
    """
    if not arrays:
        return
    attends = isinstance(layer, Attending)
    shape: Any = _attended(layer, arrays, built_for) if attends else _shape_for(layer, arrays[0].shape, built_for)
    try:
        layer.build(shape)
    except (ValueError, IndexError) as error:
        raise ValueError(f"expected {what} to be built for an input shape that it can take: {error}") from None
    expected = [array.shape for array in layer.get_weights()]
    if expected != [array.shape for array in arrays]:
        got = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"expected weights of {what} of shapes {', '.join(map(str, expected)) or 'none'}; got {got}")
    layer.set_weights(arrays)


def _shape_for(layer, first: tuple[int, ...], built_for) -> tuple:
    """Return the input shape of a layer by the shape of its first weight, or as Keras's layer was built for it."""
    if isinstance(layer, Conv1D):
        return (None, None, first[1] * layer.groups if len(first) == 3 else None)
    if isinstance(layer, RNN) and isinstance(layer.cell, ConvLSTMCell):
        if not isinstance(built_for, (list, tuple)) or len(built_for) != layer.cell.rank + 3:
            raise ValueError(f"expected the input shape that {layer.name!r} was built for, got {built_for!r}")
        return (None, None, *built_for[2:])
    if not isinstance(layer, (ScaledAndShifted, PReLU)):
        features = first[0] if first else 0
        return (None, features) if isinstance(layer, Dense) else (None, None, features)
    if isinstance(built_for, (list, tuple)):
        return tuple(built_for)
    return (None, *first) if isinstance(layer, PReLU) else (None, None, *first)


def _attended(layer: Any, arrays, built_for) -> list:
    """Return the shapes of queries, values and keys, from weights or from the shapes Keras's layer was built for."""
    if isinstance(layer, MultiHeadAttention):
        kernels = dict(zip(layer._declared(1, 1, 1), arrays, strict=False))
        sizes = [one.shape[0] for name in _SIDES if (one := kernels.get(name)) is not None and one.ndim == 3]
    else:
        built = isinstance(built_for, (list, tuple)) and all(isinstance(one, (list, tuple)) for one in built_for)
        sizes = [one[-1] for one in built_for] if built else [arrays[0].size] * 2
    return [(None, None, size) for size in sizes]


_SIDES = ("query/kernel", "value/kernel", "key/kernel")


class Source:
    """The weights of a layer and of the layers inside it; of this class none, for a part whose whole gets them."""

    def inner(self) -> Source:
        """Return the source of the layer in a wrapper."""
        return self

    def layers(self, described: Sequence[Mapping[str, Any]]) -> list[Source]:
        """Return the sources of a model's layers, described in Keras's order."""
        return [self for _ in described]

    def arrays(self, layer: Layer) -> list[np.ndarray]:
        """Return the weights of a layer that is no model, `layer` in rnnkit, in Keras's order; none if unbuilt."""
        return []


class FromObject(Source):
    """A layer of Keras in this process as a source."""

    def __init__(self, keras_layer):
        self._layer = keras_layer

    def inner(self):
        return FromObject(self._layer.layer)

    def layers(self, described):
        known = {layer.name: layer for layer in self._layer.layers}
        return [FromObject(known.get(one["config"].get("name"))) for one in described]

    def arrays(self, layer):
        return [np.asarray(array) for array in self._layer.get_weights()]


class FromFile(Source):
    """A path in a file of weights as a source."""

    def __init__(self, arrays: Arrays, path: str = ""):
        self._arrays, self._path = arrays, path

    def inner(self):
        return self._at("layer")

    def layers(self, described):
        return [self._at(f"layers/{name}") for name in file_names(str(one["class_name"]) for one in described)]

    def arrays(self, layer):
        return [array for one in holders(layer) for array in self._arrays.read(f"{self._path}/{one.path}".strip("/"))]

    def _at(self, inside: str) -> FromFile:
        return FromFile(self._arrays, f"{self._path}/{inside}".strip("/"))
