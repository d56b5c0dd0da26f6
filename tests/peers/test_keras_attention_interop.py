"""Attention and ConvLSTM layers go from Keras to rnnkit and back, alone and in models."""

import keras_witness as witness
import numpy as np
import pytest
from matrix import close, same_bits

import rnnkit as rk

pytestmark = pytest.mark.filterwarnings("ignore")  # what Keras and its backends warn about is theirs


@pytest.fixture(scope="module")
def keras():
    keras = witness.imported()
    yield keras
    witness.use(keras, "float32")


ATTENTION = {
    "dot": ("Attention", {"use_scale": True}),
    "dot without weights": ("Attention", {}),
    "concat": ("Attention", {"score_mode": "concat", "dropout": 0.25}),
    "additive": ("AdditiveAttention", {"seed": 3}),
    "heads": ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "kernel_regularizer": "l2"}),
    "gated heads": (
        "MultiHeadAttention",
        {"num_heads": 2, "key_dim": 3, "value_dim": 2, "use_gate": True, "output_shape": (5,), "use_bias": False},
    ),
}
IMAGES = {
    "ConvLSTM1D": ((None, 6, 2), {"padding": "same", "dilation_rate": 2, "return_sequences": True}),
    "ConvLSTM2D": ((None, 5, 4, 2), {"strides": 2, "return_state": True, "recurrent_dropout": 0.25}),
    "ConvLSTM3D": ((None, 3, 4, 3, 1), {"go_backwards": True, "activation": "relu"}),
}


@pytest.mark.parametrize("kind", ATTENTION)
def test_X17_attention_layers(kind, keras, rng):
    witness.use(keras, "float64")
    name, options = ATTENTION[kind]
    theirs = getattr(keras.layers, name)(dtype="float64", **options)
    q, v, k = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 3))
    arrays = (q, v, k) if name == "MultiHeadAttention" else ([q, v, k],)
    expected = theirs(*arrays, return_attention_scores=True, use_causal_mask=True)
    if theirs.get_weights():
        theirs.set_weights([rng.normal(size=one.shape) for one in theirs.get_weights()])
        expected = theirs(*arrays, return_attention_scores=True, use_causal_mask=True)
    layer = rk.interop.from_keras(theirs)
    found = layer(*arrays, return_attention_scores=True, use_causal_mask=True)
    close(list(found), witness.arrays(keras, expected), "float64")
    there = rk.interop.to_keras(layer)
    same_bits(there.get_weights(), theirs.get_weights())
    back = rk.interop.from_keras(there)
    assert back.get_config() == layer.get_config()
    same_bits(back.get_weights(), layer.get_weights())


@pytest.mark.parametrize("kind", IMAGES)
def test_X17_conv_lstm_layers(kind, keras, rng):
    witness.use(keras, "float64")
    shape, options = IMAGES[kind]
    theirs = getattr(keras.layers, kind)(2, 2, dtype="float64", **options)
    x = rng.normal(size=(2, 3, *shape[1:]))
    expected = theirs(x)
    layer = rk.interop.from_keras(theirs)
    found = layer(x)
    close(list(found) if isinstance(found, tuple) else [found], witness.arrays(keras, expected), "float64")
    there = rk.interop.to_keras(layer)
    same_bits(there.get_weights(), theirs.get_weights())
    assert rk.interop.from_keras(there).get_config() == layer.get_config()


def test_a_model_without_masks_goes_there_and_back(keras, rng):
    witness.use(keras, "float32")
    layers = keras.layers
    x, pairs = keras.Input((4, 6)), keras.Input((4, 4), dtype="bool")
    a = layers.MultiHeadAttention(2, 3)(x, x, attention_mask=pairs, use_causal_mask=True)
    b, scores = layers.Attention(use_scale=True)([layers.Add()([x, a]), a], return_attention_scores=True)
    images = layers.ConvLSTM1D(2, 2)(layers.Reshape((4, 6, 1))(b))
    theirs = keras.Model([x, pairs], [layers.Flatten()(images), scores])
    given = [rng.normal(size=(3, 4, 6)).astype("float32"), np.tril(np.ones((3, 4, 4), bool))]
    model = rk.interop.from_keras(theirs)
    expected = witness.arrays(keras, theirs(given))
    close(model(given), expected, "float32")
    close(witness.arrays(keras, rk.interop.to_keras(model)(given)), expected, "float32")


@pytest.mark.parametrize("gate", [False, True])
def test_X17_heads_come_from_a_file(gate, keras, rng, tmp_path):
    witness.use(keras, "float32")
    x = keras.Input((4, 6))
    heads = keras.layers.MultiHeadAttention(2, 3, use_gate=gate)(x, x)
    theirs = keras.Model(x, keras.layers.ConvLSTM1D(2, 2)(keras.layers.Reshape((4, 6, 1))(heads)))
    theirs.save(tmp_path / "model.keras")
    given = rng.normal(size=(3, 4, 6)).astype("float32")
    model = rk.interop.from_keras(tmp_path / "model.keras")
    close([model(given)], witness.arrays(keras, theirs(given)), "float32")
    theirs.save_weights(tmp_path / "model.weights.h5")
    model.set_weights([0 * one for one in model.get_weights()])
    rk.interop.load_keras_weights(model, tmp_path / "model.weights.h5")
    close([model(given)], witness.arrays(keras, theirs(given)), "float32")


def test_masks_before_attention_in_a_model_are_refused(keras):
    witness.use(keras, "float32")
    for module, inputs, convert in (
        (keras.layers, keras.Input, rk.interop.from_keras),
        (rk, rk.Input, rk.interop.to_keras),
    ):
        ids = inputs(shape=(4,), dtype="int32")
        steps = module.Embedding(5, 3, mask_zero=True)(ids)
        model = (keras if module is keras.layers else rk).Model(ids, module.MultiHeadAttention(2, 3)(steps, steps))
        with pytest.raises(ValueError, match="no masks before"):
            convert(model)
