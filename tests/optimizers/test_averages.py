"""Averages of weights, gradients of several batches, and weights that don't decay: equal to loops by hand."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.optimizers import CLASSES

RNG = np.random.default_rng(0)
KINDS = [name for name in CLASSES if name != "LBFGS"]


def grads(count):
    return [RNG.normal(size=(3, 2)).astype("float32") for _ in range(count)]


@pytest.mark.parametrize("name", KINDS)
def test_an_average_follows_the_weights(name):
    """The first one is the weight; later ones keep their share, also where updates are repeated from a recording."""
    plain, own = CLASSES[name](0.1), CLASSES[name](0.1, use_ema=True, ema_momentum=0.9)
    w = v = np.ones((3, 2), "float32")
    average = None
    for g in grads(8):
        w, v = (opt.apply({"w": one}, {"w": g})["w"] for opt, one in ((plain, w), (own, v)))
        average = w if average is None else 0.9 * average + 0.1 * w
        assert np.array_equal(w, v)
        assert np.allclose(own.get_state()["ema/w"], average, atol=1e-6)


def test_averages_take_the_place_of_the_weights():
    optimizer = rk.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3)
    w = np.array([3.0, 4.0])
    found = []
    for _ in range(3):
        w = optimizer.apply({"w": w}, {"w": np.ones(2)})["w"]
        found.append(w.tolist())
    assert np.allclose(found, [[2, 3], [1, 2], [1.71, 2.71]])


@pytest.mark.parametrize("name", KINDS)
def test_gradients_of_several_batches_change_weights_by_their_mean(name):
    one, three = (CLASSES[name](0.1, weight_decay=0.05, gradient_accumulation_steps=n) for n in (None, 3))
    w = v = np.full((3, 2), 0.7, "float32")
    for _ in range(4):
        several = grads(3)
        w = one.apply({"w": w}, {"w": np.mean(several, axis=0, dtype="float32")})["w"]
        for k, g in enumerate(several):
            before, v = v, three.apply({"w": v}, {"w": g})["w"]
            assert k == 2 or np.array_equal(v, before)
        assert np.allclose(w, v, atol=1e-5) and three.iterations == one.iterations


def test_a_fit_with_averages_ends_with_them():
    x, y = np.ones((8, 1), "float32"), np.zeros((8, 1), "float32")
    model = rk.Sequential([rk.Dense(1, kernel_initializer="ones", use_bias=False)])
    model.compile(rk.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9), "mse")
    model.fit(x, y, batch_size=1, epochs=2, verbose=0)
    w, average = 1.0, None
    for _ in range(16):
        w -= 0.05 * 2 * w
        average = w if average is None else 0.9 * average + 0.1 * w
    assert np.isclose(model.weights["0/kernel"].item(), average, atol=1e-6)
    again = rk.optimizers.get(rk.optimizers.config_of(model.optimizer))
    assert again.use_ema and again.ema_momentum == 0.9


def test_weights_that_do_not_decay():
    layer = rk.Dense(2, kernel_initializer="ones", bias_initializer="ones", name="dense")
    layer.build((None, 2))
    for by in ({"var_names": ["bias$"]}, {"var_list": [layer.variables[1]]}):
        optimizer = rk.optimizers.SGD(1.0, weight_decay=0.1)
        optimizer.exclude_from_weight_decay(**by)
        layer.set_weights([np.ones((2, 2)), np.ones(2)])
        optimizer.apply([np.zeros((2, 2), "float32"), np.zeros(2, "float32")], layer.variables)
        assert np.allclose(layer.weights["kernel"], 0.9) and np.array_equal(layer.weights["bias"], [1, 1])
    with pytest.raises(ValueError, match="before"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])
    with pytest.raises(ValueError, match="clipvalue"):
        rk.optimizers.SGD(gradient_accumulation_steps=2, clipnorm=1.0)
    with pytest.raises(ValueError, match="ema_momentum"):
        rk.optimizers.SGD(use_ema=True, ema_momentum=2)


def test_averages_of_an_ensemble():
    """Each member ends with those of a fit of its own."""
    x, y = RNG.normal(size=(16, 3)).astype("float32"), RNG.normal(size=(16, 1)).astype("float32")

    def model(seed):
        return rk.Sequential([rk.Dense(1)], seed=seed)

    many, fit = model(1).ensemble(2), {"batch_size": 4, "epochs": 2, "verbose": 0, "shuffle": False}
    many.compile(rk.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    many.fit(x, y, **fit)
    for k in range(2):
        one = model(1 + k)
        one.compile(rk.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
        one.fit(x, y, **fit)
        assert np.allclose(many.predict(x)[k], one.predict(x), atol=1e-5)
