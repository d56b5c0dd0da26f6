"""Updates that are repeated: the same bits as the ordinary way, whatever the model, and whatever happens in between."""

import copy
import pickle
import signal
import threading

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.callbacks import Callback, LambdaCallback
from rnnkit.layers.support.runner import Runner
from rnnkit.training import updates
from rnnkit.training.steps import Stepper

RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 5, 3))
GAPS = np.where(RNG.random((44, 5, 1)) < 0.3, 0, X)
IDS = RNG.integers(0, 9, (44, 5))
SUM, EACH, CLASSES = X[:, :, :1].sum(axis=1), 2 * X[:, :, :1], RNG.integers(0, 3, 44)


def sequential(*layers):
    return lambda: rk.Sequential([make() for make in layers], seed=0, dtype="float64")


def gru(**settings):
    return lambda: rk.GRU(4, **settings)


def dense(units=1, **settings):
    return lambda: rk.Dense(units, **settings)


def two_ways():
    x = rk.Input((5, 3))
    steps = rk.GRU(4, return_sequences=True, seed=1)(x)
    back, last = rk.GRU(4, go_backwards=True, seed=2)(steps), rk.GRU(4, seed=3)(steps)
    return rk.Model(x, rk.Dense(1, seed=4)(rk.Concatenate()([back + last, back * last])), seed=0)


def encoder_and_decoder():
    """A shared layer, states handed on, two outputs."""
    x, shared = rk.Input((5, 3)), rk.Dense(3, seed=1)
    _, state = rk.GRU(4, return_state=True, seed=2)(shared(x))
    steps = rk.GRU(4, return_sequences=True, seed=3)(shared(shared(x)), initial_state=[state])
    return rk.Model(x, [rk.Dense(1, seed=4, name="end")(state), rk.Dense(1, seed=5, name="each")(steps)], seed=0)


def operations():
    """Operators and NumPy's functions between layers, some of them with masks."""
    x = rk.Input((5, 3))
    steps = rk.GRU(4, return_sequences=True, seed=1)(rk.Masking()(x))
    used = np.max(np.not_equal(x, 0).astype("float64"), axis=-1, keepdims=True)
    shares = np.exp(steps - np.max(steps, axis=1, keepdims=True)) * used
    mean = np.sum(steps * shares, axis=1) / (np.sum(shares, axis=1) + 1e-3)
    turned = np.matmul(np.transpose(steps, (0, 2, 1)), steps)[:, ::2, 1]
    last = rk.Dropout(0.2, seed=2)(np.concatenate([mean, turned, steps[:, -1] ** 2], axis=-1))
    return rk.Model(x, rk.Dense(1, seed=4)(np.where(last > 0, last, 0.1 * last)), seed=0)


def looked_up():
    ids = rk.Input((5,), dtype="int32")
    first, second = (rk.Embedding(9, 3, mask_zero=zero, seed=seed)(ids) for seed, zero in enumerate((False, True)))
    return rk.Model(ids, rk.Dense(1, seed=3)(rk.GRU(4, seed=4)(rk.Add()([first, second, first]))), seed=0)


class Squares(rk.regularizers.Regularizer):
    """A penalty that no rule knows."""

    def __call__(self, weight):
        return 0.1 * (weight**2).sum()

    def gradient(self, weight):
        return 0.2 * weight


# What is made, x, y, arguments of compile, arguments of fit.
REPEATED = {
    "the last step": (sequential(gru(), dense()), X, SUM, {}, {}),
    "each step": (sequential(gru(return_sequences=True), dense()), X, EACH, {}, {}),
    "float32 from float64": (lambda: rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=0, dtype="float32"), X, SUM, {}, {}),
    "from the end": (sequential(gru(go_backwards=True, return_sequences=True), dense()), X, EACH, {}, {}),
    "masked": (sequential(rk.Masking, gru(), dense()), GAPS, SUM, {}, {}),
    "masked, each step": (sequential(rk.Masking, gru(return_sequences=True), dense()), GAPS, EACH, {}, {}),
    "embedded": (
        sequential(lambda: rk.Embedding(9, 3, mask_zero=True), gru(), dense(3, activation="softmax")),
        IDS, CLASSES, {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}, {},
    ),
    "both directions": (
        sequential(lambda: rk.Bidirectional(rk.GRU(4, return_sequences=True)), gru(), dense()), X, SUM, {}, {},
    ),
    "both directions, multiplied, masked": (
        sequential(rk.Masking, lambda: rk.Bidirectional(rk.GRU(4), merge_mode="mul"), dense()), GAPS, SUM, {}, {},
    ),
    "dropout": (
        sequential(gru(dropout=0.3, recurrent_dropout=0.2), lambda: rk.Dropout(0.3), dense()), X, SUM, {}, {},
    ),
    "a stack": (sequential(lambda: rk.RNN([rk.GRUCell(4), rk.GRUCell(4)]), dense()), X, SUM, {}, {}),
    "penalties and constraints": (
        sequential(gru(kernel_regularizer="l2", bias_regularizer=Squares()), dense(kernel_constraint="non_neg")),
        X, SUM, {}, {},
    ),
    "clipped": (sequential(gru(), dense()), X, SUM, {"optimizer": rk.optimizers.Adam(0.1, clipnorm=0.01)}, {}),
    "clipped together": (
        sequential(gru(), dense()), X, SUM, {"optimizer": rk.optimizers.Adam(0.1, global_clipnorm=0.01)}, {},
    ),
    "a schedule": (
        sequential(gru(), dense()), X, SUM,
        {"optimizer": rk.optimizers.AdamW(rk.optimizers.schedules.CosineDecay(0.1, 9))}, {},
    ),
    "weighted rows": (
        sequential(gru(), dense()), X, SUM, {"weighted_metrics": ["mae"]}, {"sample_weight": SUM[:, 0] ** 2},
    ),
    "weighted classes": (
        sequential(gru(), dense(3, activation="softmax")), X, CLASSES,
        {"loss": "sparse_categorical_crossentropy"}, {"class_weight": {0: 2.0, 2: 0.5}},
    ),
    "shapes": (
        sequential(
            gru(), lambda: rk.RepeatVector(5), gru(return_sequences=True), lambda: rk.TimeDistributed(rk.Dense(2)),
            rk.Flatten, dense(),
        ), X, SUM, {}, {},
    ),
    "truncated": (sequential(gru(), dense()), X, SUM, {"truncate": 2}, {}),
    "paths that meet": (two_ways, X, SUM, {}, {}),
    "several outputs": (encoder_and_decoder, X, [SUM, EACH], {"loss": ["mse", "mae"], "loss_weights": [1.0, 0.3]}, {}),
    "operations": (operations, GAPS, SUM, {"metrics": ["mae"]}, {}),
    "looked up twice": (looked_up, IDS, SUM, {}, {}),
    "windows": (
        sequential(
            lambda: rk.Conv1D(4, 3, padding="same", seed=1), rk.BatchNormalization,
            lambda: rk.MaxPooling1D(2, 1, padding="same"), lambda: rk.Conv1D(4, 2, groups=2, seed=2),
            lambda: rk.AveragePooling1D(2, padding="same"), rk.GlobalAveragePooling1D, dense(),
        ), X, SUM, {}, {},
    ),
    "largest of all": (
        sequential(lambda: rk.Conv1D(4, 2, 2, seed=1), rk.GlobalMaxPooling1D, dense()), X, SUM, {}, {},
    ),
    "normalized under a mask": (
        sequential(
            rk.Masking, gru(return_sequences=True), rk.BatchNormalization, lambda: rk.BatchNormalization(1),
            rk.GlobalAveragePooling1D, dense(),
        ), GAPS, SUM, {}, {},
    ),
    "a frozen layer": (
        sequential(gru(), lambda: frozen(rk.Dense(2)), dense()), X, SUM, {}, {},
    ),
}  # fmt: skip
ORDINARY = {
    "checkpoints": (sequential(gru(), dense()), X, SUM, {"checkpoint": 2}, {}),
    "stateful": (sequential(gru(stateful=True), dense()), X[:40], SUM[:40], {}, {"shuffle": False}),
}


def frozen(layer):
    layer.trainable = False
    return layer


def compiled(make, optimizer=None, loss="mse", **settings):
    model = make()
    model.compile(copy.deepcopy(optimizer) or rk.optimizers.Adam(0.01), loss, **settings)
    return model


@pytest.fixture
def anew(monkeypatch):
    """How many batches were done the ordinary way."""
    done, ordinary = [], Stepper.train_anew

    def counted(self, *arguments):
        done.append(1)
        ordinary(self, *arguments)

    monkeypatch.setattr(Stepper, "train_anew", counted)
    return done


def without(monkeypatch):
    monkeypatch.setattr(updates.UpdateRunner, "serve", lambda *_: None)


def same(model, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize("name", [*REPEATED, *ORDINARY])
def test_T13_the_bits_of_a_fit_are_those_of_the_ordinary_way(name, anew, monkeypatch):
    """Weights, losses, metrics and the optimizer's state; two kinds of batches, the last of an epoch is smaller."""
    make, x, y, settings, more = (REPEATED | ORDINARY)[name]
    model, other = compiled(make, **settings), compiled(make, **settings)
    more = {"batch_size": 10, "epochs": 4, "verbose": 0, **more}
    history = model.fit(x, y, **more).history
    batches = -(-len(x) // 10)
    kinds = 1 + (len(x) % 10 > 0)
    assert len(anew) == (3 * kinds if name in REPEATED else 4 * batches)
    without(monkeypatch)
    assert other.fit(x, y, **more).history == history
    assert same(model, other)
    for key, array in model.optimizer.get_state().items():
        assert array.tobytes() == other.optimizer.get_state()[key].tobytes(), key


@pytest.mark.parametrize("name", REPEATED)
def test_T13_the_bits_of_evaluate_and_predict_are_those_of_the_ordinary_way(name, monkeypatch):
    make, x, y, settings, more = REPEATED[name]
    model = compiled(make, **settings)
    weights = {"sample_weight": more.get("sample_weight")}

    def tested():
        found = [model.evaluate(x[:40], first(y, 40), 10, sample_weight=first(weights["sample_weight"], 40))]
        found.append([array.tobytes() for array in parts(model.predict(x[:40], batch_size=10))])
        return found

    several = [tested() for _ in range(3)]
    (kind,) = model._update_runner.of_tests._kinds.values()
    assert kind.refusal is None and kind.agreed == 2
    model.set_weights([1.1 * array for array in model.get_weights()])
    several += [tested() for _ in range(3)]
    assert several[:3] == several[:1] * 3 and several[3:] == several[3:4] * 3 and several[0] != several[3]
    monkeypatch.setattr(Runner, "run", lambda *_: None)
    assert tested() == several[3]


def first(given, rows):
    return [first(one, rows) for one in given] if isinstance(given, list) else None if given is None else given[:rows]


def parts(found):
    return list(found) if isinstance(found, (list, tuple)) else [found]


def small(**settings):
    return compiled(sequential(gru(), dense()), **settings)


def run(model, epochs=3, x=X, y=SUM, **more):
    return model.fit(x, y, **({"batch_size": 11, "verbose": 0, "epochs": epochs} | more))


def test_a_recording_outlives_a_fit(anew):
    model = small()
    run(model)
    assert len(anew) == 3
    run(model)
    model.evaluate(X, SUM)
    run(model, epochs=1)
    assert len(anew) == 3


def test_calls_for_one_batch_are_repeated_too(anew, monkeypatch):
    model, other = small(), small()
    found = [model.train_on_batch(X[:11], SUM[:11]) for _ in range(6)]
    weights = [model.get_weights(), model.weights["0/kernel"]]
    model.train_on_batch(X[11:22], SUM[11:22])
    assert len(anew) == 3
    assert not np.array_equal(weights[1], model.weights["0/kernel"])
    np.testing.assert_array_equal(weights[0][0], weights[1])
    without(monkeypatch)
    assert [other.train_on_batch(X[:11], SUM[:11]) for _ in range(6)] == found


CHANGES = {
    "other weights": lambda model: model.set_weights([0.5 * w for w in model.get_weights()]),
    "one weight": lambda model: model.weights.__setitem__("1/bias", [0.25]),
    "the learning rate": lambda model: setattr(model.optimizer, "learning_rate", 0.3),
    "the optimizer's state": lambda model: model.optimizer.set_state(model.optimizer.get_state() | {"iterations": 0}),
    "the clipping": lambda model: setattr(model.optimizer, "clipnorm", 0.001),
    "the clipping of numbers": lambda model: setattr(model.optimizer, "clipvalue", 0.001),
    "the decay": lambda model: setattr(model.optimizer, "weight_decay", 0.1),
    "the number of threads": lambda model: rk.set_num_threads(1),
    "nothing": lambda model: None,
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("when", ["between fits", "after an epoch", "after a batch"])
def test_T13_what_changes_in_between_counts(what, when, monkeypatch):
    change, threads = CHANGES[what], rk.get_num_threads()
    models = [small(), small()]
    try:
        for model in models:
            once = []

            def changed(*_, model=model, once=once):
                once.append(1)
                if len(once) == 7:
                    change(model)

            hook = {"after an epoch": "on_epoch_end", "after a batch": "on_train_batch_end"}.get(when)
            run(model, epochs=9, callbacks=[LambdaCallback(**{hook: changed})] if hook else [])
            if not hook:
                change(model)
            run(model)
            rk.set_num_threads(threads)
            without(monkeypatch)
    finally:
        rk.set_num_threads(threads)
    assert same(*models)


def test_a_layer_that_is_frozen_or_changed_between_fits(monkeypatch):
    models = [compiled(sequential(gru(), lambda: rk.Dropout(0.5), dense())) for _ in range(2)]
    for model in models:
        run(model)
        model.layers[1].rate = 0.0
        run(model)
        before = model.get_weights()
        model.layers[0].trainable = False
        model.compile(rk.optimizers.SGD(0.1), "mse")
        run(model)
        np.testing.assert_array_equal(before[0], model.get_weights()[0])
        without(monkeypatch)
    assert same(*models)


def test_T13_a_callback_sees_the_weights_after_each_batch_and_may_keep_them(monkeypatch):
    class Keeper(Callback):
        def on_train_batch_end(self, batch, logs=None):
            arrays = dict(self.model.weights)
            seen.append((arrays, {name: array.copy() for name, array in arrays.items()}))

    found = []
    for _ in range(2):
        seen = []
        model = small()
        run(model, callbacks=[Keeper()])
        for arrays, copies in seen:
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, copies[name])
                assert not array.flags.writeable
        found.append(seen)
        without(monkeypatch)
    for (_, a), (_, b) in zip(*found, strict=True):
        assert all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_who_brings_batches_may_look_at_the_model(monkeypatch):
    models, seen = [small(), small()], [[], []]

    def batches(model, seen):
        for i in range(12):
            seen.append(model.weights["0/kernel"].copy() if model.built else 0)
            yield X[i : i + 11], SUM[i : i + 11]

    for model, own in zip(models, seen, strict=True):
        model.fit(batches(model, own), verbose=0)
        without(monkeypatch)
    assert same(*models)
    assert all(np.array_equal(a, b) for a, b in zip(*seen, strict=True))


def test_T13_weights_from_before_stay_as_they_were(anew):
    model = small()
    run(model)
    kept = {name: (array, array.copy()) for name, array in model.weights.items()}
    run(model)
    assert len(anew) == 3
    for array, copied in kept.values():
        np.testing.assert_array_equal(array, copied)


@pytest.mark.parametrize("where", ["x", "y"])
def test_a_number_that_is_none_is_found_and_named(where, monkeypatch):
    """In a batch that would have been repeated: the error of the ordinary way, and nothing is changed."""
    words, models = [], [compiled(sequential(gru(dropout=0.3), dense())) for _ in range(2)]
    for model in models:
        run(model, shuffle=False)
        before, state = model.get_weights(), model.optimizer.get_state()
        wrong = {"x": X.copy(), "y": SUM.copy()}
        wrong[where][13] = np.nan
        with pytest.raises(FloatingPointError) as caught:
            run(model, shuffle=False, **wrong)
        words.append(str(caught.value))
        after = model.optimizer.get_state()
        assert after["iterations"] == state["iterations"] + 1  # the first batch was all right
        run(model, shuffle=False)
        assert not np.array_equal(before[0], model.get_weights()[0])
        without(monkeypatch)
    assert words[0] == words[1] and f"{where} has" in words[0]
    assert same(*models)


def test_ctrl_c_ends_a_fit_after_a_batch_that_is_repeated(monkeypatch, ctrl_c):
    """With the weights after that batch, as the ordinary way."""
    models = [small() for _ in range(2)]
    for model in models:
        run(model, epochs=2)
        pressed = []

        def press(*_, pressed=pressed):
            pressed.append(1)
            if len(pressed) == 6:
                signal.raise_signal(signal.SIGINT)

        history = run(model, epochs=3, callbacks=[LambdaCallback(on_train_batch_begin=press)])
        assert history.interrupted and model.optimizer.iterations == 8 + 6
        without(monkeypatch)
    assert same(*models)


def test_what_a_batch_drew_that_failed_is_drawn_again(monkeypatch):
    """As the ordinary way draws once for it, whatever a repetition drew before."""
    models = [compiled(sequential(gru(dropout=0.3), dense())) for _ in range(2)]
    wrong = np.where(np.arange(11)[:, None] == 3, np.nan, SUM[:11])
    for model in models:
        for _ in range(5):
            model.train_on_batch(X[:11], SUM[:11])
        with pytest.raises(FloatingPointError):
            model.train_on_batch(X[:11], wrong)
        model.train_on_batch(X[:11], SUM[:11])
        without(monkeypatch)
    assert same(*models)


def test_a_recording_that_gives_other_bits_is_not_used(anew, monkeypatch):
    monkeypatch.setattr(updates.RecordedUpdate, "is_as", lambda *_: False)
    model = small()
    run(model)
    assert len(anew) == 12
    (kind,) = model._update_runner._kinds.values()
    assert kind.refusal == "it gives other bits than the ordinary way"


def test_an_update_beyond_the_precision_is_the_error_of_the_ordinary_way():
    model = small()
    run(model)
    before = model.get_weights()
    model.optimizer.learning_rate = 1e308
    with pytest.raises(FloatingPointError, match="leads '0/kernel' beyond float64; no weight was changed"):
        run(model, y=1e3 * SUM)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_what_fails_leaves_everything_as_it_was():
    """A metric that fails in a batch that is repeated, and a class that doesn't exist."""

    wrong: list = []

    def fails(y_true, y_pred):
        if wrong:
            raise RuntimeError("on purpose")
        return np.abs(y_true - y_pred).mean(axis=-1)

    model = small(metrics=[fails])
    run(model, epochs=5)
    before, state = model.get_weights(), model.optimizer.get_state()
    wrong.append(1)
    with pytest.raises(RuntimeError, match="on purpose"):
        run(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert all(np.array_equal(a, model.optimizer.get_state()[name]) for name, a in state.items())
    make, x, y, settings, _ = REPEATED["embedded"]
    model = compiled(make, **settings)
    run(model, x=x, y=y)
    wrong = y.copy()
    wrong[20] = 7
    before = model.get_weights()
    with pytest.raises(ValueError, match="expected classes from 0 to 2 in y_true, got 7"):
        run(model, x=x[11:22], y=wrong[11:22])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_copies_of_a_model_that_is_repeated(anew):
    model = small()
    run(model)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    run(model)
    assert len(anew) == 3
    for other in others:
        run(other)
        assert same(model, other)
    assert len(anew) == 9


def test_ways_that_are_not_repeated(anew):
    """Steps in NumPy, as `rk.eager` wants them, and an optimizer's rule that can't be traced."""

    class Rule(rk.optimizers.Optimizer):
        def rule(self, weight, gradient, slots, now):
            return weight - now.learning_rate * np.array(gradient.tolist()), ()

    model = small(optimizer=Rule(0.01))
    run(model)
    assert len(anew) == 12
    model = small()
    run(model)
    with rk.eager():
        run(model, epochs=1)
    assert len(anew) == 12 + 3 + 4


def test_an_update_that_threads_could_share_is_repeated_while_python_takes_longer(anew, monkeypatch):
    """By one thread up to some milliseconds a call, by several beyond."""
    threads, rng = rk.get_num_threads(), np.random.default_rng(0)
    rk.set_num_threads(2)
    try:
        for shape in ((16, 40, 8), (64, 160, 16)):
            x = rng.normal(size=shape).astype("float32")
            model, alone = (compiled(sequential(lambda: rk.LSTM(32, seed=0), dense())) for _ in range(2))
            anew.clear()
            found = [model.train_on_batch(x, x[:, 0, :1]) for _ in range(6)]
            assert len(anew) == 3 or shape[0] == 64  # where a busy machine may leave a thread behind
            rk.set_num_threads(1)
            assert [alone.train_on_batch(x, x[:, 0, :1]) for _ in range(6)] == found
            rk.set_num_threads(2)
    finally:
        rk.set_num_threads(threads)


def test_many_kinds_of_batches(anew, monkeypatch):
    """Only so many are recorded; the others are done the ordinary way."""
    monkeypatch.setattr(updates.UpdateRunner, "_most", 2)
    model, x = small(), np.zeros((4, 9, 3))
    for steps in (3, 4, 5):
        for _ in range(5):
            model.train_on_batch(x[:, :steps], SUM[:4])
    assert len(anew) == 3 + 3 + 5


def test_two_models_at_the_same_time():
    models = [small() for _ in range(3)]
    run(models[0], epochs=8)
    threads = [threading.Thread(target=run, args=(model, 8)) for model in models[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(models[0], models[1]) and same(models[0], models[2])


def test_a_metric_may_do_as_it_likes(anew, monkeypatch):
    """Call the model, keep its weights, and set the learning rate: at its place between losses and update."""
    found = []
    for _ in range(2):
        model, seen, kept = compiled(sequential(gru(), dense())), [], []

        def looking(y_true, y_pred, model=model, seen=seen, kept=kept):
            if model.built:
                seen.append((model(X[:4]).tobytes(), model.optimizer.get_state()["iterations"].item()))
                seen.append([array.tobytes() for array in model.optimizer.get_state().values()])
                kept.append([(array, array.copy()) for array in model.weights.values()])
                if len(seen) == 14:  # of a batch that is repeated
                    model.optimizer.learning_rate = 0.3
            return np.abs(y_true - y_pred).mean(axis=-1)

        model.compile(rk.optimizers.Adam(0.01), "mse", metrics=[looking])
        run(model, epochs=3)
        assert all(np.array_equal(array, copied) for arrays in kept for array, copied in arrays)
        found.append((seen, model))
        without(monkeypatch)
    assert len(anew) == 3 + 12
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])


@pytest.mark.parametrize("kind", [rk.callbacks.History, rk.callbacks.ProgressBar])
def test_callbacks_derived_from_ours_look_at_the_model_too(kind, monkeypatch):
    class Own(kind):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.weights["0/kernel"].tobytes())

    found = []
    for _ in range(2):
        seen = []
        run(small(), callbacks=[Own()])
        found.append(seen)
        without(monkeypatch)
    assert found[0] == found[1] and len(set(found[0])) == len(found[0])


def test_a_penalty_may_keep_what_it_is_given():
    class Keeping(rk.regularizers.Regularizer):
        def __call__(self, weight):
            kept.append((weight, weight.copy()))
            return 0.0

        def gradient(self, weight):
            kept.append((weight, weight.copy()))
            return 0 * weight

    kept: list = []
    run(compiled(sequential(gru(kernel_regularizer=Keeping()), dense())))
    assert all(np.array_equal(array, copied) for array, copied in kept)


def test_another_thread_sees_weights_that_do_not_change():
    model, kept, done = small(), [], threading.Event()
    run(model)

    def look():
        while not done.is_set():
            kept.append([(array, array.copy()) for array in model.weights.values()])

    thread = threading.Thread(target=look)
    thread.start()
    run(model, epochs=30)
    done.set()
    thread.join()
    assert kept and all(np.array_equal(array, copied) for arrays in kept for array, copied in arrays)


def test_a_large_model_is_not_held_in_place():
    model = compiled(sequential(gru(), dense(600), dense(600), dense()))
    run(model)
    assert model._update_runner._in_place is None


def test_a_variable_turns_repetition_off(monkeypatch):
    monkeypatch.setenv("RNNKIT_REPEAT", "0")
    model = small()
    run(model)
    refusals = {kind.refusal for kind in model._update_runner._kinds.values()}
    assert "RNNKIT_REPEAT=0 turns repetition off" in refusals
    assert not any(kind.recording for kind in model._update_runner._kinds.values())
