"""The package onnx, ONNX's types of numbers, and its operators LSTM, GRU and RNN in terms of rnnkit's cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# By ONNX's number for the type; without those of at most 16 bits, complex numbers and texts.
DTYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 11: "f8", 12: "u4", 13: "u8"}
_NUMBERS = {np.dtype(name): number for number, name in DTYPES.items()}


def onnx_package() -> Any:
    """Import the package `onnx`; an ImportError if it is missing."""
    try:
        import onnx  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ImportError("rk.onnx needs onnx; install it with: pip install 'rnnkit[onnx]'") from None
    return onnx


def element_type(dtype) -> int:
    """Return ONNX's number for a dtype."""
    return _NUMBERS[np.dtype(dtype)]


def dtype_of(number: int | None) -> np.dtype:
    """Return the dtype for ONNX's number of a type; a ValueError for a type without layers in rnnkit."""
    if number not in DTYPES:
        raise ValueError(f"expected float, double, integers or bool, got ONNX's type {number}")
    return np.dtype(DTYPES[number])


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


def activation_of(onnx_name: str, options: dict[str, float]) -> str | None:
    """Return rnnkit's name for an activation of ONNX with its options, in float32, or None."""
    in_single = lambda values: {key: np.float32(value) for key, value in values.items()}
    names = (
        name
        for name, (known, own) in ACTIVATIONS.items()
        if known == onnx_name and in_single(own) == in_single(options)
    )
    return next(names, None)


def reordered(array: np.ndarray, order: Sequence[int], units: int) -> np.ndarray:
    """Reorder the gates of an array whose last axis has a block of `units` for each gate."""
    return np.concatenate([array[..., k * units : (k + 1) * units] for k in order], axis=-1)
