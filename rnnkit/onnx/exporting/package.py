"""The package onnx, ONNX's numbers for types, and its operators LSTM, GRU and RNN in terms of rnnkit's cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# ONNX's numbers for types of at least 8 bits; without float16, complex numbers and texts.
_NUMBERS = {"f4": 1, "u1": 2, "i1": 3, "u2": 4, "i2": 5, "i4": 6, "i8": 7, "?": 9, "f8": 11, "u4": 12, "u8": 13}
_ELEMENT_TYPES = {np.dtype(name): number for name, number in _NUMBERS.items()}


def onnx_package() -> Any:
    """Import the package `onnx`; an ImportError if it is missing."""
    try:
        import onnx  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ImportError("rk.onnx needs onnx; install it with: pip install 'rnnkit[onnx]'") from None
    return onnx


def element_type(dtype) -> int:
    """Return ONNX's number for a dtype."""
    return _ELEMENT_TYPES[np.dtype(dtype)]


# rnnkit's activations that the operators support: ONNX's name, and options other than the defaults.
ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "relu": ("Relu", {}),
    "softsign": ("Softsign", {}),
    "softplus": ("Softplus", {}),
    "linear": ("Affine", {"alpha": 1.0, "beta": 0.0}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "elu": ("Elu", {"alpha": 1.0}),
}

# For each gate of an operator, its index among the cell's.
GATES: dict[str, tuple[int, ...]] = {"RNN": (0,), "GRU": (0, 1, 2), "LSTM": (0, 3, 1, 2)}


def reordered(array: np.ndarray, order: Sequence[int], units: int) -> np.ndarray:
    """Reorder the gates of an array whose last axis has a block of `units` for each gate."""
    return np.concatenate([array[..., k * units : (k + 1) * units] for k in order], axis=-1)
