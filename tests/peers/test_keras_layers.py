"""Keras's layers and rnnkit's give the same, over all options of both."""

import keras_witness as witness
import numpy as np
import pytest
from matrix import MASKS, close, flat, label, make_mask, pairwise, random_states, same_bits

import rnnkit as rk
from rnnkit.activations import ACTIVATIONS

pytestmark = pytest.mark.filterwarnings("ignore")  # what Keras and its backends warn about is theirs

FACTORS = {
    "cell": ("SimpleRNN", "GRU", "GRU before", "LSTM", "one cell", "stack"),
    "wrapper": ("none", "concat", "sum", "mul", "ave", None),
    "dtype": ("float64", "float32"),
    "mask": MASKS,
    "sequences": (True, False),
    "state": (True, False),
    "backwards": (False, True),
    "zero": (False, True),
    "bias": (True, False),
    "activation": ("tanh", "relu", "hard_sigmoid", "softmax", "gelu"),
    "start": (False, True),
    "regularizer": (None, "l2"),
}
ROWS = pairwise(FACTORS)


@pytest.fixture(scope="module")
def keras():
    keras = witness.imported()
    yield keras
    witness.use(keras, "float32")


def made(keras, row):
    """Keras's layer of a row, built."""
    layers, kind, dtype = keras.layers, row["cell"], row["dtype"]
    zero = row["zero"] and row["sequences"]  # the last output is held here, and 0 in some of Keras's backends
    of_cell = {"activation": row["activation"], "use_bias": row["bias"], "bias_initializer": "glorot_uniform"}
    of_cell |= {"kernel_regularizer": row["regularizer"], "dropout": 0.25, "seed": 4}
    of_cell["recurrent_dropout"] = 0.5
    options = {"return_sequences": row["sequences"], "return_state": row["state"], "dtype": dtype}
    options |= {"go_backwards": row["backwards"] and row["wrapper"] == "none", "zero_output_for_mask": zero}
    if kind in ("one cell", "stack"):
        cells = [layers.GRUCell(4, dtype=dtype, **of_cell), layers.LSTMCell(3, dtype=dtype, **of_cell)]
        layer = layers.RNN(cells if kind == "stack" else cells[0], **options)
    else:
        before = {"reset_after": False} if kind == "GRU before" else {}
        layer = getattr(layers, kind.split()[0])(4, **before, **of_cell, **options)
    if row["wrapper"] != "none":
        layer = layers.Bidirectional(layer, merge_mode=row["wrapper"], dtype=dtype)
    layer.build((None, None, 3))
    return layer


def check(keras, row):
    dtype, rng = row["dtype"], np.random.default_rng(1)
    witness.use(keras, dtype)
    theirs = made(keras, row)
    layer = rk.interop.from_keras(theirs)
    assert layer.dtype == dtype
    x = rng.normal(size=(4, 6, 3)).astype(dtype)
    mask, given = make_mask(row["mask"], 4, 6, rng), {}
    if row["start"] and row["mask"] in ("none", "right"):  # before the first used step Keras's backends disagree
        given["initial_state"] = random_states(layer, 4, dtype)
    keras_given = {name: witness.tensors(keras, one, dtype) for name, one in given.items()}
    expected = theirs(x, mask=None if mask is None else witness.tensors(keras, mask, "bool"), **keras_given)
    found = flat(layer(x, mask=mask, **given))
    assert {one.dtype.name for one in found} == {dtype}
    close(found, witness.arrays(keras, expected), dtype)
    there = rk.interop.to_keras(layer)
    same_bits(there.get_weights(), theirs.get_weights())
    back = rk.interop.from_keras(there)
    assert back.get_config() == layer.get_config()
    same_bits(back.get_weights(), layer.get_weights())


@pytest.mark.parametrize("row", ROWS[::4], ids=label)
def test_X17_a_layer_gives_what_keras_gives_and_goes_back(row, keras):
    check(keras, row)


@pytest.mark.sweep
@pytest.mark.parametrize("row", ROWS, ids=label)
def test_a_layer_gives_what_keras_gives_for_every_row(row, keras):
    check(keras, row)


def test_every_activation_is_keras_s(keras, rng):
    witness.use(keras, "float64")
    x = rng.normal(0, 3, (4, 5))
    for name in ACTIVATIONS:
        theirs = keras.layers.Dense(3, activation=name, dtype="float64")
        theirs.build((None, 5))
        layer = rk.interop.from_keras(theirs)
        close([layer(x)], witness.arrays(keras, theirs(x)), "float64")
        assert rk.interop.to_keras(layer).get_config()["activation"] == theirs.get_config()["activation"]
        theirs = keras.layers.Activation(getattr(keras.activations, name), dtype="float64")
        close([rk.interop.from_keras(theirs)(x)], witness.arrays(keras, theirs(x)), "float64")


def test_activations_that_are_layers(keras, rng):
    witness.use(keras, "float64")
    layers, x = keras.layers, rng.normal(size=(4, 5))
    for theirs in (
        layers.ReLU(dtype="float64"),
        layers.ReLU(6, dtype="float64"),
        layers.LeakyReLU(0.2, dtype="float64"),
        layers.ELU(dtype="float64"),
        layers.Softmax(dtype="float64"),
        layers.Identity(dtype="float64"),
    ):
        close([rk.interop.from_keras(theirs)(x)], witness.arrays(keras, theirs(x)), "float64")


def test_other_layers_give_what_keras_gives(keras, rng):
    witness.use(keras, "float32")
    layers, x = keras.layers, rng.normal(size=(4, 6, 3)).astype("float32")
    for theirs in (
        layers.Masking(0.5),
        layers.Flatten(),
        layers.Reshape((3, -1)),
        layers.TimeDistributed(layers.Dense(2)),
        layers.GlobalAveragePooling1D(keepdims=True),
        layers.Dropout(0.5, seed=3),
    ):
        expected = witness.arrays(keras, theirs(x))
        layer = rk.interop.from_keras(theirs)
        close([layer(x)], expected, "float32")
        close([rk.interop.from_keras(rk.interop.to_keras(layer))(x)], expected, "float32")
    repeat = rk.interop.from_keras(layers.RepeatVector(3))
    assert repeat(x[:, 0]).shape == (4, 3, 3)
    for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate"):
        theirs = getattr(layers, name)()
        close([rk.interop.from_keras(theirs)([x, 2 * x])], witness.arrays(keras, theirs([x, 2 * x])), "float32")


def test_settings_go_there_and_back(keras):
    for initializer in (*rk.initializers.INITIALIZERS, rk.initializers.Constant(2.0), rk.initializers.Uniform(0, 1)):
        layer = rk.Dense(2, kernel_initializer=initializer, dtype="float32")
        back = rk.interop.from_keras(rk.interop.to_keras(layer))
        assert back.get_config() == layer.get_config()
    for regularizer in (rk.regularizers.L1(0.5), rk.regularizers.L2(0.5), rk.regularizers.L1L2(0.5, 0.25)):
        layer = rk.LSTM(2, recurrent_regularizer=regularizer, dtype="float32")
        assert rk.interop.from_keras(rk.interop.to_keras(layer)).get_config() == layer.get_config()
    for constraint in (
        "max_norm",
        "non_neg",
        rk.constraints.MinMaxNorm(0.5, 2.0, 0.5, 1),
        rk.constraints.UnitNorm((0, 1)),
    ):
        layer = rk.Embedding(3, 2, embeddings_constraint=constraint, dtype="float32")
        assert rk.interop.from_keras(rk.interop.to_keras(layer)).get_config() == layer.get_config()


def test_what_is_not_built_has_no_weights(keras):
    layer = rk.interop.from_keras(keras.layers.LSTM(3, return_sequences=True))
    assert not layer.built and layer.return_sequences
    assert not rk.interop.to_keras(rk.GRU(3)).built


def test_frozen_layers_stay_frozen(keras):
    theirs = keras.layers.GRU(3)
    theirs.build((None, None, 2))
    theirs.trainable = False
    layer = rk.interop.from_keras(theirs)
    assert not layer.trainable and not rk.interop.to_keras(layer).trainable


def test_stateful_layers_need_a_batch_size(keras, rng):
    witness.use(keras, "float32")
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    layer = rk.LSTM(3, stateful=True, seed=0, dtype="float32")
    layer.build((None, None, 5))
    with pytest.raises(ValueError, match="batch_size"):
        rk.interop.to_keras(layer)
    theirs = rk.interop.to_keras(layer, batch_size=3)
    for part in x:
        close([layer(part)], witness.arrays(keras, theirs(part)), "float32")
    assert rk.interop.from_keras(theirs).stateful


def test_what_keras_has_not_does_not_go_there(keras):
    running = rk.cell(states={"h": "units"}, weights={"w": rk.Weight(("features", "units"))})(
        lambda x, states, weights: (x @ weights.w + states[0],) * 2
    )
    for layer in (
        rk.RNN(running(units=2)),
        rk.Lambda(np.tanh),
        rk.LSTM(2, activation=np.arctan),
        rk.Activation(np.sin),
    ):
        with pytest.raises(ValueError, match=r"rk\.onnx\.export or rk\.export_c"):
            rk.interop.to_keras(layer)


def test_what_rnnkit_has_not_is_named(keras):
    layers, initializer = keras.layers, keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")
    for theirs, words in (
        (layers.Conv2D(2, 3, name="early"), "Conv2D 'early'"),
        (layers.Dense(2, activity_regularizer="l2"), "activity_regularizer"),
        (layers.Dropout(0.5, noise_shape=(None, 1, 3)), "noise_shape"),
        (layers.LSTM(2, activation=lambda x: x), "custom_objects"),
        (layers.LSTM(2, dtype="float16"), "float16"),
        (layers.LSTM(2, dtype="mixed_bfloat16"), "mixed_bfloat16"),
        (
            layers.Dense(2, kernel_initializer=initializer),
            "untr",
        ),
        (layers.Dense(2, kernel_regularizer=keras.regularizers.OrthogonalRegularizer()), "OrthogonalRegularizer"),
        (layers.Flatten(data_format="channels_first"), "data_format"),
        (layers.Dense(2, activation="celu"), "celu"),
        (layers.Lambda(lambda x: x), "Lambda"),
    ):
        with pytest.raises(ValueError, match=words):
            rk.interop.from_keras(theirs)
    with pytest.raises(TypeError, match="layer or a model of Keras"):
        rk.interop.from_keras(rk.LSTM(2))


def test_custom_objects_take_the_place_of_functions_and_classes(keras, rng):
    def halved(x):
        return x / 2

    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    theirs = keras.layers.Dense(2, activation=halved)
    theirs.build((None, 3))
    layer = rk.interop.from_keras(theirs, custom_objects={"halved": halved})
    x = rng.normal(size=(4, 3)).astype("float32")
    close([layer(x)], witness.arrays(keras, theirs(x)), "float32")
    with pytest.raises(ValueError, match="Twice"):
        rk.interop.from_keras(Twice())
    made = rk.interop.from_keras(Twice(), custom_objects={"Twice": lambda name: rk.Lambda(lambda x: 2 * x, name=name)})
    close([made(x)], [2 * x], "float32")
