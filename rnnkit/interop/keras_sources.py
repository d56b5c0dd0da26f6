"""Where the weights of a Keras layer come from: the layer itself, or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from rnnkit.interop.keras_files import Arrays
from rnnkit.interop.keras_weights import file_names, holders
from rnnkit.layers.base import Layer


class Source(Protocol):
    """The weights of a layer, and of the layers inside it."""

    def inner(self) -> Source:
        """Those of the layer that a wrapper applies."""

    def layers(self, described: Sequence[Mapping[str, Any]]) -> list[Source]:
        """Those of a model's layers, which are described in the order that Keras has them in."""

    def arrays(self, layer: Layer) -> list[np.ndarray]:
        """The weights of a layer that is no model, in Keras's order; none of one that isn't built.

        `layer` is rnnkit's layer that they are for.
        """


class FromObject:
    """A layer of Keras in this process."""

    def __init__(self, keras_layer):
        self._layer = keras_layer

    def inner(self) -> Source:
        """Of the attribute ``layer``."""
        return FromObject(self._layer.layer)

    def layers(self, described: Sequence[Mapping[str, Any]]) -> list[Source]:
        """Of the attribute ``layers``, by name."""
        known = {layer.name: layer for layer in self._layer.layers}
        return [FromObject(known.get(one["config"].get("name"))) for one in described]

    def arrays(self, layer: Layer) -> list[np.ndarray]:
        """What ``get_weights`` gives."""
        return [np.asarray(array) for array in self._layer.get_weights()]


class FromFile:
    """A path in a file of weights."""

    def __init__(self, arrays: Arrays, path: str = ""):
        self._arrays, self._path = arrays, path

    def inner(self) -> Source:
        """Under ``layer``."""
        return FromFile(self._arrays, _joined(self._path, "layer"))

    def layers(self, described: Sequence[Mapping[str, Any]]) -> list[Source]:
        """Under ``layers``, by their classes."""
        names = file_names(str(one["class_name"]) for one in described)
        return [FromFile(self._arrays, _joined(self._path, f"layers/{name}")) for name in names]

    def arrays(self, layer: Layer) -> list[np.ndarray]:
        """What stands at the places of the layer's cells."""
        return [array for one in holders(layer) for array in self._arrays.read(_joined(self._path, one.path))]


def _joined(path: str, inside: str) -> str:
    return f"{path}/{inside}".strip("/")
