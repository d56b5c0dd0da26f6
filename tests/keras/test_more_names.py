"""Names that scripts of people who go further use: ignored classes, sums of metrics, clones, ends of fits."""

import numpy as np
import pytest

from rnnkit import keras
from rnnkit.keras import layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 5, 3)).astype("float32")


@pytest.mark.parametrize("steps", [True, False])
@pytest.mark.parametrize("ignored", [-1, 2])
def test_ignored_classes_are_in_no_mean_and_no_gradient(steps, ignored):
    x = X if steps else X[:, 0]
    y = RNG.integers(-1 if ignored == -1 else 0, 4, size=x.shape[:-1])
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(4)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=ignored)
    metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, ignore_class=ignored, name="same")
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=[metric])
    kernel, bias = model.get_weights()
    logits = x @ kernel + bias
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    used, ids = y != ignored, np.maximum(y, 0)
    expected = -np.take_along_axis(log_p, ids[..., None], -1)[..., 0][used].mean()
    for _ in range(5):
        np.testing.assert_allclose(model.evaluate(x, y, verbose=0), [expected, expected * used.mean()], rtol=1e-5)
    assert metric(y, logits, np.ones(len(x))) == pytest.approx(expected, rel=1e-5)
    assert float(loss(y, logits)) == pytest.approx(expected, rel=1e-5)
    d = (np.exp(log_p) - np.eye(4)[ids]) * used[..., None] / used.sum()
    model.fit(x, y, batch_size=24, epochs=1, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.1 * x.reshape(-1, 3).T @ d.reshape(-1, 4), atol=1e-6)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config()["ignore_class"] == ignored
    with pytest.raises(ValueError, match="classes from 0"):
        model.fit(x, np.full_like(y, 7), verbose=0)


def test_counting_metrics_have_their_sums_as_variables():
    y, p = np.array([0, 1, 1, 0]), np.array([0.9, 0.8, 0.1, 0.4])
    for kind, names in (
        (keras.metrics.Precision, ["true_positives", "false_positives"]),
        (keras.metrics.Recall, ["true_positives", "false_negatives"]),
        (keras.metrics.TrueNegatives, ["true_negatives"]),
    ):
        metric = kind(thresholds=[0.85, 0.3])
        assert [one.name for one in metric.variables] == names
        metric.update_state(y, p)
        result, values = np.array(metric.result()), [one.value for one in metric.variables]
        np.testing.assert_array_equal(metric.true_positives, [0, 1])
        metric.reset_state()
        for one, value in zip(metric.variables, values, strict=True):
            one.assign(value)
        np.testing.assert_array_equal(metric.result(), result)
        with pytest.raises(ValueError, match="between 0 and 1"):
            kind(thresholds=[0.5, 2.0])


def test_clones_have_other_calls_and_are_compiled():
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, layers.Dense(1)(layers.GRU(4)(inputs)))
    model.compile("adam", "mse", metrics=["mae"])

    def call(layer, *arguments, **keywords):
        found = layer(*arguments, **keywords)
        return layers.Activation("tanh")(found) if isinstance(layer, layers.Dense) else found

    found = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    np.testing.assert_allclose(found.predict(X, verbose=0), np.tanh(model.predict(X, verbose=0)), rtol=1e-6)
    assert not found.compiled and keras.models.clone_model(model).metrics_names == ["loss", "mae"]


def test_a_layer_that_was_frozen_inside_of_another_is_trained_once_that_is_not():
    base = keras.Sequential([keras.Input((3,)), layers.BatchNormalization(), layers.Dense(2)])
    model = keras.Sequential([base, layers.Dense(1)])
    base.trainable = False
    for trainable in (False, True, False):
        base.trainable = trainable
        model.compile("sgd", "mse")
        before = base.layers[0].moving_mean.numpy()
        model.fit(X[:, 0], X[:, 0, :1], batch_size=4, epochs=2, verbose=0)
        assert np.any(before != base.layers[0].moving_mean.numpy()) == trainable


def test_weights_of_ones_own_layers_are_in_the_order_of_keras():
    class Ordered(layers.Layer):
        def build(self, shape):
            self.fixed = self.add_weight(shape=(1,), trainable=False, name="fixed")
            self.trained = self.add_weight(shape=(2,), name="trained")

        def call(self, inputs):
            return inputs

    layer = Ordered()
    layer(X)
    assert [one.shape for one in layer.get_weights()] == [(2,), (1,)]
    assert [one.name for one in layer.variables] == list(layer.weights) == ["trained", "fixed"]


def test_fits_that_a_nan_ends():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    y = np.full((24, 1), np.inf, "float32")
    with pytest.raises(RuntimeError, match="epoch 0, batch 0: the loss is not finite"):
        model.fit(X[:, 0], y, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN(raise_error=True)])
    data = (X[:4, 0], X[:4, 0, :1])
    stop = keras.callbacks.TerminateOnNaN()
    found = model.fit(X[:, 0], y, epochs=3, verbose=0, validation_data=data, callbacks=[stop])
    assert found.epoch == [0] and np.isnan([found.history[name] for name in ("loss", "val_loss")]).all()


def test_a_table_has_na_for_what_an_epoch_lacks(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    logger, path = keras.callbacks.CSVLogger, tmp_path / "logs.csv"
    data = (X[:, 0], X[:, 0, :1])
    model.fit(*data, epochs=2, verbose=0, validation_data=data, validation_freq=2, callbacks=[logger(path)])
    assert path.read_text().splitlines()[1].endswith("NA")


def test_an_early_stopping_without_a_stop_has_epoch_0():
    stopping = keras.callbacks.EarlyStopping(monitor="loss", patience=3)
    assert (stopping.stopped_epoch, stopping.best_epoch) == (0, 0)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X[:, 0], X[:, 0, :1], verbose=0, callbacks=[stopping])
    assert stopping.stopped_epoch == 0 and stopping.best is not None


def test_weights_are_loaded_by_order_where_only_the_numbers_of_names_differ(tmp_path):
    def make(name=None):
        inputs = keras.Input((3,))
        return keras.Model(inputs, layers.Dense(2)(layers.Dense(4, name=name)(inputs)))

    first, second = make(), make()
    first.save_weights(tmp_path / "a.weights.h5")
    assert list(first.weights) != list(second.weights)
    second.load_weights(tmp_path / "a.weights.h5")
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(ValueError, match="expected weights of"):
        make("other").load_weights(tmp_path / "a.weights.h5")


def test_messages_of_callbacks_go_to_logging_where_that_is_wanted(caplog, capsys):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    callbacks = [keras.callbacks.LearningRateScheduler(lambda epoch: 0.5, verbose=1)]
    message = "epoch 1: LearningRateScheduler setting learning rate to 0.5"
    keras.utils.disable_interactive_logging()
    try:
        with caplog.at_level("INFO"):
            model.fit(X[:, 0], X[:, 0, :1], verbose=0, callbacks=callbacks)
        assert message in caplog.text and message not in capsys.readouterr().err
        assert not keras.utils.is_interactive_logging_enabled()
    finally:
        keras.utils.enable_interactive_logging()
    model.fit(X[:, 0], X[:, 0, :1], verbose=0, callbacks=callbacks)
    assert message in capsys.readouterr().err


def test_use_cudnn_is_kept_and_changes_nothing():
    layer = layers.Bidirectional(layers.GRU(2, use_cudnn=False))
    assert layer.forward_layer.use_cudnn is layer.backward_layer.use_cudnn is False
    assert layers.LSTM(2).use_cudnn == "auto" and not hasattr(layers.SimpleRNN(2), "use_cudnn")


@pytest.mark.parametrize("name", ["CosineSimilarity", "CategoricalCrossentropy", "BinaryCrossentropy"])
def test_losses_along_another_axis(name):
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.uniform(0.1, 0.9, (2, 6, 4, 3))
    kind = getattr(keras.losses, name)
    moved = [np.moveaxis(one, 1, -1) for one in (y_true, y_pred)]
    assert np.isclose(kind(axis=1)(y_true, y_pred), kind()(*moved)) and kind(axis=1).get_config()["axis"] == 1
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Dense(3, activation="sigmoid")])
    model.compile("sgd", kind(axis=1))
    loss = model.evaluate(y_pred, y_true, verbose=0)
    assert np.isclose(loss, kind(axis=1)(y_true, model(y_pred)), rtol=1e-5)


def test_metrics_by_the_names_of_their_losses_are_objects_of_classes():
    kinds = {"mse": "MeanSquaredError", "mean_absolute_error": "MeanAbsoluteError", "kld": "KLDivergence"}
    for name, kind in kinds.items():
        found = keras.metrics.get(name)
        assert isinstance(found, getattr(keras.metrics, kind))


def test_a_model_read_from_json_says_the_same():
    keras.utils.set_random_seed(3)
    try:
        inputs = keras.Input((3,))
        model = keras.Model(inputs, layers.Add()([layers.Dense(3)(inputs), inputs]))
        assert keras.models.model_from_json(model.to_json()).to_json() == model.to_json()
        hidden = layers.Dense(3, name="hidden")(inputs)
        model = keras.Model(inputs, layers.Dense(1, name="last")((hidden + inputs) * hidden - 1.0))
        for found in (keras.models.model_from_json(model.to_json()), keras.models.clone_model(model)):
            assert [layer.name for layer in found.layers] == ["input", "hidden", "last"]
            assert found.to_json() == model.to_json()
        seen = []
        keras.models.clone_model(model, clone_function=lambda layer: seen.append(layer.name) or layer)
        assert seen == ["hidden", "last"]
    finally:
        keras.backend.clear_session()


def test_compute_output_spec_follows_from_compute_output_shape():
    class Halves(layers.Layer):
        def call(self, x):
            raise RuntimeError("never called")

        def compute_output_shape(self, input_shape):
            return [(*input_shape[:-1], input_shape[-1] // 2)] * 2

    spec = Halves().compute_output_spec(keras.KerasTensor((2, 4)))
    assert [one.shape for one in spec] == [(2, 2), (2, 2)] and isinstance(spec, list)


def test_a_callback_list_has_what_it_is_asked_for():
    class Heard(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.heard = epoch, logs

    one, model = Heard(), keras.Sequential([layers.Dense(1)])
    plain = keras.callbacks.CallbackList([one], model=model, epochs=1, steps=100, verbose=1)
    plain.on_epoch_end(3, {"loss": 1.0})
    assert plain.callbacks == [one] and one.heard == (3, {"loss": 1.0}) and one.model is model
    assert one.params == {"epochs": 1, "steps": 100, "verbose": 1}
    more = keras.callbacks.CallbackList([one], True, True, model, verbose=1)
    assert [type(each).__name__ for each in more.callbacks] == ["Heard", "ProgressBar", "History"]


def test_monitor_op_is_a_function_of_ops():
    class Own(keras.callbacks.EarlyStopping):
        pass

    ops = keras.ops
    for kind in (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau, Own):
        found = [kind("val_loss").monitor_op, kind("accuracy").monitor_op, kind("loss", mode="max").monitor_op]
        assert found == [ops.less, ops.greater, ops.greater]


def test_early_stopping_puts_the_weights_of_any_model_back():
    class Own:
        stop_training, kept = False, -1

        def get_weights(self):
            return self.kept

        def set_weights(self, weights):
            self.kept = weights

    stopping, model = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True), Own()
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, loss in enumerate([0.2, 0.1, 0.11, 0.12]):
        model.kept = epoch
        stopping.on_epoch_end(epoch, {"val_loss": loss})
    stopping.on_train_end()
    assert model.stop_training and model.kept == stopping.best_epoch == 1


def test_a_loss_class_may_define_its_call_alone():
    class Total(keras.losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return keras.ops.sum(y_pred)

    class Nothing(keras.losses.Loss):
        pass

    x, found = np.ones((4, 3), "float32"), []
    for loss in (Total(), lambda y_true, y_pred: keras.ops.sum(y_pred)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Dense(2)])
        model.compile("sgd", loss)
        found.append(model.fit(x, x[:, :2], epochs=2, verbose=0).history["loss"])
    assert found[0] == found[1] and found[0][1] < found[0][0]
    model.compile("sgd", Nothing())
    with pytest.raises(NotImplementedError, match="Nothing to define call"):
        model.fit(x, x[:, :2], verbose=0)
