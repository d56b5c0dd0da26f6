"""The cells that are compared, each as an rnnkit layer with its weights and one input."""

from dataclasses import dataclass

import numpy as np
from benchmarks.cells import gated, normalised_lstm

import rnnkit as rk

CELLS = {
    "LSTM": lambda units: rk.LSTMCell(units),
    "GRU": lambda units: rk.GRUCell(units),
    "SimpleRNN": lambda units: rk.SimpleRNNCell(units),
    "gated": lambda units: gated(units=units),
    "normalized LSTM": lambda units: normalised_lstm(units=units),
}


@dataclass
class Problem:
    """One cell at one size."""

    cell: str
    size: tuple[int, int, int, int]
    layer: rk.RNN
    x: np.ndarray  # (B, T, F)
    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray
    scale: np.ndarray | float = 1.0  # of normalized sums


def make(cell: str, size: tuple[int, int, int, int], dtype: str = "float32") -> Problem:
    """Build the layer, with weights that are not zero anywhere, and draw its input."""
    batch, time, features, units = size
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, time, features), dtype=dtype)
    layer = rk.RNN(CELLS[cell](units), return_sequences=True, dtype=dtype, seed=0)
    layer.build(x.shape)
    for name, array in layer.weights.items():
        if array.ndim == 1:
            layer.weights[name] = array + rng.normal(0, 0.1, array.shape)
    return Problem(cell, size, layer, x, **layer.weights)
