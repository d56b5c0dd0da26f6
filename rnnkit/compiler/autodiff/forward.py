"""The dual of a step: a step that computes its results and their tangents, the changes to first order.

Each node has its value and its tangent. Forward mode takes the rules that the adjoint takes
(`rnnkit.compiler.ir.operations`): they are linear in the cotangent and pointwise, so that the tangent of a result is
the sum of them over the operands, each with its operand's tangent. The dual is an ordinary step: planned, compiled and
differentiated as any other, which gives second derivatives.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from rnnkit.compiler.autodiff.reverse import PASSING, broadcast, is_elementwise, replaced, symbol_of
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import Graph, Node, View
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.ir.operations import REDUCTIONS, STEEP
from rnnkit.compiler.ir.simplify import rebuilt
from rnnkit.compiler.tracing.broadcasting import lift
from rnnkit.compiler.tracing.contractions import contract


def dual(
    graph: Graph, dtype, x=True, constants=0, weights: Collection[str] = (), rows: Mapping[str, int] | None = None
) -> Graph:
    """Return the step that computes values and tangents; a ValueError names the line of a function without a known one.

    Its output has an axis of two in front, the value and the tangent; its states are the step's, then their tangents.
    Its x has such an axis if `x`; its constants are the step's, then their tangents, if `constants` is their number.
    The tangent of each of `weights` is the weight that `tangent_name` names; that of each of `rows`, one for each row,
    is the constant of that number. All other inputs have no tangent.
    """
    forward = _Forward(graph, np.dtype(dtype), x, constants, weights, rows or {})
    new = rebuilt(graph, (forward.made,))
    results = [(node, forward.tangent(node)) for node in (new.output, *new.states)]
    new.output = new.concatenate([new.reshape(node, (1, *node.shape)) for node in results[0]], 0)
    new.states = (*new.states, *(tangent for _, tangent in results[1:]))
    return new


def tangent_name(weight: str) -> str:
    """Return the name of a weight's tangent among the weights of a dual."""
    return f"{weight}/tangent"


class Tangent:
    """Evaluation of a step and its tangent in NumPy, for rows of inputs and of tangents by ``(op, attr)``, zeros left
    out; it gives the results ``(output, *states)`` and their tangents, ``(rows, …)`` each.
    """

    def __init__(self, graph: Graph, dtype):
        self.dtype, self.count = np.dtype(dtype), len(graph.states)
        self.dual = dual(graph, dtype)

    def __call__(self, inputs, moved, rows):
        """Return the results and their tangents."""
        given = dict(inputs)
        x = inputs["x", None]
        given["x", None] = np.stack([x, moved.get(("x", None), np.zeros_like(x))], axis=1)
        for i in range(self.count):
            given["state", self.count + i] = moved.get(("state", i), np.zeros_like(inputs["state", i]))
        results = [self.dual.output, *self.dual.states]
        with np.errstate(all="ignore"):
            values = evaluate(results, given, self.dtype)
        output, *states = (np.array(np.broadcast_to(values[node.id], (rows, *node.shape))) for node in results)
        return [output[:, 0], *states[: self.count]], [output[:, 1], *states[self.count :]]


def _finite(graph: Graph, node: Node, t: Node, c: Node) -> Node:
    """Return the tangent ``c`` that a rule made from ``t``, but 0 for 0 times an infinite slope.

    Elsewhere ``c`` stays what it is where ``t`` is 0: ``t`` may have a derivative there.
    """
    if node.op in PASSING:
        return c
    none, lost = graph.pointwise("equal", t, graph.literal(0.0)), graph.pointwise("not_equal", c, c)
    return graph.pointwise("where", graph.pointwise("logical_and", none, lost), graph.literal(0.0), c)


class _Forward:
    """Builder of the tangents of a graph's nodes while it is rebuilt."""

    def __init__(self, graph: Graph, dtype, x: bool, constants: int, weights: Collection[str], rows: Mapping[str, int]):
        self.graph, self.dtype, self.moves_x, self.weights, self.rows = graph, dtype, x, weights, rows
        self.counts = {"state": len(graph.states)} | ({"constant": constants} if constants else {})
        self.loops = {node.attr.id: node for node in graph.nodes if node.op == "loop"}
        self.unsure = graph.under(a for node in graph.nodes if node.op == "where" for a in node.args[1:])
        self.found: dict[int, Node] = {}  # the tangents, by the new nodes' numbers

    def tangent(self, node) -> Node:
        """Return the tangent of a node, zeros if it has none."""
        return self.found.get(node.id) or self.graph.literal(np.zeros(node.shape))

    def made(self, new: Graph, node: Node, args: tuple[Node, ...]) -> Node:
        """Return a node of the new graph and note its tangent: the rule of `rebuilt`."""
        self.graph = new
        if node.op == "x" and self.moves_x:
            both = new.add("x", (), (2, *node.shape))
            value, tangent = (new.view(both, View.item((i,), (repr(i),))) for i in (0, 1))
        elif node.op == "loop":
            value, tangent = self._loop(node, args), None
        else:
            value = new.again(node, args)
            tangent = self._tangent(node, value) if node.kind in FLOATS else None
        if tangent is not None:
            self.found[value.id] = tangent
        return value

    def _tangent(self, old: Node, node: Node) -> Node | None:
        new = self.graph
        if node.op in self.counts:
            return new.add(node.op, (), node.shape, self.counts[node.op] + node.attr)
        if node.op == "weight" and node.attr in self.rows:
            return new.add("constant", (), node.shape, self.rows[node.attr])
        if node.op == "weight":
            return new.add("weight", (), node.shape, tangent_name(node.attr)) if node.attr in self.weights else None
        if node.op == "carried":
            number, i = node.attr
            return new.add("carried", (), node.shape, (number, self._place(self.loops[number], i)), node.kind)
        if node.op == "result":
            return new.add("result", node.args, node.shape, self._place(self.loops[node.args[0].attr.id], node.attr))
        if not any(a.id in self.found for a in node.made_of) and node.op != "ruled":
            return None
        tangent = self._of_operands(node, old.id in self.unsure or node.op in STEEP)
        return None if tangent is None else new.cast(tangent, node.kind)

    def _of_operands(self, node: Node, unsure: bool) -> Node | None:
        """Return the tangent of a node from those of its operands, of which at least one is known."""
        new, args = self.graph, node.args
        if node.op == "where":
            return broadcast(new, new.pointwise("where", args[0], *map(self.tangent, args[1:])), node.shape)
        if node.pointwise:
            return self._pointwise(node, unsure)
        if node.op in REDUCTIONS:
            return self._reduction(node, unsure)
        if node.op == "view":
            return new.view(self.tangent(args[0]), node.attr)
        if node.op == "concatenate":
            return new.concatenate([self.tangent(a) for a in args], node.attr)
        if node.op == "take":
            return new.take(self.tangent(args[0]), args[1])
        if node.op == "put":
            return new.put(self.tangent(args[0]), args[1], self.tangent(args[2]))
        if node.op == "ruled":
            return self._ruled(node)
        if node.op == "inverse":
            inner = self._contraction("ij,jk->ik", node, self.tangent(args[0]))
            return new.pointwise("negative", self._contraction("ij,jk->ik", inner, node))
        if node.op not in ("product", "einsum"):
            raise ValueError(f"the tangent of {node.attr.name} of weights isn't known, in the line {node.line!r}")
        total = None
        for i, arg in enumerate(args):
            if arg.id in self.found:
                given = [*args[:i], self.found[arg.id], *args[i + 1 :]]
                term = self._product(*given) if node.op == "product" else self._contraction(node.attr, *given)
                total = term if total is None else new.pointwise("add", total, term)
        return total

    def _product(self, a, weight):
        if not weight.batched:
            return self.graph.product(a, weight)
        lead = string.ascii_letters[2 : 1 + len(a.shape)]
        return self._contraction(f"{lead}a,ab->{lead}b", a, weight)

    def _contraction(self, subscripts, a, b):
        """As `np.einsum`, of weights, or of what some rows have of their own."""
        if not (a.batched or b.batched):
            return self.graph.einsum(subscripts, a, b)
        letters, _, out = subscripts.partition("->")
        first, second = letters.split(",")
        return contract(self.graph, a, first, b, second, out)

    def _pointwise(self, node, unsure):
        rank = len(node.shape)
        symbols = [symbol_of(self, a, rank) for a in (node, *node.args)]
        total = None
        for i, arg in enumerate(node.args):
            if arg.id not in self.found:
                continue
            t = symbol_of(self, self.found[arg.id], rank)
            c = node.operation.gradient(t, *symbols)[i]
            if c is not None:
                c = self.graph.as_float(lift(t, c).node)
                c = _finite(self.graph, node, t.node, c) if unsure else c
                total = c if total is None else self.graph.pointwise("add", total, c)
        return None if total is None else broadcast(self.graph, total, node.shape)

    def _reduction(self, node, unsure):
        (arg,) = node.args
        kept = tuple(1 if i in node.attr else n for i, n in enumerate(arg.shape))
        rank, axes = len(arg.shape), tuple(i - len(arg.shape) for i in node.attr)
        t, y, x = (symbol_of(self, n, rank) for n in (self.tangent(arg), self.graph.reshape(node, kept), arg))
        c = self.graph.as_float(lift(t, REDUCTIONS[node.op].gradient(t, y, x, axes)).node)
        c = broadcast(self.graph, c, arg.shape)
        c = _finite(self.graph, node, t.node, c) if unsure else c
        return self.graph.reduce("sum", c, node.attr)

    def _ruled(self, node):
        """Return the tangent by the user's rule for cotangents, which is the same if the rule is elementwise."""
        if node.attr[1][0] != "cotangent":
            return self.found.get(node.args[0].id)
        new, count, total = self.graph, len(node.args) // 2, None
        own = new.add(node.attr[0], (), node.shape, node.attr[1])
        for arg, c in zip(node.args[1 : 1 + count], node.args[1 + count :], strict=True):
            if arg.id not in self.found or own.id not in new.under([c]):
                continue
            if not is_elementwise(c, own) or arg.shape != node.shape:
                place = f"in the line {node.line!r}" if node.line else "of the cell's own vjp"
                problem = f"expected a rule that goes element by element for a tangent, {place}"
                raise ValueError(f"{problem}; another one is for cotangents alone")
            (term,) = replaced(new, [c], own, self.found[arg.id])
            total = term if total is None else new.pointwise("add", total, term)
        return total

    # Loops carry the tangents of their carried values

    @staticmethod
    def _floats(loop: Node) -> list[int]:
        return [i for i in range(loop.attr.count) if loop.args[i].kind in FLOATS]

    def _place(self, loop: Node, i: int) -> int:
        return loop.attr.count + self._floats(loop).index(i)

    def _loop(self, node: Node, args: tuple[Node, ...]) -> Node:
        count, floats = node.attr.count, self._floats(node)
        initials, go, nexts = args[:count], args[count], args[count + 1 :]

        def with_tangents(carried):
            return [*carried, *(self.graph.cast(self.tangent(carried[i]), carried[i].kind) for i in floats)]

        attr = replace(node.attr, count=count + len(floats))
        return self.graph.add("loop", (*with_tangents(initials), go, *with_tangents(nexts)), (), attr, node.kind)
