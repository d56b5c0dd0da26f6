"""Losses that are one number for a batch."""

import copy

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.training.objective import Objective
from rnnkit.training.of_batch import BatchObjective, OfBatch, objective_of


def root(y_true, y_pred):
    return np.sqrt(np.mean(np.square(y_pred - y_true)))


def correlation(y_true, y_pred):
    a, b = y_true - np.mean(y_true), y_pred - np.mean(y_pred)
    return 1 - np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))


@pytest.mark.parametrize("function", [root, correlation])
@pytest.mark.parametrize("shape", [(5, 1), (4, 3), (3, 4, 2)])
def test_the_gradient_is_that_of_the_number(function, shape, rng):
    y_true, y_pred = rng.normal(size=shape), rng.normal(size=shape)
    part = objective_of(OfBatch(function))(y_true, y_pred)
    assert np.isclose(part.total / part.count, function(y_true, y_pred), rtol=1e-12)
    found, expected = part.pull(1 / part.count), np.empty(shape)
    for at in np.ndindex(shape):
        moved = np.zeros(shape)
        moved[at] = 1e-6
        expected[at] = (function(y_true, y_pred + moved) - function(y_true, y_pred - moved)) / 2e-6
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_a_loss_of_rows_is_what_it_is_without(rng):
    def rows(y_true, y_pred):
        return np.mean(np.abs(y_true - y_pred), axis=-1)

    y_true, y_pred, mask = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 2)), rng.random((3, 4)) < 0.5
    weight = rng.random((3, 4))
    a, b = (one(y_true, y_pred, mask, weight) for one in (BatchObjective(OfBatch(rows)), Objective(rows)))
    assert a.total == b.total and a.count == b.count and np.array_equal(a.pull(), b.pull())


def test_a_mean_over_rows_trains_as_the_loss_of_rows_does(rng):
    x = rng.normal(size=(12, 4, 2)).astype("float32")
    weights = []
    for loss in ("mse", OfBatch(lambda y_true, y_pred: np.mean(np.square(y_true - y_pred)), "own")):
        model = rk.Sequential([rk.GRU(3), rk.Dense(1)], seed=0)
        model.compile("adam", loss)
        history = copy.deepcopy(model).fit(x, x[:, 0, :1], epochs=6, batch_size=5)
        model.fit(x, x[:, 0, :1], epochs=6, batch_size=5)
        assert np.allclose(history.history["loss"], model.history.history["loss"])
        weights.append(model.get_weights())
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(*weights, strict=True))


def test_what_can_not_be_applied_to_one_number(rng):
    objective = BatchObjective(OfBatch(root))
    y = rng.normal(size=(3, 4, 1))
    with pytest.raises(ValueError, match="a mask of steps can't be applied"):
        objective(y, y + 1, np.array([[1, 1, 0, 1]] * 3))
    with pytest.raises(ValueError, match="weights can't be applied"):
        objective(y, y + 1, None, np.ones(3))
    assert objective(y, y + 1, np.ones((3, 4))).total == pytest.approx(3.0)
    with pytest.raises(ValueError, match="known derivatives"):
        BatchObjective(OfBatch(lambda y_true, y_pred: np.ptp(np.gradient(y_pred[:, 0]))))(y[:, 0], y[:, 0])
