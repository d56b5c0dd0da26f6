"""Conversion of Keras's layers, cells and models from their configurations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.interop import keras_kinds
from rnnkit.interop.keras_graphs import read_graph, read_input
from rnnkit.interop.keras_kinds import CELLS, LAYERS, WRAPPERS, arguments, handed_in, mapping, precision, text
from rnnkit.interop.keras_weights import Source, file_names, fill, has_weights
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.memoryless import Activation
from rnnkit.models.sequential import Sequential
from rnnkit.steps.cell import Cell


class Reader:
    """A reader of descriptions ``{"module", "class_name", "config", …}`` by Keras, with `custom_objects` by name."""

    def __init__(self, custom_objects: Mapping[str, Any] | None = None):
        self.custom = dict(mapping(custom_objects or {}, "custom_objects"))
        self._shared: dict[Any, Layer] = {}  # layers shared by several models, by Keras's id

    def layer(self, described, source: Source, built: bool = False) -> Layer:
        """Return the layer of a description; `built` requires weights; a ValueError for unsupported options."""
        described = mapping(described, "a layer")
        number = described.get("shared_object_id")
        if number is not None and number in self._shared:
            return self._shared[number]
        name, config = text(described.get("class_name"), "a layer's class"), mapping(described.get("config"), "a layer")
        layer = self._layer(name, described, config, source, built)
        if number is not None:
            self._shared[number] = layer
        layer.trainable = _flag(config.get("trainable", True), "trainable")
        return layer

    def _layer(self, name, described, config, source, built) -> Layer:
        own = handed_in((described.get("registered_name"), name), self.custom)
        what = f"the {name} {config.get('name', '')!r}"
        if own is None and not _is_keras(described):
            raise _unknown(what, f"a class of {described.get('module')}", name)
        built = built or described.get("build_config") is not None
        if own is None and name in keras_kinds.MODELS:
            if name != "Sequential":
                return read_graph(self.layer, config, source)
            return self._sequential(config, source, built)
        options = {"name": config.get("name"), "dtype": precision(config.get("dtype"), what)}
        if own is not None:
            layer = own(**_own_options(config))
        elif name in LAYERS:
            kind = LAYERS[name]
            layer = kind.make(**arguments(kind, config, what, self.custom), **options)
        elif name == "Identity":
            layer = Activation("linear", **options)
        elif name in WRAPPERS:
            layer = self._wrapper(name, config, what, options, source, built)
        else:
            raise _unknown(what, "a class that rnnkit hasn't", name)
        if name != "TimeDistributed":
            self._fill(layer, source, what, built, described.get("build_config"))
        return layer

    def _fill(self, layer, source, what, built, build_config) -> None:
        """Set a layer's weights; an unbuilt layer, like one without weights, has none."""
        if not isinstance(layer, Layer):
            raise TypeError(f"expected custom_objects to give a layer for {what}, got {layer!r}")
        arrays = source.arrays(layer)
        if built and not arrays and has_weights(layer):
            raise ValueError(f"expected weights of {what}, got none")
        shape = build_config.get("input_shape") if isinstance(build_config, Mapping) else None
        fill(layer, arrays, what, shape)

    def _wrapper(self, name, config, what, options, source, built) -> Layer:
        kind = WRAPPERS[name]
        given = arguments(kind, config, what, self.custom)
        if name == "RNN":
            given["cell"] = self._cell(given.get("cell"), config, what)
            return kind.make(**given, **options)
        if name == "TimeDistributed":
            return kind.make(self.layer(given.get("layer"), source.inner(), built), **options)
        return self._bidirectional(given, options)

    def _bidirectional(self, given, options) -> Bidirectional:
        sides = [self.layer(_side(given.get(key), key), Source()) for key in ("layer", "backward_layer")]
        forward, backward = sides
        mirrored = forward.get_config() | {"go_backwards": not getattr(forward, "go_backwards", False)}
        one = mirrored == backward.get_config() and type(forward) is type(backward)
        return Bidirectional(forward, given.get("merge_mode", "concat"), None if one else backward, **options)

    def _cell(self, described, outer, what) -> Cell:
        """Return the cell of a description; its precision and its `trainable` are the layer's."""
        described = mapping(described, f"the cell of {what}")
        name, config = text(described.get("class_name"), "a cell's class"), mapping(described.get("config"), "a cell")
        own = handed_in((described.get("registered_name"), name), self.custom)
        if own is not None:
            return own(**_own_options(config))
        if name == "StackedRNNCells" and _is_keras(described):
            cells = [self._cell(one, outer, what) for one in config.get("cells", ())]
            return StackedRNNCells(cells, name=_cell_name(name, config))
        if name not in CELLS or not _is_keras(described):
            raise _unknown(f"the cell of {what}", f"a {name}", name)
        for key in ("trainable", "dtype"):
            read = precision if key == "dtype" else _flag
            if key in config and read(config[key], what) != read(outer.get(key, config[key]), what):
                raise ValueError(f"expected the cells of {what} to have its {key}, got {config[key]!r}")
        kind = CELLS[name]
        return kind.make(**arguments(kind, config, f"the cell of {what}", self.custom), name=_cell_name(name, config))

    def _sequential(self, config, source, built) -> Sequential:
        described = [mapping(one, "a layer") for one in config.get("layers", ())]
        begins = any(one.get("class_name") == "InputLayer" for one in described)
        built = built or begins or config.get("build_input_shape") is not None
        model = Sequential(name=config.get("name"))
        for one, part in zip(described, source.layers(described), strict=True):
            if one.get("class_name") == "InputLayer":
                model.add(read_input(one))
            else:
                model.add(self.layer(one, part, built))
        return model


def _own_options(config) -> dict[str, Any]:
    """Return the arguments of the caller's class: the options that Keras doesn't give to every layer, and the name."""
    common = {"trainable": config.get("trainable"), "dtype": config.get("dtype")}
    common |= {"activity_regularizer": None, "autocast": True}
    return {key: value for key, value in config.items() if key not in common or common[key] != value}


def _side(described, key):
    """Return a direction's layer without the additions of Keras's Bidirectional."""
    described = mapping(described, key)
    config = dict(mapping(described.get("config"), key))
    name = config.get("name")
    if isinstance(name, str):
        config["name"] = name.removeprefix("forward_" if key == "layer" else "backward_")
    config["zero_output_for_mask"] = False  # both directions output zeros at masked steps in any case
    return {**described, "config": config, "build_config": None, "shared_object_id": None}


def _cell_name(kind, config) -> str | None:
    """Return a cell's name, or None for Keras's default name."""
    name = config.get("name")
    unnamed = isinstance(name, str) and re.fullmatch(rf"{file_names([kind])[0]}(_\d+)?", name)
    return None if unnamed else name


def _flag(value, what) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected {what} to be True or False, got {value!r}")
    return value


def _is_keras(described) -> bool:
    module = described.get("module")
    return module is None or (isinstance(module, str) and module.partition(".")[0] in ("keras", "tf_keras"))


def _unknown(what, got, name) -> ValueError:
    return ValueError(
        f"expected layers that rnnkit has ({', '.join(keras_kinds.known())}); {what} is {got}: write it as a cell or a "
        f"function of NumPy arrays and hand it in, custom_objects={{{name!r}: …}}, or leave it out of the model"
    )
