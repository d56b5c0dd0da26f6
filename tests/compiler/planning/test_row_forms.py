"""Forms of a graph for its plan by rows: they compute what the graph does, and leave out what it needn't."""

import math

import numpy as np
import pytest
from graphs_under_test import built, read
from random_rows import random_row_step

import rnnkit as rk
from rnnkit.compiler.ir import verify
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import FAILED, SAFE
from rnnkit.compiler.planning.ranges import _Ranges, without_known_checks
from rnnkit.compiler.planning.row_forms import changed_in_place, with_checks
from rnnkit.compiler.planning.rows import FEW

ROWS, SIZE = 5, 12


def graph_of(step, features=(3,)):
    """The graph of a step ``(x, states)`` with the states h, a number, and v, an array."""
    return read(built(rk.cell(states={"h": (), "v": SIZE}, per_row=True)(step)(), features)).graph


def values(inputs, nodes):
    return evaluate(nodes, inputs, np.float64)


def results(graph, inputs):
    nodes = graph.output, *graph.states
    found = values(inputs, nodes)
    return [np.broadcast_to(found[node.id], (ROWS, *node.shape)) for node in nodes]


def fails(graph, inputs):
    """Whether each row fails, by a code or by conditions."""
    given = [graph.residuals[FAILED]] if FAILED in graph.residuals else [node for node, _ in graph.checks]
    found = values(inputs, given)
    rows = [np.broadcast_to(found[node.id], (ROWS, *node.shape)).reshape(ROWS, -1).any(axis=1) for node in given]
    return np.any(rows, axis=0) if rows else np.zeros(ROWS, bool)


def drawn(graph, seed):
    rng = np.random.default_rng(seed)
    leaves = {(n.op, n.attr): n.shape for n in graph.nodes if n.op in ("x", "state", "constant")}
    return {leaf: np.round(rng.normal(0, 3, (ROWS, *shape)), 2) for leaf, shape in leaves.items()}


def forms(graph):
    checked = with_checks(graph)
    return [checked, without_known_checks(checked), without_known_checks(graph),
            *(changed_in_place(without_known_checks(checked), few) for few in (0, FEW))]  # fmt: skip


@pytest.mark.parametrize("number", range(0, 200, 13))
def test_every_form_computes_what_the_graph_does(number):
    one = random_row_step(number)
    x, _, constants = one.drawn(ROWS, 1, number)
    graph = read(built(one.cell(), x.shape[2:]), [c.shape[1:] for c in constants]).graph
    inputs = drawn(graph, number)
    with np.errstate(all="ignore"):
        wanted, failing = results(graph, inputs), fails(graph, inputs)
        for form in forms(graph):
            states = [node.shape for node in graph.states]
            verify.check_graph(form, "forms", verify.leaves_of(graph), states, graph.output.shape)
            if FAILED not in form.residuals:  # a loop's checks are inside of it
                form.checks = [one for one in form.checks if not any(isinstance(d, tuple) for d in one[0].depends)]
                assert not (fails(form, inputs) & ~failing).any()
            for got, one in zip(results(form, inputs), wanted, strict=True):
                np.testing.assert_array_equal(got[~failing], one[~failing])


def test_a_row_fails_by_conditions_if_its_code_says_so():
    def step(x, states):
        assert x[0] > -2
        h = states.v[int(x[1])] if x[0] < 1 else states.v[int(x[2])]
        return h, (h, states.v)

    graph = graph_of(step)
    inputs = drawn(graph, 1)
    inputs["x", None] = np.array([[-3, 0, 0], [0, 20, 0], [0, 0, 20], [2, 20, 0], [2, 0, -20]], float)
    with np.errstate(all="ignore"):
        codes, form = fails(graph, inputs), with_checks(graph)
        assert codes.tolist() == [True, True, False, False, True]
        np.testing.assert_array_equal(fails(form, inputs), codes)


def arrays_chosen(graph):
    return [n for n in graph.live() if n.op == "where" and n.shape and n.shape[0] == SIZE]


def one_way(x, states):
    v = states.v.copy()
    if x[0] > 0:
        v[int(x[1]) % SIZE] = x[2]
    return v[0], (states.h, v)


def both_ways(x, states):
    v = states.v.copy()
    if x[0] > 0:
        v[int(x[1]) % SIZE] = x[2]
    else:
        v[int(x[2]) % SIZE] += v[int(x[1]) % SIZE]
    return v[0], (states.h, v)


def nested(x, states):
    v = states.v.copy()
    if x[0] > 0:
        if x[1] > 0:
            v[int(x[1]) % SIZE] = x[2]
            v[int(x[2]) % SIZE] = v[int(x[1]) % SIZE]
        elif x[2] > 0:
            v[3] = 1.0
            v[int(x[2]) % SIZE] = x[2]
    return v[0], (states.h, v)


def loop(x, states):
    v = states.v.copy()
    if x[0] > 0:
        for i in range(int(x[1]) % SIZE):
            if v[i] > x[2]:
                break
            v[i] = x[2]
        v[int(x[2]) % SIZE] += 1.0
    return v[0], (states.h, v)


def looks_at_both(x, states):
    v = states.v.copy()
    v[int(x[1]) % SIZE] = x[2]
    chosen = np.where(x[0] > 0, v, states.v)
    return v[int(x[2]) % SIZE] + v.sum(), (states.h, chosen)


def tries(x, states):
    v, trial = states.v.copy(), states.v.copy()
    trial[int(x[1]) % SIZE] = x[2]
    if trial[int(x[2]) % SIZE] > trial[0]:
        v = trial
    return trial[1], (states.h, v)


@pytest.mark.parametrize("step, left", [
    (one_way, 0), (both_ways, 0), (loop, 0), (looks_at_both, 1), (tries, 1),
])  # fmt: skip
def test_arrays_are_changed_where_they_stand_unless_something_reads_what_was(step, left):
    graph = with_checks(graph_of(step))
    form = changed_in_place(graph, FEW)
    assert len(arrays_chosen(graph)) > 0 and len(arrays_chosen(form)) == left
    for seed in range(10):
        inputs = drawn(graph, seed)
        for got, wanted in zip(results(form, inputs), results(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_of_ways_in_ways_the_values_are_right():
    graph = with_checks(graph_of(nested))
    for seed in range(10):
        inputs = drawn(graph, seed)
        form = changed_in_place(graph, FEW)
        for got, wanted in zip(results(form, inputs), results(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, wanted)


# Ranges


def search(x, states):
    v, i = states.v.copy(), 0
    while i < SIZE - 1 and v[i] < x[0]:
        i += 1
    while i > 0 and v[i - 1] > x[0]:
        v[i] = v[i - 1]
        i -= 1
    v[i] = x[0]
    return v[0], (states.h, v)


def halves(x, states):
    low, high = 0, SIZE - 1
    while high - low > 1:
        middle = (low + high) // 2
        if states.v[middle] <= x[0]:
            low = middle
        else:
            high = middle
    return states.h, (states.h, states.v)


def test_places_that_a_loop_keeps_inside_are_not_checked():
    form = without_known_checks(with_checks(graph_of(search)))
    assert not form.checks
    assert not [node for node in form.live() if node.op == "where" and node.attr == SAFE and node.size == 1
                and node.args[1].op == "carried"]  # fmt: skip
    assert all(node.attr.counted for node in form.live() if node.op == "loop")  # and they end


def test_what_can_leave_an_array_is_checked():
    def step(x, states):
        i = 0
        while states.v[i] < x[0]:
            i += 1
        return states.h, (states.h, states.v)

    form = without_known_checks(with_checks(graph_of(step)))
    (loop,) = [node for node in form.live() if node.op == "loop"]
    assert len(form.checks) == 1 and not loop.attr.counted
    assert without_known_checks(with_checks(graph_of(halves))).checks  # by intervals alone it can't be known


@pytest.mark.parametrize("number", range(0, 120, 7))
def test_every_integer_is_within_its_bounds(number):
    one = random_row_step(number)
    x, _, constants = one.drawn(ROWS, 1, number)
    graph = with_checks(read(built(one.cell(), x.shape[2:]), [c.shape[1:] for c in constants]).graph)
    ranges = _Ranges(graph)
    outside = [n for n in graph.live() if n.is_integer and not any(isinstance(d, tuple) for d in n.depends)]
    with np.errstate(all="ignore"):
        found = values(drawn(graph, number), outside)
    for node in outside:
        low, high = ranges._of(node, ranges.always)
        got = found[node.id]
        assert got.size == 0 or (low <= int(got.min()) and int(got.max()) <= high), node


def test_bounds_know_that_integers_wrap():
    def step(x, states):
        k, rounds = int(x[0]) % 4, 0
        while rounds < 100 and k > -5:
            k = k * 3
            rounds += 1
        return float(k), (states.h, states.v)

    graph = with_checks(graph_of(step))
    ranges = _Ranges(graph)
    results_of = [node for node in graph.live() if node.op == "result" and node.kind == "int64"]
    bounds = sorted(ranges._of(node, ranges.always) for node in results_of)
    assert bounds[0] == (-(2**63), 2**63 - 1) and bounds[-1] in ((0, 100), bounds[0])


def test_a_division_by_a_number_is_the_least_that_gives_the_same():
    def step(x, states):
        k = int(x[0])
        near = (k % 12 + 1) % 12
        return float(near + k % 8 + k // 4), (states.h, states.v)

    form = without_known_checks(with_checks(graph_of(step)))
    ops = [node.op for node in form.live() if node.is_integer]
    assert ops.count("remainder") == 1 and "bitwise_and" in ops and "right_shift" in ops and "floor_divide" not in ops
    inputs = {("x", None): np.array([[k, 0, 0] for k in (-25, -1, 0, 11, 12)], float)}
    inputs |= {(n.op, n.attr): np.zeros((ROWS, *n.shape)) for n in form.nodes if n.op == "state"}
    got = results(form, inputs)[0]
    assert got.tolist() == [(k % 12 + 1) % 12 + k % 8 + k // 4 for k in (-25, -1, 0, 11, 12)]
    assert not math.isnan(got.sum())
