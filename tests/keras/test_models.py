"""Models under Keras's names: made, trained, told about, written to files and read."""

import json

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.keras import layers
from rnnkit.keras.training import COMPILE, FIT

X = np.random.default_rng(0).normal(size=(24, 6, 2)).astype("float32")
Y = X.sum((1, 2))


@pytest.fixture(autouse=True)
def fresh():
    keras.backend.clear_session()
    yield
    keras.backend.clear_session()


def small(**compiled):
    model = keras.Sequential([keras.Input((6, 2)), layers.GRU(3), layers.Dense(1)])
    model.compile(**({"optimizer": "adam", "loss": "mse", "metrics": ["mae"]} | compiled))
    return model


def mean_of_all(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


def test_instances():
    x = keras.Input((6, 2))
    functional = keras.Model(inputs=x, outputs=layers.Dense(1)(x))
    for model in (small(), functional, rk.Sequential([]), rk.Model(x, layers.Dense(1)(x))):
        assert isinstance(model, keras.Model) and isinstance(model, keras.Layer)
    assert not isinstance(layers.Dense(1), keras.Model) and not isinstance(functional, keras.Sequential)
    assert (small().name, functional.name) == ("sequential_1", "functional")


def test_layers_of_a_sequential():
    model = small()
    assert model.get_layer("gru") is model.layers[0] is model.get_layer(index=0)
    with pytest.raises(ValueError, match="expected a layer among gru, dense; got 'lstm'"):
        model.get_layer("lstm")
    with pytest.raises(ValueError, match="index below 2"):
        model.get_layer(index=2)
    assert model.input_shape == (None, 6, 2) and model.output_shape == (None, 1)
    last = model.pop()
    assert isinstance(last, layers.Dense) and model.output_shape == (None, 3)
    model.add(layers.Dense(4))
    assert model(X).shape == (24, 4) and model.count_params() == 3 * 3 * (2 + 3 + 2) + 16
    empty = keras.Sequential()
    with pytest.raises(ValueError, match="got none"):
        empty.pop()
    with pytest.raises(TypeError, match="expected a layer, got {}"):
        empty.add({})
    assert not hasattr(empty, "outputs")


def test_layers_have_symbolic_inputs_and_outputs():
    model = small()
    features = keras.Model(model.inputs, [layer.output for layer in model.layers])
    first, second = features(X)
    assert np.array_equal(second, model(X)) and np.array_equal(first, model.layers[0](X))
    assert keras.Model(model.input, model.get_layer("gru").output)(X).shape == (24, 3)
    assert model.layers[1].input is model.layers[0].output
    with pytest.raises(AttributeError, match="symbolic call of the layer"):
        layers.Dense(3).output


def test_a_summary_is_printed(capsys):
    assert small().summary() is None
    printed = capsys.readouterr().out
    assert "GRU(3)" in printed and "parameters" in printed
    told = []
    small().summary(print_fn=told.append, line_length=80, expand_nested=True)
    assert "Dense(1)" in told[0]


@pytest.mark.parametrize("argument", [*COMPILE, *FIT])
def test_ignored_arguments_of_training_change_no_bit(argument):
    keras.utils.set_random_seed(0)
    plain = small()
    plain.fit(X, Y, epochs=1, verbose=0)
    keras.utils.set_random_seed(0)
    model = small(**({argument: True} if argument in COMPILE else {}))
    more = {argument: 2} if argument in FIT else {}
    model.fit(X, Y, epochs=1, verbose=0, **more)
    model.evaluate(X, Y, verbose=0, **more)
    assert np.array_equal(model.predict(X, verbose=0, **more), plain.predict(X, verbose=0))


def test_unknown_arguments_of_training():
    with pytest.raises(TypeError, match="unknown"):
        small(unknown=1)
    with pytest.raises(TypeError, match="unknown"):
        small().fit(X, Y, unknown=1)


def test_histories_have_keras_keys():
    model = small(metrics=["accuracy", "mae", keras.metrics.RootMeanSquaredError()])
    history = model.fit(X, Y, epochs=2, verbose=0, validation_split=0.25)
    names = ["accuracy", "loss", "mae", "root_mean_squared_error"]
    assert list(history.history) == [*names, *(f"val_{name}" for name in names)]
    assert model.metrics_names == ["loss", "accuracy", "mae", "root_mean_squared_error"]
    assert len(model.evaluate(X, Y, verbose=0)) == 4 and [m.name for m in model.metrics] == model.metrics_names
    assert list(model.evaluate(X, Y, verbose=0, return_dict=True)) == model.metrics_names
    reduce = keras.callbacks.ReduceLROnPlateau("loss", patience=1)
    assert "learning_rate" in model.fit(X, Y, verbose=0, callbacks=[reduce]).history


def test_a_fit_prints_unless_told_otherwise(capsys):
    model = small()
    model.fit(X, Y, epochs=1)
    model.predict(X)
    said = capsys.readouterr()
    assert "loss" in said.err + said.out
    model.fit(X, Y, epochs=1, verbose=0)
    said = capsys.readouterr()
    assert not said.err + said.out


def test_binary_metrics_in_a_fit():
    metrics = [keras.metrics.AUC(), keras.metrics.Precision(), "Recall", "accuracy", keras.metrics.AUC(curve="PR")]
    model = keras.Sequential([keras.Input((6, 2)), layers.GRU(3), layers.Dense(1, activation="sigmoid")])
    model.compile("adam", keras.losses.BinaryCrossentropy(), metrics=metrics)
    history = model.fit(X, Y > 0, verbose=0, validation_data=(X, Y > 0)).history
    assert {"auc", "precision", "recall", "accuracy", "auc_1", "val_auc_1"} < set(history)
    found = model.evaluate(X, Y > 0, verbose=0, return_dict=True)
    probabilities = model.predict(X, verbose=0)[:, 0]
    right = (probabilities > 0.5) & (Y > 0)
    assert np.isclose(found["precision"], right.sum() / max(1, (probabilities > 0.5).sum()))
    assert np.isclose(found["recall"], right.sum() / (Y > 0).sum())
    model.compile("adam", "mse", metrics=[keras.metrics.F1Score()])
    model.fit(X, Y[:, None] > 0, verbose=0)
    model.compile("adam", "mse", metrics=[keras.metrics.Precision(thresholds=[0.2, 0.4])])
    with pytest.raises(ValueError, match="expected a metric that is one number"):
        model.fit(X, Y > 0, verbose=0)


def test_losses_of_one_number_and_own_classes():
    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    histories = []
    for loss in ("mse", Own(), mean_of_all, lambda y, p: keras.ops.mean((y - p) ** 2, axis=-1)):
        keras.utils.set_random_seed(1)
        model = small(loss=loss)
        histories.append(model.fit(X, Y, epochs=3, verbose=0, batch_size=8).history["loss"])
    assert np.allclose(histories, histories[0], rtol=1e-5)
    model = small(loss=mean_of_all)
    with pytest.raises(ValueError, match="one number for a batch, to which weights can't be applied"):
        model.fit(X, Y, sample_weight=np.ones(24), verbose=0)
    with pytest.raises(ValueError, match="reduction"):
        small(loss=keras.losses.MeanSquaredError(reduction="sum"))


def test_own_metrics():
    class Largest(keras.metrics.Metric):
        def __init__(self, name="largest", **keywords):
            super().__init__(name=name, **keywords)
            self.value = self.add_weight(name="value", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.value.assign(keras.ops.maximum(self.value, keras.ops.max(keras.ops.abs(y_true - y_pred))))

        def result(self):
            return self.value

    def error(y_true, y_pred):
        return keras.ops.max(keras.ops.abs(y_true - y_pred))

    model = small(metrics=[Largest(), error])
    model.fit(X, Y, verbose=0)
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    expected = np.abs(model.predict(X, verbose=0)[:, 0] - Y).max()
    assert np.isclose(found["largest"], expected) and np.isclose(found["error"], expected)
    mean = keras.metrics.Mean()
    mean.update_state([1.0, 2.0], sample_weight=[1.0, 3.0])
    assert mean.result() == 1.75 and keras.metrics.Sum()([1, 2]) == 3
    assert keras.metrics.MeanMetricWrapper(keras.losses.mean_squared_error, name="x")([[1.0]], [[3.0]]) == 4


@pytest.mark.parametrize("suffix", [".keras", ".npz", ""])
def test_models_in_files(tmp_path, suffix):
    model = small(loss=mean_of_all)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    again = keras.models.load_model(tmp_path / f"model{suffix}", custom_objects={"mean_of_all": mean_of_all})
    assert type(again) is keras.Sequential and np.array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    a, b = (one.fit(X, Y, verbose=0, shuffle=False).history["loss"] for one in (model, again))
    assert np.allclose(a, b)
    plain = rk.load_model(tmp_path / f"model{suffix}", custom_objects={"mean_of_all": mean_of_all})
    assert type(plain) is rk.Sequential, "a file needs none of Keras's names"
    with pytest.raises(FileExistsError):
        model.save(tmp_path / f"model{suffix}", overwrite=False)
    model.save_weights(tmp_path / "w.weights.h5")
    other = small()
    other.load_weights(tmp_path / "w.weights.h5")
    assert np.array_equal(other(X), model(X))
    assert keras.models.load_model(tmp_path / f"model{suffix}", {"mean_of_all": mean_of_all}, False)._compiled is None


def test_what_has_no_name_is_not_saved_and_a_warning_says_so(tmp_path):
    model = small(loss=lambda y, p: keras.ops.mean((y - p) ** 2, axis=-1))
    with pytest.warns(UserWarning, match="saved without what compile was given"):
        model.save(tmp_path / "model.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "model.keras")(X), model(X))


def test_configurations_and_clones():
    x = keras.Input((6, 2))
    inner = keras.Sequential([layers.GRU(3)])
    for model in (small(), keras.Model(x, layers.Dense(1)(inner(x)))):
        text = model.to_json(indent=1)
        assert json.loads(text)["module"] == "rnnkit"
        again = keras.models.model_from_json(text)
        assert type(again) is type(model) and [w.shape for w in again.get_weights()] == [
            w.shape for w in model.get_weights()
        ]
        clone = keras.models.clone_model(model)
        assert type(clone) is type(model) and clone(X).shape == model(X).shape
        assert [type(one) for one in again.layers] == [type(one) for one in model.layers]
    with pytest.raises(ValueError, match="for other inputs, layers or calls"):
        keras.models.clone_model(small(), call_function=len)


def test_outputs_and_inputs_by_name():
    x = keras.Input((6, 2), name="series")
    h = layers.GRU(3)(x)
    model = keras.Model({"series": x}, {"up": layers.Dense(1)(h), "down": layers.Dense(2)(h)})
    model.compile("adam", loss={"up": "mse", "down": "mae"}, loss_weights={"up": 1.0, "down": 0.5})
    history = model.fit({"series": X}, {"up": Y, "down": np.zeros((24, 2))}, verbose=0)
    assert set(history.history) == {"loss", "up_loss", "down_loss"}
    found = model.predict({"series": X}, verbose=0)
    assert {name: one.shape for name, one in found.items()} == {"up": (24, 1), "down": (24, 2)}
    assert np.array_equal(model(X)["up"], found["up"])


def test_models_by_subclass():
    class Own(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.recurrent, self.dense = layers.GRU(units), layers.Dense(1)

        def call(self, inputs, training=False):
            return self.dense(self.recurrent(inputs))

    model = Own(3)
    model.compile("adam", "mse")
    assert list(model.fit(X, Y, verbose=0).history) == ["loss"]
    assert model.predict(X, verbose=0).shape == (24, 1) and isinstance(model, keras.Model) and model.name == "own"

    class Wrong(Own):
        def __init__(self):
            keras.Model.__init__(self, inputs=1, outputs=2)

    with pytest.raises(TypeError, match="define call"):
        Wrong()
    with pytest.raises(NotImplementedError, match="expected Empty to define call"):
        type("Empty", (keras.Model,), {})()(X)


def test_registered_names_and_scopes():
    @keras.saving.register_keras_serializable("tests_of_names")
    class Own(layers.Layer):
        def __init__(self, size=1, **keywords):
            super().__init__(**keywords)
            self.size = size

        def call(self, x):
            return x * self.size

        def get_config(self):
            return {**super().get_config(), "size": self.size}

    assert keras.utils.get_registered_name(Own) == "tests_of_names>Own"
    model = keras.Sequential([keras.Input((6, 2)), Own(2)])
    assert np.array_equal(keras.models.model_from_json(model.to_json())(X), model(X))

    def known(x):
        return x

    assert keras.utils.get_registered_object("known") is None
    with keras.utils.custom_object_scope({"known": known}):
        assert keras.utils.get_custom_objects()["known"] is known is keras.utils.get_registered_object("known")
    assert "known" not in keras.saving.get_custom_objects()


def test_optimizers():
    adam = keras.optimizers.Adam(lr=0.01, clipnorm=1.0, use_ema=False, jit_compile=True)
    assert type(adam) is rk.optimizers.Adam and (adam.learning_rate, adam.clipnorm) == (0.01, 1.0)
    adam.learning_rate = 0.5
    assert adam.learning_rate == 0.5 and isinstance(adam, keras.Optimizer)
    assert type(keras.optimizers.get("RMSprop")) is rk.optimizers.RMSprop
    decayed = keras.optimizers.SGD(lr=0.1, decay=0.5)
    assert decayed.learning_rate == 0.1 and decayed._rate(2) == 0.05
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.9, name="x")
    assert type(schedule) is rk.optimizers.schedules.ExponentialDecay
    model = small(optimizer=keras.optimizers.legacy.Adam(schedule))
    model.fit(X, Y, verbose=0)
    assert isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)


def test_callbacks(tmp_path):
    model = small()
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss", save_best_only=True)
    seen = []

    class Own(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, sorted(logs), self.model is model))

    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=1e9)
    model.fit(X, Y, epochs=5, verbose=0, callbacks=[checkpoint, Own(), stop, keras.callbacks.TerminateOnNaN()])
    assert seen == [(0, ["loss", "mae"], True), (1, ["loss", "mae"], True)]
    assert not checkpoint.save_weights_only
    assert keras.models.load_model(tmp_path / "best.keras").predict(X, verbose=0).shape == (24, 1)
    low = keras.callbacks.ModelCheckpoint(tmp_path / "low.keras", monitor="loss", save_best_only=True, mode="min")
    low.best = keras.callbacks.ModelCheckpoint("x", initial_value_threshold=-1.0).best
    model.fit(X, Y, verbose=0, callbacks=[low])
    assert low.best == -1.0 and not (tmp_path / "low.keras").exists()


def test_utilities(tmp_path):
    utils = keras.utils
    assert utils.to_categorical([[0], [2]], 4).shape == (2, 4) and utils.normalize([[3.0, 4.0]]).tolist() == [
        [0.6, 0.8]
    ]
    with pytest.raises(ValueError, match="ids from 0 to 1"):
        utils.to_categorical([2], 2)
    assert utils.pad_sequences([[1], [2, 3]], maxlen=3).tolist() == [[0, 0, 1], [0, 2, 3]]
    left, right = utils.split_dataset((X, Y), left_size=0.75)
    assert left[0].shape == (18, 6, 2) and right[1].shape == (6,)
    assert utils.unpack_x_y_sample_weight((X, Y)) == (X, Y, None)
    windows = utils.timeseries_dataset_from_array(np.arange(10.0), np.arange(3.0, 10.0), 3, batch_size=4)
    assert [len(x) for x, _ in windows][:1] == [4]
    utils.plot_model(small(), to_file=tmp_path / "model.png", show_shapes=True)
    assert (tmp_path / "model.svg").read_text(encoding="utf-8").startswith("<svg")

    class Batches(utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return X[8 * index :][:8], Y[8 * index :][:8]

    model = small()
    model.fit(Batches(workers=2), epochs=2, verbose=0, validation_data=Batches())
    generator = keras.preprocessing.sequence.TimeseriesGenerator(X[0], Y[:6], length=3, batch_size=2)
    assert [x.shape for x, _ in (generator[i] for i in range(len(generator)))] == [(2, 3, 2), (1, 3, 2)]
    with pytest.raises(ValueError, match="longer than the length"):
        keras.preprocessing.sequence.TimeseriesGenerator(X[0], Y[:6], length=6)
    assert keras.random.uniform((2, 3), seed=1).dtype == np.float32
    generator = keras.random.SeedGenerator(1)
    assert not np.array_equal(keras.random.normal((3,), seed=generator), keras.random.normal((3,), seed=generator))
    assert keras.tree.flatten({"b": [1, (2,)], "a": 3}) == [3, 1, 2]
    assert keras.tree.pack_sequence_as({"b": [1, (2,)], "a": 3}, [3, 1, 2]) == {"b": [1, (2,)], "a": 3}


def test_callbacks_are_told_of_evaluations_and_predictions():
    """The hooks, their order and their logs are those of Keras 3.15."""
    told = []

    class Own(keras.callbacks.Callback):
        pass

    def noting(hook):
        return lambda self, *which, logs=None: told.append((hook, *which[: "batch" in hook], sorted(logs or which[-1])))

    for hook in (one for one in dir(Own) if one.startswith("on_") and one not in ("on_batch_begin", "on_batch_end")):
        setattr(Own, hook, noting(hook))
    model, metrics = small(), ["loss", "mae"]
    model.evaluate(X, Y, batch_size=12, verbose=0, callbacks=[Own()])
    of_test = [("on_test_begin", [])]
    for i in range(2):
        of_test += [("on_test_batch_begin", i, []), ("on_test_batch_end", i, metrics)]
    of_test += [("on_test_end", metrics)]
    assert told == of_test
    told.clear()
    model.predict(X, batch_size=12, verbose=0, callbacks=Own())
    expected = [("on_predict_begin", [])]
    for i in range(2):
        expected += [("on_predict_batch_begin", i, []), ("on_predict_batch_end", i, ["outputs"])]
    assert told == [*expected, ("on_predict_end", [])]
    told.clear()
    model.fit(X, Y, batch_size=12, verbose=0, validation_data=(X, Y), callbacks=[Own()])
    kinds = [one[0] for one in told]
    assert told[6 : 6 + len(of_test)] == of_test and kinds[:2] == ["on_train_begin", "on_epoch_begin"]
    assert told[-1] == ("on_train_end", ["loss", "mae", "val_loss", "val_mae"])


def test_layers_of_a_functional_model_are_in_keras_order_with_its_inputs():
    a, b, c = (keras.Input((3,), name=name) for name in "abc")
    dense = lambda name: layers.Dense(3, name=name)
    shared = dense("shared")
    models = {  # the orders are Keras's 3.15
        "a x y": keras.Model(a, dense("y")(dense("x")(a))),
        "a o b p q s": keras.Model([a, b], layers.Add(name="s")([dense("p")(dense("o")(a)), dense("q")(b)])),
        "b a r p q s": keras.Model([b, a], layers.Add(name="s")([dense("p")(a), dense("q")(dense("r")(b))])),
        "a b c s z": keras.Model([a, b, c], [layers.Add(name="s")([a, b]), dense("z")(c)]),
        "a b c s k z": keras.Model([a, b, c], {"z": dense("z")(layers.Add(name="s")([a, b])), "k": dense("k")(c)}),
        "a b shared cc": keras.Model([a, b], layers.Concatenate(name="cc")([shared(a), shared(b), a])),
        "a b w m u v": keras.Model([a, b], [dense("u")(a), dense("v")(layers.Multiply(name="m")([b, dense("w")(a)]))]),
    }
    for names, model in models.items():
        assert [layer.name for layer in model.layers] == names.split()
        for i, layer in enumerate(model.layers):
            assert layer is model.get_layer(index=i) is model.get_layer(layer.name)
            assert isinstance(layer, layers.InputLayer) == (layer.name in "abc")
        assert sum(layer.count_params() for layer in model.layers) == model.count_params()
    model = models["a x y"]
    inner = keras.Model(model.input, [layer.output for layer in model.layers[1:]])
    assert np.array_equal(inner(np.ones((2, 3)))[1], model(np.ones((2, 3))))
    for layer in model.layers[:2]:
        layer.trainable = False
    assert len(model.layers[0].get_weights()) == 0 and not model.layers[1].trainable
    assert [one.name for one in keras.models.clone_model(model).layers] == ["a", "x", "y"]
    assert [one.name for one in rk.Model(a, dense("alone")(a)).layers] == ["alone"]


def test_the_accuracy_that_is_a_class_is_the_share_of_equal_values():
    for y_true, y_pred in (([1, 2, 3, 4], [0, 2, 3, 4]), ([[1, 2], [3, 4]], [[0, 2], [3, 4]])):
        for metric in (keras.metrics.Accuracy(), keras.metrics.get("Accuracy"), keras.metrics.get("accuracy")):
            assert metric(y_true, y_pred) == 0.75
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", metrics=[keras.metrics.Accuracy()])
    found = model.evaluate(np.arange(4.0)[:, None], [0.0, 1.0, 2.0, 9.0], verbose=0, return_dict=True)
    assert found["accuracy"] == 0.75
    again = keras.metrics.deserialize(keras.metrics.serialize(keras.metrics.Accuracy()))
    assert again([1, 2], [0, 2]) == 0.5


def test_state_trees_hold_all_variables_by_their_paths():
    models = [
        keras.Sequential([keras.Input((6, 2)), layers.GRU(3, name="gru"), layers.Dense(1, name="d")]) for _ in "ab"
    ]
    for model in models:
        model.compile("adam", "mse", metrics=["mae"])
    models[0].fit(X, Y, verbose=0)
    tree = models[0].get_state_tree(value_format="numpy_array")
    assert list(tree) == [f"{kind}_variables" for kind in ("trainable", "non_trainable", "optimizer", "metrics")]
    assert set(tree["trainable_variables"]["gru"]) == {"kernel", "recurrent_kernel", "bias"}
    assert tree["non_trainable_variables"] == {} and set(tree["metrics_variables"]["loss"]) == {"total", "count"}
    assert tree["optimizer_variables"]["adam"]["iteration"] == 1
    assert tree["optimizer_variables"]["adam"]["learning_rate"] == 0.001
    models[1].fit(X[:8], Y[:8], verbose=0)  # so that its optimizer has slots
    models[1].set_state_tree(tree)
    for model in models:
        model.fit(X, Y, verbose=0, shuffle=False)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        assert np.array_equal(one, other)
    before = models[1].get_weights()
    wrong = {"trainable_variables": {"d": {"bias": [9.0], "scale": [1.0]}}}
    with pytest.raises(ValueError, match="got 'trainable_variables/d/scale'"):
        models[1].set_state_tree(wrong)
    assert all(map(np.array_equal, before, models[1].get_weights()))
    twice = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="d"), layers.Dense(2, name="d")])
    with pytest.raises(ValueError, match="d/kernel' twice"):
        twice.get_state_tree()


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        ({"shape": (None, 4, 3)}, (2, 4, 3), (2, 3, 3)),
        ({"ndim": 3}, (2, 4, 3), (2, 3)),
        ({"min_ndim": 2, "max_ndim": 3}, (2, 4, 3), (2, 4, 4, 3)),
        ({"axes": {-1: 3}}, (2, 3), (2, 4)),
    ],
)
def test_an_input_spec_is_checked_in_calls(spec, good, bad):
    class Own(layers.Layer):
        def __init__(self):
            super().__init__()
            self.input_spec = layers.InputSpec(**spec)

        def call(self, inputs):
            return 2.0 * inputs

    for shape, inputs in ((good, np.ones(good)), (good, keras.Input(batch_shape=good))):
        assert Own()(inputs).shape == shape
    for inputs in (np.ones(bad), keras.Input(batch_shape=bad)):
        with pytest.raises(ValueError, match="as its input_spec says"):
            Own()(inputs)


def test_an_input_spec_of_a_model_is_checked():
    x = keras.Input((None, 3))
    model = keras.Model(x, layers.Dense(2)(x))
    model.input_spec = layers.InputSpec(shape=(None, 4, 3))
    assert model(np.ones((2, 4, 3))).shape == (2, 4, 2)
    with pytest.raises(ValueError, match=r"input_spec says.*\(2, 3, 3\)"):
        model(np.ones((2, 3, 3)))


def test_the_shapes_that_compute_output_spec_says():
    class InTraining(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        def call(self, x, training=False):
            if not training:
                raise ValueError("only in training")
            return self.dense(x)

        def compute_output_spec(self, x, training=False):
            return keras.KerasTensor((*x.shape[:-1], 4), dtype=x.dtype)

    x = keras.Input((3,))
    model = keras.Model(x, InTraining()(x))
    assert isinstance(x, keras.KerasTensor) and model.output_shape == (None, 4)
    assert model(np.ones((2, 3)), training=True).shape == (2, 4)
    with pytest.raises(ValueError, match="only in training"):
        model(np.ones((2, 3)))


def test_operators_are_no_layers_of_a_model():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], layers.Add(name="sum")([layers.Dense(3, name="d")(keras.ops.tanh(a + b) * 2), a]))
    assert [one.name for one in model.layers] == ["a", "b", "d", "sum"] and model.get_layer(index=2).name == "d"


def test_a_list_for_a_dict_of_inputs_must_have_its_order():
    t, s = keras.Input((3,), name="t"), keras.Input((3,), name="s")
    ones, zeros = np.ones((1, 3)), np.zeros((1, 3))
    model = keras.Model({"t": t, "s": s}, t - s)
    assert np.array_equal(model({"t": ones, "s": zeros}), ones)
    with pytest.raises(ValueError, match="inputs as a dict of 's', 't', got a list"):
        model([ones, zeros])
    with pytest.raises(ValueError, match="x as a dict"):
        model.predict([ones, zeros], verbose=0)
    assert np.array_equal(keras.Model({"s": s, "t": t}, t - s)([zeros, ones]), ones)
    a, b = keras.Input((3,)), keras.Input((3,))
    assert np.array_equal(keras.Model([a, b], model({"t": a, "s": b}))([ones, zeros]), ones)


def test_clones_have_their_inputs_nesting_and_what_is_frozen():
    x, y = keras.Input((3,)), keras.Input((3,))
    model = keras.Model({"x": x, "y": y}, layers.Dense(2)(x + y), trainable=False)
    new = {"x": keras.Input((3,)), "y": keras.Input((3,))}
    assert list(keras.models.clone_model(model, input_tensors=new).input) == ["x", "y"]
    with pytest.raises(ValueError, match="nested as the model's inputs, got a tuple"):
        keras.models.clone_model(model, input_tensors=tuple(new.values()))
    assert not keras.models.clone_model(model).trainable
    sequential = keras.Sequential([keras.Input((3,)), layers.Dense(2, trainable=False), layers.Dense(1)])
    assert [one.trainable for one in keras.models.clone_model(sequential).layers] == [False, True]


def test_a_class_of_inputs_and_outputs_has_its_own_arguments_in_its_configuration():
    class Own(keras.Model):
        def __init__(self, *arguments, param=1, **keywords):
            super().__init__(*arguments, **keywords)
            self.param = param

        def get_config(self):
            return super().get_config() | {"param": self.param}

    x = keras.Input((3,))
    again = Own.from_config(Own(inputs=x, outputs=[layers.Dense(2)(x), layers.Dense(1)(x)], param=3).get_config())
    assert again.param == 3 and [one.shape for one in again(np.ones((4, 3)))] == [(4, 2), (4, 1)]
