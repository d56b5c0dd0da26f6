"""A stateful model is trained as if its batches were one long sequence whose gradient is cut between them."""

import numpy as np
import pytest

from rnnkit import keras

UNITS, ROWS, EPOCHS, RATE, BETA_1, BETA_2, EPSILON = 5, 30, 3, 0.01, 0.9, 0.999, 1e-7


@pytest.fixture
def data():
    """A series, the mean of each two values that follow each other, and weights."""
    rng = np.random.default_rng(0)
    series = rng.uniform(-1, 1, ROWS + 1)
    weights = [rng.normal(0, 0.5, shape) for shape in ((1, 4 * UNITS), (UNITS, 4 * UNITS), 4 * UNITS, (UNITS, 1), 1)]
    return series[1:].reshape(-1, 1, 1), ((series[1:] + series[:-1]) / 2).reshape(-1, 1), weights


def sigmoid(z):
    """The logistic function."""
    return 1 / (1 + np.exp(-z))


def gradient(x, target, h, c, weights):
    """The loss of one step of an LSTM and a Dense layer, its gradient by hand, and the new states."""
    kernel, recurrent, bias, dense, offset = weights
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    new_c = f * c + i * g
    new_h = o * np.tanh(new_c)
    d = 2 * (new_h @ dense + offset - target)
    dh = d @ dense.T
    dc = dh * o * (1 - np.tanh(new_c) ** 2)
    dz = [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * np.tanh(new_c) * o * (1 - o)]
    dz = np.concatenate(dz, axis=1)
    return float(d[0, 0] ** 2 / 4), [x.T @ dz, h.T @ dz, dz[0], new_h.T @ d, d[0]], new_h, new_c


def trained_by_hand(x, y, weights):
    """The losses of epochs of Adam, a batch for each row, and the weights."""
    weights = [one.copy() for one in weights]
    m, v = ([np.zeros_like(one) for one in weights] for _ in range(2))
    losses, t = [], 0
    for _ in range(EPOCHS):
        h = c = np.zeros((1, UNITS))
        total = 0.0
        for row, target in zip(x, y, strict=True):
            loss, gradients, h, c = gradient(row, target[None], h, c, weights)
            total, t = total + loss, t + 1
            rate = RATE * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
            for j, one in enumerate(gradients):
                m[j] += (1 - BETA_1) * (one - m[j])
                v[j] += (1 - BETA_2) * (one * one - v[j])
                weights[j] = weights[j] - rate * m[j] / (np.sqrt(v[j]) + EPSILON)
        losses.append(total / len(x))
    return losses, weights


@pytest.mark.parametrize("validated", [False, True])
def test_states_pass_from_batch_to_batch_and_gradients_do_not(data, validated):
    """Losses and weights of several epochs, with states reset between them; validation leaves no trace."""
    x, y, weights = data
    losses, wanted = trained_by_hand(x, y, weights)
    model = keras.Sequential([keras.Input(batch_shape=(1, 1, 1), dtype="float64")])
    model.add(keras.layers.LSTM(UNITS, stateful=True, dtype="float64"))
    model.add(keras.layers.Dense(1, dtype="float64"))
    model.set_weights(weights)
    model.compile(keras.optimizers.Adam(RATE), "mse")
    found = []
    for _ in range(EPOCHS):
        more = {"validation_data": (x[::-1], y[::-1])} if validated else {}
        found += model.fit(x, y, batch_size=1, epochs=1, shuffle=False, verbose=0, **more).history["loss"]
        for layer in model.layers:
            if hasattr(layer, "reset_states"):
                layer.reset_states()
    np.testing.assert_allclose(found, losses, rtol=1e-10)
    for one, other in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
