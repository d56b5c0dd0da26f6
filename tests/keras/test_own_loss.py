"""Training by an own `compute_loss` is repeated from recordings, and never by what the loss read before."""

import math
import random

import numpy as np
import pytest

from rnnkit import keras
from rnnkit.keras import layers, ops
from rnnkit.keras.reads import Unknown, facts_read

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(64, 5, 3)).astype("float32"), rng.normal(size=(64, 1)).astype("float32")

SCALE = 1.0
KEPT = []
SCALES = {"a": 1.0}
GENERATOR = np.random.default_rng(1)
TABLE = np.ones(1, "float32")
OUTSIDE = layers.Dense(1)
COUNTER = keras.metrics.Mean()


def scaled(loss):
    return SCALE * loss


def error(y, y_pred):
    return ops.mean(ops.square(y - y_pred))


def remembering(y, y_pred, kept=[]):  # noqa: B006
    kept.append(1.0)
    return len(kept) * error(y, y_pred)


def with_attribute(self, y, y_pred):
    return self.alpha * error(y, y_pred)


def with_global(self, y, y_pred):
    return scaled(error(y, y_pred))


def with_class_attribute(self, y, y_pred):
    return self.beta * error(y, y_pred)


def with_method(self, y, y_pred):
    return self.weighed(error(y, y_pred))


def with_property(self, y, y_pred):
    return self.twice * error(y, y_pred)


def with_closure():
    factor = 1.0

    def loss(self, y, y_pred):
        return factor * error(y, y_pred)

    def change():
        nonlocal factor
        factor = 3.0

    loss.change = change
    return loss


def with_weight(self, y, y_pred):
    return error(y, y_pred) + 0.1 * ops.sum(ops.square(self.offset))


def with_teacher(self, y, y_pred, x=None):
    return error(y, y_pred) + error(self.teacher(x), y_pred)


def with_loss(self, y, y_pred):
    return ops.exp(-self.inner(y, y_pred)) + keras.losses.mean_absolute_error(y, y_pred)[0]


def with_ids(self, y, y_pred):
    p = ops.sigmoid(y_pred)
    of_ids = keras.losses.sparse_categorical_crossentropy(ops.cast(y > 0, "int32"), ops.concatenate([p, 1 - p], -1))
    return ops.mean(of_ids)


def by_default(self, y, y_pred, x=None):
    return 2.0 * self.of_keras(x, y, y_pred)


def with_list(self, y, y_pred):
    parts = {}
    for i, weight in enumerate((1.0, 0.5)):
        parts[i] = weight * error(y, y_pred)
    return sum(one for one in parts.values())


def with_branch_by_size(self, y, y_pred):
    return error(y, y_pred) if len(y) > 3 and y_pred.shape[-1] == 1 else 0.0


def with_branch(self, y, y_pred):
    loss = error(y, y_pred)
    return 3.0 * loss if ops.max(y) > 2.0 else loss


def with_rows(self, y, y_pred):
    parts = []
    for one in y[:, 0]:
        parts.append(ops.abs(one) * (2.0 if one > 0 else 1.0))
    return error(y, y_pred) * sum(parts)


def with_math(self, y, y_pred):
    return error(y, y_pred) * math.exp(float(ops.mean(y)))


KNOWN = [with_attribute, with_global, with_class_attribute, with_method, with_property, with_closure(), with_weight]
KNOWN += [with_teacher, with_loss, with_ids, with_list, with_branch_by_size, by_default]
DECIDING = [with_branch, with_rows, with_math]
UNKNOWN = {
    "a list": lambda self, y, y_pred: (KEPT.append(1), len(KEPT) * error(y, y_pred))[1],
    "a default": lambda self, y, y_pred: remembering(y, y_pred),
    "a dict": lambda self, y, y_pred: SCALES["a"] * error(y, y_pred),
    "an attribute that is a list": lambda self, y, y_pred: (self.seen.append(1), len(self.seen) * error(y, y_pred))[1],
    "a generator": lambda self, y, y_pred: GENERATOR.uniform() * error(y, y_pred),
    "random numbers": lambda self, y, y_pred: random.random() * error(y, y_pred),
    "NumPy's random numbers": lambda self, y, y_pred: np.random.uniform() * error(y, y_pred),  # noqa: NPY002
    "Keras's random numbers": lambda self, y, y_pred: keras.random.uniform(()) * error(y, y_pred),
    "an array": lambda self, y, y_pred: TABLE[0] * error(y, y_pred),
    "numbers out of sight": lambda self, y, y_pred: float(np.asarray(y)[0, 0]) * error(y, y_pred),
    "numbers as text": lambda self, y, y_pred: float(f"{ops.mean(y):.1f}") * error(y, y_pred),
    "the optimizer": lambda self, y, y_pred: (1.0 + float(self.optimizer.iterations)) * error(y, y_pred),
    "a layer outside": lambda self, y, y_pred: error(OUTSIDE(y), y_pred),
    "a metric": lambda self, y, y_pred: (COUNTER.update_state(1.0), COUNTER.result() * error(y, y_pred))[1],
    "print": lambda self, y, y_pred: (print(end=""), error(y, y_pred))[1],
    "a module": lambda self, y, y_pred: random.getstate and error(y, y_pred),
    "an object": lambda self, y, y_pred: self.settings.alpha * error(y, y_pred),
}


def storing(self, y, y_pred):
    self.calls = self.calls + 1
    return self.calls * error(y, y_pred)


def storing_globally(self, y, y_pred):
    global SCALE
    SCALE = SCALE + 1.0
    return SCALE * error(y, y_pred)


UNKNOWN |= {"an attribute that it sets": storing, "a global that it sets": storing_globally}


class Settings:
    alpha = 1.0


class Changing(keras.callbacks.Callback):
    """Changes what a loss reads after each epoch."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def on_epoch_end(self, epoch, logs=None):
        global SCALE
        model = self.model
        SCALE, SCALES["a"] = SCALE + 0.5, SCALES["a"] + 0.5
        TABLE[0] += 1.0
        model.alpha, type(model).beta = model.alpha + 0.5, type(model).beta + 0.5
        model.settings.alpha += 0.5
        model.inner.reduction = "sum" if epoch else "sum_over_batch_size"
        model.offset.assign(model.offset + 1.0)
        model.teacher.set_weights([one + 0.1 for one in model.teacher.get_weights()])
        getattr(self.loss, "change", lambda: None)()


def fitted(loss, callbacks=True, epochs=3, compute_metrics=None):
    """Fit a new model from the same weights; return history and weights, and the model."""
    global SCALE
    SCALE, SCALES["a"], TABLE[0] = 1.0, 1.0, 1.0
    KEPT.clear()
    remembering.__defaults__[0].clear()
    COUNTER.reset_state()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    GENERATOR.bit_generator.state = np.random.default_rng(1).bit_generator.state
    keras.utils.set_random_seed(0)
    if loss.__closure__:
        loss = with_closure()

    class Own(keras.Model):
        beta = 1.0

        def __init__(self, **keywords):
            super().__init__(**keywords)
            self.alpha, self.calls, self.seen = 1.0, 0, []
            self.inner, self.settings = keras.losses.MeanSquaredError(), Settings()
            self.gru, self.drop, self.dense = (
                layers.GRU(4, seed=1),
                layers.Dropout(0.2, seed=2),
                layers.Dense(1, seed=3),
            )
            self.teacher = keras.Sequential([keras.Input((5, 3)), layers.Flatten(), layers.Dense(1, seed=4)])
            self.teacher.trainable = False

        def build(self, shape):
            self.offset = self.add_weight(shape=(2,), initializer="ones", trainable=False, name="offset")

        def call(self, x, training=False):
            return self.dense(self.drop(self.gru(x), training=training))

        def of_keras(self, x, y, y_pred):
            return super().compute_loss(x, y, y_pred)

        def weighed(self, loss):
            return self.alpha * loss

        @property
        def twice(self):
            return 2.0 * self.alpha

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return loss(self, y, y_pred, x) if loss in (with_teacher, by_default) else loss(self, y, y_pred)

    if compute_metrics is not None:
        Own.compute_metrics = compute_metrics
    keras.utils.clear_session()
    OUTSIDE(Y)
    model = Own(name="own", seed=0)
    model(X[:2])
    model.compile(keras.optimizers.Adam(0.01), "mse" if loss is by_default else None, metrics=["mae"])
    callbacks = [Changing(loss)] if callbacks else []
    history = model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    arrays = [np.array(one) for one in history.history.values()] + model.get_weights()
    return arrays, model


def same(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize(
    "loss", [*KNOWN, *DECIDING, *UNKNOWN.values()], ids=[*(one.__name__ for one in KNOWN + DECIDING), *UNKNOWN]
)
def test_a_fit_has_the_bits_of_one_without_recordings(loss, monkeypatch):
    found, _ = fitted(loss)
    monkeypatch.setenv("RNNKIT_REPEAT", "0")
    expected, _ = fitted(loss)
    assert same(found, expected)


@pytest.mark.parametrize("loss", KNOWN, ids=lambda one: one.__name__)
def test_batches_are_repeated_where_all_that_a_loss_reads_is_known(loss):
    _, model = fitted(loss, callbacks=False)
    assert [kind.agreed for kind in model._update_runner._kinds.values()] == [2]


@pytest.mark.parametrize("what", UNKNOWN)
def test_a_loss_that_reads_what_may_change_unseen_runs_each_time(what):
    _, model = fitted(UNKNOWN[what], callbacks=False, epochs=1)
    with pytest.raises(Unknown):
        facts_read(model, ["compute_loss"])
    assert not model._update_runner._kinds


def with_logs(self, x, y, y_pred, sample_weight=None):
    logs = keras.Model.compute_metrics(self, x, y, y_pred, sample_weight)
    logs["largest"] = self.alpha * ops.max(ops.abs(y_pred.numpy()))
    return logs


def with_weights(self, x, y, y_pred, sample_weight=None):
    return {"norm": float(np.sum(self.trainable_variables[0].numpy())), "offset": self.offset[0]}


def with_memory(self, x, y, y_pred, sample_weight=None):
    self.seen.append(y_pred)
    return {"first": self.seen[0][0, 0]}


def with_call(self, x, y, y_pred, sample_weight=None):
    return {"size": ops.max(ops.abs(self(x)))}


def with_layer(self, x, y, y_pred, sample_weight=None):
    return {"size": ops.max(ops.abs(self.gru(x)))}


def with_itself_inside(self, x, y, y_pred, sample_weight=None):
    return {"size": sum(ops.max(ops.abs(one(x))) for one in (self,))}


OWN_METRICS = [with_logs, with_weights, with_memory, with_call, with_layer, with_itself_inside]


@pytest.mark.parametrize("compute_metrics", OWN_METRICS)
def test_own_metrics_have_the_numbers_of_a_fit_without_recordings(compute_metrics, monkeypatch):
    found, _ = fitted(with_attribute, compute_metrics=compute_metrics)
    monkeypatch.setenv("RNNKIT_REPEAT", "0")
    expected, _ = fitted(with_attribute, compute_metrics=compute_metrics)
    assert same(found, expected)


def test_a_metric_may_keep_its_arrays():
    kept = []

    def largest(y_true, y_pred):
        kept.append(y_pred)
        return np.max(np.abs(y_pred), axis=-1)

    class Own(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return error(y, y_pred)

    model = Own([keras.Input((3,)), layers.Dense(1, seed=0)])
    model.compile(keras.optimizers.SGD(0.1), metrics=[largest])
    expected = []
    for first in range(0, 64, 8):
        expected.append(model.predict(X[first : first + 8, 0], verbose=0))
        model.fit(X[first : first + 8, 0], Y[first : first + 8], batch_size=8, shuffle=False, verbose=0)
    assert [kind.agreed for kind in model._update_runner._kinds.values()] == [2]
    assert all(np.array_equal(a, b) for a, b in zip(kept[-8:], expected, strict=True))


@pytest.mark.parametrize("nested", [lambda one: [one], lambda one: {"a": one}])
def test_data_that_is_nested_in_another_way_is_no_batch_of_before(nested):
    class Own(keras.Model):
        def __init__(self):
            super().__init__(seed=0)
            self.dense = layers.Dense(1, seed=0)

        def call(self, x):
            return self.dense(x if isinstance(x, np.ndarray) or hasattr(x, "shape") else next(iter(x)))

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return (
                error(y, y_pred)
                if hasattr(y, "shape")
                else 2.0 * error(y[0] if isinstance(y, list) else y["a"], y_pred)
            )

    weights = []
    for repeats in (True, False):
        model = Own()
        model(X[:2, 0])
        model.compile(keras.optimizers.SGD(0.1))
        for target in (Y, nested(Y), Y):
            model.fit(X[:, 0], target, batch_size=8, epochs=2, shuffle=False, verbose=0)
            if not repeats:
                model._update_runner._kinds.clear()
        weights.append(model.get_weights())
    assert same(*weights)


def test_metrics_of_the_model_hold_the_last_epoch():
    _, model = fitted(with_attribute, callbacks=False)
    history = model.history.history
    assert {one.name: float(one.result()) for one in model.metrics} == {key: one[-1] for key, one in history.items()}


class AroundTheDefault(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2 * super().compute_loss(x, y, y_pred, sample_weight, training)


class BesideTheDefault(keras.Model):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred, sample_weight)


@pytest.mark.parametrize("kind", [AroundTheDefault, BesideTheDefault])
def test_the_losses_of_several_outputs_are_added_up_once(kind, monkeypatch):
    def history():
        keras.utils.set_random_seed(1)
        x = keras.Input((3,))
        model = kind(x, [keras.layers.Dense(1, name="a")(x), keras.layers.Dense(2, name="b")(x)])
        model.compile("adam", loss=["mse", "mae"])
        rng = np.random.default_rng(0)
        given, *wanted = (rng.normal(size=(48, n)).astype("float32") for n in (3, 1, 2))
        return model.fit(given, wanted, batch_size=8, epochs=2, shuffle=False, verbose=0).history

    repeated = history()
    monkeypatch.setenv("RNNKIT_REPEAT", "0")
    assert repeated == history() and {"a_loss", "b_loss"} < repeated.keys()
