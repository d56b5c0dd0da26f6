"""Keras's ConvLSTM layers give the same outputs, states and gradients; without masks, which Keras on jax fails at."""

import keras_witness as witness
import numpy as np
import pytest
from matrix import label, pairwise

import rnnkit as rk
from rnnkit.layers.support.layer_tree import build_with

pytestmark = pytest.mark.filterwarnings("ignore")  # what Keras and its backends warn about is theirs

B, T, CHANNELS = 3, 4, 2
SIZES = {1: (7,), 2: (5, 6), 3: (4, 3, 3)}
FACTORS = {
    "rank": (1, 2, 3),
    "kernel": (3, 2, 1),
    "padding": ("valid", "same"),
    "apart": ("none", "strides", "dilation"),
    "bias": (True, False),
    "forget": (True, False),
    "backwards": (False, True),
    "sequences": (True, False),
    "activation": ("tanh", "relu", "softplus"),
}
ROWS = pairwise(FACTORS)


@pytest.fixture(scope="module")
def keras():
    keras = witness.imported()
    if keras.config.backend() != "jax":
        pytest.skip("gradients are jax's")
    yield keras
    witness.use(keras, "float32")


def made(module, row):
    options = (
        {"strides": 2} if row["apart"] == "strides" else {"dilation_rate": 2} if row["apart"] == "dilation" else {}
    )
    kernel = 2 if row["padding"] == "valid" and row["apart"] == "dilation" else row["kernel"]
    flags = {"return_sequences": row["sequences"], "go_backwards": row["backwards"], "return_state": True}
    options |= {"use_bias": row["bias"], "unit_forget_bias": row["forget"], "activation": row["activation"]}
    return getattr(module, f"ConvLSTM{row['rank']}D")(2, kernel, padding=row["padding"], **options, **flags)


def check(keras, row):
    import jax

    witness.use(keras, "float64")
    rng = np.random.default_rng(2)
    theirs, layer = made(keras.layers, row), made(rk, row)
    x = rng.normal(size=(B, T, *SIZES[row["rank"]], CHANNELS))
    theirs.build(x.shape)
    build_with(layer, x.shape, np.dtype("float64"))
    weights = theirs.trainable_variables
    assert [one.name for one in weights] == list(layer.weights)
    assert [tuple(one.shape) for one in weights] == [one.shape for one in layer.get_weights()]
    np.testing.assert_array_equal(layer.get_weights()[2:], [np.asarray(one.value) for one in weights[2:]])
    values = [rng.normal(size=one.shape) / 2 for one in layer.get_weights()]
    layer.set_weights(values)
    others = [one.value for one in theirs.non_trainable_variables]
    expected, back = jax.vjp(lambda w, x: theirs.stateless_call(w, others, x)[0], values, x)
    outputs, pullback = layer.vjp(x)
    d = [rng.normal(size=one.shape) for one in outputs]
    gradient, (d_weights, d_x) = pullback(d), back(type(expected)(map(np.asarray, d)))
    for ours, one in zip([*outputs, gradient.x, *gradient.weights.values()], [*expected, d_x, *d_weights], strict=True):
        assert np.linalg.norm(ours - one) <= 1e-10 * max(1, np.linalg.norm(one))


@pytest.mark.parametrize("row", ROWS[::6], ids=label)
def test_a_layer_gives_what_keras_gives(row, keras):
    check(keras, row)


@pytest.mark.sweep
@pytest.mark.parametrize("row", ROWS, ids=label)
def test_a_layer_gives_what_keras_gives_for_every_row(row, keras):
    check(keras, row)
