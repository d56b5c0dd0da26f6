"""Weights and models of Keras and PyTorch in rnnkit, and back."""

from rnnkit.interop.keras_export import to_keras
from rnnkit.interop.keras_import import from_keras, load_keras_weights

__all__ = ["from_keras", "load_keras_weights", "to_keras"]
