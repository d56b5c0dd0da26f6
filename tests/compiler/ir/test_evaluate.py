"""A recording of the values of a graph: other inputs in its memory give the bits that a new evaluation gives."""

import numpy as np
import pytest
from matrix import same_bits

from rnnkit.compiler.ir.evaluate import Evaluation
from rnnkit.compiler.ir.graph import Graph, View
from rnnkit.compiler.ir.operations import OPERATIONS, REDUCTIONS
from rnnkit.layers.support.recording import Recording, noted, plain

RNG = np.random.default_rng(0)
SHAPES = {"x": (3, 4), "vector": (4,), "weight": (3, 4), "matrix": (4, 5), "square": (4, 4)}
KEYS = {
    "x": ("x", None), "vector": ("constant", 0), "weight": ("weight", "weight"), "matrix": ("weight", "matrix"),
    "square": ("weight", "square"),
}  # fmt: skip
PART = View.item((1, slice(1, 3)), "part")


def operands(graph):
    return {name: graph.add(*key[:1], (), SHAPES[name], key[1]) for name, key in KEYS.items()}


def pointwise(op):
    def made(graph, x, vector, weight, matrix, square):
        given = [x, vector, graph.literal(0.5)] if op == "where" else [x, vector, weight][: arity(op)]
        return graph.as_float(graph.pointwise(op, *given))

    return made


def arity(op):
    return max(n for n in (1, 2, 3) if f"{{{n - 1}}}" in OPERATIONS[op].text)


def reduction(op, axes):
    return lambda graph, x, vector, weight, matrix, square: graph.reduce(op, x, axes)


ROWS = {op: pointwise(op) for op in OPERATIONS}
ROWS |= {f"{op} over {axes}": reduction(op, axes) for op in REDUCTIONS for axes in ((0,), (1,), (0, 1))}
ROWS |= {
    "product": lambda g, x, v, w, m, s: g.product(x, m),
    "einsum of rows": lambda g, x, v, w, m, s: g.einsum("ij,kj->ik", x, x),
    "einsum of weights": lambda g, x, v, w, m, s: g.einsum("ij,jk->ik", w, m),
    "inverse": lambda g, x, v, w, m, s: g.add("inverse", (s,), s.shape),
    "a function of weights": lambda g, x, v, w, m, s: g.add("function", (s,), s.shape, np.tanh),
    "views": lambda g, x, v, w, m, s: g.pointwise("add", g.transpose(x, (1, 0)), g.reshape(v, (4, 1))),
    "a copy as a view": lambda g, x, v, w, m, s: g.reshape(g.transpose(x, (1, 0)), (12,)),
    "gathered": lambda g, x, v, w, m, s: g.view(x, View.gather(np.array([[5, 5], [0, 11]]))),
    "places": lambda g, x, v, w, m, s: g.view(x, View.item((np.array([2, 0]), slice(1, 3)), "places")),
    "a table": lambda g, x, v, w, m, s: g.pointwise("multiply", x, g.literal(np.arange(4.0))),
    "a part replaced": lambda g, x, v, w, m, s: g.replaced(x, PART, g.literal(np.ones(2))),
    "side by side": lambda g, x, v, w, m, s: g.concatenate([x, w, x], 0),
    "the input": lambda g, x, v, w, m, s: x,
}  # fmt: skip


@pytest.fixture(autouse=True)
def recordings(monkeypatch):
    """These are about recordings, which are off beside them."""
    monkeypatch.delenv("RNNKIT_REPEAT")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ROWS)
def test_T13_a_repetition_has_the_bits_of_an_evaluation(name, dtype):
    graph = Graph(whole=True)
    node = ROWS[name](graph, *operands(graph).values())
    values_of, inputs = Evaluation([node], np.dtype(dtype)), drawn(dtype)
    recording = Recording()
    recording.give(*inputs.values())
    with recording:
        found = values_of(noted(inputs))[node.id]
    assert recording.knows(found)
    found = plain(found)
    same_bits(found, values_of(inputs)[node.id])
    for _ in range(2):
        for key, array in drawn(dtype).items():
            inputs[key][...] = array
        expected = np.array(values_of(inputs)[node.id])
        recording.spoil()
        recording.repeat()
        same_bits(found, expected)


def drawn(dtype):
    lead = {"x": (6,), "vector": (6,)}
    return {
        key: RNG.uniform(0.1, 0.9, (*lead.get(name, ()), *SHAPES[name])).astype(dtype) * RNG.choice([1, -1])
        for name, key in KEYS.items()
    }


def test_views_take_no_operation():
    graph = Graph(whole=True)
    x = operands(graph)["x"]
    inputs = drawn("float32")
    recording = Recording()
    recording.give(inputs["x", None])
    turned = graph.transpose(x, (1, 0))
    with recording:
        values = Evaluation([turned], np.dtype("float32"))(noted(inputs))
    assert not recording.operations and values[turned.id].base is not None


def test_what_depends_on_weights_alone_is_prepared():
    graph = Graph(whole=True)
    given = operands(graph)
    inverse = graph.add("inverse", (given["square"],), (4, 4))
    node = graph.product(given["x"], inverse)
    inputs = drawn("float64")
    recording = Recording()
    recording.give(inputs["x", None])
    recording.give(inputs["weight", "square"], rarely=True)
    with recording:
        Evaluation([node], np.dtype("float64"))(noted(inputs))
    assert len(recording.preparations) == 1 and len(recording.operations) == 1
