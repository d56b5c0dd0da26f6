"""compile, fit, evaluate and predict: what a fit is, spelled out in NumPy, and what must not happen in one."""

import copy
import os
import pickle
import signal
import threading

import numpy as np
import pytest
from matrix import same_bits

import rnnkit as rk
from rnnkit.callbacks import Callback, EarlyStopping, LambdaCallback, ReduceLROnPlateau, TerminateOnNaN
from rnnkit.layers.support.held_weights import HeldWeights
from rnnkit.training.batches import Batch
from rnnkit.training.objective import Objective, by_class
from rnnkit.training.steps import Stepper


def sequences(rows=24, steps=7, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, steps, 3))
    return x, x[:, :, :1].sum(axis=1)


def make(optimizer="adam", loss="mse", seed=0, **settings):
    model = rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=seed, dtype="float64")
    model.compile(optimizer, loss, **settings)
    return model


def make_steps(mask=True, **settings):
    """A model with an output at each step, under a mask."""
    model = rk.Sequential([rk.Masking(), rk.GRU(4, return_sequences=True), rk.Dense(1)], seed=0, dtype="float64")
    model.compile("sgd", "mse", **settings)
    return model


def same(a, b):
    return all(np.array_equal(one, other) for one, other in zip(a.get_weights(), b.get_weights(), strict=True))


def by_hand(model, x, y, batches, rate):
    """Gradient descent on the mean square as its formula says, by the layer's own vjp; the losses of the batches."""
    found = []
    for rows in batches:
        out, pullback = model.vjp(x[rows])
        found.append(np.mean((out - y[rows]) ** 2))
        gradient = pullback(2 * (out - y[rows]) / out.size)
        for name, slope in gradient.weights.items():
            model.weights[name] = model.weights[name] - rate * slope
    return found


def test_T1_a_fit_is_gradient_descent():
    """The loop of the docstring, by hand."""
    x, y = sequences()
    model, other = make(rk.optimizers.SGD(0.1)), make()
    model.build(x.shape)
    other.build(x.shape)
    history = model.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    batches = [slice(0, 10), slice(10, 20), slice(20, 24)]
    for epoch in range(2):
        losses = by_hand(other, x, y, batches, 0.1)
        wanted = np.average(losses, weights=[10, 10, 4])
        np.testing.assert_allclose(history.history["loss"][epoch], wanted, rtol=1e-12)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)
    assert history.epoch == [0, 1]
    assert history.history["learning_rate"] == [0.1, 0.1]


def test_T1_evaluate_and_predict_do_not_depend_on_the_batch():
    x, y = sequences()
    model = make(metrics=["mae"])
    losses = [model.evaluate(x, y, batch_size=size) for size in (None, 5, 24)]
    for loss, error in losses:
        np.testing.assert_allclose([loss, error], losses[0], rtol=1e-13)
    np.testing.assert_allclose(losses[0], [np.mean((model(x) - y) ** 2), np.mean(np.abs(model(x) - y))], rtol=1e-12)
    assert model.evaluate(x, y, return_dict=True) == dict(zip(model.metrics_names, losses[0], strict=True))
    assert np.array_equal(model.predict(x, batch_size=5), model(x))
    assert np.array_equal(model.predict(x), model(x))
    assert model.predict(x[:0]).shape == (0, 1)


def test_T1_train_on_batch_is_a_step_of_fit():
    x, y = sequences()
    model, other = make(), make()
    history = model.fit(x, y, batch_size=24, shuffle=False, verbose=0)
    loss = other.train_on_batch(x, y)
    assert same(model, other)
    assert loss == history.history["loss"][0]
    assert model.test_on_batch(x, y) == model.evaluate(x, y)
    assert np.array_equal(model.predict_on_batch(x), model(x))


def test_T2_masked_steps_weigh_nothing():
    """The loss is the mean over used steps, and what stands under the mask, NaN too, changes nothing."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 5, 2)), rng.normal(size=(6, 5, 1))
    x[:, 3:] = 0
    x[0, 1:] = 0
    mask = (x != 0).any(axis=2)
    model, other = make_steps(), make_steps()
    wanted = np.mean((model(x) - y)[mask] ** 2)
    assert model.evaluate(x, y) == pytest.approx(wanted, rel=1e-12)
    spoiled = np.where(mask[..., None], y, np.nan)
    model.fit(x, spoiled, verbose=0, shuffle=False)
    other.fit(x, y, verbose=0, shuffle=False)
    assert same(model, other)


def test_T2_weights_of_samples_and_classes():
    """A weight multiplies the loss, a row twice in a batch weighs as one with weight 2."""
    x, y = sequences(8)
    weight = np.array([1, 2, 0, 1, 1, 3, 1, 1.0])
    model = make()
    wanted = np.mean(weight * (model(x) - y)[:, 0] ** 2)
    assert model.evaluate(x, y, sample_weight=weight) == pytest.approx(wanted, rel=1e-12)
    classes = (y > 0).astype(int)
    settings = {"loss": "binary_crossentropy", "weighted_metrics": ["mse"]}
    one, two = make(**settings), make(**settings)
    one.layers[1].activation = two.layers[1].activation = rk.sigmoid
    by_label = one.fit(x, classes, class_weight={1: 3.0}, validation_data=(x, classes), verbose=0)
    by_row = two.fit(
        x,
        classes,
        sample_weight=np.where(classes[:, 0] == 1, 3.0, 1.0),
        validation_data=(x, classes),
        verbose=0,
    )
    assert same(one, two) and by_label.history == by_row.history


@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize("sparse", [False, True])
def test_T2_classes_of_steps_weigh_whatever_their_dtype(sparse, dtype):
    """Numbers of classes and rows with a single 1 are told apart by their shapes."""
    x, _ = sequences(4)
    model = rk.Sequential([rk.Dense(3, activation="softmax")], seed=0, dtype="float64")
    model.compile("sgd", f"{'sparse_' * sparse}categorical_crossentropy")
    classes = np.random.default_rng(1).integers(0, 3, x.shape[:2])
    y = (classes if sparse else np.eye(3)[classes]).astype(dtype)
    weight = np.array([0.1, 1.0, 5.0])[classes]
    wanted = np.mean(-weight * np.log(np.take_along_axis(model(x), classes[..., None], -1)[..., 0]))
    assert model.train_on_batch(x, y, class_weight={0: 0.1, 2: 5.0}) == pytest.approx(wanted, rel=1e-6)


def test_T2_the_class_of_a_target_is_read_beside_the_output():
    """Ids, a step's own 0 or 1 and one-hot targets of any dtype weigh alike; weighted metrics see it, others don't."""
    rng = np.random.default_rng(0)
    y_pred, ids = rng.uniform(size=(4, 3, 3)), rng.integers(0, 3, (4, 3))
    wanted = np.array([1.0, 2.0, 0.5], np.float32)[ids]
    weight = {1: 2.0, 2: 0.5}
    for y, of_ids in ((ids, True), (ids[..., None], True), (np.eye(3)[ids], False), (np.eye(3, dtype=int)[ids], False)):
        assert np.array_equal(by_class(weight, y, y_pred, of_ids), wanted)
    signs = (ids > 0).astype(float)
    assert np.array_equal(by_class({1: 3.0}, signs, y_pred[..., :1], False), 1 + 2 * signs)

    x, y = sequences()
    y = (y > 0.5).astype(float)
    model = make(metrics=["mae"], weighted_metrics=["mse"])
    loss, plain, weighted = model.train_on_batch(x, y, class_weight={1: 3.0})
    error = np.abs(make().predict(x) - y)
    factor = 1 + 2 * y
    assert loss == pytest.approx(np.mean(factor * error**2), rel=1e-12)
    assert plain == pytest.approx(np.mean(error), rel=1e-12)
    assert weighted == pytest.approx(np.average(error**2, weights=factor), rel=1e-12)


def test_T2_classes_weigh_in_training_only():
    x, y = sequences()
    y = (y > 0.5).astype(float)
    model = make()
    history = model.fit(x, y, class_weight={0: 0.2, 1: 3.0}, validation_data=(x, y), verbose=0).history
    assert history["val_loss"][0] == model.evaluate(x, y)


@pytest.mark.parametrize("class_weight", ["balanced", [1.0, 2.0], {"1": 2.0}, {1: -1.0}, {1: np.nan}])
def test_T2_what_is_no_class_weight(class_weight):
    x, y = sequences()
    with pytest.raises(ValueError, match="expected class_weight as a dict of classes' numbers"):
        make().fit(x, y, class_weight=class_weight, verbose=0)


def test_T3_the_same_seed_gives_the_same_bits(threads):
    """On any number of threads; another seed gives others."""
    x, y = sequences(64)
    found = []
    for count, seed in ((1, 0), (2, 0), (1, 1)):
        threads(count)
        model = make(seed=seed)
        model.fit(x, y, epochs=2, batch_size=16, verbose=0)
        found.append(model)
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


class Dropped(Callback):
    """Ends a fit after an epoch."""

    def __init__(self, last):
        super().__init__()
        self.last = last

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.last


def make_with_dropout():
    model = rk.Sequential([rk.GRU(4, dropout=0.3), rk.Dropout(0.2), rk.Dense(1)], seed=3, dtype="float64")
    model.compile("adam", "mse")
    return model


def test_T4_a_fit_goes_on_from_its_optimizer_state():
    """In another model too, with its order of rows and its dropout."""
    x, y = sequences()
    whole, first, second = make_with_dropout(), make_with_dropout(), make_with_dropout()
    history = whole.fit(x, y, epochs=4, batch_size=8, verbose=0)
    first.fit(x, y, epochs=4, batch_size=8, verbose=0, callbacks=[Dropped(1)])
    second.build(x.shape)
    second.set_weights(first.get_weights())
    second.optimizer.set_state(first.optimizer.get_state())
    later = second.fit(x, y, epochs=4, initial_epoch=2, batch_size=8, verbose=0)
    assert same(whole, second)
    assert later.epoch == [2, 3]
    assert later.history["loss"] == history.history["loss"][2:]
    first.fit(x, y, epochs=4, initial_epoch=2, batch_size=8, verbose=0)
    assert same(whole, first)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_T4_a_fit_says_when_no_epoch_is_left(optimizer):
    x, y = sequences()
    model = make(optimizer)
    model.build(x.shape)
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match=r"below epochs=4, .* got 5: .* epochs=6 trains one more"):
        model.fit(x, y, epochs=4, initial_epoch=5, verbose=0)
    with pytest.warns(UserWarning, match="got 4: nothing is left to train") as told:
        assert model.fit(x, y, epochs=4, initial_epoch=4, verbose=0).epoch == []
    assert told[0].filename == __file__
    assert model.fit(x, y, epochs=0, verbose=0).epoch == []
    assert same(model, before)


def test_T3_each_fit_draws_its_own_order():
    """Fits of one epoch, one after the other, are no repetition of the first."""
    x, y = sequences()
    whole, parts = make(), make()
    whole.fit(x, y, epochs=2, batch_size=8, verbose=0)
    for _ in range(2):
        parts.fit(x, y, batch_size=8, verbose=0)
    assert same(whole, parts)


def test_T5_a_loss_that_is_no_number_stops_the_fit():
    """With epoch, batch and the first array, and the weights of the batch before."""
    x, y = sequences()
    model, other = make(), make()
    x[13, 2, 1] = np.nan
    with pytest.raises(FloatingPointError, match=r"epoch 0, batch 1: .*x has 1 value of .* nan at \[3, 2, 1\]"):
        model.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    other.train_on_batch(x[:10], y[:10])
    assert same(model, other)
    y[2] = np.inf
    with pytest.raises(FloatingPointError, match="y has 1 value"):
        model.train_on_batch(x[:10], y[:10])
    assert same(model, other)
    assert model.optimizer.iterations == 1


def test_T5_what_is_masked_is_not_to_blame():
    """NaN in a target, under a mask or a weight of 0, isn't named for what happened elsewhere."""
    x, y = np.ones((3, 5, 2)), np.ones((3, 5, 1))
    x[:, 3:], y[:, 3:], y[1] = 0, np.nan, np.nan
    weight = np.array([1, 0, 1.0])
    make_steps().fit(x, y, sample_weight=weight, verbose=0)
    y[2, 1] = np.inf
    with pytest.raises(FloatingPointError, match=r"y has 1 value of 15 .* inf at \[2, 1, 0\]"):
        make_steps().train_on_batch(x, y, sample_weight=weight)


def test_T5_a_layer_that_overflows_is_named():
    model = make_steps()
    x, y = np.ones((2, 3, 2)), np.zeros((2, 3, 1))
    model.build(x.shape)
    model.weights["2/kernel"] = np.full((4, 1), 1e308)
    model.weights["2/bias"] = np.full(1, 1e308)
    model.weights["1/bias"] = np.full((2, 12), 9.0)
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"output of layer 2 \(dense\)|what the loss makes"),
    ):
        model.fit(x, y, verbose=0)


def test_T5_nan_may_end_a_fit_quietly():
    x, y = sequences()
    x[13] = np.nan
    model = make()
    callback = TerminateOnNaN()
    history = model.fit(x, y, batch_size=10, shuffle=False, verbose=0, callbacks=[callback], epochs=3)
    assert history.epoch == []
    assert callback.stopped_batch == 1
    assert all(np.isfinite(array).all() for array in model.get_weights())


def test_T5_a_failed_batch_changes_nothing():
    """Weights, the optimizer's state, and a stateful layer's."""
    model = rk.Sequential([rk.GRU(4, stateful=True), rk.Dense(1)], seed=0, dtype="float64")
    model.compile("adam", "mse")
    x, y = sequences(4)
    model.train_on_batch(x, y)
    weights, states, state = model.get_weights(), model.layers[0].states, model.optimizer.get_state()
    bad = x.copy()
    bad[0, 0, 0] = np.inf
    for given, error in ((bad, FloatingPointError), (x[:, :, :2], ValueError), (x[:3], ValueError)):
        with pytest.raises(error):
            model.train_on_batch(given, y[: len(given)])
        assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(states, model.layers[0].states, strict=True))
        assert all(np.array_equal(state[key], value) for key, value in model.optimizer.get_state().items())


def interrupt_at(batch):
    """A callback that does what Ctrl-C does."""
    count = iter(range(1000))

    def press(_, logs):
        if next(count) == batch:
            signal.raise_signal(signal.SIGINT)

    return LambdaCallback(on_train_batch_begin=press)


def test_T6_ctrl_c_ends_a_fit_after_the_batch(ctrl_c):
    """The history so far is kept, weights are those of whole batches, and the handler is put back."""
    x, y = sequences()
    model, other = make(), make()
    history = model.fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[interrupt_at(4)])
    assert history.interrupted and history.epoch == [0]
    assert model.optimizer.iterations == 5
    other.fit(
        x,
        y,
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=[
            LambdaCallback(
                on_train_batch_end=lambda batch, logs: setattr(other, "stop_training", other.optimizer.iterations == 5)
            )
        ],
    )
    assert same(model, other)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_T6_ctrl_c_brings_the_best_weights_back(ctrl_c):
    """If that was asked for."""
    x, y = sequences()
    model = make(rk.optimizers.SGD(0.1))
    seen = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((logs["loss"], model.get_weights())))
    stop = EarlyStopping(monitor="loss", mode="max", patience=9, restore_best_weights=True)
    history = model.fit(x, y, batch_size=8, epochs=9, verbose=0, callbacks=[keep, stop, interrupt_at(7)])
    assert history.interrupted and len(seen) == 2
    best = max(seen, key=lambda one: one[0])[1]
    assert all(np.array_equal(a, b) for a, b in zip(best, model.get_weights(), strict=True))


def test_T6_a_second_ctrl_c_does_not_wait(ctrl_c):
    x, y = sequences()

    def press(batch, logs):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make().fit(x, y, verbose=0, callbacks=[LambdaCallback(on_train_batch_begin=press)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_T6_ctrl_c_ends_a_fit_within_a_fit_too(ctrl_c):
    x, y = sequences(8)
    model, ended = make(), []

    def fit_another(epoch, logs):
        history = model.fit(x, y, epochs=9, verbose=0, callbacks=[interrupt_at(1)])
        ended.append((history.interrupted, history.epoch))

    history = make().fit(x, y, epochs=3, verbose=0, callbacks=[LambdaCallback(on_epoch_end=fit_another)])
    assert ended == [(True, [0])] and history.interrupted and history.epoch == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_T6_a_handler_of_ones_own_is_left_alone():
    """And in another thread there is none to be had."""
    x, y = sequences(8)
    pressed = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        history = make().fit(x, y, epochs=2, verbose=0, callbacks=[interrupt_at(0)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [signal.SIGINT] and not history.interrupted
    done = []
    thread = threading.Thread(target=lambda: done.append(make().fit(x, y, verbose=0).epoch))
    thread.start()
    thread.join()
    assert done == [[0]]


class Batches:
    """A dataset of batches, with indices."""

    def __init__(self, x, y, size):
        self.x, self.y, self.size, self.epochs = x, y, size, 0

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, i):
        rows = slice(i * self.size, (i + 1) * self.size)
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        self.epochs += 1


class OnDisk:
    """Rows by index, as files of arrays give them: increasing numbers only, nothing else."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
        return self.array[rows]


def test_T7_where_batches_come_from_changes_nothing(tmp_path):
    """Arrays, lists, memory maps, files of rows, datasets, generators and lists of batches."""
    x, y = sequences()
    mapped = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
    mapped[:] = x
    data = Batches(x, y, 10)
    sources = [(x, y), (x.tolist(), y.tolist()), (mapped, y), (OnDisk(x), OnDisk(y))]
    sources += [(data, None), ((data[i % 3] for i in range(9)), None), ([data[i] for i in range(3)], None)]
    sources += [((list(data[i % 3]) for i in range(9)), None)]
    models = []
    for inputs, targets in sources:
        model = make()
        steps = 3 if hasattr(inputs, "send") else None
        model.fit(inputs, targets, batch_size=10, epochs=3, shuffle=False, verbose=0, steps_per_epoch=steps)
        models.append(model)
    assert all(same(models[0], model) for model in models[1:])
    assert data.epochs == 3
    shuffled = [make(), make()]
    for model, inputs in zip(shuffled, (x, OnDisk(x)), strict=True):
        model.fit(inputs, y, batch_size=10, epochs=2, verbose=0)
    assert same(*shuffled) and not same(models[0], shuffled[0])
    model = models[0]
    assert model.evaluate(data) == pytest.approx(model.evaluate(x, y), rel=1e-12)
    assert np.array_equal(model.predict(data), model(x))
    assert np.array_equal(model.predict(OnDisk(x)), model(x))


def test_T7_batches_may_be_lists():
    """As PyTorch's loaders give them."""
    x, y = sequences()
    model, other = make(), make()
    model.fit([(x, y)], verbose=0)
    other.fit(([x, y] for _ in range(1)), verbose=0)
    assert same(model, other)
    assert model.evaluate([x, y] for _ in range(1)) == model.evaluate(x, y)
    assert np.array_equal(model.predict([x, y] for _ in range(1)), model(x))
    assert np.array_equal(model.predict(x[:2].tolist() for _ in range(1)), model(x[:2]))  # a list that is x
    with pytest.raises(ValueError, match=r"expected batches \(x, y\) or .*, got 4 parts"):
        model.fit(([x, y, None, None] for _ in range(1)), verbose=0)


def test_T5_there_is_something_to_train_by():
    """A model that was compiled without a loss isn't trained in silence; it has metrics all the same."""
    x, y = sequences()
    model = make(loss=None, metrics=["mae"])
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="expected a loss to train"):
            train(x, y)
    assert model.optimizer.iterations == 0
    np.testing.assert_allclose(model.evaluate(x, y), [0, np.mean(np.abs(model(x) - y))])


def make_two(**settings):
    """A model with two inputs and two outputs."""
    a, b = rk.Input((None, 3), name="a", dtype="float64"), rk.Input((4,), name="b", dtype="float64")
    h = rk.Add()([rk.GRU(4, dtype="float64")(a), b])
    outputs = [rk.Dense(1, name=name, dtype="float64")(h) for name in ("first", "second")]
    model = rk.Model([a, b], outputs, seed=0)
    model.compile("sgd", **settings)
    return model


def test_T7_what_several_outputs_are_given():
    """A target where there is a loss or a metric, and weights for one or for all."""
    x, y = sequences()
    inputs = {"a": x, "b": np.zeros((24, 4))}
    model = make_two(loss={"first": "mse"})
    before = model.get_weights()
    model.fit(inputs, {"first": y}, verbose=0)
    model.fit([(inputs, {"first": y})], verbose=0)
    fixed = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert fixed[-2:] == [True, True] and not any(fixed[:-2])
    weight = np.arange(24.0)
    model = make_two(loss="mse")
    one, both = (model.evaluate(inputs, [y, y], sample_weight=w) for w in (weight, [weight, weight]))
    assert one == both
    assert model.evaluate([(inputs, [y, y], weight)]) == pytest.approx(one, rel=1e-12)
    for given, targets, words in [
        ({"a": x}, [y, y], "expected x for 'b' too"),
        ([(({"a": x}), [y, y])], None, "expected x for 'b' too"),
        ({"a": x, "b": np.zeros((5, 4))}, [y, y], "expected x with 24 rows, as the first has; got 5"),
        (inputs, {"first": y}, "expected a target for the output 'second'"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.fit(given, targets, verbose=0)
    with pytest.raises(ValueError, match="'second', which the metric 'mae' looks at"):
        make_two(loss={"first": "mse"}, metrics={"second": "mae"}).fit(inputs, {"first": y}, verbose=0)


def test_T5_a_metric_that_fails_changes_nothing():
    x, y = sequences()
    model = make(metrics=[lambda y_true, y_pred: np.zeros((3, 1))])
    model.build(x.shape)
    before = model.get_weights()
    with pytest.raises(ValueError, match="for each row"):
        model.fit(x, y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.optimizer.iterations == 0


def test_T5_a_plateau_wants_a_rate_that_can_be_set():
    """Before anything is trained, since it may be hours until the rate is reduced."""
    x, y = sequences()
    model = make(rk.optimizers.SGD(rk.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.raises(TypeError, match="left to its schedule"):
        model.fit(x, y, verbose=0, callbacks=[ReduceLROnPlateau("loss")])
    assert model.optimizer.iterations == 0


def test_T7_an_iterator_runs_dry():
    """What ends early is an error that says so."""
    x, y = sequences()
    model = make()
    with pytest.raises(ValueError, match="runs dry"):
        model.fit(iter([(x, y)]), epochs=2, verbose=0)
    assert model.optimizer.iterations == 1


class Evaluating(Callback):
    """Evaluates the model after each batch."""

    def __init__(self, *data):
        super().__init__()
        self.data = data

    def on_train_batch_end(self, batch, logs=None):
        self.model.evaluate(*self.data)


def test_T1_a_callback_may_evaluate_in_the_midst_of_an_epoch():
    x, y = sequences()
    found = []
    for callback in (Callback(), Evaluating(x[:5], y[:5])):
        model = make(metrics=["mae"], weighted_metrics=["mae", "mae"])
        found.append(model.fit(x, y, batch_size=10, verbose=0, callbacks=[callback]).history)
    assert found[0] == found[1]
    assert list(found[0])[:4] == ["loss", "mae", "weighted_mae", "weighted_mae_1"]


def test_T7_validation():
    """A share of the rows, the last ones, or data of its own; stateful layers' states are left alone."""
    x, y = sequences()
    model, other = make(), make()
    one = model.fit(x, y, epochs=2, validation_split=0.25, batch_size=6, verbose=0)
    two = other.fit(x[:18], y[:18], epochs=2, validation_data=(x[18:], y[18:]), batch_size=6, verbose=0)
    assert one.history == two.history and same(model, other)
    assert one.history["val_loss"][-1] == pytest.approx(model.evaluate(x[18:], y[18:]), rel=1e-12)
    three = make().fit(
        x[:18], y[:18], epochs=3, validation_data=Batches(x[18:], y[18:], 3), batch_size=6, verbose=0, validation_freq=2
    )
    assert len(three.history["val_loss"]) == 1
    assert three.history["val_loss"][0] == pytest.approx(one.history["val_loss"][1], rel=1e-12)
    stateful = rk.Sequential([rk.GRU(4, stateful=True), rk.Dense(1)], seed=0, dtype="float64")
    stateful.compile("adam", "mse")
    plain = copy.deepcopy(stateful)
    stateful.fit(x[:6], y[:6], batch_size=6, verbose=0, epochs=2, validation_data=(x[6:10], y[6:10]))
    plain.fit(x[:6], y[:6], batch_size=6, verbose=0, epochs=2)
    assert same(stateful, plain)
    assert np.array_equal(stateful.layers[0].states[0], plain.layers[0].states[0])


def test_T8_a_fixed_layer_stays(rng):
    """Whatever isn't trained keeps its bits, and what is above it learns."""
    x, y = sequences()
    model = make()
    model.layers[0].trainable = False
    model.build(x.shape)
    before = dict(model.weights)
    model.fit(x, y, verbose=0)
    after = dict(model.weights)
    assert all(np.array_equal(before[n], after[n]) == n.startswith("0/") for n in before)
    reservoir = rk.Sequential([rk.RNN(rk.ESNCell(6)), rk.Dense(1)], seed=0)
    reservoir.compile("adam", "mse")
    reservoir.build(x.shape)
    before = dict(reservoir.weights)
    reservoir.fit(x, y, verbose=0)
    assert [n for n in before if not np.array_equal(before[n], reservoir.weights[n])] == ["1/kernel", "1/bias"]


def test_T8_penalties_are_part_of_the_loss():
    x, y = sequences()
    layers = [rk.GRU(4, kernel_regularizer=rk.regularizers.L2(0.1)), rk.Dense(1, bias_regularizer="l1")]
    model = rk.Sequential(layers, seed=0, dtype="float64")
    model.compile(rk.optimizers.SGD(0.1), "mse")
    plain = make()
    plain.build(x.shape)
    model.build(x.shape)
    plain.set_weights(model.get_weights())
    kernel, bias = model.weights["0/kernel"], model.weights["1/bias"]
    wanted = plain.evaluate(x, y) + 0.1 * np.sum(kernel**2) + 0.01 * np.sum(np.abs(bias))
    assert model.evaluate(x, y) == pytest.approx(wanted, rel=1e-12)
    slope = plain.vjp(x)[1](2 * (plain(x) - y) / y.size).weights["0/kernel"]
    model.train_on_batch(x, y)
    np.testing.assert_allclose(model.weights["0/kernel"], kernel - 0.1 * (slope + 0.2 * kernel), rtol=1e-10)


def pinned(y_true, y_pred):
    """A loss of one's own."""
    return np.mean(np.abs(y_true - y_pred) ** 1.5, axis=-1)


def test_T9_a_loss_of_ones_own():
    """A NumPy-style function is traced and differentiated."""
    x, y = sequences()
    model = make(rk.optimizers.SGD(0.05), pinned)
    model.build(x.shape)
    before, out = model.weights["1/bias"], model(x)
    assert model.evaluate(x, y) == pytest.approx(float(np.mean(pinned(y, out))), rel=1e-12)
    model.train_on_batch(x, y)
    slope = np.mean(1.5 * np.sqrt(np.abs(out - y)) * np.sign(out - y))
    np.testing.assert_allclose(model.weights["1/bias"], before - 0.05 * slope, rtol=1e-10)


def test_T10_lbfgs_takes_all_rows_at_once():
    """An epoch is an iteration; the batch size changes memory, not the result."""
    x, y = sequences()
    models = [make("lbfgs"), make("lbfgs")]
    for model, size in zip(models, (24, 7), strict=True):
        history = model.fit(x, y, epochs=15, batch_size=size, verbose=0)
        assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
        assert model.evaluate(x, y) == pytest.approx(history.history["loss"][-1], rel=1e-9)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_T10_lbfgs_has_hooks_of_epochs_and_none_of_batches():
    called, hooks = [], ("train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "epoch_end", "train_end")
    note = {f"on_{hook}": lambda *_, hook=hook, **__: called.append(hook) for hook in hooks}
    make("lbfgs").fit(*sequences(), epochs=2, verbose=0, callbacks=[type("Noting", (rk.callbacks.Callback,), note)()])
    assert called == ["train_begin", *["epoch_begin", "epoch_end"] * 2, "train_end"]


def test_T10_lbfgs_names_what_is_not_finite():
    x, y = sequences()
    model = make("lbfgs")
    model.build(x.shape)
    before = copy.deepcopy(model)
    y[3] = np.nan
    with pytest.raises(FloatingPointError, match="y has 1 value of 24 that is not finite, the first of them nan at"):
        model.fit(x, y, verbose=0)
    assert same(model, before)
    assert model.fit(x, y, verbose=0, callbacks=[TerminateOnNaN()]).epoch == []
    assert same(model, before)


def test_T4_an_optimizer_belongs_to_one_model():
    """What it keeps of one model's weights doesn't get into another's unseen."""
    x, y = sequences()
    optimizer = rk.optimizers.Adam()
    model, other = make(optimizer), make()
    make(optimizer)  # it has seen nothing yet
    model.compile(optimizer, "mse")
    model.train_on_batch(x, y)
    model.compile(optimizer, "mae")
    with pytest.raises(ValueError, match="has made 1 updates of another model"):
        other.compile(optimizer, "mse")
    other.compile(copy.deepcopy(optimizer), "mse")
    assert other.optimizer.iterations == 1


def test_T4_copies_go_on_training():
    """A copy or a pickle of a compiled model has its optimizer's state."""
    x, y = sequences()
    model = make()
    model.fit(x, y, batch_size=8, verbose=0)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for one in (model, *others):
        one.fit(x, y, batch_size=8, verbose=0, epochs=2, initial_epoch=1)
    assert all(same(model, other) for other in others)


def test_T1_gradients_of_a_fit_may_be_cut():
    """Compile hands checkpoint and truncate on."""
    x, y = sequences()
    plain, kept, cut = make(), make(checkpoint=2), make(truncate=2)
    for model in (plain, kept, cut):
        model.train_on_batch(x, y)
    for a, b in zip(plain.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert not np.allclose(plain.weights["0/recurrent_kernel"], cut.weights["0/recurrent_kernel"], rtol=1e-6)
    whole, cut = make("lbfgs"), make("lbfgs", truncate=2)
    for model in (whole, cut):
        model.fit(x, y, verbose=0)
    assert not np.allclose(whole.weights["0/recurrent_kernel"], cut.weights["0/recurrent_kernel"], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "target"),
        ({"y": np.zeros((5, 1))}, "24 rows"),
        ({"x": None}, "expected x"),
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": -1}, "epochs"),
        ({"validation_split": 1.5}, "validation_split"),
        ({"validation_split": 0.99}, "both sides"),
        ({"validation_data": 3}, "validation_data"),
        ({"sample_weight": np.ones(5)}, "sample_weight"),
        ({"sample_weight": -np.ones(24)}, "at least 0"),
        ({"class_weight": [1.0, 2.0]}, "class_weight as a dict"),
        ({"verbose": 7}, "verbose"),
        ({"x": iter([])}, "y within the batches"),
    ],
)
def test_T5_what_does_not_fit_is_an_error_before_anything_happens(change, message):
    x, y = sequences()
    model = make()
    model.build(x.shape)
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match=message):
        model.fit(**({"x": x, "y": y, "verbose": 0} | change))
    assert same(model, before) and model.optimizer.iterations == 0


def test_T5_errors_say_what_to_do():
    x, y = sequences()
    model = rk.Sequential([rk.GRU(4), rk.Dense(1)])
    with pytest.raises(ValueError, match="call compile"):
        model.fit(x, y)
    for settings in ({"optimizer": "adamm"}, {"loss": "mes"}, {"metrics": ["acc urate"]}):
        with pytest.raises(ValueError, match="expected"):
            model.compile(**settings)
    with pytest.raises(TypeError):
        model.compile("adam", "mse", metric=["mae"])
    model.compile("adam", metrics=["mae"])
    assert len(model.evaluate(x, y)) == 2
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="expected a loss to train 'sequential' by"):
            train(x, y)
    stateful = rk.Sequential([rk.GRU(4, stateful=True), rk.Dense(1)], seed=0)
    stateful.compile("adam", "mse")
    for given in ({"batch_size": 7}, {"batch_size": 8, "validation_data": (x[:9], y[:9])}):
        with pytest.raises(ValueError, match="whole batches"):
            stateful.fit(x, y, **given)
    assert stateful.optimizer.iterations == 0


def test_T11_a_bar_is_silent_where_nobody_looks(capfd):
    """And a line per epoch where it was asked for."""
    x, y = sequences()
    model = make()
    model.fit(x, y)
    assert capfd.readouterr() == ("", "")
    model.fit(x, y, verbose=2, epochs=2)
    assert capfd.readouterr().err.count("loss") == 2


if os.name == "nt":  # signals of a process to itself are another thing there
    for name in [name for name in globals() if "ctrl_c" in name or "handler" in name]:
        del globals()[name]


@pytest.mark.parametrize("optimizer", [rk.optimizers.SGD(0.1), "lbfgs"])
def test_T8_a_layer_in_several_places_is_trained_as_one(optimizer):
    """Beside a model that has it too, and twice in a chain, with the gradient of all and one penalty."""
    shared = rk.Dense(3, kernel_regularizer="l2", seed=0, dtype="float64", name="shared")
    x, y = np.random.default_rng(0).normal(size=(2, 8, 3))
    inner, outer = rk.Input((3,), dtype="float64"), rk.Input((3,), dtype="float64")
    within = rk.Model(outer, shared(rk.Model(inner, shared(inner), name="inner")(outer)))
    start = [array.copy() for array in shared.get_weights()]
    found = []
    for model in (within, rk.Model(inner, shared(shared(inner))), rk.Sequential([shared, shared])):
        shared.set_weights(start)
        model.compile(copy.deepcopy(optimizer), "mse")
        found.append((model.fit(x, y, epochs=2, verbose=0).history["loss"], shared.get_weights()))
    for losses, weights in found:
        np.testing.assert_allclose(losses, found[1][0], rtol=1e-9)
        for one, wanted in zip(weights, found[1][1], strict=True):
            np.testing.assert_allclose(one, wanted, rtol=1e-7)


def test_T8_what_is_fixed_in_the_middle_of_a_fit_wants_another_optimizer():
    x, y = sequences(8)
    model = make()
    fix = LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model.layers[0], "trainable", False))
    with pytest.raises(ValueError, match="other weights want a new optimizer"):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[fix])
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize("updates", [0, 2])
def test_T6_ctrl_c_between_two_weights_changes_nothing(updates, monkeypatch):
    """Neither those that were there first, nor the optimizer's state."""
    x, y = sequences(4)
    model = make()
    model.build(x.shape)
    for _ in range(updates):
        model.train_on_batch(x, y)
    before = copy.deepcopy(model)
    layer, presses = model.layers[1], iter([True, False])
    replace = HeldWeights.replace

    def pressed(held, *arguments):
        if held.layer is layer and next(presses):
            raise KeyboardInterrupt
        replace(held, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(HeldWeights, "replace", pressed)
        with pytest.raises(KeyboardInterrupt):
            model.train_on_batch(x, y)
    assert same(model, before)
    for one in (model, before):
        one.train_on_batch(x, y)
    assert same(model, before) and model.optimizer.iterations == updates + 1


def test_T2_an_output_may_weigh_nothing_or_have_no_target():
    """What it puts out and what it should reaches no weight, be it infinite."""
    x, y = sequences(8)
    start = rk.Input((None, 3), dtype="float64")
    h = rk.GRU(4, seed=0, dtype="float64")(start)
    models = []
    for loss, weights in (("mse", {"a": 0.5, "b": 0}), ({"a": "mse"}, {"a": 0.5})):
        models.append(rk.Model(start, [rk.Dense(1, name=name, seed=i)(h) for i, name in enumerate("ab")]))
        models[-1].compile("sgd", loss, loss_weights=weights)
    h = models[0].layers[0]
    found = []
    for model, given in zip(models, ([y, np.full_like(y, np.inf)], {"a": y}), strict=True):
        start = [array.copy() for array in h.get_weights()]
        found.append((model.fit(x, given, shuffle=False, verbose=0).history["loss"], h.get_weights()))
        h.set_weights(start)
        model.fit(iter([(x, given)]), verbose=0)
        h.set_weights(start)
    (losses, weights), (wanted, others) = found
    assert losses == wanted and all(np.array_equal(a, b) for a, b in zip(weights, others, strict=True))
    models[0].compile("sgd", "mse")
    with pytest.raises(ValueError, match="target for the output 'b'"):
        models[0].fit(x, {"a": y}, verbose=0)


def test_T10_lbfgs_sees_the_same_states_at_each_look():
    """Each evaluation of the loss starts from none, and leaves those that were there."""
    x, y = sequences(8)
    model = rk.Sequential([rk.GRU(4, stateful=True), rk.Dense(1)], seed=0, dtype="float64")
    model.compile("lbfgs", "mse")
    model.predict(x[:4])
    states = model.layers[0].states
    losses = model.fit(x, y, batch_size=4, epochs=6, verbose=0).history["loss"]
    assert all(np.array_equal(a, b) for a, b in zip(states, model.layers[0].states, strict=True))
    plain = rk.Sequential([rk.GRU(4, stateful=True), rk.Dense(1)], seed=0, dtype="float64")
    plain.compile("lbfgs", "mse")
    assert losses == plain.fit(x, y, batch_size=4, epochs=6, verbose=0).history["loss"]


def test_T5_batches_that_are_none():
    """One number for x, an iterator where arrays are wanted or that is read again, and nothing to train by."""
    x, y = sequences(4)
    model, fixed = make("lbfgs"), rk.Sequential([rk.Dense(1)])
    fixed.compile("sgd")
    for call, message in (
        (lambda: model.predict([(1.0, 2.0)]), "x of a batch to have rows"),
        (lambda: model.train_on_batch(iter([(x, y)])), "arrays of one batch"),
        (lambda: model.fit(iter([(x, y)]), verbose=0), "again and again"),
        (lambda: fixed.fit(x, x[..., :1], verbose=0), "expected a loss"),
        (lambda: fixed.train_on_batch(x, x[..., :1]), "expected a loss"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert fixed.evaluate(x, x[..., :1]) == 0


def test_T2_sequences_without_steps_lose_nothing():
    model = make_steps()
    before = model.fit(np.zeros((4, 0, 3)), np.zeros((4, 0, 1)), verbose=0)
    assert before.history["loss"] == [0.0]


def make_pair(optimizer, **settings):
    """A model with two outputs, of one shared layer of numbers."""
    start = rk.Input((None, 3), dtype="float64")
    h = rk.Masking()(start)
    outputs = [rk.Dense(1, name=name, seed=i, kernel_regularizer="l2")(h) for i, name in enumerate("ab")]
    model = rk.Model(start, outputs)
    model.compile(optimizer, "mse", **settings)
    return model


def test_T2_what_is_told_of_several_outputs_is_their_formula():
    """Losses by their weights, the mean penalty, and metrics over used steps, with sample weights where they count."""
    x, y = sequences(9)
    x[1, 4:] = x[5, :6] = 0
    y = [np.repeat(sign * y[:, None], 7, axis=1) for sign in (1, -1)]
    weight = np.arange(9.0)
    settings = {"loss_weights": {"b": 3.0}, "metrics": ["mae"], "weighted_metrics": ["mse"]}
    model = make_pair(rk.optimizers.SGD(0.0), **settings)
    outputs, used = model(x), (x != 0).any(axis=-1)
    error = [np.where(used, (a - b)[..., 0], 0) for a, b in zip(outputs, y, strict=True)]
    lost = [np.sum(weight[:, None] * e**2) / used.sum() for e in error]
    penalty = sum(0.01 * np.sum(model.weights[f"{name}/kernel"] ** 2) for name in "ab")
    wanted = {"loss": lost[0] + 3 * lost[1] + penalty}
    for name, e, one in zip("ab", error, lost, strict=True):
        shares = np.where(used, weight[:, None], 0)
        wanted |= {f"{name}_loss": one, f"{name}_mae": np.abs(e).sum() / used.sum()}
        wanted |= {f"{name}_mse": np.sum(shares * e**2) / shares.sum()}
    history = model.fit(x, y, sample_weight=[weight, weight], batch_size=4, verbose=0).history
    assert {name: values[0] for name, values in history.items() if name != "learning_rate"} == pytest.approx(wanted)
    assert model.evaluate(x, y, sample_weight=[weight, weight], batch_size=2, return_dict=True) == pytest.approx(wanted)


@pytest.mark.parametrize("optimizer", [rk.optimizers.SGD(0.1), "lbfgs"])
def test_T8_an_outputs_loss_weight_is_that_of_its_samples(optimizer):
    x, y = sequences(6)
    y = np.repeat(y[:, None], 7, axis=1)
    one, two = make_pair(optimizer, loss_weights=[4.0, 1.0]), make_pair(copy.deepcopy(optimizer))
    if optimizer == "lbfgs":
        batch = Batch([x], [y, y])
        stepper = Stepper(one, one._compiled)
        loss, _ = stepper.whole([batch], [42.0, 42.0])
        *_, penalty = stepper.trained_weights()
        assert loss == pytest.approx(one.evaluate(x, [y, y])[0] - penalty, rel=1e-12)
    first = one.fit(x, [y, y], epochs=3, verbose=0, shuffle=False)
    second = two.fit(x, [y, y], epochs=3, verbose=0, shuffle=False, sample_weight=[np.full(6, 4.0), np.ones(6)])
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-9)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


def test_T2_classes_and_samples_weigh_together():
    x, y = sequences(8)
    classes, weight = (y > 0).astype(int), np.arange(8.0)
    one, two = make(), make()
    both = one.train_on_batch(x, classes, sample_weight=weight, class_weight={1: 3.0})
    assert both == two.train_on_batch(x, classes, sample_weight=np.where(classes[:, 0] == 1, 3.0, 1.0) * weight)
    assert same(one, two)


def test_T5_a_penalty_that_is_no_number_stops_the_fit():
    x, y = sequences(4)
    model = rk.Sequential([rk.Flatten(), rk.Dense(1, kernel_regularizer="l2")], seed=0, dtype="float64")
    model.compile("sgd", "mae")
    model.build(x.shape)
    model.weights["1/kernel"] = np.full(model.weights["1/kernel"].shape, 1e200)
    before = model.get_weights()
    with np.errstate(over="ignore"), pytest.raises(FloatingPointError, match="the loss is not finite"):
        model.train_on_batch(x, y)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_T3_layers_know_that_they_are_trained():
    """Dropout acts in fit, and not in evaluate; L-BFGS has the same masks at every look, and finds their optimum."""
    x, _ = sequences(40)
    x = x[:, 0]
    y = x.sum(axis=1, keepdims=True)
    model = rk.Sequential([rk.Dropout(0.5), rk.Dense(1, use_bias=False)], seed=0, dtype="float64")
    model.compile("lbfgs", "mse")
    model.fit(x, y, batch_size=40, epochs=30, verbose=0)
    model._epoch_generator(0)
    dropped = model.layers[0](x, training=True)
    assert (dropped == 0).any()
    best = np.linalg.lstsq(dropped, y, rcond=None)[0]
    np.testing.assert_allclose(model.weights["1/kernel"], best, rtol=1e-4)
    model.compile(rk.optimizers.SGD(0.0), "mse")
    told = model.fit(x, y, batch_size=40, shuffle=False, verbose=0).history["loss"][0]
    model._epoch_generator(0)
    out = model(x, training=True)
    assert told == pytest.approx(np.mean((out - y) ** 2), rel=1e-12)
    assert model.evaluate(x, y) == pytest.approx(np.mean((model(x) - y) ** 2), rel=1e-12)


def test_T3_each_epoch_has_an_order_of_its_own():
    x, y = sequences()
    orders = []

    class Noted(Batches):
        def __getitem__(self, i):
            orders.append(i)
            return super().__getitem__(i)

    make().fit(Noted(x, y, 3), epochs=3, verbose=0)
    orders = np.reshape(orders, (3, 8))
    assert (np.sort(orders) == np.arange(8)).all()
    assert len({tuple(order) for order in orders}) == 3


def test_T7_rows_of_a_stateful_model_come_as_in_fit():
    """By 32 where nothing else is said."""
    x, y = sequences(64)
    model = rk.Sequential([rk.GRU(4, stateful=True), rk.Dense(1)], seed=0, dtype="float64")
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    assert model.predict(x).shape == (64, 1)
    model.evaluate(x, y)


class InMemory(OnDisk):
    """An array of another library, which is taken whole."""

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __dlpack__(self, **keywords):
        raise NotImplementedError

    def __getitem__(self, rows):
        raise AssertionError("asked for rows")


def test_T7_arrays_of_other_libraries_are_read_once():
    x, y = sequences(8)
    one, two = make(), make()
    one.fit(x, y, batch_size=4, verbose=0)
    two.fit(InMemory(x), InMemory(y), batch_size=4, verbose=0)
    assert same(one, two)


def test_T7_a_share_of_a_file_is_that_of_its_array():
    x, y = sequences()
    models = [make(), make()]
    told = [
        model.fit(kind(x), kind(y), epochs=2, batch_size=5, validation_split=0.4, verbose=0).history
        for model, kind in zip(models, (np.asarray, OnDisk), strict=True)
    ]
    assert told[0] == told[1] and same(*models)


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
@pytest.mark.parametrize("wrong", ["x", "y", "a gradient"])
def test_T5_moving_averages_stay_where_a_fit_fails(optimizer, wrong, rng):
    """Also where the first part of the rows is fine, and after some iterations."""
    root = wrong == "a gradient"
    model = rk.Sequential([rk.BatchNormalization(), rk.Dense(1)], seed=0, dtype="float64")
    model.compile(optimizer, lambda y, p: np.mean(np.sqrt(np.abs(p - y)) if root else (p - y) ** 2, -1))
    data = {"x": rng.normal(size=(12, 3)), "y": rng.normal(size=(12, 1))}
    if root:  # whose slope at 0 is infinite
        data["y"][:] = 0
        model.build((None, 3))
        model.set_weights([0.0 * one for one in model.get_weights()])
    else:
        model.fit(**data, batch_size=12, epochs=3, verbose=0)
        bad = data[wrong].copy()
        bad[11] = np.nan
    before, rows = model.get_weights(), 6 if optimizer == "lbfgs" else 12
    with pytest.raises(FloatingPointError, match="no weight was changed"):
        model.fit(**data if root else data | {wrong: bad}, batch_size=rows, epochs=2, shuffle=False, verbose=0)
    same_bits(model.get_weights(), before)
    if not root:
        assert np.isfinite(model.fit(**data, batch_size=12, epochs=2, verbose=0).history["loss"]).all()


def test_T10_lbfgs_counts_epochs_and_keeps_what_it_reached():
    """Also where a callback ends it, or fails."""
    x, y = sequences()
    model = make("lbfgs")
    history = model.fit(x, y, epochs=5, initial_epoch=2, verbose=0)
    assert history.epoch == [2, 3, 4] and model.optimizer.iterations == 3

    def refuse(epoch, logs):
        if epoch == 1:
            raise ValueError("enough")

    stop = Dropped(1)
    for callback in (LambdaCallback(on_epoch_end=refuse), stop):
        model, told = make("lbfgs"), []
        note = LambdaCallback(on_epoch_end=lambda epoch, logs, told=told: told.append(logs["loss"]))
        try:
            model.fit(x, y, epochs=5, verbose=0, callbacks=[note, callback])
        except ValueError:
            assert callback is not stop
        assert len(told) == 2
        assert model.evaluate(x, y) == pytest.approx(told[callback is stop], rel=1e-12)


def test_T2_nothing_comes_from_under_a_mask_where_a_loss_sees_all_steps():
    """One whose steps depend on each other is handed zeros there."""

    def steps_between(y_true, y_pred):
        change = (y_true - y_pred)[:, 1:] - (y_true - y_pred)[:, :-1]
        return np.mean(np.concatenate([(y_true - y_pred)[:, :1], change], axis=1) ** 2, axis=-1)

    objective = Objective(steps_between)
    y_true, y_pred = np.random.default_rng(0).normal(size=(2, 3, 5, 2))
    mask = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1]], bool)
    clean = objective(np.where(mask[..., None], y_true, 0), np.where(mask[..., None], y_pred, 0), mask)
    dirty = objective(np.where(mask[..., None], y_true, np.nan), np.where(mask[..., None], y_pred, np.nan), mask)
    assert (clean.total, clean.count) == (dirty.total, dirty.count) and np.isfinite(clean.total)
    assert np.array_equal(clean.pull(), dirty.pull()) and not clean.pull()[~mask].any()


@pytest.mark.parametrize("shuffle", [False, True])
def test_T7_epochs_of_some_steps_go_on_through_the_data_and_end_with_it(shuffle):
    """Of five batches, epochs of three steps have three, two, three and so on, from every kind of source."""
    x, y = np.arange(10.0)[:, None], np.zeros((10, 1))

    class Again:  # as a loader: iterated over anew, and of no known length
        def __iter__(self):
            return ((x[i : i + 2], y[i : i + 2]) for i in range(0, 10, 2))

    def epochs(*data, **settings):
        seen = []

        class Note(rk.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                seen.append((logs["loss"], logs["val_loss"]))

        model = rk.Sequential([rk.Dense(1, use_bias=False, kernel_initializer="ones", dtype="float64")], seed=0)
        model.compile(rk.optimizers.SGD(0.0), "mae")
        settings = {"epochs": 5, "steps_per_epoch": 3, "verbose": 0, "callbacks": [Note()]} | settings
        model.fit(*data, batch_size=2, shuffle=shuffle, validation_data=(x, y), validation_steps=1, **settings)
        return np.array(seen)[:, 0]

    arrays = epochs(x, y)
    assert np.allclose(arrays[[0, 2]] * 6 + arrays[[1, 3]] * 4, x.sum()), "a pass over all rows takes two epochs"
    for source in ((OnDisk(x), y), (Batches(x, y, 2),), (Again(),)):
        found = epochs(*source)
        assert np.allclose(found[[0, 2]] * 6 + found[[1, 3]] * 4, x.sum())
        if not shuffle:
            assert np.allclose(found, arrays) and np.allclose(found, [2.5, 7.5, 2.5, 7.5, 2.5])
    assert np.allclose(epochs(x, y, steps_per_epoch=9), 4.5), "an epoch has no more than all batches"
    assert np.allclose(epochs(x, y, steps_per_epoch=5), 4.5)
    if not shuffle:
        assert np.allclose(epochs(x, y, initial_epoch=1), arrays[1:])


def test_T4_a_fit_whose_epochs_lie_within_a_pass_can_resume():
    x, y = sequences()
    through, parts = make(), make()
    settings = {"batch_size": 10, "steps_per_epoch": 2, "verbose": 0}
    through.fit(x, y, epochs=5, **settings)
    for begin, end in ((0, 1), (1, 4), (4, 5)):
        parts.fit(x, y, epochs=end, initial_epoch=begin, **settings)
    assert same(through, parts)
