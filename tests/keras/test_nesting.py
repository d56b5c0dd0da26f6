"""Inputs and outputs of models as nested lists, tuples and dicts, in models of one's own and functional ones."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.keras import layers, ops

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(24, 5, 3)).astype("float32"), RNG.normal(size=(24, 4)).astype("float32")
UP, DOWN = RNG.normal(size=(24, 1)), RNG.normal(size=(24, 2))


class ByName(keras.Model):
    """Two inputs by name, two outputs by name, in another order than their losses."""

    def __init__(self):
        keras.utils.set_random_seed(1)
        super().__init__()
        self.recurrent, self.up, self.down = layers.GRU(4), layers.Dense(1), layers.Dense(2)

    def call(self, inputs, training=False):
        h = self.recurrent(inputs["a"]) + inputs["b"]
        return {"up": self.up(h), "down": self.down(h)}


class InOrder(ByName):
    """The same with lists."""

    def call(self, inputs, training=False):
        h = self.recurrent(inputs[0]) + inputs[1]
        return [self.down(h), self.up(h)]


LOSSES = {"down": "mse", "up": "mae"}
BATCHES = {"batch_size": 8, "epochs": 2, "verbose": 0}


def test_dicts_into_and_out_of_own_models():
    """The bits of the model with lists, from arrays, batches and single calls."""
    named, listed = ByName(), InOrder()
    named.compile("adam", LOSSES, metrics={"up": ["mse"]})
    listed.compile("adam", list(LOSSES.values()), metrics=[[], ["mse"]])
    x, y = {"a": A, "b": B}, {"up": UP, "down": DOWN}
    first = named.fit(x, y, **BATCHES).history
    second = listed.fit([A, B], [DOWN, UP], **BATCHES).history
    assert set(first) == {"loss", "up_loss", "down_loss", "up_mse"} and first["loss"] == second["loss"]
    for one, other in zip(named.get_weights(), listed.get_weights(), strict=True):
        assert np.array_equal(one, other)
    found = named.predict(x, batch_size=7, verbose=0)
    assert list(found) == ["up", "down"]
    assert np.array_equal(found["down"], listed.predict([A, B], batch_size=7, verbose=0)[0])
    assert named.evaluate(x, y, verbose=0) == listed.evaluate([A, B], [DOWN, UP], verbose=0)
    batches = [({"a": A[i : i + 8], "b": B[i : i + 8]}, {"up": UP[i : i + 8], "down": DOWN[i : i + 8]}) for i in (0, 8)]
    assert named.fit(iter(batches), verbose=0).history["loss"][0] > 0
    assert {n: one.shape for n, one in named.predict(iter(b[0] for b in batches), verbose=0).items()} == {
        "up": (16, 1),
        "down": (16, 2),
    }


def test_own_steps_of_models_with_dicts():
    class Own(ByName):
        def train_step(self, data):
            return super().train_step(data)

    plain, own = ByName(), Own()
    for one in (plain, own):
        one.compile("adam", LOSSES, metrics={"up": ["mse"]})
        one.fit({"a": A, "b": B}, {"up": UP, "down": DOWN}, **BATCHES)
    for one, other in zip(plain.get_weights(), own.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_layers_of_ones_own_with_dicts():
    class Mixed(layers.Layer):
        def build(self, shapes):
            self.kernel = self.add_weight(shape=(shapes["q"][-1], 2), name="kernel")

        def call(self, inputs):
            return inputs["q"] @ self.kernel, {"kept": inputs["k"]}

    given = {"q": keras.Input((3,)), "k": keras.Input((2,))}
    y, more = Mixed()(given)
    assert y.shape == (None, 2) and more["kept"].shape == (None, 2)
    model = keras.Model(given, [y, more["kept"]])
    x = {"q": B[:, :3], "k": DOWN.astype("float32")}
    assert np.array_equal(model(x)[1], x["k"]) and model(x)[0].shape == (24, 2)


def nested():
    """A model of nested inputs and outputs, and arrays for it."""
    i, j, k = keras.Input((1,)), keras.Input((2,)), keras.Input((3,))
    outputs = {"b": (layers.Dense(2)(j), layers.Dense(3)(k)), "a": layers.Dense(1)(i)}
    model = keras.Model({"1": i, "others": {"2": j, "3": k}}, outputs)
    return model, {"1": UP.astype("float32"), "others": {"2": DOWN.astype("float32"), "3": B[:, :3]}}


def test_nested_functional_models(tmp_path):
    model, x = nested()
    y = model(x)
    assert model.output_names == ["a", "b_0", "b_1"] and model.output["b"][1].shape == (None, 3)
    assert set(y) == {"a", "b"} and type(y["b"]) is tuple and y["b"][1].shape == (24, 3)
    symbols = model({"1": keras.Input((1,)), "others": {"2": keras.Input((2,)), "3": keras.Input((3,))}})
    assert symbols["b"][0].shape == (None, 2)
    model.compile("sgd", "mse")
    target = {"a": UP, "b": (DOWN, B[:, :3])}
    history = model.fit(x, target, verbose=0, epochs=2).history
    assert set(history) == {"loss", "a_loss", "b_0_loss", "b_1_loss"} and history["loss"][1] < history["loss"][0]
    found = model.predict(x, batch_size=7, verbose=0)
    assert np.array_equal(found["b"][0], model(x)["b"][0])
    model.save(tmp_path / "nested.keras")
    again = keras.models.load_model(tmp_path / "nested.keras")
    assert np.array_equal(again(x)["b"][1], found["b"][1])
    outputs, pullback = rk.Model.vjp(model, x)
    x_bar = pullback({"a": np.ones((24, 1)), "b": None}).x
    assert np.abs(x_bar["1"]).min() > 0 and not x_bar["others"]["3"].any() and outputs["a"].shape == (24, 1)
    with pytest.raises(ValueError, match="nested as"):
        model({"1": UP, "others": UP})


def test_more_inputs_than_a_model_has_are_left_out_with_a_warning():
    x = keras.Input((4,), name="b")
    model = keras.Model(x, layers.Dense(1)(x))
    with pytest.warns(UserWarning, match="left out: a"):
        found = model({"a": A, "b": B})
    assert np.array_equal(found, model(B)) and np.array_equal(found, model({"b": B}))


def test_an_axis_of_length_1_may_be_left_out():
    x = keras.Input((1,))
    model = keras.Model(x, layers.Dense(1)(x))
    model.compile("sgd", "mse")
    assert np.array_equal(model(UP[:, 0]), model(UP)) and np.array_equal(model(UP[..., None]), model(UP))
    assert model.fit(UP[:, 0], UP[:, 0], verbose=0).history["loss"]


def test_an_input_may_be_an_output():
    x = keras.Input((4,))
    model = keras.Model(x, {"double": x * 2, "same": x})
    assert np.array_equal(model(B)["same"], B) and np.array_equal(model(B)["double"], 2 * B)


def test_models_cloned_by_a_function():
    x = keras.Input((5, 3), name="x")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(1)])
    model = keras.Model(x, {"y": inner(layers.GRU(4)(x) * 2.0)})
    seen = []

    def with_bias(layer):
        seen.append(type(layer).__name__)
        return type(layer).from_config(layer.get_config())

    made = keras.models.clone_model(model, clone_function=with_bias, recursive=True)
    made.set_weights(model.get_weights())
    assert seen == ["GRU", "Dense", "Dense"] and np.array_equal(made(A)["y"], model(A)["y"])
    other = keras.models.clone_model(model, input_tensors=keras.Input((None, 3)))
    assert other.input_shape == (None, None, 3) and other(A)["y"].shape == (24, 1)
    assert keras.models.clone_model(inner, clone_function=with_bias)(B).shape == (24, 1)


def test_a_list_of_one_loss_is_the_loss():
    x = keras.Input((4,))
    model = keras.Model(x, {"y": layers.Dense(1)(x)})
    model.compile("sgd", {"y": ["mse"]})
    assert model.compiled and model.fit(B, {"y": UP}, verbose=0).history["loss"]
    assert ops.shape(model(B)["y"]) == (24, 1)
    with pytest.raises(AttributeError, match="left as they are"):
        model.layers = []
