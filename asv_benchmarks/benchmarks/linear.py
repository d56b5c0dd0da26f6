"""Long recurrences that go element by element, and one with a matrix for a state: calls and gradients."""

# smoke: linear.Linear.track_seconds\('diagonal', 'forward'\)

import numpy as np

import rnnkit as rk

from .measure import Timed

KERNEL = rk.Weight(("features", "units"), "glorot_uniform")
OUT = rk.Weight(("units", "features"), "glorot_uniform")
SPREAD = rk.Weight(("units",), "uniform")


@rk.cell(states={"h": "units"}, weights={"decay": SPREAD})
def diagonal(x, states, weights):
    """A multiply-add for each unit."""
    h = weights.decay * states.h + x
    return h, h


@rk.cell(states={"h": "units"}, weights={"gate": KERNEL, "kernel": KERNEL})
def min_gru(x, states, weights):
    """Feng et al. 2024."""
    z = rk.sigmoid(x @ weights.gate)
    h = (1 - z) * states.h + z * (x @ weights.kernel)
    return h, h


@rk.cell(
    states={"re": "units", "im": "units"},
    weights={"a": SPREAD, "b": SPREAD, "in_re": KERNEL, "in_im": KERNEL, "out_re": OUT, "out_im": OUT},
)
def lru(x, states, weights):
    """Orvieto et al. 2023, in pairs of reals."""
    re = weights.a * states.re - weights.b * states.im + x @ weights.in_re
    im = weights.a * states.im + weights.b * states.re + x @ weights.in_im
    return re @ weights.out_re - im @ weights.out_im, (re, im)


@rk.cell(
    states={"C": ("units", "units"), "n": "units", "m": ()},
    weights={
        **dict.fromkeys("qkv", KERNEL),
        "input_gate": rk.Weight(("features",)),
        "forget_gate": rk.Weight(("features",)),
    },
)
def mlstm(x, states, weights):
    """Beck et al. 2024."""
    q, k, v = x @ weights.q, x @ weights.k / 8, x @ weights.v
    i, f = x @ weights.input_gate, -np.log1p(np.exp(-(x @ weights.forget_gate)))
    m = np.maximum(f + states.m, i)
    i, f = np.exp(i - m)[:, None], np.exp(f + states.m - m)[:, None]
    C = f[:, None] * states.C + i[:, None] * (v[:, :, None] * k[:, None])
    n = f * states.n + i * k
    h = (C * q[:, None]).sum(axis=2) / np.maximum(np.abs((n * q).sum(axis=1, keepdims=True)), 1)
    return h, (C, n, m)


STEPS = {diagonal: 100_000, min_gru: 100_000, lru: 100_000, mlstm: 4096}


class Linear(Timed):
    """One row of so many steps, 64 units, all outputs."""

    params = ([cell.__name__ for cell in STEPS], ["forward", "gradient"])
    param_names = ("cell", "call")

    def make(self, name, call):
        cell, steps = next((cell, steps) for cell, steps in STEPS.items() if cell.__name__ == name)
        made = rk.RNN(cell(64), return_sequences=True, seed=0)
        x = np.random.default_rng(0).normal(size=(1, steps, 64)).astype(np.float32)
        cotangent = np.ones_like(made(x))
        if call == "forward":
            return lambda: made(x)

        def gradient():
            _, pullback = made.vjp(x)
            return pullback(cotangent)

        return gradient
