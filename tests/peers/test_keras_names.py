"""The programs of tests/support/keras_cases.py with Keras itself, and with rnnkit's names for it."""

import keras_cases
import numpy as np
import pytest

from rnnkit import keras as names

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # jax's
SLOW = [pytest.param("fits", marks=pytest.mark.sweep)]  # each model is compiled by jax


@pytest.mark.parametrize("case", [*(name for name in keras_cases.CASES if name != "fits"), *SLOW])
def test_the_figures_are_those_of_keras(case):
    found, expected = keras_cases.CASES[case](names), keras_cases.CASES[case](keras)
    assert set(found) == set(expected)
    for name, values in expected.items():
        own = found[name]
        if isinstance(values, dict):
            assert own["keys"] == values["keys"], name
            own, values = own["values"], values["values"]
        assert np.allclose(own, values, rtol=1e-5, atol=2e-6, equal_nan=True), (name, own, values)


def test_files_of_keras_are_read(tmp_path):
    layers = [keras.Input((5, 2)), keras.layers.GRU(3), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
    again = names.models.load_model(tmp_path / "model.keras")
    assert type(again) is names.Sequential
    assert np.allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)
    other = names.Sequential([names.Input((5, 2)), names.layers.GRU(3), names.layers.Dense(1)])
    other.load_weights(tmp_path / "model.weights.h5")
    assert np.array_equal(other(x), again(x))
