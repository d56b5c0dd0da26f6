"""Steps that go element by element: which they are, what stays in their loops, and the bits of steps one by one."""

import numpy as np
import pytest
from cells_under_test import NAMED
from matrix import make_mask, same_bits

import rnnkit as rk
from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.compile import CPU
from rnnkit.backends.shared.call import Record
from rnnkit.compiler.planning.fusion import fuse
from rnnkit.compiler.planning.planner import plan
from rnnkit.execution.pipeline import compile_step

SCANS = "element by element with the states in registers"
SQUARE = rk.Weight(("units", "units"), "orthogonal")


@rk.cell(states={"h": "units"}, weights={"a": rk.Weight(("units",), "uniform")})
def diagonal(x, states, weights):
    h = weights.a * states.h + x
    return h, h


@rk.cell(states={"h": "units"}, weights={"a": rk.Weight(("units",), "uniform")})
def before_the_step(x, states, weights):
    """The output is a product of the state as it was."""
    return states.h @ np.eye(states.h.shape[-1]), weights.a * states.h + x


@rk.cell(states={"h": "units"}, weights={"a": rk.Weight(("units",), "uniform")})
def independent(x, states, weights):
    """Elementwise, but not linear; with an output of another shape that no state needs."""
    h = np.tanh(weights.a * states.h + x)
    return h.sum(axis=-1, keepdims=True), h


@rk.cell(states={"h": "units"}, weights={"scale": rk.Weight((), "uniform"), "a": rk.Weight(("units",), "uniform")})
def scaled(x, states, weights):
    """The gradient of a number is a sum over units, which is computed behind a block."""
    h = weights.a * (weights.scale * states.h) + np.tanh(x)
    return h, h


@rk.cell(states={"a": "units", "b": "units"})
def delay(x, states):
    return np.tanh(states.b), (x + 0.5 * states.b, states.a)


@rk.cell(states={"h": "units"}, weights={"kernel": SQUARE})
def mixing(x, states, weights):
    h = states.h @ weights.kernel + x
    return h, h


def built(cell, units=24, dtype="float32", features=None):
    layer = rk.RNN(cell if isinstance(cell, rk.Cell) else cell(units), return_sequences=True, seed=0, dtype=dtype)
    layer.build((None, None, features or units))
    return layer


@pytest.mark.parametrize(
    ("cell", "count"), [(diagonal, 1), (NAMED["min_gru"].make, 1), (NAMED["linear_recurrent_unit"].make, 4)]
)
def test_explain_says_what_stays_in_the_loop(cell, count):
    told = built(cell).explain()
    assert SCANS in told
    stays = "1 multiply-add stays" if count == 1 else f"{count} multiply-adds stay"
    assert f"linear in the states: of each step, {stays} in the loop" in told


@pytest.mark.parametrize("cell", [independent, delay])
def test_others_go_element_by_element(cell):
    told = built(cell).explain()
    assert SCANS in told
    assert "linear" not in told


@pytest.mark.parametrize("cell", [mixing, before_the_step, rk.LSTMCell, rk.GRUCell])
def test_steps_that_mix_elements_do_not(cell):
    assert SCANS not in built(cell).explain()


def test_a_layer_without_states_does_not():
    layer = rk.Dense(24)
    layer(np.zeros((2, 3, 24), np.float32))
    assert SCANS not in layer.explain()


def test_its_adjoint_adds_up_elementwise_weights():
    layer = built(diagonal)
    layer.vjp(np.zeros((1, 3, 24), np.float32))
    adjoint = layer.explain().partition("the adjoint")[2]
    assert "a value 24, in the adjoint's own steps" in adjoint
    assert "linear in the states: of each step, 2 multiply-adds stay" in adjoint


CELLS = {
    **{cell.__name__: cell for cell in (diagonal, independent, scaled, delay)},
    **{name: NAMED[name].make for name in ("linear_recurrent_unit", "min_gru", "moving_average", "delta_rule")},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [3, 24, 150])
@pytest.mark.parametrize("name", CELLS)
def test_it_has_the_bits_of_steps_one_by_one(name, units, dtype):
    """With each kind of mask, in both directions, with all states and without outputs; forwards and backwards."""
    layer, rng = built(CELLS[name], units, dtype), np.random.default_rng(0)
    weights, step = layer.weights, layer._execution.step
    one = compile_step(step, np.dtype(dtype), weights)
    other = compile_step(step, np.dtype(dtype), weights, target=CPU._replace(plan=plan, fuse=fuse))
    for mask, reverse, more in (
        (None, False, {}),
        ("random", True, {"trajectory": True}),
        ("random", False, {"zero_masked": True}),
        ("random", False, {"sequences": False}),
        (None, True, {"sequences": False}),
    ):
        x = rng.normal(size=(3, 40, units)).astype(dtype)
        mask = None if mask is None else make_mask(mask, 3, 40, rng)
        states = tuple(rng.normal(size=(3, *shape)).astype(dtype) for shape in step.state_shapes)
        record = Record(x, states, weights, mask=mask, reverse=reverse, **more)
        found = [program.run(record) for program in (one, other)]
        same_bits(*([a.last, *a.states, *(a.trajectory or ()), *([] if a.outputs is None else [a.outputs])]
                    for a in found))  # fmt: skip
        if "trajectory" in more:
            continue
        results = [program.differentiate().vjp(record) for program in (one, other)]
        d = rng.normal(size=results[0].last.shape).astype(dtype)
        gradients = [result.pull(last=d) for result in results]
        if name != "delta_rule":  # whose sums along rows are others
            same_bits(*([g.x, *g.states] for g in gradients))
        bound = 1e-4 if dtype == "float32" else 1e-12
        without = results[0].pull(last=d, x=False)
        for weight, array in gradients[1].weights.items():
            same_bits(without.weights[weight], gradients[0].weights[weight])
            np.testing.assert_allclose(gradients[0].weights[weight], array, bound, bound * np.abs(array).max(initial=1))


def test_large_states_are_computed_again(monkeypatch):
    layer, rng = built(NAMED["delta_rule"].make, 24), np.random.default_rng(0)
    x = rng.normal(size=(2, 37, 24)).astype(np.float32)
    d = rng.normal(size=(2, 37, 32)).astype(np.float32)
    mask = make_mask("random", 2, 37, rng)
    found = []
    for size in (1 << 30, 1 << 17):
        monkeypatch.setattr(tuning, "SEGMENT_BYTES", size)
        y, pull = layer.vjp(x, mask=mask)
        g = pull(d)
        found.append([y, g.x, *g.initial_state])
        weights = [np.asarray(one) for one in g.weights.values()]
        found[0].append(weights) if size == 1 << 30 else None
    first = found[0].pop()
    same_bits(*found)
    for a, b in zip(first, weights, strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-4)


def test_passes_over_a_large_state_are_joined():
    layer = built(NAMED["delta_rule"].make)
    assert "one loop over 32 x 40 of subtract, multiply, add -> next, sum" in layer.explain()
    assert layer._execution.executor((), False).plan.in_place == {0}
