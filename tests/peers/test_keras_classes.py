"""Layers and models as classes give with rnnkit what they give with Keras: values, masks, weights, updates of a fit."""

import keras_classes
import keras_witness as witness
import numpy as np
import pytest

import rnnkit as rk

pytestmark = pytest.mark.filterwarnings("ignore")  # what Keras and its backends warn about is theirs


@pytest.fixture(scope="module")
def keras():
    keras = witness.imported()
    witness.use(keras, "float64")
    yield keras
    witness.use(keras, "float32")


def both(keras, name):
    """Keras's model and rnnkit's with the same weights, in Keras's order, and what they are called on."""
    theirs, x = keras_classes.CASES[name](keras_classes.of_keras(keras))
    ours, _ = keras_classes.ours(name)
    theirs(tensors(keras, x))
    theirs.set_weights(keras_classes.numbers_for([one.shape for one in theirs.get_weights()]))
    assert len(theirs.trainable_weights) == len(ours.trainable_weights)
    return theirs, ours, x


def tensors(keras, x):
    return [tensors(keras, one) for one in x] if isinstance(x, list) else keras.ops.convert_to_tensor(x)


@pytest.mark.parametrize("name", keras_classes.CASES)
def test_values_are_keras_s(keras, name):
    theirs, ours, x = both(keras, name)
    for training in (False, True):
        wanted = np.asarray(theirs(tensors(keras, x), training=training))
        np.testing.assert_allclose(ours(x, training=training), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", keras_classes.CASES)
def test_three_updates_are_keras_s(keras, name, optimizer):
    theirs, ours, x = both(keras, name)
    theirs.compile(getattr(keras.optimizers, optimizer)(0.05), "mse", jit_compile=False)
    ours.compile(getattr(rk.optimizers, optimizer)(0.05), "mse")
    wanted = theirs.fit(
        tensors(keras, x), tensors(keras, keras_classes.TARGET), batch_size=6, epochs=3, shuffle=False, verbose=0
    )
    found = ours.fit(x, keras_classes.TARGET, batch_size=6, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(found.history["loss"], wanted.history["loss"], rtol=0, atol=1e-10)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 if optimizer == "Adam" else 1e-10)
