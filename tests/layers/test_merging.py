"""Layers that merge arrays or give them another shape: NumPy's results, slopes, masks, shapes."""

import json

import numpy as np
import pytest

import rnnkit as rk

RNG = np.random.default_rng(4)
A, B, C = (RNG.normal(size=(2, 5, 3)) for _ in range(3))
ONE = RNG.normal(size=(2, 5, 1))


def squares(x):
    return np.concatenate([x * x, x[:, :1]], axis=-1)


MERGING = {
    "concatenate": (rk.Concatenate(), [A, ONE, B], np.concatenate([A, ONE, B], axis=-1)),
    "concatenate_in_time": (rk.Concatenate(axis=1), [A, B], np.concatenate([A, B], axis=1)),
    "add": (rk.Add(), [A, B, C], A + B + C),
    "add_repeated": (rk.Add(), [ONE, A], ONE + A),
    "subtract": (rk.Subtract(), [A, ONE], A - ONE),
    "multiply": (rk.Multiply(), [A, B, ONE], A * B * ONE),
    "average": (rk.Average(), [A, B], (A + B) / 2),
    "maximum": (rk.Maximum(), [A, B, C], np.maximum(np.maximum(A, B), C)),
    "of_one": (rk.Add(), [A], A),
}
SHAPING = {
    "repeat": (rk.RepeatVector(4), A[:, 0], np.repeat(A[:, :1], 4, axis=1)),
    "reshape": (rk.Reshape((3, -1)), A, A.reshape(2, 3, 5)),
    "flatten": (rk.Flatten(), A, A.reshape(2, 15)),
    "average": (rk.GlobalAveragePooling1D(), A, A.mean(axis=1)),
    "average_kept": (rk.GlobalAveragePooling1D(keepdims=True), A, A.mean(axis=1, keepdims=True)),
    "lambda": (rk.Lambda(squares), A, np.concatenate([A * A, A[:, :, :1]], axis=-1)),
}
ALL = {f"merging-{k}": v for k, v in MERGING.items()} | {f"shaping-{k}": v for k, v in SHAPING.items()}


@pytest.mark.parametrize("which", ALL)
def test_results_slopes_shapes_and_configurations(which):
    layer, x, expected = ALL[which]
    outputs = layer(x)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)
    assert layer.vjp(x)[0].tobytes() == outputs.tobytes()
    shapes = [one.shape for one in x] if isinstance(x, list) else x.shape
    assert layer.compute_output_shape(shapes) == outputs.shape
    check = rk.gradcheck(layer, x)
    assert check and check.arrays, check
    d = np.ones_like(outputs)
    gradients = layer.vjp(x)[1](d).x
    assert not any(np.shares_memory(d, one) for one in (gradients if isinstance(x, list) else [gradients]))
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config, custom_objects={"squares": squares})
    assert again.compute_output_shape(shapes) == outputs.shape
    again(x)[...] = 0  # what a call returns is the caller's own
    np.testing.assert_array_equal(layer(x), outputs)


def test_what_a_gradient_reads_is_what_the_call_saw():
    a, b = A.copy(), B.copy()
    outputs, pullback = rk.Multiply().vjp([a, b])
    a[...] = b[...] = 0
    first, second = pullback(np.ones_like(outputs)).x
    np.testing.assert_array_equal(first, B)
    np.testing.assert_array_equal(second, A)


@pytest.mark.parametrize("layer", [rk.Maximum(), rk.Minimum()])
def test_of_equal_entries_the_first_has_the_gradient(layer):
    arrays = [*RNG.integers(0, 3, (2, 4, 5, 3)).astype(float), RNG.integers(0, 3, (4, 5, 1)).astype(float)]
    arrays[0][0, 0], arrays[1][0, 1, 2] = np.nan, np.nan  # the result is NaN, which no entry equals
    outputs, pullback = layer.vjp(arrays)
    d = RNG.normal(size=outputs.shape)
    same = np.stack(np.broadcast_arrays(*arrays)) == outputs
    parts = np.where(same & (np.cumsum(same, axis=0) == 1), d, 0.0)
    gradients = pullback(d).x
    for found, part in zip(gradients[:2], parts[:2], strict=True):
        np.testing.assert_array_equal(found, part)
    np.testing.assert_allclose(gradients[2], parts[2].sum(axis=2, keepdims=True), rtol=1e-12)


def test_largest_steps_share_the_gradient():
    x = RNG.integers(0, 3, (4, 5, 3)).astype(float)
    x[0, 0] = np.nan
    outputs, pullback = rk.GlobalMaxPooling1D().vjp(x)
    largest = x == outputs[:, None]
    count = np.maximum(largest.sum(axis=1, keepdims=True), 1)
    np.testing.assert_array_equal(pullback(np.ones_like(outputs)).x, largest / count)


def test_X13_masks_of_merged_arrays():
    first, second = np.array([[1, 1, 0, 0, 0]] * 2, bool), np.array([[1, 0, 1, 0, 0]] * 2, bool)
    assert rk.Add().compute_mask([A, B], None) is None
    assert rk.Add().compute_mask([A, B], [first, None]) is None
    np.testing.assert_array_equal(rk.Add().compute_mask([A, B], [first, second]), first | second)
    assert rk.Concatenate().compute_mask([A, B], [None, None]) is None
    assert rk.Concatenate().compute_mask([A, B], [first, None]).all()
    joined = rk.Concatenate(axis=1).compute_mask([A, B], [first, None])
    np.testing.assert_array_equal(joined, np.concatenate([first, np.ones_like(first)], axis=1))


def test_masks_stand_side_by_side_along_time_however_its_axis_is_numbered():
    first, second = np.arange(10).reshape(2, 5) % 3 > 0, np.ones((2, 5), bool)
    for axis in (1, -2):
        found = rk.Concatenate(axis=axis).compute_mask([A, B], [first, second])
        np.testing.assert_array_equal(found, np.concatenate([first, second], axis=1))


def test_a_mean_over_used_steps_reads_no_others():
    mask = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    x = np.where(mask[:, :, None], A, np.nan)
    layer = rk.GlobalAveragePooling1D()
    outputs, pullback = layer.vjp(x, mask=mask)
    np.testing.assert_allclose(outputs, [A[0, [0, 2]].mean(axis=0), np.zeros(3)])
    gradient = pullback(np.ones_like(outputs)).x
    np.testing.assert_array_equal(gradient, np.where(mask[:, :, None], 0.5, 0.0) * np.ones(3))
    assert layer.compute_mask(x, mask) is None
    longer = np.concatenate([x, np.full((2, 2, 3), np.nan)], axis=1)
    assert layer(longer, mask=np.pad(mask, [(0, 0), (0, 2)])).tobytes() == outputs.tobytes()


def test_precision():
    a = A.astype("float32")
    assert rk.Add()([a, a]).dtype == np.float32
    assert rk.Add()([a, A]).dtype == np.float64
    assert rk.Add()([np.ones((2, 3), int)]).dtype == np.float32
    assert rk.Flatten(dtype="float64")(a).dtype == np.float64


def test_shapes_with_open_sizes():
    assert rk.Concatenate(axis=1).compute_output_shape([(None, None, 3), (2, 4, 3)]) == (2, None, 3)
    assert rk.Add().compute_output_shape([(None, None, 1), (None, 4, 3)]) == (None, 4, 3)
    assert rk.Flatten().compute_output_shape((None, None, 3)) == (None, None)
    assert rk.Reshape((-1, 2)).compute_output_shape((None, None, 3)) == (None, None, 2)
    assert rk.Reshape((-1, 2)).compute_output_shape((None, 4, 3)) == (None, 6, 2)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: rk.Concatenate(axis=0), ValueError),
        (lambda: rk.Concatenate(axis=3)([A, B]), ValueError),
        (lambda: rk.Concatenate()([A, B[:, :4]]), ValueError),
        (lambda: rk.Add()([A, B[:1]]), ValueError),
        (lambda: rk.Add()(A), TypeError),
        (lambda: rk.Add()([]), TypeError),
        (lambda: rk.Reshape((-1, -1)), ValueError),
        (lambda: rk.Reshape((4, 4))(A), ValueError),
        (lambda: rk.RepeatVector(0), ValueError),
        (lambda: rk.RepeatVector(2)(A), ValueError),
        (lambda: rk.GlobalAveragePooling1D()(A[:, 0]), ValueError),
        (lambda: rk.Lambda("tanh"), TypeError),
        (lambda: rk.Lambda(lambda x: x[:, -1])(A), ValueError),
        (lambda: rk.Lambda(lambda x: x.mean(axis=1)).compute_output_shape((2, 5, 3)), ValueError),
    ],
)
def test_errors(wrong, error):
    with pytest.raises(error, match="expected"):
        wrong()
