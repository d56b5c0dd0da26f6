"""The check of gradients is right about what is right and about what is wrong, and leaves no trace."""

import copy
import re

import numpy as np
import pytest
from cells_under_test import attention, simple, two_speeds
from layers_under_test import LAYERS as ROWS
from matrix import flat, same_bits

import rnnkit as rk
from rnnkit.cells import BUILT_IN
from rnnkit.compiler.ir import operations

MASK = [[1, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 1]]


@pytest.mark.parametrize("cell", BUILT_IN, ids=lambda cell: cell.__name__)
def test_X7_built_in_cells_pass(cell):
    check = rk.gradcheck(cell(4), mask=MASK)
    assert check and bool(check) is True
    assert [array.name for array in check.arrays][:2] == ["x", "initial_state" + "[0]" * (cell is rk.LSTMCell)]
    assert max(array.error for array in check.arrays) < 1e-8


@pytest.mark.parametrize("cell", [rk.SimpleRNNCell, pytest.param(rk.LSTMCell, marks=pytest.mark.sweep)])
def test_X7_a_broken_rule_is_found(cell, monkeypatch):
    tanh = operations.OPERATIONS["tanh"]
    broken = operations.Operation(
        tanh.evaluate, tanh.text, lambda g, y, x: (g * (1.0 - 1.0001 * y * y),), expensive=True
    )
    monkeypatch.setitem(operations.OPERATIONS, "tanh", broken)
    check = rk.gradcheck(cell(4))
    assert not check
    for name in ("x", "kernel"):
        assert not check[name].ok and 1e-6 < check[name].error < 1e-3
        assert re.search(rf"{name} +\(.*\) +\d\.\de-\d\d  WRONG", repr(check))


@rk.cell(states={"h": "units", "m": "units"}, weights={"read": rk.Weight((5, "units")), "idle": rk.Weight(("units",))})
def reading(x, states, weights, constants):
    h, m = states
    return h + weights.idle, (np.tanh(constants[0].sum(axis=1) @ weights.read + 0.5 * m), x)


def test_every_kind_of_array_has_a_line():
    check = rk.gradcheck(rk.StackedRNNCells([reading(4), rk.SimpleRNNCell(2)]), constants=[(6, 5)])
    assert [array.name for array in check.arrays] == [
        *("x", "initial_state[0][0]", "initial_state[0][1]", "initial_state[1]", "constants", "0/read", "0/idle"),
        *("1/kernel", "1/recurrent_kernel", "1/bias"),
    ]
    assert check["constants"].shape == (3, 6, 5) and check["x"].shape == (3, 6, 4)
    lines = repr(check).splitlines()
    assert lines[0].endswith("tolerance 1e-07: ok") and len(lines) == 1 + len(check.arrays)
    assert all(line.endswith("  ok") for line in lines[1:])
    with pytest.raises(KeyError, match="there are: x, initial"):
        check["bias"]


@pytest.mark.parametrize("training", [False, True])
def test_nothing_of_the_layer_changes(training):
    """A float32 layer with kept states and drawn masks, of which a copy in float64 is checked."""
    layer = rk.LSTM(4, dropout=0.3, recurrent_dropout=0.3, stateful=True, return_state=True, dtype="float32", seed=0)
    x = np.random.default_rng(0).normal(size=(3, 6, 4))
    layer(x, training=True)
    twin = copy.deepcopy(layer)
    program = layer._execution
    check = rk.gradcheck(layer, x, mask=MASK, training=training)
    assert check and layer._execution is program and layer.dtype == np.float32
    same_bits([flat(layer.states), layer.get_weights()], [flat(twin.states), twin.get_weights()])
    same_bits(flat(layer(x, training=True)), flat(twin(x, training=True)))


def test_an_unbuilt_layer_stays_so():
    layer, made = rk.GRU(4, seed=0), rk.GRUCell(4)
    assert rk.gradcheck(layer) and rk.gradcheck(made)
    assert not layer.built and not made.built and layer.dtype is None


def test_a_built_cell_is_checked_with_its_weights():
    layer = rk.RNN(simple(4), dtype="float32", seed=0)
    layer.build((None, None, 2))
    before = layer.get_weights()
    check = rk.gradcheck(layer.cell)
    assert check and check["x"].shape == (3, 6, 2)
    same_bits([layer.get_weights()], [before])
    assert layer.weights["kernel"].dtype == np.float32


def test_what_is_given_is_taken():
    layer = rk.RNN(two_speeds(4), return_state=True, go_backwards=True, seed=0)
    states = [np.full((2, 3), 0.3), np.full((2, 4), 0.1)]
    check = rk.gradcheck(layer, (2, 5, 4), initial_state=states, directions=1, seed=3)
    assert check and check["initial_state[1]"].shape == (2, 4) and check["x"].shape == (2, 5, 4)
    assert rk.gradcheck(rk.RNN(simple(4)), np.arange(48).reshape(2, 6, 4) % 5 - 2)
    assert rk.gradcheck(rk.RNN(simple(4)), initial_state=np.zeros((3, 4)))
    memory = np.random.default_rng(0).normal(size=(3, 6, 5))
    assert rk.gradcheck(attention(4), constants=[memory])


def test_a_small_gradient_is_no_wrong_one():
    """States of saturated units: their gradient is so small that differences of rounded sums hardly show it."""
    x = np.arange(48).reshape(2, 6, 4) % 5 - 2
    for seed in (93, 144, 228):
        check = rk.gradcheck(rk.RNN(simple(4), seed=seed), x)
        assert check["initial_state"].error < 3e-8


def test_a_small_gradient_can_be_wrong(monkeypatch):
    sin = operations.OPERATIONS["sin"]
    broken = operations.Operation(sin.evaluate, sin.text, lambda g, y, x: (g * (np.cos(x) + 1e-3),), expensive=True)
    monkeypatch.setitem(operations.OPERATIONS, "sin", broken)

    @rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
    def small(x, states, weights):
        (h,) = states
        h = np.tanh(x @ weights.kernel) + 1e-4 * np.sin(h)
        return h, (h,)

    assert not rk.gradcheck(small(4))["initial_state"].ok


def test_a_tolerance_that_nothing_meets():
    check = rk.gradcheck(simple(4), tolerance=1e-17)
    assert not check and check.tolerance == 1e-17 and "WRONG" in repr(check)


def test_no_number_is_wrong():
    """A slope that is infinite, and times zero no number, isn't taken for a good one."""

    @rk.cell(states={"h": "features"})
    def lengths(x, states):
        h = 0.5 * states[0] + np.sqrt(np.sum(x * x, axis=-1, keepdims=True)) * np.ones_like(x)
        return h, h

    x = np.ones((2, 3, 4))
    assert rk.gradcheck(lengths(), x)
    x[0, 1] = 0
    check = rk.gradcheck(lengths(), x)
    assert not check["x"].ok and check["initial_state"].ok and np.isnan(check["x"].error)


def test_a_corner_nearby():
    """A difference that crosses one is no slope, and a smaller one is tried."""

    @rk.cell(states={"h": "features"})
    def corner(x, states):
        h = 0.5 * states[0] + np.abs(x)
        return h, h

    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    x[0, 1] = [1e-5, -1e-5, 3e-6, 1.0]
    check = rk.gradcheck(corner(), x)
    assert check and check["x"].error < 1e-8
    x[0, 1] = 1e-12
    assert not rk.gradcheck(corner(), x)["x"].ok


def test_what_no_result_depends_on():
    @rk.cell(states={"h": "units"}, weights={"idle": rk.Weight(("units",)), "used": rk.Weight(("units",))})
    def idle(x, states, weights):
        h = 0.5 * states[0] + weights.used + 0 * weights.idle
        return h, h

    check = rk.gradcheck(idle(4))
    assert check and check["x"].error == check["idle"].error == 0


@pytest.mark.parametrize("given", [3, "lstm", object(), rk.LSTMCell], ids=["int", "str", "object", "class"])
def test_what_is_no_cell(given):
    with pytest.raises((TypeError, ValueError), match="expected a cell"):
        rk.gradcheck(given)


def test_errors_are_those_of_a_call():
    with pytest.raises(ValueError, match=r"mask of shape \(3, 6\)"):
        rk.gradcheck(simple(4), mask=np.ones((2, 6)))
    with pytest.raises(ValueError, match="no constants"):
        rk.gradcheck(simple(4), constants=[(2,)])


IDS = np.arange(18).reshape(3, 6) % 7
LAYERS = [
    (rk.Bidirectional(rk.LSTM(3, return_sequences=True, return_state=True)), {"mask": MASK}),
    (rk.Dropout(0.5), {"training": True}),
    (rk.Sequential([rk.Embedding(7, 3, mask_zero=True), rk.LSTM(4, stateful=True), rk.Dense(2)]), {"x": IDS}),
    (rk.Sequential([rk.LSTM(4, return_sequences=True, dropout=0.3), rk.Dropout(0.5)], seed=0), {"training": True}),
]


@pytest.mark.parametrize("layer, given", LAYERS, ids=[type(layer).__name__ for layer, _ in LAYERS])
def test_every_layer(layer, given):
    check = rk.gradcheck(layer, **given)
    assert check and not layer.built
    assert [array.name for array in check.arrays].count("x") == ("x" not in given)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not (row.cases or row.apart)])
def test_every_public_layer(name):
    """Those with cases of their options are checked with these."""
    row = ROWS[name]
    assert rk.gradcheck(row.make(), row.inputs(dtype="float32" if name == "Model" else "float64"))


def test_draws_go_with_their_rows_where_a_mask_arranges_them():
    """Rows that end at different steps are sorted inside a program; what was drawn for a row stays with it."""
    lengths = np.array([2, 9, 4, 7, 1, 9, 3, 8, 5, 6])
    mask = np.arange(9) < lengths[:, None]
    x = np.random.default_rng(0).normal(size=(10, 9, 3))
    layer = rk.RNN(rk.SimpleRNNCell(4, dropout=0.4), return_sequences=True, seed=0)
    assert rk.gradcheck(layer, x, mask=mask, training=True)


@pytest.mark.parametrize("name", ["tanh", "multiply", "divide"])
def test_the_operation_whose_rule_is_wrong_is_named_with_its_line(name, monkeypatch):
    known = operations.OPERATIONS[name]

    def wrong(g, y, *args):
        return tuple(1.01 * part for part in known.gradient(g, y, *args))

    monkeypatch.setitem(operations.OPERATIONS, name, operations.Operation(known.evaluate, known.text, wrong))

    @rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
    def several(x, states, weights):
        (h,) = states
        a = np.tanh(x @ weights.kernel)
        b = a * h + h
        c = b / (2.0 + np.square(h))
        return c, (np.sin(c),)

    line = {"tanh": "a = np.tanh(x @ weights.kernel)", "multiply": "b = a * h + h", "divide": "c = b / (2.0"}[name]
    check = rk.gradcheck(several(4))
    assert not check
    assert len(check.rules) == 1 and check.rules[0].startswith(f"{name}, in the line '{line}")
    assert repr(check).splitlines()[-1].strip().startswith(f"the rule of {name}, in the line")
    assert name in check._repr_html_()


def test_a_function_of_arrays_has_its_rules_named(monkeypatch):
    known = operations.OPERATIONS["exp"]
    wrong = operations.Operation(known.evaluate, known.text, lambda g, y, x: (g,), expensive=True)
    monkeypatch.setitem(operations.OPERATIONS, "exp", wrong)
    check = rk.gradcheck(rk.ArrayFunction(lambda x: np.exp(x).mean(axis=1)), (2, 5, 3))
    assert not check and [rule.partition(",")[0] for rule in check.rules] == ["exp"]


@rk.custom_gradient
def twice(v, w):
    return v * w, lambda d: (2 * d * w, d * v)


@rk.custom_gradient
def sine(v):
    return np.sin(v), lambda d: d * np.cos(v)


@rk.cell(states={"h": "features"}, weights={"w": rk.Weight(("features",))})
def wrong_by_rule(x, states, weights):
    (h,) = states
    matrices = x[:, :, None] * x[:, None] + np.eye(x.shape[1])
    h = sine(np.linalg.solve(matrices, h[..., None])[..., 0])
    h = twice(h, weights.w) + rk.stop_gradient(x)
    return h, (h,)


@pytest.mark.parametrize(
    "layer, line",
    [
        (wrong_by_rule(), "h = twice(h, weights.w) + rk.stop_gradient(x)"),
        (rk.ArrayFunction(lambda x: sine(twice(x, x[:, ::-1]))), "sine(twice(x, x[:, ::-1]))"),
    ],
)
def test_X25_a_function_with_a_wrong_rule_is_named(layer, line):
    check = rk.gradcheck(layer, (2, 5, 3))
    assert not check and len(check.rules) == 1
    assert check.rules[0].startswith("the function 'twice', in the line '") and line in check.rules[0]


def test_a_wrong_vjp_by_hand_leaves_all_rules_right():
    @rk.cell(states={"h": "features"}, vjp=lambda x, states, d_output, d_states: (0.9 * d_output, d_states[0], {}))
    def by_hand(x, states):
        h = x + states[0]
        return h, h

    check = rk.gradcheck(by_hand())
    assert not check and check.rules == []


@pytest.mark.parametrize("cell", BUILT_IN, ids=lambda cell: cell.__name__)
def test_right_rules_are_not_named(cell):
    from rnnkit.execution.rules import wrong_of_step

    layer = rk.RNN(cell(4), dtype="float64", seed=0)
    layer.build((None, None, 3))
    assert wrong_of_step(layer._execution.step, (), False, np.random.default_rng(0)) == []
