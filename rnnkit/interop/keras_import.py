"""Conversion of layers, models and files of Keras to rnnkit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnnkit.interop.keras_files import Arrays, is_archive, read_archive, read_weights, told
from rnnkit.interop.keras_layers import Reader
from rnnkit.interop.keras_weights import FromFile, FromObject, file_names, names_of
from rnnkit.layers.base import Layer
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.functional import Model
from rnnkit.models.sequential import Sequential


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
        with told(source):
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
    with told(path):
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
        inside = {name: (_by_name(name, arrays, path), one) for name, one in layer._parts().items() if one.weights}
    elif isinstance(layer, TimeDistributed):
        inside = {"layer": ("layer", layer.layer)}
    for name, (place, one) in inside.items():
        yield from _found(one, arrays, f"{prefix}{name}/", f"{path}/{place}".strip("/"))
    if inside:
        return
    for holder, names in names_of(layer):
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
