"""Layers and models as classes: Keras's recorded results, and the laws of every layer."""

import copy
import json
import pathlib
import pickle

import keras_classes
import numpy as np
import pytest
from keras_classes import CASES, STEPS, TARGET, X

import rnnkit as rk
from rnnkit.layers.support.layer_tree import options_by_name
from rnnkit.layers.support.runner import SURE
from rnnkit.models.subclassed import SubclassedLayer, SubclassedModel

RECORDED = json.loads(pathlib.Path(__file__).with_name("keras_classes.json").read_text(encoding="utf-8"))
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", CASES)
def test_values_and_updates_are_those_that_keras_gave(name):
    model, x = keras_classes.ours(name)
    wanted = RECORDED[name]
    for training, outputs in zip((False, True), wanted["outputs"], strict=True):
        np.testing.assert_allclose(model(x, training=training).reshape(-1), outputs, rtol=0, atol=1e-10)
    model.compile(rk.optimizers.SGD(0.05), "mse")
    history = model.fit(x, TARGET, batch_size=6, epochs=3, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], wanted["losses"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(keras_classes.told(model.get_weights()), wanted["weights"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_central_differences(name):
    model, x = keras_classes.ours(name)
    outputs, pullback = model.vjp(x, training=True)
    assert outputs.tobytes() == model(x, training=True).tobytes()
    d, step = RNG.normal(size=outputs.shape), 1e-6
    gradient, weights = pullback(d), dict(model.weights)
    assert list(gradient.weights) == list(weights)
    for key, array in weights.items():
        way, losses = RNG.normal(size=array.shape), []
        for scale in (step, -step):
            model.weights[key] = array + scale * way
            losses.append((d * model(x, training=True)).sum())
        model.weights[key] = array
        found = (np.asarray(gradient.weights[key]) * way).sum()
        assert abs(found - (losses[0] - losses[1]) / (2 * step)) <= 1e-7 * max(1, abs(found)), key
    for key, one in pullback.pull_weights([d]).weights.items():
        np.testing.assert_array_equal(np.asarray(one), np.asarray(gradient.weights[key]))


@pytest.mark.parametrize("name", CASES)
def test_copies_and_files(name, tmp_path):
    model, x = keras_classes.ours(name)
    y = model(x)
    assert copy.deepcopy(model)(x).tobytes() == y.tobytes()
    other = copy.deepcopy(model)
    other.set_weights([2 * one + 1 for one in other.get_weights()])
    assert model(x).tobytes() == y.tobytes() != other(x).tobytes()
    model.save_weights(tmp_path / "weights.npz")
    other.load_weights(tmp_path / "weights.npz")
    assert other(x).tobytes() == y.tobytes()


@pytest.mark.parametrize("name", CASES)
def test_T13_a_fit_has_the_bits_of_the_ordinary_way(name, monkeypatch):
    histories = []
    for recorded in (True, False):
        model, x = keras_classes.ours(name)
        if not recorded:
            monkeypatch.setattr("rnnkit.training.updates.UpdateRunner.serve", lambda *_: None)
        model.compile(rk.optimizers.Adam(0.01), "mse")
        histories.append(model.fit(x, TARGET, batch_size=3, epochs=4, shuffle=False, verbose=0).history)
        histories.append([one.tobytes() for one in model.get_weights()])
        if recorded:
            (kind,) = model._update_runner._kinds.values()
            assert kind.refusal is None and kind.agreed == SURE
    assert histories[:2] == histories[2:]


# Classes of their own


class Scaled(SubclassedLayer):
    """Weights in __init__, in build, and of layers inside."""

    def __init__(self, units, rate=0.0, activation=None, **keywords):
        super().__init__(**keywords)
        self.units, self.rate = units, rate
        self.inside = {"first": [rk.Dense(units, activation=activation)]}
        self.shift = self.add_weight("shift", (1,), initializer=lambda shape, dtype=None: np.full(shape, 0.5))

    def build(self, input_shape):
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor", constraint="non_neg")
        self.fixed = self.add_weight(shape=(1, self.units), initializer="ones", trainable=False, name="fixed")

    def call(self, inputs, training=None):
        found = self.inside["first"][0](inputs * self.factor) @ self.fixed.T + self.shift
        return found * (1 - self.rate) if training else found


class Registered(SubclassedModel):
    """With a configuration of its own."""

    def __init__(self, units, **keywords):
        super().__init__(**keywords)
        self.units, self.scaled, self.recurrent = units, Scaled(units), rk.GRU(units, dropout=0.5)

    def call(self, inputs, training=None):
        return self.recurrent(self.scaled(inputs, training=training), training=training)

    def get_config(self):
        return {"units": self.units} | super().get_config()


def test_weights_by_attribute_and_their_order():
    layer = Scaled(3, seed=0)
    assert not layer.built and list(layer.weights) == []
    layer.build((None, None, 4))
    names = ["shift", "factor", "fixed", "inside.first.0/kernel", "inside.first.0/bias"]
    assert list(layer.weights) == names and layer.count_params() == 1 + 4 + 3 + 15
    assert list(layer.trainable_weights) == [name for name in names if name != "fixed"]
    assert options_by_name(layer)["factor"].constraint is not None
    layer.trainable = False
    assert not list(layer.trainable_weights)
    layer.weights["shift"] = [2.0]
    assert layer.shift.numpy() == [2.0] and layer.shift.shape == (1,)
    layer.shift.assign([3.0])
    assert layer.weights["shift"] == [3.0] and not layer.weights["shift"].flags.writeable


def test_the_same_seed_gives_the_same_bits():
    y = [Scaled(3, seed=seed)(X).tobytes() for seed in (0, 0, 1)]
    assert y[0] == y[1] != y[2]
    assert Registered(3, seed=4)(X).tobytes() == Registered(3, seed=4)(X).tobytes()
    wholes = [rk.Sequential([Scaled(3), rk.GRU(2)], seed=5)(X).tobytes() for _ in range(2)]
    assert wholes[0] == wholes[1]


def test_a_configuration_is_that_of_the_constructor_or_its_own(tmp_path):
    layer = Scaled(3, activation="tanh", seed=0, name="mine", dtype="float64")
    y = layer(X)
    twin = Scaled.from_config(json.loads(json.dumps(layer.get_config())))
    assert twin(X).tobytes() == y.tobytes() and twin.name == "mine"
    layer.save(tmp_path / "layer.npz")
    assert rk.load_model(tmp_path / "layer.npz")(X).tobytes() == y.tobytes()
    model = Registered(3, seed=1)
    model.compile("adam", "mse")
    model.fit(X, X[:, 0], epochs=2, verbose=0)
    model.save(tmp_path / "model.npz", optimizer=True)
    loaded = rk.load_model(tmp_path / "model.npz")
    assert loaded(X).tobytes() == model(X).tobytes()
    model.fit(X, X[:, 0], epochs=3, initial_epoch=2, verbose=0)
    loaded.fit(X, X[:, 0], epochs=3, initial_epoch=2, verbose=0)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))
    assert pickle.loads(pickle.dumps(model))(X).tobytes() == model(X).tobytes()


def test_one_layer_at_two_lengths():
    layer = Scaled(4, seed=0)
    long = RNG.normal(size=(2, 9, 3))
    y = layer(long)
    np.testing.assert_allclose(layer(long[:, :5]), y[:, :5], rtol=1e-6)
    assert layer.compute_output_shape((None, None, 3)) == (None, None, 1)
    assert layer.compute_output_shape((7, 5, 3)) == (7, 5, 1)
    x = rk.Input((None, 3))
    model = rk.Model(x, rk.GRU(2, seed=1)(layer(x)))
    assert model(long).shape == (2, 2) and model(long[:, :4]).shape == (2, 2)
    assert "layer" not in model.get_config()


def test_a_weight_that_depends_on_the_length_needs_one():
    class Fixed(SubclassedLayer):
        def __init__(self):
            super().__init__()
            self.dense = rk.Dense(2)

        def call(self, x):
            return self.dense(np.reshape(x, (-1, x.shape[1] * x.shape[2])))

    layer = Fixed()
    with pytest.raises(ValueError, match="features|shape"):
        layer(rk.Input((None, 3)))
    assert not layer.built and not layer.dense.built
    assert layer(X).shape == (len(X), 2) and layer.weights["dense/kernel"].shape == (3 * STEPS, 2)


def test_attributes_are_read_when_they_change():
    layer = Scaled(3, rate=0.5, seed=0)
    y = layer(X, training=True)
    layer.rate = 0.75
    np.testing.assert_allclose(layer(X, training=True), y / 2)
    np.testing.assert_allclose(layer(X), 2 * y)


def test_a_failed_build_changes_nothing():
    class Late(Scaled):
        fails = True

        def build(self, input_shape):
            super().build(input_shape)
            self.more = rk.Dense(2)
            if self.fails:
                raise RuntimeError("too early")

    layer = Late(3, seed=0)
    with pytest.raises(RuntimeError, match="too early"):
        layer(X)
    assert not layer.built and not list(layer.weights) and not hasattr(layer, "factor") and not hasattr(layer, "more")
    layer.fails = False
    assert layer(X).shape == (*X.shape[:2], 1) and layer.factor.shape == (3,)


class Wrong(SubclassedLayer):
    """Says something in call that can't be."""

    def __init__(self, say):
        super().__init__(name="wrong")
        self.dense, self.say = rk.Dense(2), say
        self.w = self.add_weight(shape=(3,), initializer="ones", name="w")

    def call(self, inputs):
        return self.say(self, inputs)


OTHER = rk.Dense(2)


@pytest.mark.parametrize(
    ("say", "error", "words"),
    [
        (lambda self, x: x if np.mean(x) > 0 else -x, ValueError, "batch axis"),
        (lambda self, x: x if x[:, 0, 0] > 0 else -x, TypeError, "decision by its values"),
        (lambda self, x: x * float(self.w[0]), TypeError, r"float\(\)"),
        (lambda self, x: x * np.array(self.w), TypeError, "asks for its numbers"),
        (lambda self, x: OTHER(x), ValueError, "make it in __init__"),
        (lambda self, x: x + self.add_weight(shape=(3,), name="late"), ValueError, "made in call"),
        (lambda self, x: self.w.assign(np.zeros(3)), ValueError, "leave weights"),
        (lambda self, x: None, TypeError, "got NoneType"),
        (lambda self, x: [], ValueError, "empty list"),
        (lambda self, x: self.dense(self.w * x) + self.dense(x[:, :2]), ValueError, "shape"),
        (lambda self, x: x - np.mean(x, axis=0), ValueError, "rows"),
    ],
)
def test_errors_in_call(say, error, words):
    layer = Wrong(say)
    with pytest.raises(error, match=words):
        layer(X)
    assert not layer.built and not layer.dense.built and not list(layer.weights)


def test_errors_around_classes():
    with pytest.raises(NotImplementedError, match="define call"):
        SubclassedLayer()(X)
    layer = Scaled(2)
    with pytest.raises(ValueError, match="twice"):
        layer.add_weight(shape=(1,), name="shift")
    with pytest.raises(TypeError, match="nonsense"):
        layer.add_weight(shape=(1,), nonsense=1)
    with pytest.raises(TypeError, match="unexpected|nonsense"):
        layer(X, nonsense=1)
    layer(X)
    with pytest.raises(ValueError, match="made later"):
        layer.add_weight(shape=(1,), name="late")
    with pytest.raises(ValueError, match="among scaled, recurrent"):
        Registered(2).get_layer("nonsense")
    assert Registered(2).get_layer("recurrent").name == "gru" and len(Registered(2).layers) == 2


def test_masks_go_by_the_layers_in_call_or_as_the_class_says():
    class Doubling(SubclassedLayer):
        def call(self, x):
            return x[:, ::-1] if self.turned else 2 * x

        turned = False

    mask = RNG.random(X.shape[:2]) < 0.6
    for supports in (False, True):
        layer = Doubling()
        layer.supports_masking = supports
        _, found, _ = layer._with_mask(X, mask, False)
        np.testing.assert_array_equal(found, mask)
    whole, parts = rk.Sequential([Doubling(), rk.GRU(3, seed=0)]), rk.GRU(3, seed=0)
    np.testing.assert_array_equal(whole(X, mask=mask), parts(2 * X, mask=mask))

    class Turning(Doubling):
        def compute_mask(self, inputs, mask=None):
            return ~mask

    assert Turning().supports_masking and not Doubling().supports_masking
    np.testing.assert_array_equal(Turning()._with_mask(X, mask, False)[1], ~mask)


def test_a_mask_that_call_needs_comes_when_it_runs():
    class Mean(SubclassedLayer):
        def __init__(self):
            super().__init__(seed=0)
            self.dense = rk.Dense(2)

        def call(self, x, mask=None):
            used = mask.astype("float64")[:, :, None]
            return np.sum(self.dense(x) * used, axis=1) / np.sum(used, axis=1)

    ids = rk.Input((None,), dtype="int64")
    layer = Mean()
    model = rk.Model(ids, layer(rk.Embedding(9, 3, mask_zero=True, dtype="float64", seed=1)(ids)))
    embedded = model.layers[0](keras_classes.IDS)
    assert model(keras_classes.IDS).tobytes() == layer(embedded, mask=keras_classes.IDS != 0).tobytes()


def test_rows_of_a_weight_by_ids():
    class Table(SubclassedLayer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=(9, 4), name="table")

        def call(self, ids):
            return np.take(self.table, ids[:, 1:].astype("int32"), axis=0)

    layer = Table(seed=0, dtype="float64")
    y, pullback = layer.vjp(keras_classes.IDS)
    ids = keras_classes.IDS[:, 1:]
    np.testing.assert_array_equal(y, layer.weights["table"][ids])
    counts = np.bincount(ids.reshape(-1), minlength=9)
    np.testing.assert_allclose(pullback(np.ones_like(y)).weights["table"], np.repeat(counts[:, None], 4, axis=1))
    x = rk.Input((None,), dtype="int64")
    assert x[:, 1:].dtype == "int64" and (x / 2).dtype == "float32" and (x[:, 0] > 1).dtype == bool
    assert rk.Model(x, layer(x))(keras_classes.IDS).tobytes() == y.tobytes()


def test_several_outputs_are_trained_by_lists_of_losses():
    class Two(SubclassedModel):
        def __init__(self):
            super().__init__(seed=0)
            self.recurrent, self.a, self.b = rk.GRU(3), rk.Dense(1), rk.Dense(2)

        def call(self, x):
            h = self.recurrent(x)
            return self.a(h), self.b(h)

    model = Two()
    model.compile("adam", ["mse", "mae"])
    history = model.fit(X, [X[:, 0, :1], X[:, 0, :2]], epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    first, second = model.predict(X)
    assert first.shape == (len(X), 1) and second.shape == (len(X), 2) and isinstance(model(X), tuple)
    assert "recurrent" in model.summary()


def test_cells_as_classes_are_cells_of_any_layer():
    class Gated(SubclassedLayer):
        state_size = property(lambda self: [self.units, self.units])

        def __init__(self, units, **keywords):
            super().__init__(**keywords)
            self.units, self.gate, self.inner = units, rk.Dense(units, activation="sigmoid"), Scaled(units)

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

        def call(self, inputs, states, training=None):
            h, c = states
            gate = self.gate(np.concatenate([inputs, h], axis=-1))
            c = gate * c + (1 - gate) * np.tanh(inputs @ self.kernel) * self.inner(inputs)
            h = np.tanh(c)
            return h, [h, c]

    layer = rk.RNN(Gated(3), return_sequences=True, seed=0, dtype="float64")
    mask = RNG.random(X.shape[:2]) < 0.7
    y = layer(X, mask=mask)
    assert rk.gradcheck(layer, X, mask=mask)
    with rk.eager():
        np.testing.assert_allclose(layer(X, mask=mask), y, atol=1e-12)
    other = copy.deepcopy(layer)
    assert other(X, mask=mask).tobytes() == y.tobytes()
    other.set_weights([2 * one for one in other.get_weights()])
    assert other(X, mask=mask).tobytes() != y.tobytes() == layer(X, mask=mask).tobytes()
    both = rk.Bidirectional(rk.RNN([Gated(2), rk.GRUCell(2)], return_sequences=True), seed=1)
    assert both(X).shape == (*X.shape[:2], 4) and "forward/0/gate/kernel" in both.weights

    class Unknown(SubclassedLayer):
        state_size = 3

        def __init__(self):
            super().__init__()
            self.unknown = rk.Reshape((3,))

        def call(self, inputs, states):
            return self.unknown(inputs), states

    with pytest.raises(ValueError, match="call of the cell 'unknown'.*got Reshape"):
        rk.RNN(Unknown())(X)


def test_layers_of_a_sequence_by_name_and_taken_away():
    model = rk.Sequential([rk.GRU(3, name="first"), rk.Dense(2), rk.Dense(1)], seed=0)
    y = model(X)
    assert model.get_layer("first") is model.layers[0] is model.get_layer(index=0)
    assert model.get_layer("dense") is model.layers[1]
    last = model.pop()
    assert list(model.weights)[-1] == "1/bias" and last(model(X)).tobytes() == y.tobytes()
    model.compile("adam", "mse")
    model.fit(X, X[:, 0, :2], epochs=1, verbose=0)
    for wrong in (lambda: model.get_layer("no"), lambda: model.get_layer(index=3), lambda: rk.Sequential().pop()):
        with pytest.raises(ValueError, match="expected"):
            wrong()


def test_an_array_of_one_row_is_repeated_for_layers():
    class Started(SubclassedLayer):
        def __init__(self):
            super().__init__(seed=0)
            self.recurrent = rk.GRU(4, return_sequences=True)

        def call(self, x):
            start = np.full((1, 4), 0.5)
            steps = self.recurrent(x, initial_state=start)
            parts = np.reshape(steps, (x.shape[0], x.shape[1], 2, 2)) + np.zeros((1, 1, 1, 2))
            return np.reshape(parts, (x.shape[0], -1))

    layer = Started()
    y = layer(X)
    wanted = layer.recurrent(X, initial_state=np.full((len(X), 4), 0.5)).reshape(len(X), -1)
    assert y.tobytes() == wanted.tobytes()


def test_a_weight_is_repeated_for_each_row_by_the_unknown_batch_size():
    class Started(SubclassedLayer):
        def build(self, shape):
            self.start = self.add_weight(shape=(2,), name="start")

        def call(self, x):
            rows = np.broadcast_to(self.start, (x.shape[0], 2))
            return rows, np.broadcast_to(self.start, shape=[x.shape[0], x.shape[1], 2]) + x[..., :2]

    layer, x = Started(seed=0), np.ones((3, 4, 2), "float32")
    for count in (3, 1, 0):
        rows, steps = layer(x[:count])
        np.testing.assert_array_equal(rows, np.broadcast_to(layer.weights["start"], (count, 2)))
        np.testing.assert_array_equal(steps, x[:count] + layer.weights["start"])
    assert rk.gradcheck(Started(seed=0), (3, 4, 2))


def test_what_call_cannot_do_is_refused_with_what_to_write():
    def own(call):
        return type("Own", (SubclassedLayer,), {"call": call})()

    for wrong in (1j, np.array([1j, 2.0])):
        with pytest.raises(TypeError, match="expected real numbers and arrays, .* got complex"):
            own(lambda self, x, wrong=wrong: x * wrong)(np.ones((3, 2)))
    with pytest.raises(ValueError, match="differentiated, got np.fft.fft$"):
        own(lambda self, x: np.fft.fft(x))(np.ones((3, 2)))
    with pytest.raises(TypeError, match="expected 'w' to hold real numbers, got dtype complex64"):
        own(lambda self, x: x).add_weight(shape=(2,), dtype="complex64", name="w")
    for made in (lambda x: np.zeros((x.shape[0], 2)), lambda x: range(x.shape[0]), lambda x: 2 * x.shape[0]):
        with pytest.raises(TypeError, match="`call` is read once for batches of any size; np.zeros_like"):
            own(lambda self, x, made=made: x + made(x))(np.ones((3, 2)))
    with pytest.raises(TypeError, match="^a fault of mine$"):
        own(lambda self, x: (_ for _ in ()).throw(TypeError("a fault of mine")))(np.ones((3, 2)))
    layer = own(lambda self, x: np.concatenate([np.zeros_like(x[:, :1]), np.full_like(x, 2.0)], axis=1))
    assert layer(np.ones((3, 2))).tolist() == [[0.0, 2.0, 2.0]] * 3


@pytest.mark.parametrize("where", [lambda layer: layer, lambda layer: rk.Sequential([layer])])
def test_T13_lists_dicts_and_arrays_that_call_reads_may_be_changed_in_place(where):
    class Scaled(SubclassedLayer):
        def __init__(self):
            super().__init__()
            self.factors, self.settings, self._nested = [2.0, 3.0], {"shift": 1.0}, ([1.0], {"by": [0.0]})
            self.array, self._arrays = np.array(1.0), [np.ones(3), (np.ones((2, 2)),)]

        def call(self, x):
            y = self.factors[0] * self.array * x + self.settings["shift"]
            y = y + self._nested[0][0] - self._nested[1]["by"][0]
            return y + self._arrays[0][1] * self._arrays[1][0][1, 0]

    def change(held, key, value):
        held[key] = value

    layer = Scaled()
    model = where(layer)
    steps = (
        lambda: change(layer.factors, 0, 5.0),
        lambda: change(layer.settings, "shift", -2.0),
        lambda: change(layer._nested[0], 0, 7.0),
        lambda: change(layer._nested[1]["by"], 0, 3.0),
        lambda: layer.factors.reverse(),
        lambda: change(layer.array, (), 0.5),
        lambda: change(layer._arrays[0], 1, -3.0),
        lambda: change(layer._arrays[1][0], (1, 0), 2.0),
    )
    for step in (lambda: None, *steps):
        step()
        factor = layer.factors[0] * layer.array
        wanted = factor * X + (layer.settings["shift"] + layer._nested[0][0] - layer._nested[1]["by"][0])
        wanted = wanted + layer._arrays[0][1] * layer._arrays[1][0][1, 0]
        for _ in range(SURE + 4):
            np.testing.assert_allclose(model(X), wanted, rtol=1e-12)
            y, pullback = model.vjp(X)
            np.testing.assert_allclose(pullback(np.ones_like(y)).x, np.full_like(X, factor))


@pytest.mark.parametrize("in_build", [False, True])
def test_C21_an_ensemble_of_a_class_of_ones_own_comes_back_from_a_file(in_build, tmp_path):
    class Inner(SubclassedLayer):
        def __init__(self, **keywords):
            super().__init__(**keywords)
            if not in_build:
                self.recurrent = rk.GRU(4)

        def build(self, shape):
            self.scale = self.add_weight(shape=shape[-1:], initializer="ones", name="scale")
            if in_build:
                self.recurrent = rk.GRU(4)

        def call(self, x):
            return self.recurrent(x * self.scale)

    members = Inner(seed=0).ensemble(2)
    y = members(X)
    np.testing.assert_array_equal(y[1], Inner(seed=1)(X))
    members.save(tmp_path / "members.rnnkit")
    loaded = rk.load_model(tmp_path / "members.rnnkit", custom_objects={"Inner": Inner})
    np.testing.assert_array_equal(loaded(X), y)
    built = Inner(seed=0, dtype="float64").ensemble(2)
    built.build((None, None, X.shape[-1]))
    np.testing.assert_array_equal(built(X), y)
