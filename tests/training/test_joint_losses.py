"""Losses nested as outputs are: of several outputs together, and several of one output."""

from collections import namedtuple

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.steps.nesting import leaves_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype("float32")
U, V, W = (RNG.normal(size=(24, 1)).astype("float32") for _ in range(3))
BATCHES = {"batch_size": 8, "epochs": 4, "verbose": 0, "shuffle": False}
Pair = namedtuple("Pair", ["u", "v"])


def squares(y_true, y_pred):
    """The sum of the mean squared errors of nested arrays, by row."""
    pairs = zip(leaves_of(y_true), leaves_of(y_pred), strict=True)
    return sum(np.mean(np.square(true - predicted), axis=-1) for true, predicted in pairs)


def as_model(nested, kind=rk.Model):
    """A model whose outputs are three dense layers, nested, with the same weights each time."""
    x = rk.Input((3,))
    u, v, w = (rk.Dense(1, name=name, seed=i)(x) for i, name in enumerate("uvw"))
    return kind(x, nested(u, v, w), seed=0)


class OwnStep(keras.Model):
    def __init__(self, inputs, outputs, seed):
        super().__init__(inputs, outputs)

    def train_step(self, data):
        return super().train_step(data)


CASES = [  # nesting of the outputs, losses that are together the three mean squared errors, and their names
    (lambda u, v, w: [u, v, w], (squares, [None] * 3), ["u_v_w"]),
    (lambda u, v, w: (u, v, w), ["mse", "mse", "mse"], ["u", "v", "w"]),
    (lambda u, v, w: [(u, v), w], [squares, "mse"], ["u_v", "w"]),
    (lambda u, v, w: [Pair(u, v), w], [("mse", "mse"), "mse"], ["u", "v", "w"]),
    (lambda u, v, w: {"a": [u, v], "b": w}, {"a": squares, "b": "mse"}, ["a", "b"]),
    (lambda u, v, w: {"a": [u, v], "b": {"c": w}}, {"a": ["mse", "mse"], "b": squares}, ["a_0", "a_1", "b_c"]),
    (lambda u, v, w: {"a": {"d": (u, v)}, "b": w}, {"a": {"d": [squares]}, "b": "mse"}, ["a_d", "b"]),
]


@pytest.mark.parametrize("kind", [rk.Model, OwnStep])
@pytest.mark.parametrize(("nested", "loss", "names"), CASES)
def test_they_add_up_to_the_losses_of_single_outputs(nested, loss, names, kind):
    """The same loss, also of each epoch and of an evaluation, and the same weights, in `fit` and in own steps."""
    y = nested(U, V, W)
    plain, joint = as_model(nested), as_model(nested, kind)
    plain.compile("sgd", "mse")
    joint.compile("sgd", loss)
    expected, found = plain.fit(X, y, **BATCHES).history, joint.fit(X, y, **BATCHES).history
    assert np.allclose(found["loss"], expected["loss"], rtol=1e-5)
    logged = {name for name in found if name.endswith("_loss")}
    assert logged == ({f"{name}_loss" for name in names} if len(names) > 1 else set())
    assert np.allclose(sum(np.array(found[name]) for name in logged), expected["loss"], rtol=1e-5) or not logged
    for one, other in zip(joint.get_weights(), plain.get_weights(), strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-6)
    losses = [one.evaluate(X, y, verbose=0, return_dict=True)["loss"] for one in (joint, plain)]
    assert np.isclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("kind", [rk.Model, OwnStep])
def test_several_losses_of_one_output_and_weights_of_all(kind):
    nested = lambda u, v, w: [u, (v, w)]
    plain, joint = as_model(nested), as_model(nested, kind)
    plain.compile("sgd", ["mse", ("mae", None)], loss_weights=[0.5, (2.0, 1.0)])
    joint.compile("sgd", [("mse", "mae"), [squares, ("mae", None)]], loss_weights=[(0.5, 0.0), [0.0, (2.0, 1.0)]])
    y = [U, (V, W)]
    expected, found = (one.fit(X, y, **BATCHES).history for one in (plain, joint))
    assert np.allclose(found["loss"], expected["loss"], rtol=1e-5)
    assert {name for name in found if name.endswith("loss")} == {"loss", "u_loss", "v_w_loss", "v_loss"}
    assert joint.metrics_names[0] == "loss" and len(joint.evaluate(X, y, verbose=0)) == len(joint.metrics_names)


def test_a_gradient_goes_to_every_output():
    model = as_model(lambda u, v, w: [u, v, w])
    model.compile("sgd", (lambda t, p: np.mean(p[0] * p[1] * p[2]), [None] * 3))
    before = model.get_weights()
    model.train_on_batch(X, [U, V, W])
    assert not any(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("loss", "weights", "words"),
    [
        ([squares, "mse", ("mse", ["mse"])], None, "expected a loss for each of 3 outputs"),
        ({"a": squares, "c": [squares]}, None, "got one of 'c'"),
        ({"a": "mse", "b": "mse"}, None, "expected a loss for each of 2 outputs"),
        ({"a": squares, "b": "mse"}, [1.0], "2 numbers; got 1"),
        ({"a": [squares, "mse", "mse"]}, None, "nested as the outputs"),
        ({"a": squares, "b": {"c": "mse"}}, None, "nested as the outputs"),
    ],
)
def test_what_does_not_fit_is_refused_by_compile(loss, weights, words):
    with pytest.raises(ValueError, match=words):
        as_model(lambda u, v, w: {"a": [u, v], "b": w}).compile("sgd", loss, loss_weights=weights)


def test_what_a_joint_loss_can_not_have():
    model = as_model(lambda u, v, w: {"a": [u, v], "b": w})
    model.compile("sgd", {"a": squares, "b": "mse"})
    y = {"a": [U, V], "b": W}
    with pytest.raises(ValueError, match="weights can't be applied"):
        model.fit(X, y, sample_weight=np.ones(24), verbose=0)
    with pytest.raises(ValueError, match="one loss for each output"):
        model.fit(X, y, parts=2, verbose=0)
    with pytest.raises(ValueError, match="one loss for each output"):
        model._compiled.get_config()
    with pytest.raises(ValueError, match="a target for the output 'a_1'"):
        model.train_on_batch(X, {"a": [U, None], "b": W})
