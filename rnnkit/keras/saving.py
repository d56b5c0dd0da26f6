"""Models in files and as text, and names for one's own classes."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rnnkit import interop, loading
from rnnkit.keras import losses
from rnnkit.keras.arguments import truncate
from rnnkit.keras.assembled import Functional, Sequential
from rnnkit.keras.left_out import others
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.serialization import configuration, registry
from rnnkit.training.of_batch import objective_of

_custom: dict[str, Any] = {}


def register_keras_serializable(package: str = "Custom", name: str | None = None):
    """Let configurations name a class or a function, as `rnnkit.register`."""
    return registry.register(package, name)


def get_custom_objects() -> dict[str, Any]:
    """Return the functions and classes that every configuration may name: a dict to be changed."""
    return _custom


@contextmanager
def custom_object_scope(custom_objects: dict[str, Any]) -> Iterator[None]:
    """Let configurations inside name these functions and classes."""
    before = dict(_custom)
    _custom.update(custom_objects)
    try:
        yield
    finally:
        _custom.clear()
        _custom.update(before)


CustomObjectScope = custom_object_scope


def get_registered_name(thing) -> str:
    """Return the name that a class or a function was registered by, or its own."""
    return registry.registered_name(thing) or thing.__name__


def get_registered_object(name, custom_objects=None, module_objects=None):
    """Return the object registered by a name, or None."""
    known = {**(module_objects or {}), **_custom, **(custom_objects or {})}
    if name in known:
        return known[name]
    try:
        return registry.class_of(name)
    except ValueError:
        return None


def serialize_keras_object(thing) -> dict:
    """Return a layer, a model or another object with a configuration as JSON values."""
    return configuration.serialize(thing)


def deserialize_keras_object(config, custom_objects=None, safe_mode=True):
    """Return the object that `serialize_keras_object` described."""
    with registry.reading({**_custom, **(custom_objects or {})}):
        return as_keras(configuration.deserialize(config))


def model_from_json(json_string: str, custom_objects=None):
    """Return a model with new weights from the text of `to_json`."""
    return deserialize_keras_object(json.loads(json_string), custom_objects)


def save_model(model, filepath, overwrite=True, **keywords) -> None:
    """Write a model to a file of rnnkit's, which is the same for every suffix.

    Parameters
    ----------
    model : Sequential or Model
    filepath : str or os.PathLike
        A suffix ``.rnnkit`` or ``.safetensors`` asks for the format of safetensors, any other for that of
        ``numpy.savez``. Keras's own files are written by ``rnnkit.interop.to_keras(model).save(path)``.
    overwrite : bool
    **keywords
        ``include_optimizer``; `zipped` changes nothing.

    Raises
    ------
    ValueError
        If the model isn't built.
    """
    model.save(filepath, overwrite, **keywords)


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Return the model in a file of `save_model`, or in one of Keras's (``.keras``).

    Parameters
    ----------
    filepath : str or os.PathLike
    custom_objects : dict of str to object, optional
        Functions and classes that the configuration names and that aren't registered.
    compile : bool
        Whether it is compiled as it was when it was saved.
    safe_mode : bool
        Nothing: loading executes nothing that a file holds.

    Raises
    ------
    FileNotFoundError, ValueError
        As `rnnkit.load_model`, and `rnnkit.interop.from_keras`.
    """
    known = {**_custom, **(custom_objects or {})}
    if _is_keras_file(filepath):
        return as_keras(interop.from_keras(filepath, custom_objects=known))
    model = as_keras(loading.load_model(filepath, known))
    if not compile:
        model._compiled = None
    return model


def save_weights(model, filepath, overwrite=True, **keywords) -> None:
    """Write the weights to a file of rnnkit's."""
    model.save_weights(filepath, overwrite)


def load_weights(model, filepath, skip_mismatch=False, **keywords) -> None:
    """Replace all weights by those in a file of `save_weights`, or of Keras's (``.weights.h5``)."""
    model.load_weights(filepath, skip_mismatch)


def as_keras(model):
    """Give a model of rnnkit's, and those inside, Keras's methods; return any other layer as it is."""
    for layer in all_layers(model) if hasattr(model, "_parts") else ():
        if isinstance(layer, Embedding):
            truncate(layer)
        for kind in (Sequential, Functional):
            if type(layer) is kind._configured_as:
                layer.__class__ = kind
        compiled = getattr(layer, "_compiled", None)
        if compiled is not None:
            compiled.objectives = [
                one if one is None else objective_of(losses.for_training(one.loss)) for one in compiled.objectives
            ]
    return model


def _is_keras_file(path) -> bool:
    if not os.path.isfile(path) or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return "metadata.json" in file.namelist() and "config.json" in file.namelist()


__getattr__ = others("saving")
