"""Integers, casts and lookups in traced steps: NumPy's results, bit for bit, or a refusal by name."""

import tempfile

import c_code_runs
import numpy as np
import onnx_runs
import pytest
from matrix import same_bits

import rnnkit as rk
from rnnkit.compiler.ir.kinds import INTEGERS
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS

ODD = np.array([
    0.0, -0.0, 0.5, -0.5, 1.5, -2.5, 1.0, -1.0, -3.0, 7.0, 31.0, 63.0, 127.0, 128.0, 255.0, 300.0, -129.0, 40000.0,
    123456.75, 2.0**31 - 1, -(2.0**31), 2.0**31, 2.0**32 + 5, -(2.0**40) - 3, 2.0**52 + 1, 1e18,
])  # fmt: skip
NOT_FINITE = np.array([1e30, -1e30, np.inf, -np.inf, np.nan])
OF_TWO = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
    "floor_divide": np.floor_divide, "remainder": np.remainder, "fmod": np.fmod, "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "left_shift": np.left_shift,
    "right_shift": np.right_shift, "greater": np.greater, "greater_equal": np.greater_equal, "less": np.less,
    "less_equal": np.less_equal, "equal": np.equal, "not_equal": np.not_equal,
    "where": lambda a, b: np.where(a > b, a, b),
}  # fmt: skip
OF_ONE = {
    "negative": np.negative, "square": np.square, "absolute": np.absolute, "sign": np.sign, "invert": np.invert,
}  # fmt: skip
OVER_AN_AXIS = (
    lambda a: a.sum(axis=-1, dtype=np.int64), lambda a: np.prod(a, axis=-1, dtype=np.int64), lambda a: a.max(axis=-1),
    lambda a: a.min(axis=1), lambda a: np.cumsum(a, axis=1, dtype=np.int64)[:, -1], lambda a: np.sort(a)[:, 1],
    lambda a: np.argmax(a, axis=-1), lambda a: a[:, ::-1][:, 0] ** 3, lambda a: a @ np.arange(a.shape[1]),
    lambda a: np.array([3, 1, 4, 1, 5])[None].repeat(1, 0)[:, 2] * a[:, 0] + 1, lambda a: np.round(a)[:, 2],
)  # fmt: skip


def test_the_tests_have_all_operations_of_integers():
    assert {*OF_ONE, *OF_TWO} == {*INTEGER_OPERATIONS}


def words(a):
    """All bits of integers as numbers that any float holds."""
    a = a.astype(np.int64)
    return [(a >> shift) & 0xFFF for shift in range(0, 60, 12)] + [a >> 60]


def both_ways(step, x, dtype, state=2, **given):
    """What a layer gives compiled and as Python, of x ``(B, T, F)``."""
    cell = rk.cell(states={"s": state})(step)()
    layer = rk.RNN(cell, return_sequences=True, return_state=True, dtype=dtype)
    with rk.eager(), np.errstate(all="ignore"):
        expected = layer(x, **given)
    assert "traced" in layer.explain()
    return layer, layer(x, **given), expected


def drawn(numbers, dtype, shape=(13, 4, 10), seed=0):
    return np.random.default_rng(seed).choice(numbers, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", INTEGERS)
def test_C15_operations_of_integers_are_numpys(kind, dtype):
    def step(x, states, weights):
        a, b = x[:, :5].astype(kind), x[:, 5:].astype(kind)
        found = [f(a, b) for f in OF_TWO.values()] + [f(a) for f in OF_ONE.values()]
        found += [np.stack([f(a)] * 5, axis=1) for f in OVER_AN_AXIS]
        found += [a * 3 + 7, a // 3, 7 % np.where(b == 0, 1, b), a + True, a == 2, a < 10**12]
        k = states[0].astype(np.int64) * 1103515245 + 12345 + a[:, :2].astype(np.int64)
        return np.concatenate([w for one in found for w in words(one)], axis=1), k % 2**20

    limit = np.iinfo(kind)
    numbers = ODD if kind != "uint32" else ODD[(ODD >= 0) & (limit.max >= ODD)]
    _, got, expected = both_ways(step, drawn(numbers, dtype), dtype)
    same_bits(list(got), list(expected))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [*INTEGERS, "bool", "float32", "float64"])
def test_C15_astype_is_numpys(kind, dtype):
    def step(x, states, weights):
        y = x.astype(kind)
        z = y * y + (y if kind == "bool" else y * 3)
        return np.concatenate([y.astype(float), z.astype(float), y / 3], axis=1), states[0]

    numbers = [*ODD, *NOT_FINITE]
    if kind == "uint32":  # of others NumPy has no one answer: it depends on where they stand
        numbers = ODD[(ODD >= 0) & (ODD < 2**32)]
    _, got, expected = both_ways(step, drawn(numbers, dtype), dtype)
    if kind in ("bool", *INTEGERS) and dtype == "float64":
        same_bits(got[0], expected[0])
    else:  # eager computes some of it in float64
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "uint64"])
def test_a_type_that_cannot_be_had_is_refused_by_its_name(dtype):
    name = np.dtype(dtype).name
    layer = rk.RNN(rk.cell(states={"s": 2})(lambda x, states, weights: (x.astype(dtype) + 1, states[0]))())
    with pytest.raises(ValueError, match=f"an array of {name} in a step; expected one of bool, int8"):
        layer.vjp(np.zeros((1, 1, 2)))


def test_gradients_pass_casts_of_floats_and_end_at_integers():
    def step(x, states, weights):
        k = (x[:, :2] * 5).astype(np.int64)
        h = states[0] + x[:, 2:].astype(np.float32) * (k % 3) + k
        return h * 2.0, h

    x = drawn(np.linspace(-2, 2, 9), "float64", (3, 5, 4))
    layer, (y, _), _ = both_ways(step, x, "float64")
    _, pull = layer.vjp(x)
    d_x = pull([np.ones_like(y), None]).x
    k = (x[..., :2] * 5).astype(np.int64)
    steps = np.arange(5, 0, -1)[None, :, None]
    same_bits(d_x, np.concatenate([np.zeros_like(k), 2.0 * steps * (k % 3)], axis=-1))


def test_counts_and_places_stay_floats_where_floats_meet_them():
    layer = rk.RNN(rk.cell(states={"s": 3})(lambda x, s, w: (x * (x > 0).sum(axis=1)[:, None], s[0]))())
    layer.build((None, None, 3))
    assert "int64" not in layer.explain(graph=True).replace("astype", "")


# Lookups


def looking_up():
    @rk.cell(states={"h": 2}, weights={"t": rk.Weight((5, 2), "normal")})
    def look(x, states, weights):
        k = x[:, 0].astype(int)
        y = weights.t[k] * x[:, 1:3] + states[0]
        return y + np.take_along_axis(x[:, 1:], x[:, :1].astype(int) // 2, axis=1), y * 0.5

    return look()


def places(dtype, shape=(5, 7)):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(*shape, 4)).astype(dtype)
    x[..., 0] = rng.integers(-5, 5, shape)
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lookups_count_from_the_end_as_numpys(dtype):
    x = places(dtype)
    layer = rk.RNN(looking_up(), dtype=dtype)
    with rk.eager():
        expected = layer(x)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6)


ENTRIES = {
    "call": lambda layer, x: layer(x),
    "vjp": lambda layer, x: layer.vjp(x),
    "in segments": lambda layer, x: layer.vjp(x, checkpoint=3),
    "one after the other": lambda layer, x: [layer(x[:, :0]), layer(x)],
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("entry", ENTRIES)
def test_E20_a_lookup_out_of_range_names_row_and_step_and_changes_nothing(entry, backwards):
    x = places("float64")
    layer = rk.RNN(looking_up(), dtype="float64", stateful=True, go_backwards=backwards)
    layer(x)
    before = [np.array(s) for s in layer.states]
    for row, step, number in ((2, 3, 5), (4, 6, -6), (0, 0, 1e30), (3, 2, np.nan)):
        bad = x.copy()
        bad[row, step, 0] = number
        with pytest.raises(IndexError, match=rf"row {row} fails at step {step}: .* from -5 to 4 .*weights\.t\[k\]"):
            ENTRIES[entry](layer, bad)
        same_bits([np.array(s) for s in layer.states], before)
    bad[1, 1, 0] = 5
    first = "row 3 fails at step 2" if backwards else "row 1 fails at step 1"
    with pytest.raises(IndexError, match=first):
        ENTRIES[entry](layer, bad)


def test_E20_a_masked_step_fails_by_nothing():
    x = places("float64")
    bad, mask = x.copy(), np.random.default_rng(0).random(x.shape[:2]) < 0.5
    bad[~mask, 0] = 77
    layer = rk.RNN(looking_up(), dtype="float64")
    same_bits(layer(bad, mask=mask), layer(x, mask=mask))
    same_bits(layer.vjp(bad, mask=mask)[0], layer(x, mask=mask))
    row, step = np.argwhere(mask)[-1]
    bad[row, step, 0] = 77
    for call in (layer, layer.vjp):
        with pytest.raises(IndexError, match=f"row {row} fails at step {step}"):
            call(bad, mask=mask)


def test_fit_stops_at_a_lookup_out_of_range_with_the_weights_as_they_were():
    x = places("float64")
    model = rk.Sequential([rk.RNN(looking_up(), dtype="float64"), rk.Dense(1, dtype="float64")])
    model.compile("sgd", "mse")
    y = np.zeros((5, 1))
    model.fit(x, y, verbose=0)
    before = [np.array(w) for w in model.get_weights()]
    x[3, 4, 0] = 9
    with pytest.raises(IndexError, match="row 3 fails at step 4"):
        model.fit(x, y, batch_size=5, shuffle=False, verbose=0)
    same_bits([np.array(w) for w in model.get_weights()], before)


def test_an_index_must_be_an_integer():
    layer = rk.RNN(rk.cell(states={"s": 2})(lambda x, s, w: (np.take_along_axis(x, x[:, :1] * 0, axis=1), s[0]))())
    with pytest.raises(IndexError, match="must be"):
        layer(np.zeros((1, 1, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_places_and_nearness_of_what_is_not_finite(dtype):
    def step(x, states, weights):
        a, b = x[:, :5], x[:, 5:]
        found = [np.isclose(a, b), np.isclose(a, b, equal_nan=True), np.isclose(a, 1.0, rtol=0.5, atol=0.0)]
        found += [np.stack([f(x, axis=1), f(a, axis=-1)], axis=1) for f in (np.argmax, np.argmin)]
        return np.concatenate([one.astype(float) for one in found], axis=1), states[0]

    _, got, expected = both_ways(step, drawn([0.0, 1.0, 1.0 + 1e-6, 2.0, *NOT_FINITE], dtype, (40, 4, 10)), dtype)
    same_bits(got[0], expected[0])


def test_the_check_at_tracing_draws_large_numbers_and_odd_ones(monkeypatch):
    """An operation whose graph is right for usual numbers alone is found out."""
    from rnnkit.compiler.tracing import numpy_functions

    wrong = {
        "isclose": lambda a, b, rtol=1e-5, atol=1e-8: np.abs(a - b) <= atol + rtol * np.abs(b),
        "round": lambda x, decimals=0, out=None: np.floor(x + 0.5),
        "cumsum": lambda x, axis=None, dtype=None: numpy_functions.FUNCTIONS["clip"](x, -1e9, 1e9),
    }
    for name, call in {
        "isclose": lambda x: np.isclose(x, np.inf) + 0.0,
        "round": lambda x: np.round(x),
        "cumsum": lambda x: np.cumsum(x[:, :1], axis=1),
    }.items():
        monkeypatch.setitem(numpy_functions.FUNCTIONS, name, wrong[name])

        def step(x, states, weights):
            return call(x), states[0]  # noqa: B023  called here alone

        layer = rk.RNN(rk.cell(states={"s": 2})(step)())
        with pytest.raises(ValueError, match="differs from what its step computes"):
            layer(np.zeros((1, 1, 2)))
        monkeypatch.undo()


# Other targets


def integers_everywhere(x, states, weights):
    a, b = x[:, :2].astype(np.int64), x[:, 2:].astype(np.int32)
    c = (a * 1103515245 + b) % 2**20 + a // 3 + np.fmod(a, 7) + np.where(a > b, a, b) + abs(a) - b // a
    c = c + a.sum(axis=-1)[:, None] * np.sign(-b) + np.minimum(b, 3) % a + (a == b) + np.argmax(x, axis=1)[:, None]
    return x[:, :2].astype(np.float32) + c, (states[0].astype(np.int64) * 1103 + 5) % 1000


def bits_everywhere(x, states, weights):
    a, b = x[:, :2].astype(np.int16), x[:, 2:].astype(np.uint8)
    c = ((a << 3) ^ b | 5) & 1023
    return (c >> 1) + ~b + b * 7 + x[:, :2].astype(np.int8), states[0] + (a & 3)


def an_example(step, dtype):
    layer = rk.RNN(rk.cell(states={"s": 2})(step)(), return_sequences=True, dtype=dtype)
    x = np.random.default_rng(0).integers(-400, 400, (3, 6, 4)).astype(dtype)
    return layer, x, layer(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx_has_the_integers_that_it_can_have(dtype):
    layer, x, y = an_example(integers_everywhere, dtype)
    same_bits(of_onnx(layer, x), y)


def test_onnx_refuses_the_others_by_name(tmp_path):
    layer, _, _ = an_example(bits_everywhere, "float32")
    with pytest.raises(ValueError, match="no operator is known for int16, in the line"):
        rk.onnx.export(layer, tmp_path / "step.onnx")


def of_onnx(layer, x):
    pytest.importorskip("onnxruntime")
    return onnx_runs.Exported(layer)(x)[0]


def of_c(layer, x):
    with tempfile.TemporaryDirectory() as folder:
        library = c_code_runs.Library({"net": layer}, folder)
        runs = [library.sequence("net", layer.dtype, [((2,), True)]).run(row) for row in x]
    return np.stack(runs)


@c_code_runs.needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [integers_everywhere, bits_everywhere])
def test_c_has_all_integers(step, dtype):
    layer, x, y = an_example(step, dtype)
    same_bits(of_c(layer, x), y)


@c_code_runs.needs_compiler
def test_a_row_that_fails_is_nan_from_there_in_c_and_in_onnx():
    layer = rk.RNN(looking_up(), return_sequences=True, dtype="float32")
    x = places("float32", (1, 6))
    layer(x)
    x[0, 3, 0] = 5
    for y in (of_c(layer, x), of_onnx(layer, x)):
        assert np.isfinite(y[:, :3]).all() and np.isnan(y[:, 3:]).all()


def test_a_gpu_has_places_in_steps_of_many_numbers_and_refuses_other_integers_by_name():
    from rnnkit.execution import pipeline

    def step(x, states, weights):
        return x.astype(np.int64) * 3 + states[0], states[0]

    layer = rk.RNN(rk.cell(states={"s": 40})(step)(), dtype="float64")
    layer.build((None, None, 40))
    with pytest.raises(ValueError, match="integers only as places; got multiply of int64 in the line"):
        pipeline.choose_cuda(layer._execution.step, "float64", {})
