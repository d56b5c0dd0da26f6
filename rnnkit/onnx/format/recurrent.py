"""Correspondence of ONNX's operators LSTM, GRU and RNN with rnnkit's cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
