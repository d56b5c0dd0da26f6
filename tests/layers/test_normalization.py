"""Normalization against its formulas, and what becomes of moving averages."""

import contextlib

import numpy as np
import pytest
from matrix import same_bits

import rnnkit as rk
from rnnkit.layers.support.layer_tree import all_layers

RNG = np.random.default_rng(0)
X = RNG.normal(1.0, 2.0, (5, 6, 3))
MASK = np.arange(6) < np.array([[6], [2], [4], [1], [5]])


@pytest.mark.parametrize("axis", [-1, 1, (1, 2)])
def test_layer_normalization_is_its_formula(axis):
    layer = rk.LayerNormalization(axis, beta_initializer="normal", gamma_initializer="normal", seed=0)
    y = layer(X)
    mean, variance = X.mean(axis=axis, keepdims=True), X.var(axis=axis, keepdims=True)
    wide = [size if i in ((1, 2) if axis == (1, 2) else (axis % 3,)) else 1 for i, size in enumerate(X.shape)]
    gamma, beta = (layer.weights[name].reshape(wide) for name in ("gamma", "beta"))
    np.testing.assert_allclose(y, (X - mean) / np.sqrt(variance + 1e-3) * gamma + beta, rtol=1e-12, atol=1e-12)
    unit = rk.UnitNormalization(axis)(X)
    np.testing.assert_allclose(unit, X / np.sqrt((X**2).sum(axis=axis, keepdims=True)), rtol=1e-12)


def test_a_row_of_zeros_has_no_direction():
    y, pullback = rk.UnitNormalization().vjp(np.zeros((1, 3)))
    assert (y == 0).all() and np.isfinite(pullback(np.ones((1, 3))).x).all()


@pytest.mark.parametrize("mask", [None, MASK])
def test_batch_normalization_is_its_formula(mask):
    drawn = {"gamma_initializer": "normal", "beta_initializer": "normal", "dtype": "float64", "seed": 0}
    layer = rk.BatchNormalization(momentum=0.75, **drawn)
    layer.build(X.shape)
    start = {name: np.array(array) for name, array in layer.weights.items()}
    assert list(start) == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert list(layer.trainable_weights) == ["gamma", "beta"]
    y = layer(X, mask=mask, training=True)
    rows = X.reshape(-1, 3) if mask is None else X[mask]
    mean, variance = rows.mean(axis=0), rows.var(axis=0)
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if mask is None else {"rtol": 1e-6, "atol": 1e-6}  # Keras adds 1e-7
    expected = (X - mean) / np.sqrt(variance + 1e-3) * start["gamma"] + start["beta"]
    np.testing.assert_allclose(y, expected, **tolerance)
    np.testing.assert_allclose(layer.weights["moving_mean"], 0.25 * mean, **tolerance)
    np.testing.assert_allclose(layer.weights["moving_variance"], 0.75 + 0.25 * variance, **tolerance)
    moved = layer.weights["moving_mean"], layer.weights["moving_variance"]
    expected = (X - moved[0]) / np.sqrt(moved[1] + 1e-3) * start["gamma"] + start["beta"]
    np.testing.assert_allclose(layer(X, mask=mask), expected, rtol=1e-12, atol=1e-12)
    same_bits([layer.weights["moving_mean"], layer.weights["moving_variance"]], list(moved))


def test_no_rows_move_no_average():
    layer = rk.BatchNormalization()
    layer.build((None, 3))
    assert layer(np.zeros((0, 3), "float32"), training=True).shape == (0, 3)
    assert (layer.weights["moving_variance"] == 1).all()


def around(layer, *, freeze="nothing"):
    """A model with a layer in a model inside, and what is frozen of them."""
    inner = rk.Sequential([rk.TimeDistributed(layer), rk.Dense(2)])
    model = rk.Sequential([inner, rk.Flatten(), rk.Dense(1)], seed=0, dtype="float64")
    model.build(X.shape)
    wrapper = inner.layers[0]
    for name, one in {"layer": layer, "wrapper": wrapper, "inner": inner, "model": model}.items():
        if name == freeze:
            one.trainable = False
    return model


@pytest.mark.parametrize("freeze", ["layer", "wrapper", "inner", "model"])
def test_a_frozen_layer_uses_its_averages_in_training(freeze):
    layer = rk.BatchNormalization()
    model = around(layer, freeze=freeze)
    before = model.get_weights()
    same_bits(model(X, training=True), model(X))
    y, pullback = model.vjp(X, training=True)
    same_bits(y, model(X))
    same_bits(model.get_weights(), before)
    for one in (layer, *all_layers(model)):
        one.trainable = True
    assert np.abs(model(X, training=True) - model(X)).max() > 1e-3
    assert not np.array_equal(layer.weights["moving_mean"], before[2])


def test_a_frozen_layer_is_refitted_with_averages_that_were_set():
    def make():
        layer = rk.BatchNormalization(name="normal")
        layer.trainable = False
        model = rk.Sequential([layer, rk.Flatten(), rk.Dense(1)], seed=0, dtype="float64")
        model.build(X.shape)
        model.compile("sgd", "mse")
        return model

    y, found = np.ones((5, 1)), []
    for fits in (1, 2):
        model = make()
        start = {name: model.weights[name] for name in ("2/kernel", "2/bias")}
        for fit in range(fits):
            if fit == fits - 1:  # what was recorded before knows other averages
                for name, array in start.items():
                    model.weights[name] = array
                model.weights["0/moving_mean"] = np.full(3, 0.5)
            model.fit(X, y, epochs=5, verbose=0, batch_size=5, shuffle=False)
        found.append(model.get_weights())
    same_bits(found[1], found[0])


def test_the_gradient_knows_what_is_added_to_the_number_of_entries():
    layer = rk.BatchNormalization(dtype="float64")
    layer.build(X.shape)
    assert rk.gradcheck(layer, X + 1e5, mask=MASK, training=True, tolerance=1e-5, step=1e-4)


@pytest.mark.parametrize("epochs", [0, 4])
def test_T5_a_batch_that_fails_leaves_the_averages(epochs):
    """At the first batch, and where batches are repeated."""
    x, y = np.array(X), np.ones((5, 1))
    model = rk.Sequential([rk.BatchNormalization(), rk.Flatten(), rk.Dense(1)], seed=0, dtype="float64")
    model.build(X.shape)
    model.compile("sgd", "mse")
    if epochs:
        model.fit(x, y, epochs=epochs, verbose=0)
    before = model.get_weights()
    for what in ("x", "y"):
        wrong_x, wrong_y = np.array(x), np.array(y)
        (wrong_x if what == "x" else wrong_y)[0, 0] = np.nan
        with pytest.raises(FloatingPointError):
            model.fit(wrong_x, wrong_y, verbose=0)
        same_bits(model.get_weights(), before)
    model.fit(x, y, verbose=0)
    assert not np.array_equal(model.layers[0].weights["moving_mean"], before[2])


def choosy(y_true, y_pred):
    """A metric that refuses a target of 99."""
    if (y_true == 99).any():
        raise ValueError("99 is too much")
    return np.zeros(len(y_true))


def test_T5_a_metric_that_fails_in_a_repeated_batch_leaves_the_averages():
    found, x, y = [], np.tile(X, (6, 1, 1)), np.ones((30, 1))
    wrong = np.array(y)
    wrong[25:] = 99
    for rows in (25, 30):
        model = rk.Sequential([rk.BatchNormalization(), rk.Flatten(), rk.Dense(1)], seed=0, dtype="float64")
        model.compile("sgd", "mse", metrics=[choosy])
        model.fit(x, y, batch_size=5, verbose=0)
        with pytest.raises(ValueError, match="99 is too much") if rows == 30 else contextlib.nullcontext():
            model.fit(x[:rows], wrong[:rows], batch_size=5, shuffle=False, verbose=0)
        found.append(model.get_weights())
    same_bits(found[1], found[0])


def test_a_call_that_fails_in_a_later_layer_leaves_the_averages():
    normal, late = rk.BatchNormalization(), rk.Dense(1)
    late.build((None, None, 4))
    model = rk.Sequential([normal, late])
    for _ in range(2):  # built by the call that fails, and before
        with pytest.raises(ValueError, match="expected"):
            model(X, training=True)
        assert not normal.built or (normal.weights["moving_mean"] == 0).all()
        normal.build(X.shape)
    normal(X, training=True)
    assert (normal.weights["moving_mean"] != 0).any()


def test_a_repeated_call_in_training_moves_the_averages_each_time():
    layer, other = rk.BatchNormalization(dtype="float64"), rk.BatchNormalization(dtype="float64")
    for i in range(12):
        x = X + i
        same_bits(layer(x, training=True), type(other).__call__.__wrapped__(other, x, training=True))
        same_bits(layer.get_weights(), other.get_weights())
        same_bits(layer(x), type(other).__call__.__wrapped__(other, x))
    expected = np.float64(0)
    for i in range(12):
        expected = 0.99 * expected + 0.01 * (X + i).mean(axis=(0, 1))
    np.testing.assert_allclose(layer.weights["moving_mean"], expected, rtol=1e-12)


def test_large_batches_of_float32_keep_their_digits():
    x = RNG.normal(100.0, 1.0, (200_000, 2)).astype("float32")
    layer = rk.BatchNormalization(momentum=0.0, epsilon=0.0)
    layer(x, training=True)
    exact = x.astype("float64")
    np.testing.assert_allclose(layer.weights["moving_mean"], exact.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(layer.weights["moving_variance"], exact.var(axis=0), rtol=1e-5)
