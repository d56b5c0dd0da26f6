"""Conversion of layers, models and files of Keras to rnnkit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.interop import keras_kinds
from rnnkit.interop.keras_files import Arrays, errors_named, is_archive, read_archive, read_weights
from rnnkit.interop.keras_graphs import read_graph, read_input
from rnnkit.interop.keras_kinds import CELLS, LAYERS, WRAPPERS, arguments, handed_in, mapping, precision, text
from rnnkit.interop.keras_weights import FromFile, FromObject, Source, file_names, fill, has_weights, holders
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.memoryless import Activation
from rnnkit.layers.support.facts import parts_by_path
from rnnkit.layers.support.layer_tree import arrays_by_name
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.functional import Model
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
            layer = LAYERS[name](**arguments(LAYERS[name], config, what, self.custom), **options)
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
        given = arguments(WRAPPERS[name], config, what, self.custom)
        if name == "RNN":
            given["cell"] = self._cell(given.get("cell"), config, what)
            return WRAPPERS[name](**given, **options)
        if name == "TimeDistributed":
            return WRAPPERS[name](self.layer(given.get("layer"), source.inner(), built), **options)
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
        given = arguments(CELLS[name], config, f"the cell of {what}", self.custom)
        return CELLS[name](**given, name=_cell_name(name, config))

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


def from_keras(source: Any, custom_objects: Mapping[str, Any] | None = None) -> Layer:
    """Convert a layer or a model of Keras 3, with its options and weights.

    Parameters
    ----------
    source : keras.Layer, keras.Model, str or os.PathLike
        A layer; a Sequential or functional model; or the path of a ``.keras`` file, which is read without Keras and
        takes h5py (``pip install 'rnnkit[keras]'``). An unbuilt one is converted without weights.
    custom_objects : dict of str to function or class, optional
        Replacements of activations, initializers, regularizers, constraints, cells and layers
        that Keras's object names and rnnkit lacks: functions of NumPy arrays, and classes that take the options of
        Keras's configuration.

    Returns
    -------
    Layer
        A new object that shares nothing with `source`.

    Raises
    ------
    ValueError
        For a layer or an option that rnnkit hasn't, by its name; for a file that is damaged, or isn't Keras's.
    FileNotFoundError
        If there is no such file.
    ImportError
        For a file where h5py isn't installed.

    Notes
    -----
    A file never causes code to be executed or imported: a ``Lambda`` layer is an error. Outputs are equal to Keras's
    to 1e-5 in float32 and to 1e-12 in float64; the guide "Other libraries" lists where Keras itself differs from
    one of its backends to another. The states of stateful layers start anew.

    Examples
    --------
    A model that was saved by ``model.save("forecast.keras")``::

        model = rk.interop.from_keras("forecast.keras")
    """
    reader = Reader(custom_objects)
    if isinstance(source, (str, os.PathLike)):
        with errors_named(source):
            if not is_archive(source):
                raise ValueError(
                    "expected an archive as model.save('….keras') writes it; a file of weights alone goes into a "
                    "model by load_keras_weights"
                )
            described, content = read_archive(source)
            return reader.layer(described, FromFile(Arrays(content)))
    if not hasattr(source, "get_config") or not hasattr(source, "get_weights") or isinstance(source, Layer):
        raise TypeError(f"expected a layer or a model of Keras, or the path of a .keras file, got {source!r}")
    kind = type(source)
    described = {"module": kind.__module__, "class_name": kind.__name__, "config": source.get_config()}
    if hasattr(source, "get_build_config") and not hasattr(source, "layers"):
        described["build_config"] = source.get_build_config()
    if getattr(source, "_is_graph_network", False) and kind.__name__ not in ("Functional", "Sequential"):
        described |= {"module": "keras", "class_name": "Functional"}
    return reader.layer(described, FromObject(source))


def load_keras_weights(layer: Layer, path: Any) -> None:
    """Replace the weights of a built layer or model by those in a file that Keras wrote for one of the same structure.

    Parameters
    ----------
    layer : Layer
        As Keras's: layers of the same classes in the same order, and in a functional `Model` of the same names.
    path : str or os.PathLike
        Of a ``.weights.h5`` or ``.keras`` file; it takes h5py (``pip install 'rnnkit[keras]'``).

    Raises
    ------
    ValueError
        If the layer isn't built; for another structure or shape; for a damaged file. Nothing is changed then.
    FileNotFoundError
        If there is no such file.
    ImportError
        Where h5py isn't installed.

    Examples
    --------
    The weights that ``keras_model.save_weights("gru.weights.h5")`` wrote::

        model = rk.Sequential([rk.Input((None, 3)), rk.GRU(8), rk.Dense(1)])
        rk.interop.load_keras_weights(model, "gru.weights.h5")
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"expected a layer or a model of rnnkit to load weights into, got {layer!r}")
    if not layer.built:
        raise ValueError(f"expected the layer {layer.name!r} to be built before weights are loaded into it")
    with errors_named(path):
        arrays = dict(_found(layer, Arrays(read_weights(path)), "", ""))
        layer.set_weights([arrays[name] for name in layer.weights])


def _found(layer: Layer, arrays: Arrays, prefix: str, path: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the weights of a layer by rnnkit's names, from a path in a file."""
    inside: dict[str, tuple[str, Layer]] = {}
    if isinstance(layer, Sequential):
        names = file_names("Functional" if isinstance(one, Model) else type(one).__name__ for one in layer.layers)
        inside = {
            str(i): (f"layers/{name}", one) for i, (name, one) in enumerate(zip(names, layer.layers, strict=True))
        }
    elif isinstance(layer, Model):
        inside = {
            name: (_by_name(name, arrays, path), one) for name, one in parts_by_path(layer).items() if one.weights
        }
    elif isinstance(layer, TimeDistributed):
        inside = {"layer": ("layer", layer.layer)}
    for name, (place, one) in inside.items():
        yield from _found(one, arrays, f"{prefix}{name}/", f"{path}/{place}".strip("/"))
    if inside:
        return
    for holder in holders(layer):
        own = arrays_by_name(holder.own) if isinstance(holder.own, Layer) else holder.own.weights
        names = [f"{holder.prefix}{name}" for name in own]
        found = arrays.read(f"{path}/{holder.path}".strip("/"))
        if len(found) != len(names):
            raise ValueError(f"expected {len(names)} arrays for {layer.name!r}, got {len(found)}")
        for name, array in zip(names, found, strict=True):
            if array.shape != (wanted := layer.weights[name].shape):
                raise ValueError(f"expected {name!r} of {layer.name!r} of shape {wanted}, got {array.shape}")
            yield f"{prefix}{name}", array


def _by_name(name, arrays, path) -> str:
    """Return the path of the layer of a functional model to which Keras gave this name."""
    places = [f"layers/{one}" for one in arrays.names(f"{path}/layers".strip("/"))]
    known = {arrays.layer_name(f"{path}/{place}".strip("/")): place for place in places}
    if name not in known:
        names = ", ".join(str(one) for one in known) or "none"
        raise ValueError(f"expected the names of the model's layers among the file's ({names}); got {name!r}")
    return known[name]
