"""Keras's models, and functions that make models from another or from a file."""

from __future__ import annotations

from typing import Any

from rnnkit.keras.assembled import Functional, Model, Sequential
from rnnkit.keras.saving import as_keras, load_model, model_from_json, save_model

__all__ = ["Functional", "Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


def clone_model(model, input_tensors=None, clone_function=None) -> Any:
    """Return a model of the same configuration, with new weights."""
    if input_tensors is not None or clone_function is not None:
        raise ValueError("expected a model alone; make another one with other inputs or layers from its parts")
    copied = as_keras(type(model).from_config(model.get_config()))
    if model.built and not copied.built:
        copied.build(model._input_shape)
    return copied
