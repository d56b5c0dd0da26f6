"""A step that means one row, once jitted, is read anew for another kind of call, for a gradient, for an export."""

import numpy as np
import pytest

import rnnkit as rk

X = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")


@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
def halved(x, states, weights):
    h = np.tanh(x @ weights.kernel + states[0])
    if h.max() > 0.5:
        h = h / 2
    return h, h


@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
def halved_at_last(x, states, weights, training):
    h = np.tanh(x @ weights.kernel + states[0])
    if not training and h.max() > 0.5:
        h = h / 2
    return h, h


def layer_of(cell, seed):
    layer = rk.RNN(cell(4), seed=seed)
    layer(X)
    return layer


@pytest.mark.parametrize("seed", range(4))
def test_for_training(seed):
    layer = layer_of(halved, seed)
    compiled = layer(X)
    assert np.array_equal(layer(X, training=True), compiled)
    with rk.eager():
        assert np.allclose(layer(X, training=True), compiled, atol=1e-6)
        assert np.allclose(layer(X), compiled, atol=1e-6)


def test_one_kind_of_call_decides_by_values_and_the_other_does_not():
    layer = layer_of(halved_at_last, 0)
    compiled = layer(X, training=True)
    told = layer.explain()
    assert "jitted" in told and "traced: the step was recorded" in told
    with rk.eager():
        assert np.allclose(layer(X, training=True), compiled, atol=1e-6)
        assert np.allclose(layer(X), [layer(row[None])[0] for row in X], atol=1e-6)
    layer.vjp(X, training=True)


def fitted(layer):
    model = rk.Sequential([layer, rk.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((6, 1)), verbose=0)


@pytest.mark.parametrize(
    "entry",
    [
        lambda layer: layer.vjp(X),
        fitted,
        lambda layer: rk.jacobian(layer.cell, X[:, 0]),
        lambda layer: rk.export_c(layer, "never written"),
        lambda layer: rk.onnx.export(layer, "never written"),
    ],
    ids=["vjp", "fit", "jacobian", "export_c", "onnx"],
)
def test_where_only_a_traced_step_serves_the_line_that_decides_is_named(entry):
    with pytest.raises(ValueError, match=r"looks at an array's values.*if h\.max\(\) > 0\.5:"):
        entry(layer_of(halved, 3))
