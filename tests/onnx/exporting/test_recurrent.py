"""Recurrent layers in ONNX Runtime give what rnnkit gives: every cell, mask, direction, kind of result and dtype."""

import numpy as np
import pytest
from cells_under_test import CELLS, NAMED
from matrix import FACTORS, every, flat, inputs, label, layer_of, make_mask, pairwise, random_states
from onnx_runs import Exported, exported_to_onnx, near
from paper_cells import PAPER_CELLS

import rnnkit as rk
from rnnkit.cells import BUILT_IN

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TRACED = [case for case in (*CELLS, *PAPER_CELLS) if case.how == "traced"]


def built(layer, shape=(None, None, 5)):
    """A layer whose calls run as plain Python, so that nothing is compiled."""
    with rk.eager():
        layer.build(shape)
    return layer


def expected(layer, *arguments, **keywords):
    with rk.eager():
        return layer(*arguments, **keywords)


def drawn(*shape, dtype="float32", seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@both_dtypes
@pytest.mark.parametrize("case", every(2, TRACED), ids=lambda case: case.name)
def test_X15_every_cell_over_200_steps(case, dtype):
    assert exported_to_onnx(case, dtype) == "equal"


@both_dtypes
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("cell", BUILT_IN, ids=lambda cell: cell.__name__)
def test_X15_every_built_in_cell_over_200_steps(cell, mask, dtype):
    layer = built(rk.RNN(cell(17), return_sequences=True, return_state=True, dtype=dtype, seed=1))
    x, used = drawn(3, 200, 5, dtype=dtype), drawn(3, 200) > 0 if mask else None
    near(Exported(layer, mask=mask)(x, *([used] if mask else [])), expected(layer, x, mask=used))


def test_cells_of_papers_are_many():
    assert sum(case in TRACED for case in PAPER_CELLS) >= 20


SMALL = {
    **FACTORS,
    "cell": tuple(case.name for case in CELLS if case.how == "traced"),
    "sequences": (True, False),
    "states": (False, True),
    "units": FACTORS["units"][:1],
    "features": FACTORS["features"][2:],
}


@pytest.mark.parametrize("row", pairwise(SMALL), ids=label)
def test_X15_every_kind_of_call(row):
    """The programs are those of the contract's laws."""
    name, dtype, batch, time = (row[key] for key in ("cell", "dtype", "batch", "time"))
    options = {"go_backwards": row["backwards"], "zero_output_for_mask": row["zero"]}
    layer = layer_of(name, row["units"], row["features"], dtype, return_sequences=row["sequences"], **options)
    x, constants = inputs(name, batch, time, row["features"], dtype)
    mask = make_mask(row["mask"], batch, time, np.random.default_rng(5))
    start = random_states(layer, batch, dtype) if row["states"] else None
    shapes = list(NAMED[name].constants) if constants else None
    exported = Exported(layer, mask=mask is not None, states=row["states"], constants=shapes)
    given = [x, *([] if mask is None else [mask]), *(constants or []), *(flat(start) if start else [])]
    near(exported(*given), layer(x, mask=mask, initial_state=start, constants=constants))


OPERATORS = {
    "SimpleRNN": (rk.SimpleRNN, {}, "RNN"),
    "GRU": (rk.GRU, {}, "GRU"),
    "GRU before": (rk.GRU, {"reset_after": False}, "GRU"),
    "LSTM": (rk.LSTM, {}, "LSTM"),
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("kind", OPERATORS)
def test_built_in_layers_are_operators(kind, states, sequences, backwards):
    layer, options, operator = OPERATORS[kind]
    spread = {"bias_initializer": "normal", "return_sequences": sequences, "return_state": True}
    layer = built(layer(6, **options, **spread, go_backwards=backwards, seed=1))
    exported = Exported(layer, states=states)
    assert operator in exported.operators() and "Scan" not in exported.operators()
    start = [drawn(4, 6, seed=i) for i in range(len(exported.outputs) - 1)] if states else None
    x = drawn(4, 200, 5)
    near(exported(x, *(start or [])), expected(layer, x, initial_state=start))


@pytest.mark.parametrize("gate", ["hard_sigmoid", "sigmoid"])
@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("name", ["linear", "relu", "leaky_relu", "hard_sigmoid", "elu", "softsign", "sigmoid", "gelu"])
def test_activations_of_operators_and_others(kind, name, gate):
    layer, options, operator = OPERATORS[kind]
    gates = {} if kind == "SimpleRNN" else {"recurrent_activation": gate}
    small = {"recurrent_initializer": rk.initializers.Uniform(-0.1, 0.1)}
    layer = built(layer(6, activation=name, use_bias=False, **gates, **options, **small, seed=1))
    exported = Exported(layer)
    assert ("Scan" if name == "gelu" else operator) in exported.operators()
    x = drawn(4, 200, 5)
    near(exported(x), expected(layer, x))


def test_built_in_layers_in_float64_or_under_a_mask_are_loops():
    for options, dtype in (({}, "float64"), ({"mask": True}, "float32")):
        exported = Exported(built(rk.LSTM(6, dtype=dtype, seed=1)), **options)
        assert "Scan" in exported.operators() and "LSTM" not in exported.operators()


@both_dtypes
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_stacks(backwards, masked, dtype):
    cells = [rk.LSTMCell(4), rk.GRUCell(3), rk.SimpleRNNCell(5)]
    layer = built(rk.RNN(cells, return_sequences=True, return_state=True, go_backwards=backwards, dtype=dtype, seed=2))
    exported = Exported(layer, mask=masked, states=True)
    assert exported.operators().count("Scan") == (masked or dtype == "float64")
    x, mask = drawn(3, 200, 5, dtype=dtype), drawn(3, 200) > 0 if masked else None
    start = [[drawn(3, 4, dtype=dtype), drawn(3, 4, dtype=dtype)], drawn(3, 3, dtype=dtype), drawn(3, 5, dtype=dtype)]
    assert exported.inputs == ["x", *["mask"] * masked, *(f"initial_state_{i}" for i in range(4))]
    near(exported(x, *([mask] if masked else []), *flat(start)), expected(layer, x, start, mask))


MERGES = pairwise(
    {
        "mode": ("concat", "sum", "mul", "ave", None),
        "mask": (False, True),
        "sequences": (True, False),
        "states": (False, True),
        "returned": (False, True),
        "backwards": (False, True),
        "dtype": ("float32", "float64"),
    }
)


@pytest.mark.parametrize("row", MERGES, ids=label)
def test_bidirectional(row):
    dtype, options = row["dtype"], {"return_sequences": row["sequences"], "return_state": row["returned"]}
    inside = rk.GRU(4, go_backwards=row["backwards"], dtype=dtype, seed=2, **options)
    layer = built(rk.Bidirectional(inside, merge_mode=row["mode"]))
    exported = Exported(layer, mask=row["mask"], states=row["states"])
    x, mask = drawn(3, 9, 5, dtype=dtype), drawn(3, 9) > 0 if row["mask"] else None
    start = [drawn(3, 4, dtype=dtype, seed=i) for i in (1, 2)] if row["states"] else None
    got = exported(x, *([mask] if row["mask"] else []), *(start or []))
    count = 2 if row["mode"] is None else 1
    assert exported.outputs[0] == ("y_forward" if count == 2 else "y")
    result = expected(layer, x, start, mask)
    result = flat(result if isinstance(result, np.ndarray) else list(result))
    near(got if row["returned"] else got[:count], result)
    assert len(got) == count + 2 * (row["states"] or row["returned"])


@pytest.mark.parametrize("mask", [False, True])
def test_one_file_serves_all_batch_sizes_and_lengths(mask):
    layer = layer_of("two_speeds", 17, 5, "float32")
    exported = Exported(layer, mask=mask)
    for batch, time in ((1, 1), (1, 30), (6, 2), (33, 70)):
        x, used = drawn(batch, time, 5), drawn(batch, time) > 0
        near(exported(x, *([used] if mask else [])), layer(x, mask=used if mask else None))
    dims = [d.dim_param or d.dim_value for d in exported.model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "time", 5]


def test_inputs_with_more_axes():
    @rk.cell(states={"m": (2, 3)})
    def grid(x, states, weights):
        (m,) = states
        m = 0.5 * m + x.transpose(0, 2, 1)
        return m.sum(axis=(1, 2)), m

    layer = built(rk.RNN(grid(), return_sequences=True, dtype="float64"), (None, None, 3, 2))
    x = drawn(4, 6, 3, 2, dtype="float64")
    (got,) = Exported(layer)(x)
    assert got.shape == (4, 6)
    near([got], expected(layer, x))


def test_a_step_that_ignores_its_input_or_its_rows():
    @rk.cell(states={"count": 1})
    def counting(x, states, weights):
        (count,) = states
        return np.zeros((x.shape[0], 2)), count + 1

    layer = built(rk.RNN(counting(), return_sequences=True, return_state=True, dtype="float32"))
    x, mask = drawn(3, 7, 5), drawn(3, 7) > 0
    near(Exported(layer)(x), expected(layer, x))
    near(Exported(layer, mask=True)(x, mask), expected(layer, x, mask=mask))


def test_products_with_the_input_leave_the_loop():
    """And a weight of a product stands once, outside the body."""
    exported = Exported(layer_of("lstm", 17, 5, "float64"))
    graph = exported.model.graph
    (loop,) = [node for node in graph.node if node.op_type == "Scan"]
    (body,) = [attribute.g for attribute in loop.attribute if attribute.name == "body"]
    assert exported.operators().count("MatMul") == 1
    assert [node.op_type for node in body.node].count("MatMul") == 1
    assert not body.initializer
    assert sum(np.prod(one.dims) for one in graph.initializer) < 1.1 * layer_of("lstm", 17, 5).count_params()
    assert "z = x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias" in {n.doc_string for n in body.node}


def test_constants_have_the_shapes_of_calls_so_far():
    layer = layer_of("attention", 17, 5, "float64")
    x, constants = inputs("attention", 3, 9)
    result = layer(x, constants=constants)
    exported = Exported(layer)
    assert exported.inputs == ["x", "constant_0"]
    near(exported(x, *constants), result)


def test_constants_of_both_directions():
    cell = NAMED["attention"].make(4)
    layer = built(rk.Bidirectional(rk.RNN(cell, return_sequences=True, dtype="float64", seed=2)))
    x, constants = inputs("attention", 3, 9)
    near(Exported(layer, constants=[(6, 5)])(x, *constants), expected(layer, x, constants=constants))


@both_dtypes
@pytest.mark.parametrize("backwards", [False, True])
def test_a_call_equals_calls_of_its_parts_with_the_states_between(backwards, dtype):
    """A stateful layer has its states as inputs and outputs without being asked."""
    layer = built(rk.LSTM(4, return_sequences=True, stateful=True, go_backwards=backwards, dtype=dtype, seed=2))
    exported = Exported(layer)
    assert exported.inputs == ["x", "initial_state_0", "initial_state_1"]
    assert exported.outputs == ["y", "state_0", "state_1"]
    x, zeros = drawn(3, 9, 5, dtype=dtype), np.zeros((3, 4), dtype)
    whole, *ends = exported(x, zeros, zeros)
    parts = (x[:, 5:], x[:, :5]) if backwards else (x[:, :5], x[:, 5:])
    first, *between = exported(parts[0], zeros, zeros)
    second, *last = exported(parts[1], *between)
    near([np.concatenate([first, second], axis=1), *last], [whole, *ends])
    assert Exported(layer, states=False).inputs == ["x"]


def test_cells_start_where_they_say():
    layer = built(rk.RNN(NAMED["two_speeds"].make(4), return_state=True, dtype="float64", seed=2))
    x = drawn(3, 1, 5, dtype="float64")
    near(Exported(layer)(x), expected(layer, x))


@both_dtypes
def test_a_gate_that_is_computed_before_what_it_multiplies(dtype):
    """Which ONNX Runtime 1.32 would merge to a division whose operand comes later."""

    @rk.cell(states={"h": "units", "n": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
    def gated(x, states, weights):
        h, n = states
        z = x @ weights.kernel + h
        o, part = rk.sigmoid(z), 1 / (1 + n * n)
        c = np.tanh(z) + 0.5 * n
        h = c + 0.1 * h
        return o * c + part * h, [h, c]

    layer = built(rk.RNN(gated(4), return_sequences=True, dtype=dtype, seed=1))
    x = drawn(3, 7, 5, dtype=dtype)
    near(Exported(layer)(x), expected(layer, x))


def test_nan_at_masked_steps_reaches_nothing():
    layer = layer_of("gru_after", 17, 5, "float32")
    x, mask = drawn(4, 9, 5), drawn(4, 9) > 0
    poisoned = np.where(mask[:, :, None], x, np.float32(np.nan))
    near(Exported(layer, mask=True)(poisoned, mask), layer(x, mask=mask))
