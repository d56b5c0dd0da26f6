"""Inputs that may be missing in a call, and inputs that lead to no output."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.models.subclassed import SubclassedLayer

RNG = np.random.default_rng(0)
X, O = (RNG.normal(size=(12, 5, 3)).astype("float32") for _ in range(2))
Y = RNG.normal(size=(12, 1)).astype("float32")


class Plus(SubclassedLayer):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.dense = rk.Dense(3, seed=0)

    def call(self, x, other=None):
        return self.dense(x) if other is None else self.dense(x) + other


def parts(**optional):
    x, other = rk.Input((None, 3), name="x"), rk.Input((None, 3), name="other", **optional)
    plus = Plus()
    return x, other, plus, rk.Dense(1, seed=2)(rk.GRU(2, seed=1)(plus(x, other)))


def model(nested=lambda x, other: {"x": x, "other": other}):
    x, other, _, y = parts(optional=True)
    made = rk.Model(nested(x, other), y)
    made.compile("sgd", "mse")
    return made


def without():
    """The same model without the input."""
    x = rk.Input((None, 3), name="x")
    made = rk.Model(x, rk.Dense(1, seed=2)(rk.GRU(2, seed=1)(Plus()(x))))
    made.compile("sgd", "mse")
    return made


def test_a_call_without_it_is_that_of_a_model_without_it():
    """In the bits of calls, gradients, predictions, evaluations and fits, from dicts, lists and batches."""
    several, one = model(), without()
    for x in ({"x": X, "other": None}, {"x": X}):
        assert np.array_equal(several(x), one(X))
    assert np.array_equal(model(lambda x, other: [x, other])([X, None]), one(X))
    outputs, pullback = several.vjp({"x": X, "other": None})
    gradient, expected = pullback(np.ones_like(outputs)), one.vjp(X)[1](np.ones_like(outputs))
    assert np.array_equal(gradient.x["x"], expected.x) and gradient.x["other"] is None
    assert np.array_equal(several.predict({"x": X, "other": None}, batch_size=5), one.predict(X, batch_size=5))
    batches = {"batch_size": 4, "epochs": 3, "verbose": 0, "shuffle": False}
    found = several.fit({"x": X, "other": None}, Y, **batches).history["loss"]
    assert found == one.fit(X, Y, **batches).history["loss"]
    assert several.evaluate({"x": X, "other": None}, Y, verbose=0) == one.evaluate(X, Y, verbose=0)
    of_batches = [({"x": X[i : i + 4], "other": None}, Y[i : i + 4]) for i in (0, 4, 8)]
    assert (
        several.fit(iter(of_batches), verbose=0).history["loss"]
        == one.fit(X, Y, **batches | {"epochs": 1}).history["loss"]
    )
    for a, b in zip(several.get_weights(), one.get_weights(), strict=True):
        assert np.array_equal(a, b)
    there = several.predict({"x": X, "other": O})
    assert not np.array_equal(there, several.predict({"x": X, "other": None})) and there.shape == (12, 1)


def test_files_and_copies_have_it(tmp_path):
    several = model()
    several.save(tmp_path / "model.rnnkit")
    again = rk.load_model(tmp_path / "model.rnnkit", {"Plus": Plus})
    assert np.array_equal(again({"x": X, "other": None}), several({"x": X, "other": None}))
    assert [one.get("optional", False) for one in again.get_config()["inputs"]] == [False, True]


def test_what_is_missing_without_being_optional():
    x, other, plus, y = parts()
    needs = rk.Model({"x": x, "other": other}, y)
    with pytest.raises(TypeError, match="input 'other' to hold real numbers, got None"):
        needs({"x": X, "other": None})
    with pytest.raises(TypeError, match="input 'x' to hold real numbers, got None"):
        model()({"x": None, "other": O})
    x, other, plus, _ = parts(optional=True)
    first = rk.Model([x, other], rk.Add()([plus(x), other]))
    assert first([X, O]).shape == X.shape
    with pytest.raises(ValueError, match="'add' takes first, got None"):
        first([X, None])
    needs.compile("sgd", "mse")
    with pytest.raises(ValueError, match="expected x for 'other' too, got None"):
        needs.fit({"x": X, "other": None}, Y, verbose=0)


def test_an_input_that_leads_nowhere_is_warned_of_and_ignored():
    x, unused = rk.Input((3,), name="x"), rk.Input((2,), name="unused")
    with pytest.warns(UserWarning, match="'unused' leads to none"):
        made = rk.Model([x, unused], rk.Dense(1, seed=0)(x))
    a, b = X[:, 0], O[:, 0, :2]
    outputs, pullback = made.vjp([a, b])
    assert np.array_equal(outputs, rk.Model(x, made.layers[0](x))(a)) and pullback(np.ones_like(outputs)).x[1] is None
    made.compile("sgd", "mse")
    losses = made.fit([a, b], Y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
