"""Conversion of weights and models between rnnkit and Keras or PyTorch."""

from rnnkit.interop.keras_export import to_keras
from rnnkit.interop.keras_import import from_keras, load_keras_weights
from rnnkit.interop.torch_export import to_torch
from rnnkit.interop.torch_import import from_torch

__all__ = ["from_keras", "from_torch", "load_keras_weights", "to_keras", "to_torch"]
