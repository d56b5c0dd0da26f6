"""Layers around a recurrence give what Keras's give: outputs, gradients, moving averages, and three updates."""

import keras_witness as witness
import numpy as np
import pytest
from layers_under_test import CASES, KINDS, NOISE, Case
from matrix import same_bits

import rnnkit as rk

pytestmark = pytest.mark.filterwarnings("ignore")  # what Keras and its backends warn about is theirs


IN_FLOAT32 = ("LayerNormalization", "BatchNormalization", "Conv1D", "PReLU")  # whose updates take a while, too
SOME = [case for i, case in enumerate(CASES) if i % 20 == 0 or case.kind != CASES[i - 1].kind]


@pytest.fixture(scope="module")
def keras():
    keras = witness.imported()
    if keras.config.backend() != "jax":
        pytest.skip("the gradients here are jax's")
    yield keras
    witness.use(keras, "float32")


def pair(keras, case, dtype):
    """Keras's layer and rnnkit's of the same weights, other than those that they start from."""
    theirs, layer = getattr(keras.layers, case.kind)(**case.options, dtype=dtype), case.make(dtype=dtype)
    shape = case.shapes if len(case.shapes) > 1 else case.shapes[0]
    theirs.build(shape)
    layer.build(shape)
    assert [weight.name for weight in theirs.weights] == list(layer.weights)
    rng = np.random.default_rng(3)
    drawn = [np.abs(rng.normal(0.5, 0.3, weight.shape)).astype(dtype) for weight in theirs.weights]
    theirs.set_weights(drawn)
    layer.set_weights(drawn)
    return theirs, layer


def both(keras, case, dtype):
    """Outputs, the weights after the call, and gradients by the inputs and by the trained weights."""
    import jax

    theirs, layer = pair(keras, case, dtype)
    x, mask = case.inputs(dtype), case.mask()
    takes_mask = case.kind in ("BatchNormalization", "GlobalAveragePooling1D")
    more = {"mask": mask} if mask is not None and takes_mask else {}
    more |= {"training": case.training} if case.kind == "BatchNormalization" else {}

    def run(trained, x):
        y, fixed = theirs.stateless_call(trained, [one.value for one in theirs.non_trainable_variables], x, **more)
        return y, fixed

    trained = [one.value for one in theirs.trainable_variables]
    expected, back, fixed = jax.vjp(run, trained, x, has_aux=True)
    d = np.random.default_rng(5).normal(size=expected.shape).astype(dtype)
    d_weights, d_x = back(jax.numpy.asarray(d))
    outputs, pullback = layer.vjp(x, mask=mask, training=case.training)
    gradient = pullback(d)
    names = list(layer.trainable_weights)
    rest = [array for name, array in layer.weights.items() if name not in names]
    found = [outputs, *rest, *(gradient.weights[name] for name in names)]
    found += gradient.x if isinstance(gradient.x, list) else [gradient.x]
    fixed = [] if case.kind in NOISE else fixed  # where Keras's generators stand
    return found, [np.asarray(one) for one in [expected, *fixed, *d_weights, *jax.tree_util.tree_leaves(d_x)]]


@pytest.mark.parametrize("case", SOME, ids=str)
def test_outputs_and_gradients_are_keras_s(case, keras):
    check(case, keras, "float64")


@pytest.mark.sweep
@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_and_gradients_are_keras_s_for_every_case(case, keras):
    check(case, keras, "float64")
    check(case, keras, "float32")


def check(case, keras, dtype):
    bound = {"float64": 1e-10, "float32": 2e-5}[dtype]
    witness.use(keras, dtype)
    found, expected = both(keras, case, dtype)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_masks_are_keras_s(kind, keras):
    witness.use(keras, "float64")
    for case in [case for case in CASES if case.kind == kind][:4]:
        theirs, layer = pair(keras, case, "float64")
        several = len(case.shapes) > 1
        shapes = list(case.shapes) if several else case.shapes[0]
        assert layer.compute_output_shape(shapes) == tuple(theirs.compute_output_shape(shapes))
        if several or len(shapes) < 3:
            continue
        x = keras.ops.convert_to_tensor(case.inputs())
        mask = np.ones(x.shape[:2] if kind != "BatchNormalization" else x.shape[:-1], bool)
        keras.src.backend.set_keras_mask(x, keras.ops.convert_to_tensor(mask))
        passed = None if kind == "Softmax" else getattr(theirs(x), "_keras_mask", None)
        found = layer.compute_mask(np.asarray(x), mask[:, :, 0] if mask.ndim > 2 else mask)
        assert kind == "Softmax" or (found is None) == (passed is None), case


def models(keras, case, dtype):
    """A small model around a layer, of both, with the same weights."""
    theirs = keras.Sequential([
        keras.Input(case.shapes[0][1:], dtype=dtype), getattr(keras.layers, case.kind)(**case.options, dtype=dtype),
        keras.layers.Flatten(dtype=dtype), keras.layers.Dense(2, dtype=dtype),
    ])  # fmt: skip
    model = rk.Sequential([rk.Input(case.shapes[0][1:], dtype=dtype), case.make(), rk.Flatten(), rk.Dense(2)])
    model.set_weights(theirs.get_weights())
    return theirs, model


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (*NOISE, "Minimum", "Dot")])
def test_three_updates_are_keras_s(kind, keras):
    case = next(case for case in CASES if case.kind == kind)
    for dtype, bound in (("float64", 1e-10), ("float32", 1e-6))[: 2 if kind in IN_FLOAT32 else 1]:
        witness.use(keras, dtype)
        theirs, model = models(keras, case, dtype)
        x, y = case.inputs(dtype), np.random.default_rng(7).normal(size=(case.shapes[0][0], 2)).astype(dtype)
        for one in (theirs, model):
            kit = keras if one is theirs else rk
            one.compile(optimizer=kit.optimizers.SGD(0.05), loss="mse")
            one.fit(x, y, epochs=3, batch_size=len(x), shuffle=False, verbose=0)
        for a, b in zip(model.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=bound, atol=bound)
        np.testing.assert_allclose(model.predict(x), theirs.predict(x, verbose=0), rtol=10 * bound, atol=10 * bound)


def test_updates_behind_masks_are_keras_s(keras):
    witness.use(keras, "float64")
    ids = np.array([[1, 2, 3, 0, 0], [4, 1, 0, 0, 0], [2, 2, 2, 2, 2]])
    y = np.random.default_rng(7).normal(size=(3, 2))

    def between(kit):
        return [kit.BatchNormalization(), kit.LayerNormalization(), kit.PReLU(shared_axes=[1]), kit.GRU(3)]

    theirs = keras.Sequential([keras.Input((5,), dtype="int32"), keras.layers.Embedding(5, 4, mask_zero=True)])
    for layer in (*between(keras.layers), keras.layers.Dense(2)):
        theirs.add(layer)
    model = rk.Sequential([rk.Input((5,), dtype="int32"), rk.Embedding(5, 4, mask_zero=True, dtype="float64")])
    for layer in (*between(rk), rk.Dense(2)):
        model.add(layer)
    model.set_weights(theirs.get_weights())
    for one in (theirs, model):
        kit = keras if one is theirs else rk
        one.compile(optimizer=kit.optimizers.SGD(0.05), loss="mse")
        one.fit(ids, y, epochs=3, batch_size=3, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_a_mask_of_entries_is_keras_s(keras):
    witness.use(keras, "float64")
    x, rng = Case("Softmax", {}).inputs(), np.random.default_rng(0)
    for axis in (-1, 1, [1, 2]):
        for shape in (x.shape, (1, 1, 6), (4, 7, 1)):
            mask = rng.random(shape) < 0.6
            found = rk.Softmax(axis)(x, mask=mask)
            np.testing.assert_allclose(found, np.asarray(keras.layers.Softmax(axis)(x, mask=mask)), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_X17_layers_go_there_and_back(kind, keras, tmp_path):
    witness.use(keras, "float64")
    cases = [case for case in CASES if case.kind == kind]
    for case in cases[:: max(1, len(cases) // 4)]:
        theirs, _ = pair(keras, case, "float64")
        layer, x = rk.interop.from_keras(theirs), case.inputs()
        assert type(layer) is getattr(rk, kind) and layer.dtype == "float64"
        same_bits(layer.get_weights(), theirs.get_weights())
        np.testing.assert_allclose(layer(x), np.asarray(theirs(x)), rtol=1e-12, atol=1e-12)
        there = rk.interop.to_keras(layer)
        same_bits(there.get_weights(), theirs.get_weights())
        assert rk.interop.from_keras(there).get_config() == layer.get_config()
    if len(case.shapes) == 1:
        model = keras.Sequential([keras.Input(case.shapes[0][1:], dtype="float64"), theirs])
        model.save(tmp_path / "model.keras")
        model.save_weights(tmp_path / "model.weights.h5")
        again = rk.interop.from_keras(tmp_path / "model.keras")
        np.testing.assert_allclose(again(x), np.asarray(model(x)), rtol=1e-12, atol=1e-12)
        other = rk.Sequential([rk.Input(case.shapes[0][1:], dtype="float64"), case.make()])
        rk.interop.load_keras_weights(other, tmp_path / "model.weights.h5")
        same_bits(other.get_weights(), again.get_weights())


def test_masks_end_and_are_read_in_a_graph_as_in_keras(keras):
    witness.use(keras, "float64")
    ids = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(5, 4, mask_zero=True)(ids)
    x = keras.layers.BatchNormalization()(keras.layers.LeakyReLU()(x))
    ended = keras.layers.GRU(3)(keras.layers.Conv1D(4, 1)(x))
    theirs = keras.Model(ids, keras.layers.Minimum()([keras.layers.GRU(3)(x), ended]))
    model, given = rk.interop.from_keras(theirs), np.array([[1, 2, 3, 4, 0, 0], [1, 0, 0, 0, 0, 0]])
    np.testing.assert_allclose(model(given), np.asarray(theirs(given)), rtol=1e-10, atol=1e-10)
    there = rk.interop.to_keras(model)
    for training in (False, True):
        found, expected = model(given, training=training), there(given, training=training)
        np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-10, atol=1e-10)
    same = zip(model.get_weights(), there.get_weights(), strict=True)
    assert all(np.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in same)


@pytest.mark.parametrize("kind", ["Minimum", "Softmax"])
def test_values_that_masks_change_in_keras_alone_are_refused(kind, keras):
    witness.use(keras, "float32")
    start = keras.Input((6, 4))
    x = keras.layers.Masking()(start)
    y = keras.layers.Minimum()([x, x]) if kind == "Minimum" else keras.layers.Softmax()(x)
    with pytest.raises(ValueError, match=f"expected no mask .*{kind}"):
        rk.interop.from_keras(keras.Model(start, y))
