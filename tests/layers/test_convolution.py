"""Convolution and pooling against loops over their windows."""

import numpy as np
import pytest
from matrix import label, pairwise

import rnnkit as rk

FACTORS = {
    "kernel_size": (3, 1, 2, 5),
    "strides": (1, 2, 3),
    "padding": ("valid", "same", "causal"),
    "dilation_rate": (1, 2, 3),
    "groups": (1, 2, 4),
    "length": (9, 11, 13),
    "dtype": ("float64", "float32"),
}
ROWS = [row | ({"dilation_rate": 1} if row["strides"] > 1 else {}) for row in pairwise(FACTORS)]
POOLING = {
    "kind": ("MaxPooling1D", "AveragePooling1D"), "pool_size": (2, 1, 3, 5), "strides": (None, 1, 2, 3),
    "padding": ("valid", "same"), "length": (5, 6, 7),
}  # fmt: skip


def windows(length, size, stride, padding, dilation=1):
    """The steps of each window, as indices, of which some may lie outside of a sequence."""
    span = (size - 1) * dilation + 1
    if padding == "valid":
        starts = range(0, length - span + 1, stride)
    elif padding == "causal":
        starts = range(1 - span, length - span + 1, stride)
    else:
        count = -(-length // stride)
        before = max((count - 1) * stride + span - length, 0) // 2
        starts = [i * stride - before for i in range(count)]
    return [[start + k * dilation for k in range(size)] for start in starts]


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_a_convolution_is_a_loop_over_windows(row):
    options = {name: row[name] for name in ("kernel_size", "strides", "padding", "dilation_rate", "groups")}
    layer = rk.Conv1D(8, activation="tanh", bias_initializer="normal", dtype=row["dtype"], seed=0, **options)
    x = np.random.default_rng(0).normal(size=(3, row["length"], 4)).astype(row["dtype"])
    y, pullback = layer.vjp(x)
    kernel, bias = (np.asarray(layer.weights[name], float) for name in ("kernel", "bias"))
    places = windows(row["length"], row["kernel_size"], row["strides"], row["padding"], row["dilation_rate"])
    expected = np.tile(bias, (3, len(places), 1))
    inputs, outputs = 4 // row["groups"], 8 // row["groups"]
    for at, window in enumerate(places):
        for k, t in enumerate(window):
            for g in range(row["groups"]):
                to, of = slice(g * outputs, (g + 1) * outputs), slice(g * inputs, (g + 1) * inputs)
                if 0 <= t < row["length"]:
                    expected[:, at, to] += x[:, t, of].astype(float) @ kernel[k, :, to]
    bound = {"float64": 1e-12, "float32": 1e-5}[row["dtype"]]
    np.testing.assert_allclose(y, np.tanh(expected), rtol=bound, atol=bound)
    d = np.random.default_rng(1).normal(size=y.shape).astype(row["dtype"])
    dz, d_kernel, d_x = d * (1 - np.tanh(expected) ** 2), np.zeros(kernel.shape), np.zeros(x.shape)
    for at, window in enumerate(places):
        for k, t in enumerate(window):
            for g in range(row["groups"]):
                to, of = slice(g * outputs, (g + 1) * outputs), slice(g * inputs, (g + 1) * inputs)
                if 0 <= t < row["length"]:
                    d_kernel[k, :, to] += x[:, t, of].T.astype(float) @ dz[:, at, to]
                    d_x[:, t, of] += dz[:, at, to] @ kernel[k, :, to].T
    gradient = pullback(d)
    for found, array in ((gradient.weights["kernel"], d_kernel), (gradient.x, d_x), (gradient.weights["bias"], None)):
        array = dz.sum(axis=(0, 1)) if array is None else array
        np.testing.assert_allclose(found, array, rtol=30 * bound, atol=30 * bound)


@pytest.mark.parametrize("row", pairwise(POOLING), ids=label)
def test_pooling_is_a_loop_over_windows(row):
    layer = getattr(rk, row["kind"])(row["pool_size"], row["strides"], row["padding"])
    x = np.random.default_rng(0).normal(size=(2, row["length"], 3))
    y, pullback = layer.vjp(x)
    d, d_x = np.random.default_rng(1).normal(size=y.shape), np.zeros(x.shape)
    places = windows(row["length"], row["pool_size"], row["strides"] or row["pool_size"], row["padding"])
    assert y.shape == (2, len(places), 3)
    for at, window in enumerate(places):
        inside = [t for t in window if 0 <= t < row["length"]]
        if row["kind"] == "AveragePooling1D":
            np.testing.assert_allclose(y[:, at], x[:, inside].mean(axis=1), rtol=1e-12)
            d_x[:, inside] += d[:, at : at + 1] / len(inside)
        else:
            np.testing.assert_array_equal(y[:, at], x[:, inside].max(axis=1))
            d_x[:, inside] += d[:, at : at + 1] * (x[:, inside] == y[:, at : at + 1])
    np.testing.assert_allclose(pullback(d).x, d_x, rtol=1e-12, atol=1e-14)


def test_ties_of_the_largest():
    x = np.array([[[1.0], [1.0], [0.0], [1.0]]])
    y, pullback = rk.MaxPooling1D(2).vjp(x)
    assert pullback(np.ones_like(y)).x.ravel().tolist() == [1, 0, 0, 1]
    y, pullback = rk.GlobalMaxPooling1D().vjp(x)
    np.testing.assert_allclose(pullback(np.ones_like(y)).x.ravel(), [1 / 3, 1 / 3, 0, 1 / 3])


@pytest.mark.parametrize("strided", [False, True])
def test_inputs_of_any_memory_order(strided):
    x = np.random.default_rng(0).normal(size=(3, 8, 4))
    given = np.asfortranarray(x) if not strided else np.repeat(x, 2, axis=2)[:, :, ::2]
    for layer in (rk.Conv1D(4, 3, seed=0), rk.Conv1D(4, 3, dilation_rate=2, groups=2, padding="same", seed=0)):
        np.testing.assert_array_equal(layer(given), layer(x))


def test_a_causal_convolution_reads_no_later_step(rng):
    layer = rk.Conv1D(4, 3, padding="causal", dilation_rate=2, seed=0)
    x = rng.normal(size=(2, 9, 3))
    whole = layer(x)
    x[:, 5:] += 1
    np.testing.assert_array_equal(layer(x)[:, :5], whole[:, :5])


def test_a_convolution_has_no_copy_of_each_window(rng):
    """Windows that stand one after the other are views: of a padded copy, or of x itself."""
    x = rng.normal(size=(2, 50, 3))
    layer = rk.Conv1D(4, 9, dtype="float64")
    layer.build(x.shape)
    assert np.shares_memory(layer._steps(x), x)
    assert layer._steps(x).shape == (2, 42, 27)
