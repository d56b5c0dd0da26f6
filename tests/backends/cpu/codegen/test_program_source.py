"""What a program's text says once, however often its step does it."""

import re

import numpy as np
import pytest

import rnnkit as rk

STEPS = 4


@rk.cell(states={"h": "units"}, weights={"A": rk.Weight(("units", "units"), "orthogonal")})
def sub_steps(x, states, weights):
    (h,) = states
    for _ in range(STEPS):
        h = h + 0.25 * np.tanh(h @ weights.A + x)
    return h, h


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loops_that_differ_in_names_alone_share_a_function(dtype):
    layer = rk.RNN(sub_steps(units=9), dtype=dtype, seed=0)
    layer.build((None, None, 9))
    text = layer.explain(source=True)
    functions = re.findall(r"def (make_\w+)\(", text)
    calls = [name for name in re.findall(r"(make_\w+)\(", text) if f"def {name}" not in name]
    assert len(functions) < STEPS <= len(calls) - len(functions)
    assert set(re.findall(r"at_panels_\w+", text)) == {"at_panels_A"}  # the weight is laid out once
    x = np.random.default_rng(0).normal(size=(3, 4, 9)).astype(dtype)
    with rk.eager():
        expected = layer(x)
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-6 if dtype == "float32" else 1e-14)


@rk.cell(states={"h": "units"}, weights={"A": rk.Weight(("units", "units"), "orthogonal")})
def products(x, states, weights, *, count=2):
    h = states[0] + x
    for _ in range(count):
        h = np.tanh(h @ weights.A)
    return h, h


def test_what_is_done_when_threads_are_left_stands_once_a_section():
    """However many products a step has, behind each of which threads may be left."""
    texts = {}
    for count in (2, 6):
        layer = rk.RNN(products(units=9, count=count), seed=0)
        layer.build((None, None, 9))
        texts[count] = layer.explain(source=True)
    assert texts[2].count("if moved == 1:") == texts[6].count("if moved == 1:") > 0
    assert texts[6].count("barrier_wait(") > texts[2].count("barrier_wait(")
