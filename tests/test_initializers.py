"""Initializers: the values, by name and by configuration."""

import json
import math

import numpy as np
import pytest

from rnnkit import initializers
from rnnkit.initializers import INITIALIZERS, draw, fans, initializer, initializer_config

SHAPE = (40, 60)


def sample(identifier, shape=SHAPE, seed=0, dtype="float64"):
    return draw(identifier, shape, np.random.default_rng(seed), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_same_seed_same_bits_and_float32_is_the_cast_of_float64(name, dtype):
    first, second = sample(name, dtype=dtype), sample(name, dtype=dtype)
    assert first.dtype == dtype
    assert first.shape == SHAPE
    assert first.flags.c_contiguous
    assert first.tobytes() == second.tobytes()
    assert (first == sample(name).astype(dtype)).all()


def test_other_seed_other_values():
    assert (sample("glorot_uniform", seed=0) != sample("glorot_uniform", seed=1)).any()


def test_fans_count_the_field():
    assert fans(()) == (1, 1)
    assert fans((5,)) == (5, 5)
    assert fans((3, 5)) == (3, 5)
    assert fans((2, 4, 3, 5)) == (24, 40)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / 100),
        ("glorot_normal", 2 / 100),
        ("he_uniform", 2 / 40),
        ("he_normal", 2 / 40),
        ("lecun_uniform", 1 / 40),
        ("lecun_normal", 1 / 40),
        ("normal", 0.05**2),
        ("uniform", 0.1**2 / 12),
    ],
)
def test_mean_and_variance(name, variance):
    values = np.concatenate([sample(name, seed=seed) for seed in range(10)])
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize(("name", "limit"), [("glorot_uniform", math.sqrt(6 / 100)), ("uniform", 0.05)])
def test_uniform_limits_are_reached_and_kept(name, limit):
    assert 0.99 * limit < np.abs(sample(name)).max() <= limit


def test_truncated_normal_has_no_tails():
    values = sample(initializers.TruncatedNormal(1.0, 0.5))
    assert 0.98 < np.abs(values - 1).max() <= 1.0


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (2, 3, 4)])
def test_orthogonal(shape):
    matrix = sample(initializers.Orthogonal(2.0), shape).reshape(-1, shape[-1])
    product = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_constants_and_identity():
    assert (sample("zeros") == 0).all()
    assert (sample("ones") == 1).all()
    assert (sample(initializers.Constant(2.5)) == 2.5).all()
    assert (sample("identity", (3, 4)) == np.eye(3, 4)).all()
    for name in ("orthogonal", "identity"):
        with pytest.raises(ValueError, match=name):
            sample(name, (3,))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_configuration_round_trip(name):
    config = json.loads(json.dumps(initializer_config(name)))
    assert initializer(config) == initializer(name)


def test_configuration_of_settings_and_of_functions():
    given = initializers.VarianceScaling(3.0, "fan_out", "uniform")
    assert initializer(json.loads(json.dumps(initializer_config(given)))) == given
    assert initializer(initializer_config(module_initializer)) is module_initializer
    with pytest.raises(ValueError, match="by name"):
        initializer_config(lambda shape, rng: np.zeros(shape))


def module_initializer(shape, rng):
    return rng.uniform(size=shape)


def test_a_callable_draws_from_the_generator():
    assert (sample(module_initializer) == np.random.default_rng(0).uniform(size=SHAPE)).all()


def ones(shape):
    """No initializer: it takes no generator."""
    return np.ones(shape)


def test_bad_input():
    with pytest.raises(ValueError, match="orthogonal.*got 'orthodox'"):
        initializer("orthodox")
    with pytest.raises(ValueError, match="Orthogonal.*got 'Orthodox'"):
        initializer({"class_name": "Orthodox", "config": {}})
    with pytest.raises(TypeError, match="3"):
        initializer(3)
    with pytest.raises(ValueError, match=r"\(40, 60\); got \(2,\)"):
        sample(lambda shape, rng: np.zeros(2))
    with pytest.raises(TypeError, match=r"called as \(shape, rng\) and returns an array; got ones\(shape\)"):
        sample(ones)
    with pytest.raises(ValueError, match="fan_in"):
        initializers.VarianceScaling(mode="fan")
    with pytest.raises(ValueError, match="uniform"):
        initializers.VarianceScaling(distribution="normal")


def test_axes_of_variance_scaling():
    """The fans are products of sizes of the axes that are named, times those of no name."""
    given = {"input_axes": [0], "output_axes": [1, 2]}
    for shape, fan_in, fan_out in (((32, 4, 16), 32, 64), ((32, 4, 16, 3), 96, 192)):
        for mode, fan in (("fan_in", fan_in), ("fan_out", fan_out), ("fan_avg", (fan_in + fan_out) / 2)):
            scaling = initializers.VarianceScaling(2.0, mode, "uniform", seed=0, **given)
            plain = initializers.VarianceScaling(2.0, "fan_in", "uniform", seed=0)(shape)
            factor = np.sqrt(math.prod(shape[:-1]) / fan)
            assert np.allclose(scaling(shape), plain * factor, rtol=1e-12)
    again = initializers.VarianceScaling.from_config(scaling.get_config())
    assert again == scaling and again.get_config()["output_axes"] == [1, 2]
    assert "input_axes" not in initializers.VarianceScaling().get_config()
    with pytest.raises(ValueError, match="expected axes of a shape of 2 axes, got 2"):
        scaling((2, 3))
