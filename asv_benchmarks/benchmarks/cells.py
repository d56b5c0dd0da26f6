"""What the benchmarks run over: every built-in cell, and two that a user might write."""

import numpy as np

import rnnkit as rk
from rnnkit.cells import BUILT_IN


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal"),
        "bias": rk.Weight(("units",), "zeros"),
    },
)
def leaky(x, states, weights, *, leak=0.3):
    """The README's cell."""
    (h,) = states
    h = (1 - leak) * h + leak * np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias)
    return h, (h,)


def _normalise(z):
    z = z - z.mean(axis=-1, keepdims=True)
    return z / np.sqrt((z * z).mean(axis=-1, keepdims=True) + 1e-5)


@rk.cell(
    states={"h": "units", "c": "units"},
    weights={
        "kernel": rk.Weight(("features", "4*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "4*units"), "orthogonal"),
        "bias": rk.Weight(("4*units",), "zeros"),
        "scale": rk.Weight(("4*units",), "ones"),
    },
)
def normalised_lstm(x, states, weights):
    """An LSTM with layer normalisation of what goes into its gates and out of its cell."""
    h, c = states
    z = weights.scale * _normalise(x @ weights.kernel + h @ weights.recurrent_kernel) + weights.bias
    i, f, g, o = np.split(z, 4, axis=-1)
    c = rk.sigmoid(f) * c + rk.sigmoid(i) * np.tanh(g)
    h = rk.sigmoid(o) * np.tanh(_normalise(c))
    return h, (h, c)


MAKERS = {getattr(cell, "__name__", str(cell)): cell for cell in (*BUILT_IN, leaky, normalised_lstm)}


def layer(name: str, units: int, **options) -> rk.RNN:
    """Give an `RNN` around the cell of this name."""
    return rk.RNN(MAKERS[name](units=units), seed=0, **options)


def sequences(batch: int, time: int, features: int, dtype: str = "float32") -> np.ndarray:
    """Draw an input of shape (batch, time, features)."""
    return np.random.default_rng(0).standard_normal((batch, time, features)).astype(dtype)
