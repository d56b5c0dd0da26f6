"""The tangent of a step: how its results change, to first order, with its input and states.

Forward mode by the rules that the adjoint takes (`rnnkit.compiler.ir.operations`): they are linear in the cotangent and
pointwise, so that the tangent of a result is the sum of them over the operands, each with its operand's tangent.
Weights, constants and draws stand still.
"""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.autodiff.reverse import broadcast, nothing_of_nothing, symbol_of
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import BY_ROW, Graph, Node
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.ir.operations import REDUCTIONS
from rnnkit.compiler.tracing.broadcasting import lift

_MOVED = ("x", "state")  # inputs that have a tangent


def tangents(graph: Graph, dtype) -> tuple[Graph, list[Node]]:
    """A graph that has grown by the tangents of the output and the states, and these nodes.

    The tangent of an input ``(op, attr)`` is the input ``("sequence", ("tangent", op, attr))``.
    """
    forward = _Forward(graph.copy(), np.dtype(dtype))
    for node in graph.live():
        forward.pass_on(node)
    return forward.graph, [forward.tangent(node) for node in (graph.output, *graph.states)]


class Tangent:
    """Evaluates a step and its tangent in NumPy.

    Called with rows of inputs and of tangents by ``(op, attr)``, tangents of zeros left out; gives the results
    ``(output, *states)`` and their tangents, ``(rows, …)`` each.
    """

    def __init__(self, graph: Graph, dtype):
        self.dtype = np.dtype(dtype)
        self.results = [graph.output, *graph.states]
        self.graph, self.tangents = tangents(graph, dtype)
        self.read = [node for node in self.graph.nodes if node.op in _MOVED]

    def __call__(self, inputs, moved, rows):
        """Results and tangents."""
        moved = {("sequence", ("tangent", *key)): array for key, array in moved.items()}
        for node in self.read:
            moved.setdefault(("sequence", ("tangent", node.op, node.attr)), np.zeros((rows, *node.shape), self.dtype))
        with np.errstate(all="ignore"):
            values = evaluate([*self.results, *self.tangents], inputs | moved, self.dtype)

        def whole(nodes):
            return [
                np.array(np.broadcast_to(values[node.id], (rows, *result.shape)))
                for node, result in zip(nodes, self.results, strict=True)
            ]

        return whole(self.results), whole(self.tangents)


class _Forward:
    """Goes from the inputs of a graph to its results and makes the tangent of each node that has one."""

    def __init__(self, graph: Graph, dtype):
        self.graph, self.dtype = graph, dtype
        self.found: dict[int, Node] = {}

    def tangent(self, node) -> Node:
        """The tangent of a node, zeros where nothing moves it."""
        return self.found.get(node.id) or self.graph.literal(np.zeros(node.shape))

    def pass_on(self, node):
        """Make the tangent of a node from those of its operands."""
        graph = self.graph
        if node.op in _MOVED:
            self.found[node.id] = graph.add("sequence", (), node.shape, ("tangent", node.op, node.attr))
        elif node.op in BY_ROW and node.kind in FLOATS and node.args:
            what = "a computed place" if node.op in ("take", "put") else "a loop"
            raise ValueError(f"the tangent of {what} isn't known yet, in the line {node.line!r}")
        elif not node.batched or node.kind not in FLOATS or not any(a.id in self.found for a in node.args):
            return
        elif node.pointwise:
            self._pointwise(node)
        elif node.op in REDUCTIONS:
            self._reduction(node)
        elif node.op == "view":
            self.found[node.id] = graph.view(self.tangent(node.args[0]), node.attr)
        elif node.op == "concatenate":
            self.found[node.id] = graph.concatenate([self.tangent(a) for a in node.args], node.attr)
        else:  # a product; the other kinds have operands that all rows share
            self.found[node.id] = graph.product(self.tangent(node.args[0]), node.args[1])

    def _pointwise(self, node):
        rank = len(node.shape)
        symbols = [symbol_of(self, a, rank) for a in (node, *node.args)]
        total = None
        for i, arg in enumerate(node.args):
            if arg.id not in self.found:
                continue
            t = symbol_of(self, self.found[arg.id], rank)
            c = node.operation.gradient(t, *symbols)[i]
            if c is not None:
                c = nothing_of_nothing(self.graph, node, t.node, self.graph.as_float(lift(t, c).node))
                total = c if total is None else self.graph.pointwise("add", total, c)
        if total is not None:
            self.found[node.id] = broadcast(self.graph, total, node.shape)

    def _reduction(self, node):
        (arg,) = node.args
        kept = tuple(1 if i in node.attr else n for i, n in enumerate(arg.shape))
        rank, axes = len(arg.shape), tuple(i - len(arg.shape) for i in node.attr)
        t, y, x = (symbol_of(self, n, rank) for n in (self.tangent(arg), self.graph.reshape(node, kept), arg))
        c = self.graph.as_float(lift(t, REDUCTIONS[node.op].gradient(t, y, x, axes)).node)
        c = nothing_of_nothing(self.graph, node, t.node, broadcast(self.graph, c, arg.shape))
        self.found[node.id] = self.graph.reduce("sum", c, node.attr)
