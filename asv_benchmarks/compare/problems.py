"""The cells that are compared, each as an rnnkit layer with its weights and one input."""

from dataclasses import dataclass

import numpy as np
from benchmarks.cells import normalised_lstm

import rnnkit as rk

# (batch, time, features, units), from one row of few units to one whose weights fill a cache
SIZES = [
    (1, 1000, 1, 32),
    (1, 1000, 8, 128),
    (8, 200, 8, 64),
    (32, 100, 16, 64),
    (64, 200, 32, 128),
    (128, 100, 64, 256),
    (1, 500, 64, 512),
]


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "2*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "2*units"), "orthogonal"),
        "bias": rk.Weight(("2*units",), "zeros"),
    },
)
def gated(x, states, weights):
    """A cell of one's own: one gate z decides between the state and a candidate n."""
    (h,) = states
    z, n = np.split(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias, 2, axis=1)
    z = rk.sigmoid(z)
    h = (1 - z) * h + z * np.tanh(n)
    return h, (h,)


CELLS = {
    "LSTM": lambda units: rk.LSTMCell(units),
    "GRU": lambda units: rk.GRUCell(units),
    "SimpleRNN": lambda units: rk.SimpleRNNCell(units),
    "gated": lambda units: gated(units=units),
    "normalised LSTM": lambda units: normalised_lstm(units=units),
}


@dataclass
class Problem:
    """One cell at one size."""

    cell: str
    size: tuple[int, int, int, int]
    layer: rk.RNN
    x: np.ndarray  # (B, T, F) float32
    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray
    scale: np.ndarray | float = 1.0  # of normalised sums


def make(cell: str, size: tuple[int, int, int, int]) -> Problem:
    """Build the layer, with weights that are not zero anywhere, and draw its input."""
    batch, time, features, units = size
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, time, features), dtype=np.float32)
    layer = rk.RNN(CELLS[cell](units), return_sequences=True, seed=0)
    layer.build(x.shape)
    for name in {"bias", "scale"} & set(layer.weights):
        array = layer.weights[name]
        layer.weights[name] = array + rng.normal(0, 0.1, array.shape)
    return Problem(cell, size, layer, x, **{name: np.array(array) for name, array in layer.weights.items()})


def text(size: tuple[int, ...]) -> str:
    """A size as tables show it."""
    return ", ".join(map(str, size))
