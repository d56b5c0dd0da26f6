"""What can't be read in a step of one row, with its line and what to write; and what fails for a row when it runs."""

import collections
import inspect
import math

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.tracing.trace import trace
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

WIDTH = 4
SHARED = np.zeros(3)
LOG: list = []
BY_NAME: dict = {"a": ([],)}
LIMIT = 1


def generates(x, states):
    def values():
        yield x[0]  # here

    return sum(values()), states


def recurs(x, states):
    def inner(value, n):
        return inner(value / 2, n) if value > n else value  # here

    return inner(x[0], 1), states


def prints(x, states):
    print(x[0])  # here
    return x[0], states


def tries(x, states):
    try:  # here
        y = x[0]
    except ValueError:
        y = 0.0
    return y, states


def matches(x, states):
    match x[0]:  # here
        case 0.0:
            y = 1.0
        case _:
            y = 2.0
    return y, states


def opens(x, states):
    with np.errstate(all="ignore"):  # here
        return x[0], states


def remembers(x, states):
    remembers.last = x[0]  # here
    return x[0], states


def writes_elsewhere(x, states):
    SHARED[0] = x[0]  # here
    return x[0], states


def grows(x, states):
    found = []
    while len(found) < x[0]:  # here
        found.append(x[0])
    return 1.0, states


def grows_in_a_branch(x, states):
    found = [x[0]]
    if x[0] > 0:  # here
        found.append(x[1])
    return found[-1], states


def other_shapes(x, states):
    y = x[:2] if x[0] > 0 else x[:3]  # here
    return y.sum(), states


def other_shapes_by_round(x, states):
    y = x
    while y.sum() > 1:  # here
        y = y[1:]
    return y.sum(), states


def starts_as_none(x, states):
    best = None
    for k in range(1000):  # here
        if best is None or x[k % 4] > best:
            best = x[k % 4]
    return best, states


def number_or_none(x, states):
    y = x[0]
    if x[1] > 0:
        y = None
    return y + 1, states


def none_or_a_number(x, states):
    y = x[0] if x[1] > 0 else None  # here
    return y, states


def none_in_some_rounds(x, states):
    y = x[0]
    for k in range(1000):  # here
        if x[k % 4] > y:
            y = None
        if y is None:
            break
    return 1.0 if y is None else 0.0, states


def asks_math(x, states):
    return math.gamma(x[0]), states  # here


def slices(x, states):
    return x[: int(x[0])].sum(), states  # here


def queues(x, states):
    queue = collections.deque([1.0])
    if x[0] > 0:
        queue.append(x[0])  # here
    return queue[-1], states


def one_of_two(x, states):
    one, other = states.a.copy(), x.copy()
    both = one if x[0] > 0 else other
    both[0] = 1.0  # here
    return one[0], states


def swaps_names_of_one(x, states):
    one = other = states.a.copy()
    for k in range(1000):  # here
        one[k % 4] = other[0] + k
        one, other = other, one
    return one[0], states


def sorts_a_set(x, states):
    table = {}
    if x[0] > 0:
        table["a"] = 1.0  # here
    return len(table) + x[0], states


def appends_elsewhere(x, states):
    LOG.append(x[0])  # here
    return x[0], states


def appends_deep_inside(x, states):
    kept = BY_NAME["a"][0]
    kept.append(x[0])  # here
    return x[0], states


def puts_elsewhere(x, states):
    BY_NAME["b"] = x[0]  # here
    return x[0], states


def keeps_in_a_default(x, states):
    def kept(value, into=LOG):
        into += [value]  # here
        return value

    return kept(x[0]), states


def ranges_over_floats(x, states):
    for k in range(states.h):  # here
        x = x + k
    return x[0], states


def takes_a_float(x, states):
    return x[x[0]], states  # here


def takes_a_float_that_is_known(x, states):
    return x[1.0], states  # here


def asks_for_nothing(x, states):
    y = x[0]
    return y + nothing, states  # noqa: F821  # here


def adds_other_shapes(x, states):
    y = states.a + np.ones(2)  # here
    return y.sum(), states


def stops_inside(x, states):
    def helper(value):
        return value @ np.ones(3)  # here

    return helper(x), states


def names_in_words(x, states):
    kind = "up" if x[0] > 0 else "down"  # here
    return 1.0 if kind == "up" else 0.0, states


def looks_up_in_a_dict(x, states):
    return {True: 1.0, False: 2.0}[x[0] > 0], states  # here


def sorts_numbers(x, states):
    return sorted([x[0], x[1]])[0], states  # here


def has_no_key(x, states):
    return {"a": x[0]}["b"], states  # here


REFUSED = {
    appends_elsewhere: "a change of a list from outside of the step, which only its reading would see; return what is",
    appends_deep_inside: "a change of a list from outside of the step",
    puts_elsewhere: "a change of a dict from outside of the step",
    keeps_in_a_default: "a change of a list from outside of the step",
    ranges_over_floats: "range of a float; write int(…)",
    takes_a_float: "an index is a float64; write int(…)",
    takes_a_float_that_is_known: "the index 1.0 can't be traced; write int(…)",
    asks_for_nothing: "NameError: name 'nothing' is not defined",
    adds_other_shapes: "shapes (4,) (2,)",
    stops_inside: "matmul of shapes (4,) and (3,)",
    names_in_words: "as the result in both branches, got a str in one branch and a str in the other; write numbers",
    looks_up_in_a_dict: "a dict at a computed key; write if, or an array",
    sorts_numbers: "sorted of computed numbers; write np.sort",
    has_no_key: "KeyError: 'b'",
    generates: "a generator; write a loop that fills an array",
    recurs: "a function that calls itself; write a loop",
    prints: "print; run the layer inside rk.eager() to look at values",
    tries: "try; write the condition with if",
    matches: "match; write if and elif",
    opens: "with; write what it holds without it",
    remembers: "an assignment to an attribute; return what the step changes as a state",
    writes_elsewhere: "an assignment into an array that isn't the step's own; copy it first",
    grows: "a list that grows in a loop; use an array of fixed length and an index",
    grows_in_a_branch: "a list that is longer in one branch than in the other; use an array of fixed length",
    other_shapes: "got (2,) in one branch and (3,) in the other",
    other_shapes_by_round: "expected 'y' of one shape in every round of a loop, got (4,) and (3,)",
    starts_as_none: "'best' is None before a loop that makes it numbers; start it with a number",
    none_or_a_number: "a function or a choice that gives None in one branch and a number in the other",
    none_in_some_rounds: "a name that is None in some rounds of a loop; give it a number",
    asks_math: "math.gamma; write its formula",
    slices: "a slice whose length is computed; write a loop, or h[k : k + 3] of a fixed length",
    queues: "a deque that changes under a condition; use an array",
    one_of_two: "one of two by a condition",
    swaps_names_of_one: "while another name stands for the first one, too; copy it before the loop",
    sorts_a_set: "an assignment into a dict; use an array of the step's own",
}


def step_of(function, **options):
    cell = rk.cell(states={"h": (), "a": WIDTH}, per_row=True, **options)(function)()
    prepare(cell, (None, WIDTH), np.float64, np.random.default_rng(0))
    return Step(cell, (WIDTH,))


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_C16_what_cannot_be_read_is_refused_with_what_to_write(function):
    cell = rk.cell(states={"h": (), "a": WIDTH}, per_row=True)(function)()
    with pytest.raises(ValueError, match=f"{function.__name__!r} can't be read, as a step of one row") as caught:
        rk.RNN(cell)(np.zeros((1, 2, WIDTH)))
    assert REFUSED[function] in str(caught.value)
    lines, first = inspect.getsourcelines(function)
    (here,) = (f"{__file__}, line {n}: {line.strip()}" for n, line in enumerate(lines, first) if "# here" in line)
    assert here in str(caught.value)


def looks_outside(x, states):
    k = int(x[0])
    if x[1] > 0:
        states.a[k] = 1.0
    return states.a[k - 1] if x[2] > 0 else 0.0, states


def asserts(x, states):
    total = 0.0
    for k in range(100):
        total += x[0] * k
        if x[1] > 0:
            assert total < 1000, f"the total {total} is too large"
    return total, states


def raises(x, states):
    if x[0] > 1 and not x[1] > 1:
        raise ValueError(f"x is {x[0]:.2f}, above {LIMIT:.1f} {LIMIT!r}")
    return x[0], states


def reads_too_early(x, states):
    if x[0] > 0:
        y = x[1]
    if x[1] > 0:
        return y, states
    return 0.0, states


def only_in_the_loop(x, states):
    k = 0
    while k < x[0]:
        if x[1] > k:
            y = x[1] * k
        k += 1
    return y, states


def divides(x, states):
    k = 3
    while k > x[0] and k > -3:
        k -= 1
    return 7 // k + 7 % k, states


def counts(x, states):
    return int(x[0]) // 2, states


def from_a_short_table(x, states):
    y = 0.0
    for k in range(6):
        if x[0] > k:
            y += states.a[k]
    return y, states


def nested(x, states):
    total = 0.0
    for i in range(50):
        k = 0
        while k < i * 0.2:
            total += states.a[k] if x[0] > i * 0.05 else 1.0
            k += 1
    return total, states


FAILING = {
    looks_outside: ((IndexError,), "an index is out of range for an array of shape (4,)"),
    asserts: ((AssertionError,), "an assertion doesn't hold: the total the row's total is too large"),
    number_or_none: ((TypeError,), "the name 'y' is None where it is read"),
    raises: ((), "ValueError: x is the row's x[0], above 1.0 1, in "),
    reads_too_early: ((UnboundLocalError,), "the name 'y' has no value where it is read"),
    only_in_the_loop: ((UnboundLocalError,), "the name 'y' has no value where it is read"),
    divides: ((ZeroDivisionError,), "integer division by zero"),
    counts: ((), "int() of what is no number that an integer is"),
    from_a_short_table: ((IndexError,), "an index is out of range: 4"),
    nested: ((IndexError,), "an index is out of range for an array of shape (4,)"),
}


@pytest.mark.parametrize("function", FAILING, ids=lambda f: f.__name__)
def test_C17_the_rows_that_python_refuses_fail_in_the_graph_and_no_others(function):
    error, message = FAILING[function]
    rng, rows = np.random.default_rng(0), 40
    x, h, a = (3 * rng.normal(size=shape) for shape in ((rows, WIDTH), (rows,), (rows, WIDTH)))
    x[:2, 0] = np.nan, -np.inf
    step = step_of(function)
    graph = trace(step, np.float64, {})
    (code,) = graph.residuals.values()
    with np.errstate(all="ignore"):
        values = evaluate([code, graph.output], {("x", None): x, ("state", 0): h, ("state", 1): a}, np.float64)
    codes, failing = values[code.id][:, 0].astype(int), 0
    for r in range(rows):
        try:
            with np.errstate(all="ignore"):
                expected, _ = function(x[r], step.cell.spec.named(h[r], a[r].copy()))
        except (*error, ValueError, OverflowError):
            failing += 1
            assert codes[r] > 0
        else:
            assert codes[r] == 0
            np.testing.assert_array_equal(np.broadcast_to(values[graph.output.id], rows)[r], expected)
    assert 0 < failing < rows
    told = [graph.messages[one - 1] for one in codes[3:] if one] or list(graph.messages)
    assert all(one.startswith(message) and f"{__file__}, line " in one for one in told)


def test_a_loop_that_a_row_never_leaves_is_an_error_with_its_line():
    def endless(x, states):
        y = x[0]
        while y > 1:  # here
            y = y + 1 if x[1] > 0 else y / 2
        return y, states

    step = step_of(endless, loop_limit=50)
    graph = trace(step, np.float64, {})
    (code,) = graph.residuals.values()
    x = np.array([[0.5, 1.0, 0, 0], [8.0, 1.0, 0, 0], [8.0, -1.0, 0, 0]])
    given = {("x", None): x, ("state", 0): np.zeros(3), ("state", 1): np.zeros((3, WIDTH))}
    values = evaluate([code, graph.output], given, np.float64)
    assert values[code.id].reshape(-1).tolist() == [0.0, 1.0, 0.0]
    assert graph.messages[0].startswith("a loop of more than 50 rounds")
    assert graph.messages[0].endswith("while y > 1:  # here")


def test_a_step_without_source_is_read_without_control_flow():
    names = {"np": np}
    exec("def plain(x, states):\n    h = np.maximum(states.h, x[0])\n    return h, (h, states.a)\n", names)
    exec("def decides(x, states):\n    return (1.0 if x[0] > 0 else 2.0), states\n", names)
    x = np.ones((1, 2, WIDTH))
    cells = [rk.cell(states={"h": (), "a": WIDTH}, per_row=True)(names[name])() for name in ("plain", "decides")]
    assert rk.RNN(cells[0])(x).tolist() == [1.0]
    with pytest.raises(ValueError, match="'decides' can't be read.*whose source is not there"):
        rk.RNN(cells[1])(x)
