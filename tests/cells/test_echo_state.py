"""The cell of echo state networks against its equations."""

import json

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.cells.echo_state import spectral_radius


def layer_of(cell, seed=0, **arguments):
    return rk.RNN(cell, return_sequences=True, dtype="float64", seed=seed, **arguments)


def test_cell_follows_its_equation(rng):
    layer = layer_of(rk.ESNCell(13, leak=0.3, bias_scaling=0.4))
    x = rng.standard_normal((2, 20, 3))
    y = layer(x)
    w = layer.weights
    h = np.zeros((2, 13))
    for t in range(20):
        h = 0.7 * h + 0.3 * np.tanh(x[:, t] @ w["kernel"] + w["bias"] + h @ w["recurrent_kernel"])
        np.testing.assert_allclose(y[:, t], h, rtol=0, atol=1e-12)


@pytest.mark.parametrize("units", [1, 30, 520])
@pytest.mark.parametrize("radius", [0.0, 0.5, 1.2])
def test_recurrent_weights_have_the_spectral_radius(units, radius):
    layer = layer_of(rk.ESNCell(units, spectral_radius=radius))
    layer.build((None, None, 2))
    eigenvalues = np.linalg.eigvals(layer.weights["recurrent_kernel"])
    np.testing.assert_allclose(np.abs(eigenvalues).max(), radius, rtol=1e-9, atol=1e-12)


def test_spectral_radius_of_large_matrices_is_lapacks(rng):
    matrix = rng.standard_normal((501, 501))
    np.testing.assert_allclose(spectral_radius(matrix), np.abs(np.linalg.eigvals(matrix)).max(), rtol=1e-10)


def test_every_unit_hears_its_share_of_the_others():
    layer = layer_of(rk.ESNCell(40, density=0.1))
    layer.build((None, None, 2))
    assert ((layer.weights["recurrent_kernel"] != 0).sum(axis=0) == 4).all()


def test_scalings_bound_kernel_and_bias():
    layer = layer_of(rk.ESNCell(400, input_scaling=0.2, bias_scaling=0.7))
    layer.build((None, None, 2))
    for name, scaling in (("kernel", 0.2), ("bias", 0.7)):
        largest = np.abs(layer.weights[name]).max()
        assert 0.9 * scaling < largest <= scaling


@pytest.mark.parametrize("units", [20, 510])
def test_the_same_seed_gives_the_same_bits(units):
    weights = []
    for seed in (3, 3, 4):
        layer = layer_of(rk.ESNCell(units), seed=seed)
        layer.build((None, None, 2))
        weights.append(layer.get_weights())
    for same, again, other in zip(*weights, strict=True):
        assert (same == again).all()
        assert not same.any() or (same != other).any()


def test_cell_comes_back_from_its_configuration():
    cell = rk.ESNCell(7, 0.8, leak=0.5, input_scaling=0.1, bias_scaling=0.2, density=0.4, activation="relu", seed=5)
    config = json.loads(json.dumps(cell.get_config()))
    assert config["activation"] == "relu"
    assert rk.ESNCell.from_config(config).get_config() == cell.get_config()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"units": 0}, "units to be a positive integer"),
        ({"units": 3, "spectral_radius": -0.1}, "spectral_radius"),
        ({"units": 3, "spectral_radius": np.nan}, "spectral_radius"),
        ({"units": 3, "leak": 1.5}, "leak"),
        ({"units": 3, "density": -1}, "density"),
        ({"units": 3, "input_scaling": "much"}, "input_scaling"),
        ({"units": 3, "bias_scaling": np.inf}, "bias_scaling"),
        ({"units": 3, "activation": "nope"}, "nope"),
    ],
)
def test_cell_refuses(arguments, said):
    with pytest.raises(ValueError, match=said):
        rk.ESNCell(**arguments)


def test_cell_is_compiled_as_a_whole():
    layer = layer_of(rk.ESNCell(5))
    layer.build((None, None, 2))
    assert "traced" in layer.explain()
