"""Ensembles: calls and gradients of many members, and a fit of several seeds beside one of a single."""

# smoke: ensembles.Calls.track_seconds\('garch', 'forward'\)

import numpy as np

import rnnkit as rk

from .measure import Timed


@rk.cell(
    states={"variance": 1, "likelihood": 1},
    weights={name: rk.Weight((1,), lambda shape, rng: rng.uniform(0.05, 0.3, shape)) for name in "abc"},
    initial={"variance": 1.0},
)
def garch(x, states, weights):
    """The likelihood of a GARCH model."""
    likelihood = states.likelihood - 0.5 * (np.log(states.variance) + x * x / states.variance)
    return likelihood, (weights.a + weights.b * x * x + weights.c * states.variance, likelihood)


class Calls(Timed):
    """50 networks of 16 units on 8 rows of 100 steps, and 1,000 parameter vectors of GARCH on 2,000 steps."""

    params = (["lstm", "garch"], ["forward", "gradient"])
    param_names = ("members", "way")

    def make(self, members, way):
        rng = np.random.default_rng(0)
        if members == "garch":
            ensemble, x = rk.RNN(garch(), seed=0).ensemble(1000), rng.normal(size=(1, 2000, 1))
        else:
            ensemble, x = rk.LSTM(16, seed=0).ensemble(50), rng.standard_normal((8, 100, 8), dtype=np.float32)
        if way == "forward":
            return lambda: ensemble(x)

        def gradient():
            y, pullback = ensemble.vjp(x)
            return pullback(np.ones_like(y))

        return gradient


class Fit(Timed):
    """Five epochs of 32 batches of a small model."""

    params = [1, 20]
    param_names = ("seeds",)

    def make(self, seeds):
        x = np.random.default_rng(0).standard_normal((1024, 10, 1), dtype=np.float32)
        model = rk.Sequential([rk.GRU(8), rk.Dense(1)], seed=0)
        model = model if seeds == 1 else model.ensemble(seeds)
        model.compile("adam", "mse")
        return lambda: model.fit(x, x.sum(axis=1), epochs=5, verbose=0)
