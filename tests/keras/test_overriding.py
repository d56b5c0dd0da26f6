"""Each public method of Keras's classes, overridden once: it is called, or refused by its name."""

import functools

import numpy as np
import pytest

from rnnkit import keras
from rnnkit.keras import layers
from rnnkit.keras.overriding import REFUSED

X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
# Methods and properties of Keras 3.15 that a program calls, which its own class may change: nothing else calls them.
ASKED = {
    "Layer": "add_loss add_metric add_variable add_weight compute_dtype compute_output_shape count_params dtype "
    "dtype_policy from_config get_weights input input_dtype input_spec losses metrics metrics_variables "
    "non_trainable_variables non_trainable_weights output path quantization_mode quantize set_weights stateless_call "
    "supports_masking trainable trainable_weights variable_dtype variables weights trainable_variables get_config",
    "Model": "compute_loss_and_updates evaluate export fit get_layer get_state_tree jit_compile load_weights "
    "metrics_names predict predict_on_batch run_eagerly save save_weights set_state_tree summary test_on_batch to_json "
    "train_on_batch compile layers build compute_mask",
    "Callback": "model",
    "Optimizer": "exclude_from_weight_decay from_config get_config variables",
    "Metric": "add_variable add_weight dtype from_config get_config variables",
}
NAMES = {
    "Layer": "build build_from_config call compute_mask compute_output_spec get_build_config load_own_variables "
    "quantized_build quantized_call rematerialized_call save_own_variables symbolic_call",
    "Model": "build_from_config call compile_from_config compute_loss compute_metrics compute_output_spec "
    "get_build_config get_compile_config get_metrics_result get_quantization_layer_structure jax_state_sync "
    "load_own_variables make_predict_function make_test_function make_train_function predict_step quantized_build "
    "quantized_call rematerialized_call reset_metrics save_own_variables stateless_compute_loss symbolic_call "
    "test_step train_step metrics",
    "Callback": "on_batch_begin on_batch_end on_epoch_begin on_epoch_end on_predict_batch_begin on_predict_batch_end "
    "on_predict_begin on_predict_end on_test_batch_begin on_test_batch_end on_test_begin on_test_end "
    "on_train_batch_begin on_train_batch_end on_train_begin on_train_end set_model set_params",
    "Optimizer": "add_optimizer_variables add_variable add_variable_from_reference apply apply_gradients assign "
    "assign_add assign_sub build finalize_variable_values iterations learning_rate load_own_variables "
    "save_own_variables scale_loss set_weights stateless_apply update_step",
    "Metric": "reset_state result stateless_reset_state stateless_result stateless_update_state update_state",
}


class Doubled(layers.Layer):
    """Has what Keras asks of a layer."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.supports_masking = True

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs):
        return 2.0 * self.scale * inputs


class Model(keras.Model):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.dense = layers.Dense(1)

    def call(self, inputs):
        return self.dense(inputs)


class Largest(keras.metrics.Metric):
    def __init__(self, name="largest"):
        super().__init__(name=name)
        self.value = self.add_weight(name="value")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.value.assign(max(float(self.value), float(np.max(y_pred))))

    def result(self):
        return self.value


BASES = {
    "Layer": Doubled,
    "Model": Model,
    "Callback": keras.callbacks.Callback,
    "Optimizer": keras.optimizers.SGD,
    "Metric": Largest,
}


def overriding(base, name, called):
    """A subclass with a method that says that it was called."""
    before = getattr(base, name, None)
    if isinstance(before, property):
        return type("Own", (base,), {name: property(lambda self: called.append(name) or before.fget(self))})

    @functools.wraps(before if callable(before) else len)
    def method(self, *arguments, **keywords):
        called.append(name)
        return before(self, *arguments, **keywords)

    return type("Own", (base,), {name: method})


def run(kind, own):
    """Build, train, evaluate and predict with an object of the class."""
    if kind == "Model":
        model = own()
    else:
        model = keras.Sequential([keras.Input((3,))])
        model.add(own() if kind == "Layer" else layers.Dense(3))
        model.add(layers.Dense(1))
    model.compile(own(0.01) if kind == "Optimizer" else "sgd", "mse", metrics=[own()] if kind == "Metric" else ["mae"])
    callbacks = [own()] if kind == "Callback" else None
    model.fit(X, Y, verbose=0, batch_size=8, callbacks=callbacks)
    model.evaluate(X, Y, verbose=0, callbacks=callbacks)
    model.predict(X, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names.split()])
def test_it_is_called_or_refused(kind, name):
    called = []
    refused = any(name in names.split() for names in REFUSED.get(kind, {}))
    if refused:
        with pytest.raises(NotImplementedError, match=f" {name},"):
            overriding(BASES[kind], name, called)
    else:
        run(kind, overriding(BASES[kind], name, called))
        assert called


def test_all_names_are_looked_at():
    """Those of the recorded classes of Keras 3.15, none in two lists."""
    for kind, names in NAMES.items():
        asked = set(ASKED[kind].split())
        assert not asked & set(names.split())
    assert len(NAMES["Layer"].split() + ASKED["Layer"].split()) == 45


def test_unknown_keywords_and_attributes_without_effect():
    for make in (
        lambda: Doubled(unit=3),
        lambda: layers.Dense(3, unit=3),
        lambda: keras.optimizers.Adam(rate=0.1),
        lambda: Largest().add_weight(nme="x"),
        lambda: keras.metrics.Mean(nme="x"),
        lambda: keras.losses.MeanSquaredError(reducton_of="sum"),
        lambda: Model().compile("sgd", "mse", metric=["mae"]),
        lambda: keras.callbacks.EarlyStopping(patienc=3),
        lambda: keras.Variable(1.0, nme="x"),
    ):
        with pytest.raises(TypeError, match=r"unit|rate|nme|reducton_of|metric|patienc"):
            make()
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("adam", "mse")
    for owner, name in ((model.optimizer, "lr"), (model, "layers"), (model, "loss")):
        with pytest.raises(AttributeError, match=name):
            setattr(owner, name, 0.1)
