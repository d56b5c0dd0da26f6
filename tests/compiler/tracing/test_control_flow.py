"""Python's control flow in steps of one row: the graph gives what Python gives, row by row."""

import collections
import math
import types

import numba
import numpy as np
import pytest
import random_decisions

import rnnkit as rk
from rnnkit.compiler.ir import verify
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.simplify import simplify
from rnnkit.compiler.tracing.trace import trace
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

ROWS, FEATURES, WIDTH = 60, 4, 6
TABLE = np.array([-2.0, -1.0, -0.5, 0.0, 0.4, 1.0, 3.0])
OFFSET = 0.25


# Branches


def branches(x, states):
    if x[0] > 1:
        y = x[1] + states.h
    elif x[1] > 0 and not x[2] > 0:
        y = -states.h
    else:
        y = 0.5
    return y, (y, states.a)


def returns_early(x, states):
    if x[0] > 1:
        return x[0], states
    h = states.h + 1
    if x[1] > h:
        return h, (h, states.a)
    elif x[1] < -h:
        return 2 * h, (h, -states.a)
    return -h, (states.h, 2 * states.a)


def chooses(x, states):
    y = 1.0 if -1 < x[0] <= x[1] else 2.0 if x[0] == 0 or x[1] != x[1] else 3.0
    z = (x[2] and x[3]) or 4.0
    return y, (z, states.a)


def orders_tuples(x, states):
    """Entries that are equal let the next ones decide, then the length."""
    pair, other = (x[0] > 0, x[1]), (x[2] > 0, states.h)
    y = 1.0 * (pair < other) + 2.0 * (pair >= other) + 4.0 * (pair == other) + 8.0 * (pair != (*other, x[3]))
    y += 16.0 * (pair < (*pair, x[3])) + 32.0 * ((x[0] > 0, 1) in [(True, 1), (x[3] > 0, x[1])])
    best = max((x[0] > 0, x[1]), (x[2] > 0, states.h), (x[3] > 0, 0.5))
    return y, (min([x[0], x[1]], [x[0], x[2]])[1] + best[1], states.a)


def skips_in_generators(x, states):
    """What a sum leaves out adds nothing; a second condition is asked where the first holds."""
    found = sum(v * v for v in states.a if v > x[0]) + sum([1 for v in x if v > 0 if math.sqrt(v) > 0.5], x[1])
    return found + 2.0 * any(v > 1 for v in x if v < 2) + 4.0 * all(v < 1 for v in x if v > 0), states


def adds_at_index_arrays(x, states):
    a = states.a.copy()
    a[[0, 2]] += x[0]
    a[np.array([1, 2])] *= 0.5
    a[1:].sort()
    return max({"one": x[1], "other": a[1]}.values()), (a[2], a)


def asks_for_none(x, states):
    y, pair = None, (x[1], x[2])
    if x[0] > 0:
        y = x[1]
    elif x[1] > 0:
        pair = None
    if y is not None and y > x[2]:
        y = y * 2
    for k in range(3):
        first = None
        if x[k] > 1:
            first = x[k]
        if first is None:
            continue
        y = first if y is None else y + first
    if pair is None:
        pair = (y is None, 3.0)
    if y is None:
        y = -1.0
    return y, (pair[0] + pair[1], states.a)


def forgets_none_in_each_round(x, states):
    total = 0.0
    for k in range(1000):
        found = None
        if x[k % 4] > k * 0.01:
            found = x[k % 4]
        if found is not None:
            total += found
    return total, states


def searches_a_state(x, states):
    """Also where it isn't sorted, as NumPy does."""
    k = np.searchsorted(states.a, x[0]) + 10 * states.a[1:].searchsorted(x[1:3], side="right").sum()
    return k, (np.searchsorted(np.sort(states.a), x[3]), np.sort(states.a))


def guards(x, states):
    """Python looks at the second operand only where the first lets it."""
    k = int(abs(x[0]) * 3) if abs(x[0]) < 100 else 100
    near = k < WIDTH and states.a[k] > 0
    h = states.a[k] if near else -1.0
    return h, (states.h, states.a)


def assigns_in_a_branch(x, states):
    a = states.a.copy()
    if x[0] > 0:
        a[0] = x[1]
        a[1:3] += 1
        row = a[3:]
        row[0] = 7.0
    else:
        a *= 2
        if x[1] > 0:
            a[-1] = 0
    return a, (a[0], a)


def partly_assigned(x, states):
    if x[0] > 0:
        y = x[1]
    if x[0] > 0:
        states_h = y + 1
    else:
        states_h = states.h
    return states_h, (states_h, states.a)


def integers_and_conditions(x, states):
    count = 0
    for value in x:
        if value > 0:
            count += 1
    odd = count % 2 == 1
    half = count // 2
    y = half if odd else count / 2
    return y, (float(odd), states.a)


# Loops


def while_it_is_large(x, states):
    rounds, value = 0, min(abs(x[0]), 50.0)
    while value > 0.1:
        value = value / 2
        rounds += 1
    else:
        value += 1
    return rounds, (value, states.a)


def breaks_and_continues(x, states):
    k, total = 0, 0.0
    while True:
        total += x[k % 4] if x[k % 4] < 10 else 1.0
        k += 1
        if k > 12 or total > 3:
            break
        if total < -2:
            continue
        total = total * 0.5
    return total, (k, states.a)


def returns_from_a_loop(x, states):
    for i in range(300):
        if i * 0.1 > x[0]:
            return i, (states.h, states.a)
    return -1.0, (states.h + 1, states.a)


def returns_through_loops(x, states):
    for i in range(40):
        if i > 30 and x[0] > 1:
            return 0.5 * i, (states.h, states.a)
        k = 0
        while k < x[0] and k < 20:
            k += 1
            if k * i > x[1] * 10:
                return k + i, (x[1], states.a)
        for j in range(100):
            if j > x[2]:
                break
    return -1.0, (states.h, states.a)


def leaves_from_else(x, states):
    total = 0.0
    for i in range(20):
        for j in range(50):
            if j > x[0]:
                break
            total += x[1]
        else:
            if x[2] > i:
                continue
            break
        total += 1
    return total, (states.h, states.a)


def short_loop(x, states):
    for i in range(3):
        if x[i] > 1:
            break
        if x[i] < -1:
            continue
        states.a[i] = x[i]
    else:
        i = 7
    return i, (states.h, states.a)


def nested_loops(x, states):
    total, last = 0.0, -1
    for i in range(12):
        j = 0
        while j < i * min(abs(x[0]), 2.0):
            if j > 7:
                break
            total += x[1] * j
            j += 1
        last = i
        if total > 50:
            break
    return total, (last, states.a)


def computed_range(x, states):
    n, total = int(min(abs(x[0]) * 3, 9.0)), 0.0
    for i in range(n, -2, -2):
        total += i * x[1]
    for i, value in enumerate(states.a):
        if i >= n:
            break
        total -= value
    return total, (n, states.a)


def sorts(x, states):
    a = np.empty(12)
    for i in range(12):
        a[i] = x[i % 4] * (i - 4)
    for i in range(12):
        for j in range(11 - i):
            if a[j] > a[j + 1]:
                a[j], a[j + 1] = a[j + 1], a[j]
    return a, (a[3], a[:WIDTH])


def warps(x, states):
    d = np.zeros(WIDTH)
    before = states.a
    d[0] = before[0] + abs(x[0])
    for j in range(1, WIDTH):
        d[j] = abs(x[0] - j) + min(d[j - 1], before[j - 1], before[j])
    return d[-1], (max(d[0], d[1]), d)


def eliminates(x, states):
    """Two arrays that a loop writes, and one that it swaps."""
    n = 40
    c, d = np.zeros(n), np.zeros(n)
    c[0], d[0] = 0.5, x[0]
    for i in range(1, n):
        w = 2.0 + c[i - 1]
        c[i] = 1 / w
        d[i] = (x[i % 4] - d[i - 1]) / w
    for i in range(n - 2, -1, -1):
        d[i] -= c[i] * d[i + 1]
    return d[:3], (d[n - 1], states.a)


def swaps_arrays(x, states):
    one, other = states.a.copy(), np.zeros(WIDTH)
    for k in range(30):
        for j in range(WIDTH):
            other[j] = 0.5 * one[j - 1] + x[k % 4] * 0.01
        one, other = other, one
    return one, (other[0], one)


def searches(x, states):
    low, high = 0, len(TABLE)
    while low < high:
        middle = (low + high) // 2
        if TABLE[middle] < x[0]:
            low = middle + 1
        else:
            high = middle
    return low, (states.h, states.a)


def loop_value_after(x, states):
    k = 0
    while True:
        k += 1
        gap = 5.0 / k - abs(x[0])
        if gap < 0.5 or k > 20:
            break
    return gap, (k, states.a)


# Places


def computed_places(x, states):
    k = int(min(abs(x[0]), 100)) % WIDTH
    a = states.a.copy()
    a[k] = x[1]
    a[-1 - k] += a[k]
    pair = [a[0], x[1]]
    pair[k % 2] = 9.0
    return a[k] + TABLE[k] + (1.0, 2.0, 3.0)[k % 3], (pair[1], a)


def places_in_a_matrix(x, states):
    m = states.a.reshape(2, 3).copy()
    i, j = int(x[0] > 0), int(min(abs(x[1]), 50)) % 3
    m[i, j] += 1.0
    m[i, 2] = m[1 - i, j]
    m[:, j] *= 2
    part = states.a[j : j + 2]
    return m[i] + m[:, j].sum() + part.sum(), (m[i, -1], m.reshape(-1))


# Functions


def positive(value, least=0.0):
    if value < least:
        return least
    return value


@numba.njit
def compiled(value):
    total = 0.0
    for i in range(3):
        if value > i:
            total += value
    return total


def calls(x, states):
    def inner(values):
        total = 0.0
        for value in values:
            if value > OFFSET:
                total += shifted(value)
        return total

    shifted = lambda value: positive(value) + OFFSET
    return inner(x[:3]), (compiled(x[0]), [positive(v, least=-1.0) for v in states.a] @ np.eye(WIDTH))


def pythons_functions(x, states):
    y = math.exp(-abs(x[0])) + math.sqrt(abs(x[1])) + math.floor(min(abs(x[2]), 9.0))
    z = max(x) - min(x[0], x[1]) + sum(v * v for v in x) + round(min(abs(x[3]), 9.0))
    big, any_big = all(v > 0 for v in x), any(v > 1 for v in x)
    for one, other in zip(x, reversed(x), strict=True):
        y += one * other if any_big else 0.0
    kind = isinstance(x[0], float)
    return y, (z if big or kind else -z, np.array([x[0], 1.0, *x[:2], len(x), bool(big)]))


def walks(x, states):
    state = (states.h, 0)
    while (gap := abs(state[0])) > 0.5 and state[1] < 40:
        state = (state[0] * 0.7, state[1] + 1)
    h, n = state
    return gap, (h, states.a + n)


STEPS = [f for f in list(globals().values()) if isinstance(f, types.FunctionType) and f.__module__ == __name__]
STEPS = [f for f in STEPS if list(f.__code__.co_varnames[:2]) == ["x", "states"]]
WHERE_ONLY = (branches, returns_early, chooses, assigns_in_a_branch, short_loop)


def graph_of(function, features=FEATURES, width=WIDTH):
    cell = rk.cell(states={"h": (), "a": width}, per_row=True)(function)()
    prepare(cell, (None, features), np.float64, np.random.default_rng(0))
    graph = trace(Step(cell, (features,)), np.float64, {})
    made = simplify(graph)
    for after, one in (("trace", graph), ("simplify", made)):
        verify.check_graph(one, after, verify.leaves_of(graph), [(), (width,)])
    return made


def inputs(seed=0):
    """Rows that go different ways, some with zeros, infinities and NaN."""
    rng = np.random.default_rng(seed)
    x, h, a = (2 * rng.normal(size=shape) for shape in ((ROWS, FEATURES), (ROWS,), (ROWS, WIDTH)))
    x[:4] = np.array([0.0, -0.0, np.inf, np.nan])[:, None]
    x[4:8, 1] = [0.0, 1.0, np.inf, -np.inf]
    return x, h, a


def values_of(graph, x, h, a):
    given = {("x", None): x, ("state", 0): h, ("state", 1): a}
    results = [graph.output, *graph.states, *graph.residuals.values()]
    with np.errstate(all="ignore"):
        values = evaluate(results, given, np.float64)
    return [np.broadcast_to(values[node.id], (len(x), *node.shape)) for node in results]


def compare(function, x, h, a):
    """Hold a graph against its step, row by row; gives how many rows there were something to compare in."""
    output, new_h, new_a, *codes = values_of(graph_of(function, x.shape[1], a.shape[1]), x, h, a)
    named = collections.namedtuple("States", "h a")
    compared = 0
    for r in range(len(x)):
        with np.errstate(all="ignore"):
            try:
                expected, (expected_h, expected_a) = function(x[r].copy(), named(h[r], a[r].copy()))
            except (ValueError, OverflowError):
                continue  # of NaN there is no integer in Python
        compared += 1
        for got, wanted in ((output, expected), (new_h, expected_h), (new_a, expected_a)):
            np.testing.assert_array_equal(got[r], np.asarray(wanted, np.float64), err_msg=f"row {r}")
        assert not any(np.any(code[r]) for code in codes)
    return compared


@pytest.mark.parametrize("function", STEPS, ids=lambda f: f.__name__)
def test_C16_a_graph_gives_what_python_gives_row_by_row(function):
    assert compare(function, *inputs()) > ROWS - 8


@pytest.mark.parametrize("seed", range(120))
def test_random_decisions_are_pythons(seed):
    rng = np.random.default_rng(seed)
    arrays = (2 * rng.normal(size=shape) for shape in ((12, 3), (12,), (12, 4)))
    assert compare(random_decisions.step_of(seed), *arrays) == 12


@pytest.mark.parametrize("seed", range(10))
def test_a_layer_of_random_decisions_is_eager_ones(seed):
    x = 2 * np.random.default_rng(seed).normal(size=(5, 4, 3))
    cell = rk.cell(states={"h": (), "a": 4}, per_row=True)(random_decisions.step_of(seed))()
    layer = rk.RNN(cell, return_sequences=True, return_state=True, dtype="float64")
    for rows in (5, 1):
        got = layer(x[:rows])
        with rk.eager():
            expected = layer(x[:rows])
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("function", WHERE_ONLY, ids=lambda f: f.__name__)
def test_a_layer_that_decides_by_values_is_eager_ones(function):
    x = np.random.default_rng(0).normal(size=(7, 5, FEATURES))
    cell = rk.cell(states={"h": (), "a": WIDTH}, per_row=True)(function)()
    layer = rk.RNN(cell, return_sequences=True, return_state=True, dtype="float64")
    got = layer(x)
    with rk.eager():
        expected = layer(x)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)


def test_a_branch_that_a_row_does_not_take_has_no_part_in_its_gradient():
    @rk.cell(states={"h": ()}, per_row=True)
    def rooted(x, states):
        if x[0] > 0:
            return math.sqrt(x[0]), (states.h,)
        return -x[0], (states.h,)

    layer = rk.RNN(rooted(), dtype="float64")
    y, pull = layer.vjp(np.array([[[4.0]], [[-3.0]], [[0.0]]]))
    assert y.tolist() == [2.0, 3.0, 0.0]
    assert pull(np.ones(3)).x.reshape(-1).tolist() == [0.25, -1.0, -1.0]


def test_the_number_of_a_loops_nodes_does_not_grow_with_its_rounds():
    def counts(n):
        def step(x, states):
            total = states.h
            for i in range(n):
                total = total * 0.5 + x[i % 4]
            return total, (total, states.a)

        return [node.op for node in graph_of(step).nodes]

    assert counts(500) == counts(5000) and counts(500).count("loop") == 1
    assert "loop" not in counts(4)


def test_what_a_round_does_not_change_is_computed_outside_the_loop():
    def step(x, states):
        total = 0.0
        for i in range(1000):
            total += math.exp(x[0]) * i
        return total, (total, states.a)

    (exp,) = (node for node in graph_of(step).nodes if node.op == "exp")
    assert exp.depends == {"x"}


@pytest.mark.parametrize(
    ("op", "change", "words"),
    [
        ("loop", lambda n: {"args": (*n.args[:-1], n.args[0].args[0])}, "a round changes what it carries"),
        ("loop", lambda n: {"args": n.args[:-1]}, "operands, expected"),
        ("loop", lambda n: {"depends": frozenset()}, "depends on"),
        ("take", lambda n: {"args": (n.args[0], n.args[0])}, "takes operands of the kinds"),
        ("put", lambda n: {"args": (*n.args[:2], n.args[0])}, "a place is a number"),
        ("round", lambda n: {"kind": "float"}, "is of the kind 'float'"),
        ("result", lambda n: {"shape": (9,)}, "which give"),
    ],
)
def test_the_verifier_finds_faults_in_loops_and_places(op, change, words):
    graph = graph_of(eliminates)
    node = next(n for n in graph.nodes if n.op == op and (op != "result" or n.shape))
    for name, value in change(node).items():
        setattr(node, name, value)
    with pytest.raises(verify.InvalidIR, match=words):
        verify.check_graph(graph, "simplify", verify.leaves_of(graph), [(), (WIDTH,)])


def test_a_loop_carries_only_what_is_read_of_it():
    def step(x, states):
        total, unread, i = 0.0, 1.0, 7
        for i in range(1000):  # noqa: B007  i has a value before
            unread = unread * x[0]
            total += x[1]
        return total, (total, states.a)

    (loop,) = (node for node in graph_of(step).nodes if node.op == "loop")
    assert loop.attr.count == 1
