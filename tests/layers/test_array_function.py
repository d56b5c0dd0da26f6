"""Functions of whole arrays as layers: NumPy's values, gradients as central differences, any length, in files."""

import copy
import json
import pickle

import numpy as np
import pytest
from array_functions_under_test import FUNCTIONS, OPERATIONS, RNG, drawn
from matrix import MASKS, make_mask

import rnnkit as rk
from rnnkit.layers.operation import operation
from rnnkit.layers.support.runner import SURE, Runner


def flat(nested):
    return [leaf for one in nested for leaf in flat(one)] if isinstance(nested, (list, tuple)) else [nested]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_numpy_at_any_length(name):
    function, count = FUNCTIONS[name]
    layer = rk.ArrayFunction(function)
    for length in (5, 7, 5):
        x = drawn(count, length)
        with np.errstate(all="ignore"):
            wanted = flat(function(x))
        for got, expected in zip(flat(layer(x)), wanted, strict=True):
            assert got.dtype == np.float64
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gradient_is_that_of_central_differences(name):
    function, count = FUNCTIONS[name]
    layer, x, step = rk.ArrayFunction(function), drawn(count), 1e-6
    outputs, pullback = layer.vjp(x)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(flat(outputs), flat(layer(x)), strict=True))
    d = [RNG.normal(size=one.shape) for one in flat(outputs)]
    gradient = pullback(d if isinstance(outputs, list) else d[0]).x
    arrays = flat(x)
    for i, array in enumerate(arrays):
        way = RNG.normal(size=array.shape)

        def loss(scale, i=i, array=array, way=way):
            moved = [array + scale * way if i == j else one for j, one in enumerate(arrays)]
            values = flat(layer(moved if count else moved[0]))
            return sum((a * b).sum() for a, b in zip(values, d, strict=True))

        wanted = (loss(step) - loss(-step)) / (2 * step)
        got = (flat(gradient)[i] * way).sum()
        assert abs(got - wanted) <= 1e-7 * max(1, abs(wanted))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shapes_with_open_sizes(name):
    function, count = FUNCTIONS[name]
    layer = rk.ArrayFunction(function)
    opened, given = (None, None, 4), drawn(count, 6)
    told = layer.compute_output_shape([opened] * count if count else opened)
    closed = layer.compute_output_shape([(3, 6, 4)] * count if count else (3, 6, 4))
    several = isinstance(told, list)
    for shape, exact, array in zip(
        told if several else [told], closed if several else [closed], flat(layer(given)), strict=True
    ):
        assert exact == array.shape
        assert all(a is None or a == b for a, b in zip(shape, array.shape, strict=True)) and shape[0] is None
        longer = layer(drawn(count, 8))
    other = layer.compute_output_shape([(3, 8, 4)] * count if count else (3, 8, 4))
    for shape, a, b in zip(*([one] if not several else one for one in (told, closed, other)), strict=True):
        assert [n is None for n in shape[1:]] == [m != n for m, n in zip(a[1:], b[1:], strict=True)]
    assert [one.shape for one in flat(longer)] == (other if several else [other])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows_are_apart(name):
    function, count = FUNCTIONS[name]
    layer, x = rk.ArrayFunction(function), drawn(count)
    alone = flat(layer([one[1:2] for one in x] if count else x[1:2]))
    for whole, one in zip(flat(layer(x)), alone, strict=True):
        np.testing.assert_allclose(whole[1:2], one, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", MASKS)
def test_masks_are_given_and_passed_on(kind):
    x, mask = drawn(0), make_mask(kind, 3, 5, RNG)

    def masked_mean(x, mask=None):
        if mask is None:
            return np.mean(x, axis=1)
        used = np.where(mask, 1.0, 0.0)[:, :, None]
        return np.sum(x * used, axis=1) / (np.sum(used, axis=1) + 1e-7)

    layer = rk.ArrayFunction(masked_mean)
    np.testing.assert_allclose(layer(x, mask=mask), masked_mean(x, mask), rtol=1e-12)
    outputs, pullback = layer.vjp(x, mask=mask)
    gradient = pullback(np.ones_like(outputs)).x
    assert mask is None or (gradient[~mask] == 0).all()
    assert layer.compute_mask(x, mask) is None  # no steps are left
    passing = rk.ArrayFunction(lambda x: 2 * x)
    if mask is None:
        assert passing.compute_mask(x, mask) is None
    else:
        np.testing.assert_array_equal(passing.compute_mask(x, mask), mask)
        assert rk.ArrayFunction(lambda x: x[:, 1:]).compute_mask(x, mask) is None
        own = rk.ArrayFunction(lambda x: x[:, 1:], mask=lambda x, mask: mask[:, 1:])
        np.testing.assert_array_equal(own.compute_mask(x, mask), mask[:, 1:])
        model, steps = rk.Sequential([passing, rk.GRU(3, seed=0)]), rk.GRU(3, seed=0)
        np.testing.assert_array_equal(model(x, mask=mask), steps(2 * x, mask=mask))


def test_masks_of_several_arrays():
    x, mask = drawn(2), make_mask("random", 3, 5, RNG)

    def used(several, mask):
        return several[0] * np.where(mask[1], 1.0, 0.0)[:, :, None] + (several[1] if mask[0] is None else 0)

    layer = rk.ArrayFunction(used)
    np.testing.assert_array_equal(layer(x, mask=[None, mask]), used(x, [None, mask]))
    np.testing.assert_array_equal(layer(x, mask=[mask, mask]), used(x, [mask, mask]))
    added = rk.ArrayFunction(lambda several: several[0] + several[1])
    assert added.compute_mask(x, [None, mask]) is None
    np.testing.assert_array_equal(added.compute_mask(x, [~mask, mask]), np.ones_like(mask))


def test_keywords_and_training_are_given():
    layer = rk.ArrayFunction(lambda x, scale, training: x * (scale if training else 1.0), arguments={"scale": 3.0})
    x = drawn(0)
    np.testing.assert_array_equal(layer(x, training=True), 3 * x)
    np.testing.assert_array_equal(layer(x), x)


@pytest.mark.parametrize("base", [rk.ArrayFunction, type("Own", (rk.ArrayFunction,), {})])
@pytest.mark.parametrize("where", [lambda layer: layer, lambda layer: rk.Sequential([layer])])
def test_T13_keywords_may_be_changed_in_place(base, where):
    def shifted(x, factor, by, shift):
        return factor * x + by[0] + shift

    layer = base(shifted, arguments={"factor": 2.0, "by": [1.0], "shift": np.zeros(2)})
    model, x, given = where(layer), np.ones((3, 4, 2)), layer.arguments

    def nested():
        given["by"][0] = 5.0

    def array():
        given["shift"][:] = [3.0, -1.0]

    for step in (lambda: None, lambda: given.update(factor=-1.0), nested, array):
        step()
        for _ in range(SURE + 4):
            np.testing.assert_array_equal(model(x), given["factor"] * x + given["by"][0] + given["shift"])
            y, pullback = model.vjp(x)
            np.testing.assert_array_equal(pullback(np.ones_like(y)).x, np.full_like(x, given["factor"]))
    assert len(layer._traces) <= 4  # it is traced anew for a change alone


def test_a_shape_that_is_asked_for_decides_no_precision():
    layer, x = rk.ArrayFunction(lambda x: x * 0.1), np.full((2, 5, 4), 0.1)
    assert layer.compute_output_shape((None, 5, 4)) == (None, 5, 4)
    np.testing.assert_array_equal(layer(x), x * 0.1)


def test_conditions_are_booleans():
    layer = rk.ArrayFunction(lambda x: x[:, :, 0] > 0)
    x = drawn(0)
    assert layer(x).dtype == bool
    np.testing.assert_array_equal(layer(x), x[:, :, 0] > 0)
    inverted = rk.ArrayFunction(lambda x: ~x)
    np.testing.assert_array_equal(inverted(x > 0), ~(x > 0))
    given = rk.Input((None, 4), dtype="float64")
    condition = ~(given > 0)
    assert condition.dtype == bool
    np.testing.assert_array_equal(rk.Model(given, np.where(condition, 0.0, given))(x), np.maximum(x, 0))


# Symbolic tensors


@pytest.mark.parametrize("name", OPERATIONS)
def test_symbolic_tensors_take_operations(name, tmp_path):
    function = OPERATIONS[name]
    given = rk.Input((None, 4), dtype="float64")
    result = function(given)
    model = rk.Model(given, result, name="whole")
    twin = rk.Model.from_config(json.loads(json.dumps(model.get_config())))
    model.save(tmp_path / "model.npz")
    loaded = rk.load_model(tmp_path / "model.npz")
    for length in (5, 7):
        x = drawn(0, length)
        wanted = function(x)
        found = model(x)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
        assert all(n is None or n == m for n, m in zip(result.shape, found.shape, strict=True))
        for other in (twin, loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            assert other(x).tobytes() == found.tobytes()
    assert "whole" in model.summary()


def test_sums_differences_and_products_of_tensors_stay_layers():
    a, b = rk.Input((3,)), rk.Input((3,))
    kinds = [type(one.node.layer) for one in (a + b, a - b, a * b, np.add(a, b), a + 1)]
    assert kinds == [rk.Add, rk.Subtract, rk.Multiply, rk.Add, rk.Operation]


@operation("tests of array functions")
def centred(x, axis, scale=1.0):
    """One layer of a function of several operations."""
    return scale * (x - np.mean(x, axis=axis, keepdims=True))


def test_a_registered_function_is_one_operation():
    given = rk.Input((None, 4), dtype="float64")
    model = rk.Model(given, centred(given, axis=1, scale=2.0))
    assert [type(layer) for layer in model.layers] == [rk.Operation]
    twin, x = rk.Model.from_config(model.get_config()), drawn(0)
    np.testing.assert_allclose(twin(x), centred(x, 1, 2.0), rtol=1e-12, atol=1e-14)


def looks(x):
    if x[:, 0].sum(axis=-1) > 0:
        return x
    return -x


X = rk.Input((None, 4), name="given")


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: rk.ArrayFunction(3), TypeError, "function of arrays"),
        (lambda: rk.ArrayFunction(np.sin, arguments=[1]), TypeError, "dict by keyword"),
        (lambda: rk.ArrayFunction(looks, name="look")(drawn(0)), ValueError, "'look'.*if x.*np.where"),
        (lambda: rk.ArrayFunction(lambda x: x - x.mean(axis=0))(drawn(0)), ValueError, "mixes rows"),
        (lambda: rk.ArrayFunction(lambda x: x.sum())(drawn(0)), ValueError, "batch axis"),
        (lambda: rk.ArrayFunction(lambda x: np.linalg.svd(x))(drawn(0)), ValueError, "svd"),
        (lambda: rk.ArrayFunction(lambda x: [])(drawn(0)), ValueError, "empty list"),
        (lambda: rk.ArrayFunction(lambda x: x[0] + x[1])([np.ones((2, 3)), np.ones((3, 3))]), ValueError, "one batch"),
        (lambda: rk.ArrayFunction(lambda x: 1 + x).get_config(), (ValueError, TypeError), "lambda"),
        (lambda: len(X), TypeError, "tensor.shape"),
        (lambda: bool(X), TypeError, "np.where"),
        (lambda: float(X), TypeError, "'given'"),
        (lambda: list(X), TypeError, "return_state"),
        (lambda: X[0], ValueError, "row of the batch"),
        (lambda: X.mean(axis=0), ValueError, "batch axis"),
        (lambda: X.mean(), ValueError, "batch axis"),
        (lambda: X + object(), TypeError, "object"),
        (lambda: X @ np.ones((3, 2)), ValueError, "4"),
        (lambda: np.tanh(X, out=np.ones(3)), TypeError, "out="),
        (lambda: np.linalg.svd(X), ValueError, "svd"),
        (lambda: rk.Operation("numpy:save"), ValueError, "np.save"),
        (lambda: rk.Operation("os:system"), ValueError, "os:system"),
        (lambda: rk.Operation(3), TypeError, "numpy:tanh"),
    ],
)
def test_errors(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()


# Training


def model_of_operations():
    x = rk.Input((None, 4), dtype="float64")
    steps = rk.GRU(4, return_sequences=True, seed=0)(x / 2)
    weights = rk.softmax(np.swapaxes(rk.Dense(1, seed=1)(np.tanh(steps)), 1, 2))
    context = (weights @ steps)[:, 0]
    return rk.Model(x, rk.Dense(1, seed=2)(np.concatenate([context, steps[:, -1]], axis=-1)), seed=0)


def test_T13_a_fit_through_operations_has_the_bits_of_the_ordinary_way(monkeypatch):
    x = drawn(0, rows=24)
    y = x[:, :, 0].sum(axis=1, keepdims=True)
    one, other = model_of_operations(), model_of_operations()
    for model in (one, other):
        model.compile(rk.optimizers.Adam(0.01), "mse")
    history = one.fit(x, y, batch_size=8, epochs=4, verbose=0).history
    kinds = one._update_runner._kinds.values()
    assert kinds and all(kind.refusal is None and kind.recording is not None for kind in kinds)
    monkeypatch.setattr("rnnkit.training.updates.UpdateRunner.serve", lambda *_: None)
    assert other.fit(x, y, batch_size=8, epochs=4, verbose=0).history == history
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()
    assert history["loss"][-1] < history["loss"][0]


def test_repeated_calls_have_the_bits_of_ordinary_ones():
    model = model_of_operations()
    for _ in range(Runner._met + SURE + 2):
        x = drawn(0)
        assert model(x).tobytes() == type(model).__call__.__wrapped__(model, x).tobytes()
    (kind,) = model._call_runner._kinds.values()
    assert kind.refusal is None and kind.agreed == SURE


@rk.register("tests of array functions")
def last_step(x, back=1):
    return x[:, -back]


def test_a_registered_function_is_saved(tmp_path):
    layers = [rk.GRU(3, return_sequences=True), rk.ArrayFunction(last_step, arguments={"back": 2})]
    model = rk.Sequential([*layers, rk.ArrayFunction(np.tanh, mask=np.ones((3, 1)))], seed=0)
    x = drawn(0)
    y = model(x)
    model.save(tmp_path / "model.npz")
    assert rk.load_model(tmp_path / "model.npz", custom_objects={"tanh": np.tanh})(x).tobytes() == y.tobytes()
    with pytest.raises(ValueError, match="tanh"):
        rk.load_model(tmp_path / "model.npz")
