"""What all layers around a recurrence have in common: slopes, shapes, configurations, files, masks, repeated calls."""

import copy
import json
import pickle

import numpy as np
import pytest
from layers_under_test import CASES, KINDS, LAYERS, NOISE, STEPS
from matrix import same_bits

import rnnkit as rk
from rnnkit.layers.support.runner import SURE, Runner
from rnnkit.training.steps import Stepper
from rnnkit.training.updates import UpdateRunner

ONE_OF_EACH = {kind: next(case for case in CASES if case.kind == kind) for kind in KINDS}
OF_STEPS = {kind: case for kind, case in ONE_OF_EACH.items() if case.shapes == (STEPS,)}


def built(case, dtype="float64"):
    """The layer of a case with random weights."""
    layer = case.make(dtype=dtype, seed=1)
    layer.build(list(case.shapes) if len(case.shapes) > 1 else case.shapes[0])
    rng = np.random.default_rng(3)
    layer.set_weights([rng.uniform(0.2, 0.9, weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.mark.parametrize("case", CASES, ids=str)
def test_G1_slopes_shapes_and_configurations(case):
    layer, x, mask = built(case), case.inputs(), case.mask()
    check = rk.gradcheck(layer, x, mask=mask, training=case.training or case.kind in NOISE)
    assert check and check.arrays, check
    outputs = layer(x, mask=mask)
    assert outputs.dtype == "float64" and outputs.flags.c_contiguous
    assert layer.vjp(x, mask=mask)[0].tobytes() == outputs.tobytes()
    shapes = list(case.shapes) if len(case.shapes) > 1 else case.shapes[0]
    assert layer.compute_output_shape(shapes) == outputs.shape
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    assert again.compute_output_shape(shapes) == outputs.shape
    again.build(shapes)
    again.set_weights(layer.get_weights())
    same_bits(again(x, mask=mask), outputs)
    outputs[...] = 0  # what a call returns is the caller's own
    same_bits(layer(x, mask=mask), again(x, mask=mask))


@pytest.mark.parametrize("case", [case for case in CASES if LAYERS[case.kind].formula], ids=str)
def test_results_are_those_of_the_formula(case):
    layer = built(case)
    config = layer.get_config()
    expected = LAYERS[case.kind].formula(case.inputs(), config, layer.weights)
    np.testing.assert_allclose(layer(case.inputs(), mask=case.mask()), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_not_changed_and_may_change_later(kind):
    case = ONE_OF_EACH[kind]
    layer, x = built(case), case.inputs()
    outputs, pullback = layer.vjp(x)
    first = pullback(np.ones_like(outputs))
    same_bits(x, case.inputs())
    for array in x if isinstance(x, list) else [x]:
        array[...] = 7
    second = pullback(np.ones_like(outputs))
    same_bits(first.x, second.x)
    same_bits(list(first.weights.values()), list(second.weights.values()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_layer_is_the_same_again(kind, tmp_path):
    case = ONE_OF_EACH[kind]
    layer, x = built(case, "float32"), case.inputs("float32")
    layer.save(tmp_path / "layer.npz")
    for again in (rk.load_model(tmp_path / "layer.npz"), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(again) is type(layer) and again.get_config() == layer.get_config()
        same_bits(again(x), layer(x))
        assert not any(array.flags.writeable for array in again.weights.values())
    assert rk.interop is not None and type(layer).__name__ in rk.__all__


@pytest.mark.parametrize("kind", KINDS)
def test_X13_masks_pass_as_in_keras(kind):
    case = ONE_OF_EACH[kind]
    x = np.zeros(STEPS)
    if kind in ("Minimum", "Dot"):
        found = case.make().compute_mask([x, x], [np.ones((4, 7), bool)] * 2)
    else:
        found = built(case).compute_mask(x, np.ones((4, 7), bool)) if case.shapes == (STEPS,) else None
    assert (found is not None) == LAYERS[kind].keeps_mask


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", OF_STEPS)
def test_M3_what_stands_under_a_mask_reaches_nothing_if_it_is_not_a_number(kind, training):
    case, found = OF_STEPS[kind], []
    mask = np.arange(7) < np.array([[7], [3], [5], [1]])
    for masked in (0.0, np.nan, np.inf):
        model = rk.Sequential([rk.Input(STEPS[1:], dtype="float64"), case.make(), rk.Flatten(), rk.Dense(2)], seed=4)
        y, pullback = model.vjp(np.where(mask[:, :, None], case.inputs(), masked), mask=mask, training=training)
        gradient = pullback(np.ones_like(y))
        found.append([y, gradient.x, *gradient.weights.values(), *model.get_weights()])
    assert all(np.isfinite(array).all() for array in found[0])
    for array, *others in zip(*found, strict=True):
        for other in others:
            same_bits(other, array)


def test_M3_a_step_without_memory_reads_no_nan_under_a_mask(rng):
    x, mask = rng.normal(size=(3, 5, 2)), np.arange(5) < np.array([[5], [3], [1]])
    model = rk.Sequential([rk.Dense(4, activation="tanh"), rk.GRU(3)], seed=0, dtype="float64")
    found = []
    for masked in (0.0, np.nan):
        y, pullback = model.vjp(np.where(mask[:, :, None], x, masked), mask=mask)
        gradient = pullback(np.ones_like(y))
        found.append([y, gradient.x, *gradient.weights.values()])
    assert np.isfinite(found[0][2]).all()
    same_bits(found[1], found[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_depends_on_no_other_row(kind):
    case = ONE_OF_EACH[kind]
    layer, x, mask = built(case, "float32"), case.inputs("float32"), case.mask()
    outputs = layer(x, mask=mask)
    for row in range(len(outputs)):
        part = [one[row : row + 1] for one in x] if isinstance(x, list) else x[row : row + 1]
        same_bits(layer(part, mask=None if mask is None else mask[row : row + 1]), outputs[row : row + 1])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_T13_repeated_calls_have_the_bits_of_the_ordinary_way(kind, training):
    case = ONE_OF_EACH[kind]
    layer, other = built(case), built(case)
    for i in range(Runner._met + SURE + 3):
        x = case.inputs(seed=i)
        found = layer(x, training=training)
        same_bits(found, type(layer).__call__.__wrapped__(other, x, training=training))
        same_bits(layer.get_weights(), other.get_weights())
    assert [found.agreed for found in layer._call_runner._kinds.values() if not found.refusal] == [SURE]


def fitted(make, monkeypatch, recorded, x, y, **more):
    """A model after a fit, its history, and how many batches were done the ordinary way."""
    with monkeypatch.context() as patch:
        done, anew = [], Stepper.train_anew
        patch.setattr(Stepper, "train_anew", lambda *a: (done.append(1), anew(*a)))
        if not recorded:
            patch.setattr(UpdateRunner, "serve", lambda *_: None)
        model = make()
        model.compile(rk.optimizers.Adam(0.01), "mse")
        history = model.fit(x, y, verbose=0, batch_size=8, epochs=3, **more).history
        return model, history, len(done)


@pytest.mark.parametrize("kind", OF_STEPS)
def test_T13_the_bits_of_a_fit_are_those_of_the_ordinary_way(kind, monkeypatch):
    case, rng = OF_STEPS[kind], np.random.default_rng(0)
    x, y = rng.normal(size=(20, *STEPS[1:])).astype("float32"), rng.normal(size=(20, 1)).astype("float32")
    x[rng.random((20, 7)) < 0.3] = 0

    def make():
        return rk.Sequential([rk.Masking(), case.make(), rk.Flatten(), rk.Dense(1)], seed=2)

    model, history, done = fitted(make, monkeypatch, True, x, y, validation_data=(x[:4], y[:4]))
    other, expected, _ = fitted(make, monkeypatch, False, x, y, validation_data=(x[:4], y[:4]))
    assert done == 6  # of two kinds of batches: the rest is repeated
    assert history == expected
    same_bits(model.get_weights(), other.get_weights())


@pytest.mark.parametrize("kind", KINDS)
def test_D8_streams_of_layers_that_take_single_steps(kind):
    case = ONE_OF_EACH[kind]
    if len(case.shapes) > 1 or len(case.shapes[0]) != 3:
        return
    options = {"PReLU": {"shared_axes": [1]}}.get(kind, case.options)
    layer = getattr(rk, kind)(**options, dtype="float32", seed=0)
    x = case.inputs("float32")
    y = layer(x)
    if not LAYERS[kind].keeps_mask or LAYERS[kind].without_c:
        with pytest.raises(ValueError, match=f"take one step at a time; '{layer.name}'"):
            layer.stream(4)
        return
    stream = layer.stream(4)
    for t in range(7):
        same_bits(stream.step(x[:, t]), y[:, t])


@pytest.mark.parametrize("make", [
    lambda: rk.LayerNormalization(axis=1), lambda: rk.Softmax((1, 2)), lambda: rk.UnitNormalization(-2),
    lambda: rk.PReLU(),
])  # fmt: skip
def test_layers_along_time_refuse_a_stream(make):
    layer = make()
    layer.build((None, 7, 6))
    with pytest.raises(ValueError, match="take one step at a time"):
        rk.Stream(layer)


REFUSED = {
    "expected axis .* not the batch axis 0; got 0": lambda: rk.LayerNormalization(axis=0),
    "expected axis .* got 1.5": lambda: rk.UnitNormalization(1.5),
    "expected axis 3 of .* x has 2 axes": lambda: rk.Softmax(3)(np.ones((2, 2))),
    "each once; x has 3 axes": lambda: rk.Softmax((2, -1))(np.ones((2, 2, 2))),
    "expected known features in the shape": lambda: rk.LayerNormalization(1).build((None, None, 3)),
    "expected x of shape \\(None, 3, None\\)": lambda: built_for(rk.LayerNormalization(1), 3, 4)(np.ones((2, 4, 4))),
    "expected mask of the shape": lambda: rk.Softmax()(np.ones((2, 3)), mask=np.ones((2, 2))),
    "expected max_value": lambda: rk.ReLU(-1.0),
    "expected negative_slope": lambda: rk.LeakyReLU(None),
    "expected alpha": lambda: rk.ELU("a"),
    "expected known sizes": lambda: rk.PReLU().build((None, None, 3)),
    "expected shared_axes among": lambda: rk.PReLU(shared_axes=[3]).build((None, 2, 3)),
    "expected filters to be a positive integer": lambda: rk.Conv1D(0, 3),
    "expected kernel_size": lambda: rk.Conv1D(2, (3, 3)),
    "expected padding to be one of valid, same, causal": lambda: rk.Conv1D(2, 3, padding="full"),
    "expected padding to be one of valid, same; got 'causal'": lambda: rk.MaxPooling1D(padding="causal"),
    "strides=2 and dilation_rate=2": lambda: rk.Conv1D(2, 3, strides=2, dilation_rate=2),
    "multiple of the 2 groups": lambda: rk.Conv1D(3, 3, groups=2),
    "features in 2 equal groups": lambda: rk.Conv1D(4, 3, groups=2).build((None, None, 3)),
    "expected at least 3 time steps": lambda: rk.Conv1D(4, 3)(np.ones((1, 2, 1))),
    "expected at least 2 time steps": lambda: rk.AveragePooling1D(2)(np.ones((1, 1, 1))),
    "expected at least one time step": lambda: rk.GlobalMaxPooling1D()(np.ones((1, 0, 1))),
    "expected x of shape \\(batch, time, features\\)": lambda: rk.MaxPooling1D()(np.ones((1, 1))),
    "expected data_format 'channels_last'": lambda: rk.Conv1D(4, 3, data_format="channels_first"),
    "expected dims to name each axis": lambda: rk.Permute((1, 3)),
    "expected x with 2 axes behind": lambda: rk.Permute((2, 1))(np.ones((1, 2))),
    "expected padding to be a whole number": lambda: rk.ZeroPadding1D((1, 2, 3)),
    "expected more than 4 time steps": lambda: rk.Cropping1D(2)(np.ones((1, 4, 1))),
    "expected size": lambda: rk.UpSampling1D(0),
    "expected rate below 1": lambda: rk.GaussianDropout(1),
    "expected rate to be a rate": lambda: rk.SpatialDropout1D(2),
    "expected stddev": lambda: rk.GaussianNoise(-1),
    "expected noise_shape to be repeated": lambda: rk.AlphaDropout(0.5, (None, 2))(np.ones((3, 3)), training=True),
    "expected axes as one or two": lambda: rk.Dot(0),
    "expected two arrays": lambda: rk.Dot(1)([np.ones((2, 2))] * 3),
    "expected arrays of one size along the axes": lambda: rk.Dot(1)([np.ones((2, 2)), np.ones((2, 3))]),
    "expected arrays with axes 2": lambda: rk.Dot(2)([np.ones((2, 2)), np.ones((2, 3))]),
    "expected axis as that of the features": lambda: rk.BatchNormalization(axis=0),
    "expected momentum": lambda: rk.BatchNormalization(momentum=2),
    "expected a known size of the axis": lambda: rk.BatchNormalization(axis=1).build((None, None, 3)),
    "with an axis 2 behind": lambda: rk.BatchNormalization(axis=2)(np.ones((2, 2))),
}  # fmt: skip


def built_for(layer, *sizes):
    layer.build((None, *sizes))
    return layer


@pytest.mark.parametrize("told", REFUSED)
def test_E1_what_does_not_fit_is_one_clear_error(told):
    with pytest.raises(ValueError, match=told):
        REFUSED[told]()


def test_noise_is_drawn_only_in_training_and_has_its_moments():
    x = np.random.default_rng(0).normal(0.3, 1.0, (200, 20, 50))
    for kind, spread in {"GaussianNoise": 0.5, "GaussianDropout": 1.0}.items():
        layer = getattr(rk, kind)(0.5, seed=0)
        same_bits(layer(x), x)
        y = layer(x, training=True)
        noise = y - x if kind == "GaussianNoise" else y / x - 1
        assert abs(noise.mean()) < 0.01 and abs(noise.std() - spread) < 0.01
        assert not np.array_equal(layer(x, training=True), y)
    y = rk.AlphaDropout(0.2, seed=0)(
        rk.Activation("selu")(np.random.default_rng(1).normal(size=x.shape)), training=True
    )
    assert abs(y.mean()) < 0.01 and abs(y.std() - 1) < 0.01
    y = rk.AlphaDropout(0.5, noise_shape=(None, 1, None), seed=0)(np.ones((5, 9, 4)), training=True)
    assert (y == y[:, :1]).all() and len(np.unique(y)) == 2
    y = rk.SpatialDropout1D(0.25, seed=0)(np.ones((200, 3, 50)), training=True)
    assert (y == y[:, :1]).all() and abs(y.mean() - 1) < 0.02 and set(np.unique(y)) == {0.0, 4 / 3}


def test_a_learned_slope_has_no_gradient_at_the_corner():
    layer = rk.PReLU("ones")
    y, pullback = layer.vjp(np.zeros((1, 2)))
    gradient = pullback(np.ones_like(y))
    assert (gradient.x == 0).all() and (gradient.weights["alpha"] == 0).all()


def test_a_mask_of_entries_with_its_gradient(rng):
    x, mask = rng.normal(size=(3, 4, 5)), rng.random((3, 4, 5)) < 0.6
    mask[0, 0] = False  # nothing is used there
    for axis in (-1, 1, (1, 2)):
        layer = rk.Softmax(axis)
        y, pullback = layer.vjp(np.where(mask, x, np.nan), mask=mask)
        parts = np.where(mask, np.exp(x), 0)
        total = parts.sum(axis=axis, keepdims=True)
        expected = np.divide(parts, total, out=np.zeros_like(x), where=total > 0)
        np.testing.assert_allclose(y, expected, atol=1e-12)
        same_bits(layer(x, mask=mask), y)
        d = rng.normal(size=x.shape)
        slopes = expected * (d - (d * expected).sum(axis=axis, keepdims=True))
        np.testing.assert_allclose(pullback(d).x, slopes, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_a_softmax_reads_every_mask_that_numpy_broadcasts(shape):
    """As a list too, and in the gradient; a mask of steps is none of entries."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    for axes in range(1, len(shape) + 1):
        for ones in range(2**axes):
            sizes = [1 if ones >> i & 1 else size for i, size in enumerate(shape[-axes:])]
            mask = rng.random(sizes) < 0.7
            whole, layer = np.broadcast_to(mask, shape), rk.Softmax()
            expected, pullback = layer.vjp(x, mask=whole)
            found, own_pullback = layer.vjp(x, mask=mask.tolist())
            assert np.array_equal(layer(x, mask=mask.tolist()), expected) and np.array_equal(found, expected)
            assert not expected[~whole].any()
            assert np.array_equal(pullback(x).x, own_pullback(x).x)
    if len(shape) == 3:
        assert np.array_equal(rk.Softmax()(x, mask=np.zeros(shape[:2], bool)), rk.Softmax()(x))
    with pytest.raises(ValueError, match="expected mask of the shape"):
        rk.Softmax()(x, mask=np.ones((2, 2, 2, 2)))
