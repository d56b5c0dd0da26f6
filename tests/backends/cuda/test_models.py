"""Models on a GPU: host arrays go there once, and a fit gives the host's weights."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.backends.cuda.memory import availability
from rnnkit.execution import host_fallback

pytestmark = pytest.mark.skipif(
    not (availability.simulated() and availability.missing() is None),
    reason="memory of NumPy stands in for a GPU's: NUMBA_ENABLE_CUDASIM=1, with numba-cuda",
)


def sequential():
    recurrent = [rk.GRU(4, return_sequences=True), rk.Dropout(0.2), rk.Bidirectional(rk.LSTM(3))]
    return rk.Sequential([rk.Masking(), *recurrent, rk.Dense(2)], seed=0)


def functional():
    x = rk.Input((None, 4))
    h, state = rk.GRU(4, seed=1, return_sequences=True, return_state=True)(x)
    joined = rk.Concatenate()([rk.LSTM(3, seed=2)(h), state])
    return rk.Model(x, rk.Dense(2, seed=3)(joined), seed=0)


@pytest.fixture
def data(rng):
    x = rng.normal(size=(6, 5, 4)).astype("float32")
    x[::2, -1] = 0
    return x, rng.normal(size=(6, 2)).astype("float32")


@pytest.mark.parametrize("make", [sequential, functional])
def test_a_fit_on_a_card_gives_the_hosts_weights(make, data):
    host, gpu = make(), make().to("cuda")
    told = []
    for model in (host, gpu):
        model.compile("adam", "mse", metrics=["mae"])
        told.append(model.fit(*data, epochs=2, batch_size=4, verbose=0, validation_data=data).history)
    assert told[0] == told[1]
    for a, b in zip(host.get_weights(), gpu.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(host.predict(data[0], verbose=0), gpu.predict(data[0], verbose=0))


@pytest.mark.parametrize("make", [sequential, functional])
def test_host_arrays_go_to_the_card_and_come_back_once(make, data, monkeypatch):
    model = make().to("cuda")
    model(data[0])
    crossings = []
    upload = host_fallback.upload
    monkeypatch.setattr(
        host_fallback, "upload", lambda array, *more: crossings.append(array.shape) or upload(array, *more)
    )
    outputs, pullback = model.vjp(data[0])
    gradient = pullback(np.ones_like(outputs))
    assert type(outputs) is type(gradient.x) is np.ndarray
    assert crossings == [data[0].shape]
    assert all(type(array) is np.ndarray for array in gradient.weights.values())
    expected, pull = make().vjp(data[0])
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_array_equal(gradient.x, pull(np.ones_like(expected)).x)
