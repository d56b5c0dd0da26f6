"""Sources of a Keras layer's weights: the layer itself, or a file."""

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
        """Return the source of the layer in a wrapper."""

    def layers(self, described: Sequence[Mapping[str, Any]]) -> list[Source]:
        """Return the sources of a model's layers, described in Keras's order."""

    def arrays(self, layer: Layer) -> list[np.ndarray]:
        """Return the weights of a layer that is no model, `layer` in rnnkit, in Keras's order; none if unbuilt."""


class FromObject:
    """A layer of Keras in this process as a source."""

    def __init__(self, keras_layer):
        self._layer = keras_layer

    def inner(self) -> Source:
        """Return the source of the attribute ``layer``."""
        return FromObject(self._layer.layer)

    def layers(self, described: Sequence[Mapping[str, Any]]) -> list[Source]:
        """Return the sources of the attribute ``layers``, by name."""
        known = {layer.name: layer for layer in self._layer.layers}
        return [FromObject(known.get(one["config"].get("name"))) for one in described]

    def arrays(self, layer: Layer) -> list[np.ndarray]:
        """Return the arrays of ``get_weights``."""
        return [np.asarray(array) for array in self._layer.get_weights()]


class FromFile:
    """A path in a file of weights as a source."""

    def __init__(self, arrays: Arrays, path: str = ""):
        self._arrays, self._path = arrays, path

    def inner(self) -> Source:
        """Return the source under ``layer``."""
        return FromFile(self._arrays, _joined(self._path, "layer"))

    def layers(self, described: Sequence[Mapping[str, Any]]) -> list[Source]:
        """Return the sources under ``layers``, by their classes."""
        names = file_names(str(one["class_name"]) for one in described)
        return [FromFile(self._arrays, _joined(self._path, f"layers/{name}")) for name in names]

    def arrays(self, layer: Layer) -> list[np.ndarray]:
        """Return the arrays at the paths of the layer's cells."""
        return [array for one in holders(layer) for array in self._arrays.read(_joined(self._path, one.path))]


def _joined(path: str, inside: str) -> str:
    return f"{path}/{inside}".strip("/")
