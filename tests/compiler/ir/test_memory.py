"""Results that are written over operands: only where nobody reads these any more, and with the same bits."""

import numpy as np
import pytest
from matrix import same_bits

from rnnkit.compiler.ir import evaluate
from rnnkit.compiler.ir.evaluate import Evaluation
from rnnkit.compiler.ir.graph import Graph, View
from rnnkit.compiler.ir.memory import overwritten
from rnnkit.compiler.ir.operations import OPERATIONS

SHAPE = (3, 4)
POINTWISE = ("add", "multiply", "subtract", "negative", "square", "absolute", "maximum", "tanh", "where", "greater")
UNARY = ("negative", "square", "absolute", "tanh")
OTHERS = ("transpose", "reverse", "reshape", "gather", "sum", "broadcast", "side by side", "ruled", "product", "kept")


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(evaluate, "LARGE", 0)


def random_graph(rng, count=25):
    """A graph of operations on arrays that were made lately, and some of its nodes as results."""
    graph = Graph(whole=True)
    x, weight = graph.add("x", (), SHAPE), graph.add("weight", (), SHAPE, "w")
    square = graph.add("weight", (), (SHAPE[1], SHAPE[1]), "square")
    made, conditions = [x, weight], [graph.pointwise("greater", x, weight)]
    views = {
        "transpose": lambda a: graph.reshape(graph.transpose(a, (1, 0)), SHAPE),
        "reverse": lambda a: graph.view(a, View.item((slice(None, None, -1),), "reverse")),
        "reshape": lambda a: graph.pointwise("negative", graph.reshape(a, SHAPE[::-1])),
        "gather": lambda a: graph.view(a, View.gather(rng.integers(0, 12, SHAPE))),
        "sum": lambda a: graph.pointwise("subtract", a, graph.reshape(graph.reduce("sum", a, (1,)), (3, 1))),
        "broadcast": lambda a: graph.view(graph.reduce("sum", a, (0,)), View.repeat((4,), SHAPE)),
        "side by side": lambda a: graph.along(graph.concatenate([a, x], 0), 0, 2, 5),
        "ruled": lambda a: graph.add("ruled", (a,), a.shape, ("sequence", (len(graph.nodes), 0))),
        "product": lambda a: graph.product(a, square) if a.batched else a,
        "kept": lambda a: a,
    }  # fmt: skip
    for _ in range(count):
        kind = rng.choice(POINTWISE if rng.random() < 0.7 else OTHERS)
        a, b = (made[max(0, len(made) - 1 - rng.integers(0, 5))] for _ in range(2))
        a, b = (graph.reshape(one, SHAPE) if one.shape == SHAPE[::-1] else one for one in (a, b))
        if kind == "greater":
            conditions.append(graph.pointwise(kind, a, b))
        elif kind == "where":
            made.append(graph.pointwise(kind, rng.choice(conditions), a, b))
        elif kind in views:
            made.append(views[kind](a))
        else:
            made.append(graph.pointwise(kind, *(a, b)[: 1 if kind in UNARY else 2]))
    return graph, [made[-1], *rng.choice(made[2:], 2)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(60))
def test_values_that_are_written_over_are_read_by_nobody(seed, dtype):
    rng = np.random.default_rng(seed)
    _, wanted = random_graph(rng)
    inputs = {
        ("x", None): rng.normal(size=(5, *SHAPE)).astype(dtype),
        ("weight", "w"): rng.normal(size=SHAPE).astype(dtype),
        ("weight", "square"): rng.normal(size=(4, 4)).astype(dtype),
    }  # fmt: skip
    before = {key: array.copy() for key, array in inputs.items()}
    expected = Evaluation(wanted, np.dtype(dtype))(inputs)
    lean = Evaluation(wanted, np.dtype(dtype), lean=True)
    for _ in range(2):
        found = lean(inputs)
        for node in wanted:
            same_bits(np.asarray(found[node.id]), np.asarray(expected[node.id]))
        for key, array in inputs.items():
            same_bits(array, before[key])


def test_an_operand_is_written_over_where_it_is_read_for_the_last_time():
    graph = Graph(whole=True)
    x = graph.add("x", (), SHAPE)
    doubled = graph.pointwise("add", x, x)
    turned = graph.transpose(doubled, (1, 0))
    squared = graph.pointwise("square", doubled)  # what `turned` shows is read later
    both = graph.pointwise("add", graph.reshape(turned, (12,)), graph.reshape(squared, (12,)))
    last = graph.pointwise("negative", both)
    wanted = graph.pointwise("tanh", last)
    steps = [(n, None, [a.id for a in n.args]) for n in graph.nodes if n.args]
    places = dict(zip([n.id for n, *_ in steps], overwritten(steps, [wanted]), strict=True))
    assert places[doubled.id] is None
    assert places[squared.id] is None
    assert places[last.id] == both.id
    assert places[wanted.id] == last.id
    assert not any(overwritten(steps, graph.nodes))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("other", ["an array", "0", "-0", "0 first"])
def test_a_choice_of_many_has_the_bits_of_numpys(other, dtype):
    rng, shape = np.random.default_rng(0), (70, 80)
    graph = Graph(whole=True)
    x, y = graph.add("x", (), shape[1:]), graph.add("constant", (), shape[1:], 0)
    literal = {"0": graph.literal(0.0), "-0": graph.literal(-0.0), "0 first": graph.literal(0.0)}.get(other, y)
    operands = (literal, x) if other == "0 first" else (x, literal)
    node = graph.pointwise("where", graph.pointwise("greater", y, graph.literal(0.0)), *operands)
    values = rng.choice([0.0, -0.0, np.nan, -np.nan, np.inf, 1e-310, 1.5, -2.0], shape).astype(dtype)
    inputs = {("x", None): values, ("constant", 0): rng.normal(size=shape).astype(dtype)}
    found = evaluate.evaluate([node], inputs, np.dtype(dtype))
    given = [inputs[one.op, one.attr] if one.op != "literal" else np.asarray(one.attr, dtype) for one in operands]
    expected = np.where(inputs["constant", 0] > 0, *given)
    bits = f"u{expected.itemsize}"
    np.testing.assert_array_equal(found[node.id].view(bits), expected.view(bits))


WRITING = [op for op, one in OPERATIONS.items() if isinstance(one.evaluate, np.ufunc) and one.result == "float"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", WRITING)
def test_an_operation_over_its_operand_has_the_bits_of_one_beside_it(op, dtype):
    rng, count = np.random.default_rng(0), 1 + ("{1}" in OPERATIONS[op].text)
    graph = Graph(whole=True)
    given = [graph.add("x", (), (1000,)), graph.add("constant", (), (1000,), 0)][:count]
    made = [graph.pointwise("negative", one) for one in given]
    node = graph.pointwise(op, *made)
    steps = [(n, None, [a.id for a in n.args]) for n in graph.nodes if n.args]
    assert overwritten(steps, [node])[-1] == made[0].id
    values = rng.normal(size=(2, 7, 1000)) * rng.choice([0.1, 1.0, 100.0], (2, 7, 1000))
    values[:, 0, ::50] = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0], (2, 20))
    inputs = dict(zip([("x", None), ("constant", 0)], values.astype(dtype), strict=False))
    expected = Evaluation([node], np.dtype(dtype))(inputs)[node.id]
    found = Evaluation([node], np.dtype(dtype), lean=True)(inputs)[node.id]
    np.testing.assert_array_equal(found.view(f"u{found.itemsize}"), expected.view(f"u{found.itemsize}"))
