"""Functions of whole arrays in ONNX Runtime: one file for all batch sizes and lengths, where they can be open."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from array_functions_under_test import FUNCTIONS, OPERATIONS, drawn
from onnx_runs import Exported, near

import rnnkit as rk


def inputs(count, length, dtype):
    shape = (length, 4)
    return [rk.Input(shape, dtype=dtype) for _ in range(count)] if count else rk.Input(shape, dtype=dtype)


def compared(model, calls):
    exported = Exported(model)
    for x in calls:
        near(exported(*(x if isinstance(x, list) else [x])), model(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_at_any_length(name, dtype):
    function, count = FUNCTIONS[name]
    given = inputs(count, None, dtype)
    model = rk.Model(given, rk.ArrayFunction(function)(given))
    compared(model, [drawn(count, n, rows, dtype) for n, rows in ((5, 3), (7, 1), (130, 2))])


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_at_any_length(name):
    given = rk.Input((None, 4), dtype="float64")
    compared(rk.Model(given, OPERATIONS[name](given)), [drawn(0, n, rows) for n, rows in ((5, 3), (7, 1), (130, 2))])


UNLIKE = {
    "what begins later": lambda x: x[:, 100:].sum(axis=1),
    "what ends earlier": lambda x: x[:, :300].sum(axis=1),
    "a half": lambda x: x[:, : x.shape[1] // 2 + 1].sum(axis=1),
    "squares": lambda x: x * np.arange(x.shape[1])[:, None] ** 2,
    "two graphs": lambda x: np.tanh(x) if x.shape[1] > 20 else x,
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_has_no_short_form_asks_for_a_fixed_length(name, tmp_path):
    given = inputs(0, None, "float32")
    model = rk.Model(given, rk.ArrayFunction(UNLIKE[name])(given))
    with pytest.raises(ValueError, match="depends on an open length .* give the Input of a Model its length"):
        rk.onnx.export(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    given = inputs(0, 130, "float32")
    compared(rk.Model(given, rk.ArrayFunction(UNLIKE[name])(given)), [drawn(0, 130, 2, "float32")])


# Each array has a length of its own.
SEVERAL = {
    "side by side": lambda a, b: np.concatenate([a, b], axis=1)[:, ::-1],
    "products": lambda a, b: np.reshape(a @ np.swapaxes(b, 1, 2), (a.shape[0], -1)),
    "the middle": lambda a, b: a[:, : a.shape[1] - 1].sum(axis=1) + b[:, 1:-1].mean(axis=1),
    "places": lambda a, b: a * np.arange(a.shape[1])[:, None] + b.mean(axis=1, keepdims=True) / b.shape[1],
    "ones": lambda a, b: a * np.ones((a.shape[1], 4)) + b.max(axis=1, keepdims=True),
    "two open sizes": lambda a, b: np.reshape(a[:, :, None] + b[:, None], (len(a), a.shape[1], b.shape[1], 2, 2)),
    "last and first": lambda a, b: a[:, -1] * b[:, 0] - a[:, -2] + b[:, -4:].sum(axis=1),
    "those before": lambda a, b: np.where(np.tri(a.shape[1], b.shape[1], 1) > 0, a @ np.swapaxes(b, 1, 2), -1.0),
    "tiled": lambda a, b: np.concatenate([np.tile(a, (1, 3, 1)), np.roll(np.repeat(b, 2, axis=1), -2, axis=1)], axis=1),
    "chosen places": lambda a, b: a[:, [0, 2, 1]] + b[:, [-1, 0, -2]],
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_lengths(name):
    given = [rk.Input((None, 4), dtype="float64") for _ in range(2)]
    model = rk.Model(given, rk.ArrayFunction(lambda ab: SEVERAL[name](*ab))(given))
    calls = [[drawn(0, n, 2), drawn(0, m, 2)] for n, m in ((5, 6), (7, 3), (4, 140))]
    compared(model, calls)


@pytest.mark.parametrize("read", [False, True])
def test_masks_are_read_and_passed_on(read):
    def mean(x, mask):
        used = x[..., 0] == x[..., 0] if mask is None else mask
        return x + (np.where(used[..., None], x, 0.0).sum(axis=1) / np.maximum(used.sum(axis=1), 1)[:, None])[:, None]

    layer = rk.ArrayFunction(mean if read else lambda x: x - x.mean(axis=1, keepdims=True))
    model = rk.Sequential([rk.Input((None, 4), dtype="float64"), rk.Masking(0.5), layer, rk.GRU(3)], seed=0)
    x = drawn(0, 6, 3)
    x[0, 4:] = x[1, 1] = 0.5
    compared(model, [x])


def test_a_result_with_other_steps_has_no_mask():
    a, b = (rk.Input((None, 4), dtype="float64") for _ in range(2))
    joined = rk.Concatenate(axis=1)([rk.Masking()(a), rk.Masking()(b)])
    found = [rk.GRU(3, seed=1)(rk.ArrayFunction(function)(joined)) for function in (lambda x: x[:, 1:], np.tanh)]
    with rk.eager():
        model = rk.Model([a, b], found)
        x = [drawn(0, 5, 2), drawn(0, 3, 2)]
        x[0][0, :2] = x[1][1, 1] = 0.0
        near(Exported(model)(*x), model(x))


def test_several_results_of_several_kinds():
    layer = rk.ArrayFunction(lambda x: [x > 0, (x.max(axis=1), np.argmax(x, axis=2))])
    x = drawn(0, 5, 3)
    results = layer(x)
    exported = Exported(layer)
    assert exported.outputs == ["y_0", "y_1", "y_2"]
    for got, wanted in zip(exported(x), (results[0], *results[1]), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


def test_a_function_with_a_rule_is_its_value():
    @rk.custom_gradient
    def clipped(x):
        return np.minimum(x, 0.5), lambda d: d

    compared(rk.Model(given := rk.Input((None, 4)), rk.ArrayFunction(clipped)(given)), [drawn(0, 5, 3, "float32")])
