"""Losses inside of layers: `add_loss` and `activity_regularizer`, against sums in NumPy and numerical gradients."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.keras import layers, ops

X = np.random.default_rng(0).normal(size=(24, 6)).astype("float32")
BATCH = 8


class Divergence(layers.Layer):
    """A mean over the whole batch, and a sum of a weight."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(2,), initializer="ones", name="scale")

    def call(self, inputs):
        mean, log_variance = inputs
        parts = 1 + log_variance - ops.square(mean) - ops.exp(log_variance)
        self.add_loss(-0.05 * ops.mean(ops.sum(parts, axis=1)))
        self.add_loss(ops.sum(ops.square(self.scale)) * ops.max(mean) / 100)
        return self.scale * mean


def losses(w, x):
    """Return the loss of `model`, and its parts inside."""
    hidden = np.tanh(x @ w[0] + w[1])
    mean, log_variance, scale = hidden @ w[2] + w[3], hidden @ w[4] + w[5], w[6]
    added = [
        0.02 * np.sum(hidden**2) / len(x),
        -0.05 * np.mean(np.sum(1 + log_variance - mean**2 - np.exp(log_variance), axis=1)),
        np.sum(scale**2) * np.max(mean) / 100,
    ]
    return np.mean((scale * mean @ w[7] + w[8] - x) ** 2) + sum(added), added


def gradient(w, x):
    found = [np.zeros_like(one) for one in w]
    for array, own in zip(w, found, strict=True):
        for at in np.ndindex(array.shape):
            old, ends = array[at], []
            for step in (1e-5, -1e-5):
                array[at] = old + step
                ends.append(losses(w, x)[0])
            array[at], own[at] = old, (ends[0] - ends[1]) / 2e-5
    return found


def model(kind=keras.Model):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6,))
    hidden = layers.Dense(4, activation="tanh", activity_regularizer=keras.regularizers.L2(0.02))(inputs)
    outputs = layers.Dense(6)(Divergence()([layers.Dense(2)(hidden), layers.Dense(2)(hidden)]))
    return kind(inputs, outputs)


class OwnStep(keras.Model):
    def train_step(self, data):
        x, y = data
        with keras.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = ops.mean(ops.square(y_pred - y)) + sum(self.losses)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


class DefaultStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


@pytest.mark.parametrize("kind", [keras.Model, OwnStep, DefaultStep])
def test_fit_adds_the_losses_of_layers_and_their_gradients(kind):
    found, rate = model(kind), 0.1
    found.compile(keras.optimizers.SGD(rate), "mse")
    w = [one.astype(np.float64) for one in found.get_weights()]
    x, epochs = X.astype(np.float64), []
    history = found.fit(X, X, batch_size=BATCH, epochs=4, shuffle=False, verbose=0).history["loss"]
    for _ in range(4):
        batches = []
        for rows in x.reshape(3, BATCH, 6):
            batches.append(losses(w, rows)[0])
            w = [one - rate * d for one, d in zip(w, gradient(w, rows), strict=True)]
        epochs.append(batches[-1] if kind is OwnStep else np.mean(batches))
    np.testing.assert_allclose(history, epochs, rtol=1e-5)
    for one, own in zip(found.get_weights(), w, strict=True):
        np.testing.assert_allclose(one, own, rtol=1e-4, atol=1e-5)


def test_evaluate_and_losses_have_them():
    found = model()
    found.compile("sgd", "mse")
    loss, added = losses(found.get_weights(), X)
    for _ in range(5):  # the later ones are repeated
        assert found.evaluate(X, X, batch_size=24, verbose=0) == pytest.approx(loss, rel=1e-5)
        found(X)
        np.testing.assert_allclose(found.losses, added, rtol=1e-5)
        found.predict(X, verbose=0)
    keras.Sequential([found])(X[:3])
    np.testing.assert_allclose(found.losses, losses(found.get_weights(), X[:3])[1], rtol=1e-5)


@pytest.mark.parametrize("name", ["l1", "l2", "l1_l2"])
@pytest.mark.parametrize("make", [lambda **k: rk.GRU(3, **k), lambda **k: rk.Dense(3, **k)])
def test_activity_regularizer_of_any_layer(make, name):
    layer = make(activity_regularizer=name, seed=0)
    x = np.random.default_rng(0).normal(size=(5, 4, 2)).astype("float32")
    assert not layer.losses
    for _ in range(5):
        y = layer(x)
        assert layer.losses == [pytest.approx(rk.regularizers.get(name)(y) / 5)]
    again = type(layer).from_config(layer.get_config())
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    again(x[:2])
    assert again.losses == [pytest.approx(rk.regularizers.get(name)(y[:2]) / 2, rel=1e-5)]
    assert "activity_regularizer" not in make().get_config()
    np.testing.assert_array_equal(layer.vjp(x)[1](np.ones_like(y)).x, make(seed=0).vjp(x)[1](np.ones_like(y)).x)


def test_losses_of_layers_alone_train_a_model():
    class Alone(layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(6,), initializer="ones", name="w")

        def call(self, inputs, training=False):
            if training:
                self.add_loss(ops.mean(self.w * self.w))
            return inputs

    found = keras.Sequential([Alone()])
    found.compile("sgd")
    assert found.fit(X, epochs=2, verbose=0).history["loss"][0] == 1.0
    assert (found.layers[0].w.numpy() < 1).all()
    plain = keras.Sequential([layers.Dense(1)])
    plain.compile("sgd")
    with pytest.raises(ValueError, match="expected a loss to train"):
        plain.fit(X, verbose=0)


def test_what_losses_of_layers_cannot_do_is_said():
    class Mixed(layers.Layer):
        def call(self, inputs):
            return inputs - ops.mean(inputs)

    with pytest.raises(ValueError, match="mixes rows"):
        Mixed()(X)
    found = model()
    found.compile("sgd", "mse")
    with pytest.raises(ValueError, match="adds one of a whole batch"):
        found.fit(X, X, parts=2, verbose=0)
    with pytest.raises(ValueError, match="activity_regularizer"):
        layers.Bidirectional(layers.GRU(2, activity_regularizer="l2"))
    with pytest.raises(ValueError, match="activity_regularizer"):
        layers.TimeDistributed(layers.Dense(2, activity_regularizer="l2"))


class Watching(layers.Layer):
    """Counts its calls, and keeps an average over their batches."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
        self.mean = self.add_weight(shape=(6,), initializer="zeros", trainable=False, name="mean")

    def call(self, inputs):
        self.calls.assign_add(1)
        self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(inputs, axis=0))
        return inputs * self.calls


@pytest.mark.parametrize("kind", [keras.Model, DefaultStep])
def test_call_assigns_weights_in_every_way_of_calling(kind):
    inputs = keras.Input((6,))
    found = kind(inputs, layers.Dense(1)(Watching()(inputs)))
    found.compile(keras.optimizers.SGD(1e-4), "mse")
    watching = found.layers[1]
    calls, mean = 0, np.zeros(6)

    def check(rows, batch, epochs=1):
        nonlocal calls, mean
        for _ in range(epochs):
            for first in range(0, rows, batch):
                calls, mean = calls + 1, 0.9 * mean + 0.1 * X[first : first + batch].mean(axis=0)
        assert watching.calls.numpy() == calls
        np.testing.assert_allclose(watching.mean.numpy(), mean, atol=1e-6)

    y = X[:, :1]
    found.fit(X, y, batch_size=6, epochs=3, shuffle=False, verbose=0)
    check(24, 6, 3)
    for _ in range(5):
        found.evaluate(X, y, batch_size=8, verbose=0)
        check(24, 8)
        found.predict(X, batch_size=12, verbose=0)
        check(24, 12)
        np.testing.assert_allclose(watching(X), X * (calls + 1), rtol=1e-6)
        check(24, 24)
    watching.calls.assign(100)
    np.testing.assert_allclose(watching(X), X * 101, rtol=1e-6)
    if kind is not keras.Model:  # nothing undoes a step of one's own
        return
    with pytest.raises(FloatingPointError):
        found.fit(np.full_like(X, np.nan), y, batch_size=24, verbose=0)
    assert watching.calls.numpy() == 101 and np.isfinite(watching.mean.numpy()).all()


def test_what_call_cannot_assign_is_said():
    class Wrong(layers.Layer):
        def __init__(self, value, trainable):
            super().__init__()
            self.value = value
            self.w = self.add_weight(shape=(6,), trainable=trainable)

        def call(self, inputs):
            self.w.assign(self.value(inputs))
            return inputs

    for value, trainable, words in (
        (lambda x: np.zeros(6), True, "trainable=False"),
        (lambda x: x, False, "over the whole batch"),
        (lambda x: np.zeros((2, 6)), False, r"shape \(6,\)"),
        (lambda x: ops.mean(x, axis=0, keepdims=True), False, r"shape \(6,\)"),
    ):
        with pytest.raises(ValueError, match=words):
            Wrong(value, trainable)(X)


class Coded(layers.Layer):
    """Layers inside, and losses over the batch and of rows, which no export has."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.mean, self.spread = layers.Dense(3, activity_regularizer="l1"), layers.Dense(3, activation="softplus")

    def call(self, inputs, training=False):
        mean, spread = self.mean(inputs), self.spread(inputs)
        self.add_loss(keras.ops.mean(mean**2 + spread))
        return mean + 2 * spread if training else 2 * mean


def test_exports_compute_outputs_without_losses(tmp_path):
    pytest.importorskip("onnxruntime")
    from onnx_runs import Exported, near

    inputs = keras.Input((6, 3))
    hidden = layers.GRU(4, return_sequences=True, activity_regularizer="l2")(inputs)
    model = keras.Model(inputs, layers.Dense(2, activity_regularizer="l2")(Coded()(hidden)))
    x = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("float32")
    y = model(x)
    assert len(model.losses) == 4
    near(Exported(model)(x), y)
    open_ = keras.Input((None, 3))
    model = keras.Model(open_, Coded()(open_))
    near(Exported(model)(x[:, :4]), model(x[:, :4]))

    class Counts(layers.Layer):
        def build(self, shape):
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

        def call(self, inputs):
            self.count.assign_add(1)
            return 2 * inputs

    with pytest.raises(ValueError, match="its call assigns weights"):
        rk.onnx.export(keras.Model(inputs, Counts()(inputs)), tmp_path / "counts.onnx")


def test_c_code_is_that_of_a_model_without_penalties(tmp_path):
    found = []
    for penalty in ("l2", None):
        inputs = rk.Input((6, 3))  # of one length, which the recorded test has, too
        hidden = rk.GRU(4, activity_regularizer=penalty)(inputs)
        model = rk.Model(inputs, rk.Dense(2, activity_regularizer=penalty)(hidden), seed=0)
        made = rk.export_c(model, tmp_path / str(penalty), "model")
        found.append({file.name: file.read_text() for file in made.files})
    assert found[0] == found[1]


def test_the_losses_are_those_of_the_last_call_also_where_it_is_repeated():
    class InTraining(keras.layers.Layer):
        def call(self, x, training=False):
            if training:
                self.add_loss(np.sum(x**2))
            return 2 * x

    x = keras.Input((6,))
    found = keras.Model(x, InTraining()(x))
    for k in range(20):
        assert (found(X, training=k % 3 == 0) == 2 * X).all()
        assert len(found.losses) == (k % 3 == 0)


@pytest.mark.parametrize("inside", [False, True])
def test_a_mask_changes_neither_states_nor_weights(inside):
    class Counts(keras.layers.Layer):
        def build(self, shape):
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")
            self.recurrent = layers.GRU(2, stateful=True, return_sequences=True)

        def call(self, x, mask=None):
            self.count.assign_add(1)
            return self.recurrent(x, mask=mask)

    x, mask = np.ones((2, 3, 4), "float32"), np.array([[1, 1, 0], [1, 0, 1]], bool)
    counts = Counts()
    given = keras.Input((3, 4), batch_size=2)
    found = keras.Model(given, counts(given)) if inside else counts
    now = lambda: [counts.count.numpy(), *np.ravel(counts.recurrent.states)]
    for _ in range(5):
        found(x)
        before = now()
        assert (found.compute_mask(x, mask) == mask).all()
        assert before == now()
    assert counts.count.numpy() == 5


def test_a_call_that_adds_losses_is_read_once():
    read = []

    class Adds(keras.layers.Layer):
        def call(self, x):
            read.append(x)
            self.add_loss(np.mean(x**2))
            return 2 * x

    x = keras.Input((6,))
    layer = Adds()
    found = keras.Model(x, layer(x))
    y = found(X)
    count = len(read)
    for k in range(1, 20):
        assert (found(k * X) == k * y).all()
        np.testing.assert_allclose(found.losses, np.mean((k * X) ** 2), rtol=1e-5)
        assert (layer(X) == y).all()
    assert len(read) == count
