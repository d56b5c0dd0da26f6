"""Derivatives of one step, forwards: against central differences, against cotangents, and along time."""

import numpy as np
import pytest
from cells_under_test import CELLS, NAMED, lstm, moving_average, simple
from matrix import flat

import rnnkit as rk
from rnnkit.compiler.autodiff.numpy_vjp import Pull
from rnnkit.execution import passes
from rnnkit.steps.cell import as_cell, prepare
from rnnkit.steps.step import Step

ROWS, FEATURES = 3, 2
TRACED = [case for case in CELLS if case.how == "traced"]
COMPILED = [NAMED[name] for name in ("LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells", "SignatureCell")]
TOLERANCE = {"float64": 1e-8, "float32": 5e-3}


def built(cell, dtype="float64"):
    """A cell with weights, without the programs of a layer."""
    cell = as_cell(cell)
    prepare(cell, (None, FEATURES), dtype, np.random.default_rng(1))
    return cell


class Point:
    """A built cell of a case, and random inputs of one step."""

    def __init__(self, case, dtype="float64"):
        rng = np.random.default_rng(3)
        self.cell = built(case.make(4), dtype)
        self.spec, self.rng = self.cell._states(), rng
        normal = lambda shape: rng.normal(size=(ROWS, *shape)).astype(dtype)
        self.x, self.d_x = normal((FEATURES,)), normal((FEATURES,))
        self.states, self.d_states = ([normal(shape) for shape in self.spec.shapes] for _ in range(2))
        self.given = {"constants": [normal(shape) for shape in case.constants] or None}

    def jvp(self, x, states, *directions):
        directions = directions and (directions[0], self.spec.pack(directions[1]))
        results, tangents = rk.jvp(self.cell, x, self.spec.pack(states), *directions, **self.given)
        return flat(results), flat(tangents)

    def jacobian(self):
        return rk.jacobian(self.cell, self.x, self.spec.pack(self.states), **self.given)


def wide(arrays):
    """Arrays of rows as one."""
    return np.concatenate([np.reshape(a, (len(a), -1)) for a in arrays], axis=1)


def whole(jacobian, count):
    """All derivatives as one matrix for each row: the output and the states by x and the states."""
    values = lambda entry: list(entry.values()) if isinstance(entry, dict) else [entry]
    by_state = [values(row) for row in values(jacobian.state_by_state)] if count > 1 else [[jacobian.state_by_state]]
    rows = [[jacobian.output_by_x, *values(jacobian.output_by_state)]]
    rows += [[by_x, *row] for by_x, row in zip(values(jacobian.state_by_x), by_state, strict=True)]
    return rows


def matrix(jacobian, shapes):
    """The same of arrays flattened."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    rows = whole(jacobian, len(shapes) - 1)
    blocks = [[a.reshape(len(a), -1, size) for a, size in zip(row, sizes, strict=True)] for row in rows]
    return np.block(blocks)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", TRACED, ids=str)
def test_X8_jvp_is_the_slope_of_the_step(case, dtype):
    point, size = Point(case, dtype), 1e-6 if dtype == "float64" else 1e-3
    _, found = point.jvp(point.x, point.states, point.d_x, point.d_states)
    moved = []
    for s in (size, -size):
        states = [a + s * d for a, d in zip(point.states, point.d_states, strict=True)]
        moved.append(point.jvp(point.x + s * point.d_x, states)[0])
    for tangent, above, below in zip(found, *moved, strict=True):
        assert tangent.dtype == dtype
        slope = (above.astype(float) - below) / (2 * size)
        np.testing.assert_allclose(tangent, slope, rtol=0, atol=TOLERANCE[dtype] * max(1.0, np.abs(slope).max()))


@pytest.mark.parametrize("case", TRACED, ids=str)
def test_X8_jacobian_holds_every_direction(case):
    point = Point(case)
    jacobian = point.jacobian()
    by = matrix(jacobian, [(FEATURES,), *point.spec.shapes])
    _, along = point.jvp(point.x, point.states, point.d_x, point.d_states)
    direction = wide([point.d_x, *point.d_states])
    np.testing.assert_allclose(np.einsum("bij,bj->bi", by, direction), wide(along), rtol=0, atol=1e-12)
    states = sum(int(np.prod(shape)) for shape in point.spec.shapes)
    np.testing.assert_array_equal(jacobian.matrix, by[:, -states:, FEATURES:])


@pytest.mark.parametrize("case", TRACED, ids=str)
def test_forwards_and_backwards_are_transposes(case):
    """``sum(u * (J v)) == sum((Jᵀ u) * v)``, by the rules of the adjoint in NumPy."""
    point = Point(case)
    step, weights = Step(point.cell, (FEATURES,)), dict(point.cell.weights)
    constants = tuple(point.given["constants"] or ())
    shapes = tuple(c.shape[1:] for c in constants)
    pull = Pull(passes.read(step, np.float64, weights, shapes), np.float64, shapes, (FEATURES,))
    _, (d_output, *d_states) = point.jvp(point.x, point.states, point.d_x, point.d_states)
    u = [point.rng.normal(size=a.shape) for a in (d_output, *d_states)]
    back_x, back, _, _ = pull(point.x, point.states, weights, constants, {}, u[0], u[1:])
    forwards = sum((a * b).sum() for a, b in zip(u, (d_output, *d_states), strict=True))
    backwards = (back_x * point.d_x).sum() + sum((a * b).sum() for a, b in zip(back, point.d_states, strict=True))
    assert forwards == pytest.approx(backwards, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("case", COMPILED, ids=str)
def test_steps_chained_are_the_gradient_through_time(case):
    """The layer's own vjp, compiled: from the last states to the first ones, and to x."""
    point, steps = Point(case), 5
    spec, rng = point.spec, point.rng
    layer = rk.RNN(point.cell, return_sequences=True, return_state=True, dtype="float64")
    x = rng.normal(size=(ROWS, steps, FEATURES))
    _, trajectory = layer.trajectory(x, initial_state=spec.pack(point.states))
    trajectory = flat(trajectory)
    outputs, pullback = layer.vjp(x, initial_state=spec.pack(point.states))
    (output, *last) = flat(outputs)
    u = [rng.normal(size=a.shape) for a in (output, *last)]
    gradient = pullback([u[0], *spec.pack(u[1:])])
    back = wide(u[1:])
    for t in reversed(range(steps)):
        before = point.states if t == 0 else [a[:, t - 1] for a in trajectory]
        by = matrix(rk.jacobian(layer, x[:, t], spec.pack(before)), [(FEATURES,), *spec.shapes])
        all_back = np.einsum("bij,bi->bj", by, np.concatenate([wide([u[0][:, t]]), back], axis=1))
        np.testing.assert_allclose(gradient.x[:, t], all_back[:, :FEATURES], rtol=0, atol=1e-12)
        back = all_back[:, FEATURES:]
    np.testing.assert_allclose(wide(flat(gradient.initial_state)), back, rtol=0, atol=1e-12)


def test_names_of_states():
    point = Point(NAMED["two_speeds"])
    found = point.jacobian()
    assert found.state_by_state["fast"]["slow"].shape == (ROWS, 3, 4)
    assert found.state_by_x["slow"].shape == (ROWS, 4, FEATURES)
    assert found.output_by_state["fast"].shape == (ROWS, 5, 3)
    assert found.output_by_x.shape == (ROWS, 5, FEATURES) and found.matrix.shape == (ROWS, 7, 7)
    assert "matrix: (3, 7, 7)" in repr(found) and "'slow': (3, 4, 2)" in repr(found)
    stack = built(rk.StackedRNNCells([lstm(3), rk.LSTMCell(2), simple(2)]))
    names = ["0/h", "0/c", "1/0", "1/1", "2/h"]
    found = rk.jacobian(stack, point.x)
    assert list(found.state_by_state) == list(found.state_by_x) == list(found.state_by_state["2/h"]) == names
    single = rk.jacobian(moving_average(), point.x)
    np.testing.assert_allclose(single.state_by_state, np.broadcast_to(0.8 * np.eye(2), (3, 2, 2)), atol=1e-15)


def test_states_with_several_axes():
    found = Point(NAMED["outer_memory"]).jacobian()
    assert found.state_by_state.shape == (ROWS, 3, 4, 3, 4) and found.output_by_state.shape == (ROWS, 4, 3, 4)


def test_the_steps_of_a_trajectory_as_rows():
    point = Point(NAMED["simple"])
    x = point.rng.normal(size=(1, 6, FEATURES))
    layer = rk.RNN(point.cell, dtype="float64")
    _, (h,) = layer.trajectory(x)
    before = np.concatenate([np.zeros((1, 1, 4)), h[:, :-1]], axis=1)
    found = rk.jacobian(layer, x[0], before[0])
    w = layer.weights["recurrent_kernel"]
    np.testing.assert_allclose(found.matrix, (1 - h[0] ** 2)[:, :, None] * w.T, rtol=0, atol=1e-14)
    one = rk.jacobian(point.cell, x[0, 2:3], before[0, 2:3])
    np.testing.assert_array_equal(one.output_by_x[0], found.output_by_x[2])


def test_more_directions_than_are_computed_at_a_time(monkeypatch):
    point = Point(NAMED["lstm"])
    whole = point.jacobian()
    monkeypatch.setattr("rnnkit.analysis.jacobian._ROWS", 7)
    np.testing.assert_allclose(point.jacobian().matrix, whole.matrix, rtol=0, atol=1e-15)


def test_what_does_not_move_moves_nothing():
    """A slope that is infinite at one element says nothing about the others, and a branch not taken nothing at all."""

    @rk.cell(states={"h": 2})
    def steep(x, states):
        h = np.sqrt(states[0]) + np.where(x > 0, np.log(x), 0.0)
        return h, h

    with np.errstate(all="raise"):
        found = rk.jacobian(steep(), [[0.0, 2.0]], [[0.0, 4.0]])
    np.testing.assert_array_equal(found.state_by_state, [[[np.inf, 0], [0, 0.25]]])
    np.testing.assert_array_equal(found.state_by_x, [[[0, 0], [0, 0.5]]])


def test_draws_in_training():
    layer = built(rk.LSTMCell(3, recurrent_dropout=0.5))
    x, states = np.ones((8, FEATURES)), [np.ones((8, 3))] * 2
    found = [rk.jacobian(layer, x, states, training=True, seed=seed).matrix for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any() and (found[0][:, :3, :3] == 0).any()
    assert rk.jacobian(layer, x, states).matrix[:, :3, :3].all()


def test_no_rows():
    point = Point(NAMED["lstm"])
    found = rk.jacobian(point.cell, np.zeros((0, FEATURES)))
    assert found.matrix.shape == (0, 8, 8) and found.output_by_x.shape == (0, 4, FEATURES)
    (output, _), (d_output, _) = rk.jvp(point.cell, np.zeros((0, FEATURES)))
    assert output.shape == d_output.shape == (0, 4)


def test_from_the_cells_own_start():
    point = Point(NAMED["two_speeds"])
    start = point.cell.get_initial_state(ROWS)
    np.testing.assert_array_equal(
        rk.jacobian(point.cell, point.x).matrix, rk.jacobian(point.cell, point.x, start).matrix
    )


def test_nothing_is_changed():
    point = Point(NAMED["lstm"])
    copies = [a.copy() for a in (point.x, *point.states)]
    point.jacobian()
    for a, b in zip((point.x, *point.states), copies, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda p: rk.jacobian(simple(4), p.x), "'simple' isn't built: hand in a layer of it that was built"),
        (lambda p: rk.jacobian(rk.LSTM(4), p.x), "expected a built layer, got LSTM"),
        (lambda p: rk.jacobian(p.cell, p.x[:, :1]), r"x of shape \(batch, 2\), got \(3, 1\)"),
        (lambda p: rk.jacobian(p.cell, p.x[0]), r"x of shape \(batch, features\), got \(2,\)"),
        (lambda p: rk.jacobian(p.cell, p.x, p.states[:1]), "states with 2 entries"),
        (lambda p: rk.jvp(p.cell, p.x, None, p.x[:1]), r"d_x of shape \(3, 2\), got \(1, 2\)"),
        (lambda p: rk.jvp(p.cell, p.x, None, p.x, p.states[:1]), "d_states with 2 entries"),
        (lambda p: rk.jvp(p.cell, p.x, constants=[p.x]), "no constants"),
        (lambda p: rk.jacobian(rk.Dense(3), p.x), "got Dense"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call(Point(NAMED["lstm"]))
