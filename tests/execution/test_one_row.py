"""One row has a program of its own: what it gives is what the row gets in a batch, whatever is asked of it."""

import math

import numpy as np
import pytest
from matrix import flat, same_bits

import rnnkit as rk

STEPS = 30


def of_many_steps(x, states):
    """A part before the states, a decision, and a part that only the output needs."""
    gain = math.exp(0.1 * x[0]) / (1.0 + x[1] * x[1])
    h = states.h * 0.9 + gain if x[2] > 0 else -0.5 * states.h
    return math.log(1.0 + h * h) * gain, (h,)


def placed(x, states):
    """Elements at computed places, which a failing row has to survive."""
    v = states.v.copy()
    v[int(abs(x[0]) * 3) % 6] += math.exp(-x[1] * x[1])
    return v[int(abs(x[2]) * 3) % 6] * x[0], (v,)


def casts(x, states):
    """A check that a decision hides, of what no state needs."""
    k = int(x[0] * 5) if x[0] < 0.5 else 2
    h = states.h + k
    return h * x[1], (0.5 * h,)


def layer(kind, sequences=True, state=True):
    if kind == "simple":
        return rk.SimpleRNN(5, seed=0, return_sequences=sequences, return_state=state)
    if kind == "gru":
        return rk.GRU(2, seed=0, return_sequences=sequences, return_state=state)
    step = {"decides": of_many_steps, "casts": casts, "placed": placed}[kind]
    states = {"v": 6} if kind == "placed" else {"h": ()}
    cell = rk.cell(states=states, per_row=True)(step)()
    return rk.RNN(cell, return_sequences=sequences, return_state=state)


@pytest.mark.parametrize("kind", ["simple", "gru", "decides", "casts", "placed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_row_gets_what_it_gets_in_a_batch(kind, dtype):
    x = np.random.default_rng(0).normal(size=(3, STEPS, 3)).astype(dtype)
    for sequences in (True, False):
        made = layer(kind, sequences)
        for options in ({}, {"mask": np.random.default_rng(1).random((3, STEPS)) < 0.7}):
            whole = made(x, **options)
            for row in range(3):
                own = made(x[row : row + 1], **{name: mask[row : row + 1] for name, mask in options.items()})
                for got, wanted in zip(own, whole, strict=True):
                    same_bits(got, wanted[row : row + 1])
        same_bits(made.trajectory(x[:1]), [part[:1] for part in flat(made.trajectory(x))])


@pytest.mark.parametrize("kind", ["simple", "gru", "decides", "casts", "placed"])
def test_a_gradient_of_one_row_is_the_same_by_parts(kind):
    x = np.random.default_rng(0).normal(size=(1, STEPS, 3))
    made = layer(kind, state=False)
    outputs, pullback = made.vjp(x)
    whole = pullback(np.ones_like(outputs))
    for checkpoint in (1, 4, 7, STEPS):
        parts = made.vjp(x, checkpoint=checkpoint)[1](np.ones_like(outputs))
        same_bits(parts.x, whole.x)
        for name, gradient in whole.weights.items():
            np.testing.assert_allclose(parts.weights[name], gradient, rtol=1e-12, atol=1e-12)
