"""Functions of SciPy that are no ufuncs, in a step of all rows: called there as in a step of one row."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from scipy.special import logsumexp as total

import rnnkit as rk

SCALE = 0.5


def shares(z, *, axis=-1):
    return scipy.special.softmax(SCALE * z, axis=axis)


def closed(power):
    def function(z):
        rows = np.zeros((z.shape[0], 3))
        return (lambda q: shares(q) ** power)(z + rows) - total(z, axis=-1, keepdims=True)

    return function


def slopes(z):
    return scipy.special.polygamma(1, 2.0 + np.abs(z))


def root(z):
    return scipy.linalg.sqrtm(z[:, :, None] * z[:, None] + np.eye(3))[..., 0]


class Mixed(rk.Cell):
    state_size = 3

    def call(self, inputs, states):
        """A step whose method calls another one."""
        h = self.moved(inputs + states[0], 2.0)
        return h, h

    def moved(self, z, factor, other=lambda z: scipy.special.log_softmax(z, axis=-1)):
        return np.tanh(factor * shares(z)) - 0.1 * other(z)


def declared(function):
    @rk.cell(states={"h": 3})
    def step(x, states, *, slope=0.3):
        h = np.tanh(function(x + slope * states.h))
        return h, h

    return step()


def both(layer, x):
    found = layer(x)
    with rk.eager():
        np.testing.assert_allclose(found, layer(x), rtol=1e-12, atol=1e-13)
    assert layer.explain().startswith("traced")


@pytest.mark.parametrize(
    "cell",
    [
        lambda: declared(shares),
        lambda: declared(closed(2)),
        lambda: declared(slopes),
        lambda: Mixed(),
        lambda: rk.StackedRNNCells([Mixed(), declared(shares)]),
    ],
)
def test_calls_in_a_step_of_all_rows(cell, rng):
    layer, x = rk.RNN(cell(), return_sequences=True, dtype="float64"), rng.normal(size=(3, 4, 3))
    both(layer, x)
    assert rk.gradcheck(layer, x)


def test_a_function_without_a_rule_is_named(rng):
    with pytest.raises(ValueError, match=r"scipy.linalg.sqrtm can't be traced .*sqrtm\(z\[:, :, None\]"):
        rk.RNN(declared(root))(rng.normal(size=(1, 1, 3)))


def test_mistakes_keep_their_line(rng):
    def mistaken(z):
        return shares(z) + np.ones(2)

    with pytest.raises(ValueError, match="could not be broadcast") as raised:
        rk.RNN(declared(mistaken))(rng.normal(size=(2, 1, 3)))
    assert "return shares(z) + np.ones(2)" in "".join(map(str, raised.traceback))
