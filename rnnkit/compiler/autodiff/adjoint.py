"""The adjoint of a step: from the cotangents of its results to those of its inputs.

The rules of its operations, applied from the results back to the inputs (`rnnkit.compiler.autodiff.reverse`), give
another graph, which is a step again: it runs from the last step to the first, its states are the
cotangents of the states, its output is the cotangent of x. It reads the cotangents of the outputs and *residuals*:
values that the forward step saves because they are expensive. Cheap values are recomputed. The adjoint saves *operands*
of the gradients of the weights, which are sums over rows and steps of a value, or of the outer products of two.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rnnkit.compiler.autodiff.reverse import Reverse, reverse_step
from rnnkit.compiler.ir.elementwise import is_elementwise
from rnnkit.compiler.ir.graph import BY_ROW, Graph, Node, loops_of
from rnnkit.compiler.ir.plan import CALL, section_of, written
from rnnkit.compiler.ir.strides import row_walk


@dataclass(frozen=True)
class Place:
    """Rows of ``depth`` neighbouring elements of a sequence: ``rows`` of them for a step of one row of the batch.

    ``source`` is "x", "state" (as it was before the step), "residual" (saved by the forward step), "operand" (saved
    by the adjoint) or "total": the adjoint itself adds up a row's steps, in one of its last states.
    """

    source: str
    key: object
    offset: int
    rows: int
    stride: int
    depth: int

    def array(self, part):
        """Return the array of a record that it is in, ``(B, T, …)`` with the rest contiguous."""
        name = self.source, self.key
        return part.x if self.source == "x" else part.placed[written(name) if self.source == "operand" else name]


@dataclass(frozen=True)
class Sum:
    """A sum over rows and steps, of this shape: of the outer products of two places, or of one if ``a`` is None."""

    a: Place | None
    b: Place
    shape: tuple[int, ...]


@dataclass(eq=False)
class Adjoint:
    """Adjoint of a step: its forward and backward graphs, and the sums for the weights' gradients."""

    # The step with the values that it saves for the adjoint, by name: ("residual", i), or ("after", i) for a state,
    # which a masked row holds.
    forward: Graph
    # One step of the adjoint. Its states are the cotangents of the states, then those of the constants.
    backward: Graph = field(default_factory=Graph)
    sums: list[Sum] = field(default_factory=list)
    # The weights' gradients, in terms of the sums, which stand in as weights named ("sum", i).
    weights: dict[str, Node] = field(default_factory=dict)


def differentiate(graph: Graph, dtype, constant_shapes=(), x_shape=(), sums_by_row: str = "") -> Adjoint:
    """Return the adjoint of a step's graph; a ValueError names the line of a function without a derivative.

    It has a state for some sums of the weights' gradients, in which a row's steps are added up: if `sums_by_row` is
    "all", for all of them, and if it is "elementwise", for those of values with which it stays elementwise.
    """
    return _Split(graph, reverse_step(graph, dtype), constant_shapes, x_shape, sums_by_row).run()


class _Split:
    """Split of a gradient into the two time loops and the computations after them."""

    def __init__(self, graph: Graph, reverse: Reverse, constant_shapes, x_shape, sums_by_row: str):
        self.graph, self.reverse, self.sums_by_row = graph, reverse, sums_by_row
        self.constant_shapes, self.x_shape = constant_shapes, x_shape
        self.step = {node.id for node in graph.live() if node.batched}
        self.after = {node.id: i for i, node in enumerate(graph.states)}
        self.residuals: dict[int, int] = {}
        self.states: set[int] = set()
        self.copies: dict[int, Node] = {}
        self.operands: dict[int, int] = {}
        self.backward = Graph(sparse=graph.sparse, values=graph.values, matrices=graph.matrices, late=True)

    def run(self) -> Adjoint:
        graph, reverse, backward = self.graph, self.reverse, self.backward
        d_states = [reverse.to_input("state", node.shape, i) for i, node in enumerate(graph.states)]
        d_constants = [reverse.to_input("constant", shape, i) for i, shape in enumerate(self.constant_shapes)]
        d_x, summed = reverse.to_input("x", self.x_shape), reverse.summed()
        operands = [a for _, a, _ in summed if a is not None and self._walk(a) is None]
        totals = list(d_constants)
        if self.sums_by_row == "all":
            # The terms of one step of a row: a value, or the outer products of two.
            totals += [g if a is None else reverse.outer_product(a, g) for _, a, g in summed]
            operands, summed = [], []
        self._keep([*d_states, *totals, d_x, *(g for _, _, g in summed), *operands])
        backward.states = tuple(map(self._copy, d_states))
        for total in totals:
            self._add_up(total)
        backward.output = self._copy(d_x)
        adjoint = Adjoint(graph.copy(), backward=backward, weights=reverse.to_weights())
        for node, a, g in summed:
            if a is None and self.sums_by_row and self._goes_with_states(g):
                self._add_up(g)
                adjoint.sums.append(Sum(None, Place("total", None, 0, 1, g.size, g.size), node.shape))
                continue
            if a is None:
                g = reverse.graph.reshape(g, (g.size,))
            place = None if a is None else self._place(a)
            adjoint.sums.append(Sum(place, self._place(g, computed=True), node.shape))
        adjoint.forward.residuals |= {("residual", key): graph.nodes[i] for i, key in self.residuals.items()}
        adjoint.forward.residuals |= {("after", i): graph.states[i] for i in sorted(self.states)}
        return adjoint

    def _add_up(self, value) -> None:
        """Add a state to the adjoint that sums a value over a row's steps."""
        backward = self.backward
        so_far = backward.add("state", (), value.shape, len(backward.states))
        backward.states += (backward.pointwise("add", so_far, self._copy(value)),)

    def _goes_with_states(self, value) -> bool:
        """Tell whether the adjoint stays elementwise with this value among its states."""
        return bool(self.graph.states) and is_elementwise(self.backward, (*self.backward.states, self._copy(value)))

    # Residuals of the forward step

    def _keep(self, targets):
        """Choose residuals from which the targets can be computed."""
        needed, seen, stack = [], set(), list(targets)
        while stack:
            node = stack.pop()
            if node.id in seen:
                continue
            seen.add(node.id)
            if node.id in self.step:
                needed.append(node)
            else:
                stack.extend(node.args)
        needed.sort(key=lambda node: node.id)
        for node in needed:
            if not self._is_cheap(node):
                self._missing(node, keep=True)
        for node in needed:
            missing = self._missing(node)
            once = not (node.is_integer or loops_of(node) or node.op in BY_ROW)
            if once and sum(n.size for n in missing) > node.size:
                missing = [node]
            for n in missing:
                self.residuals.setdefault(n.id, len(self.residuals))

    def _is_cheap(self, node) -> bool:
        # What is saved are floats of each step: integers, and all rounds of loops, are computed again.
        pointwise = node.pointwise and not node.operation.expensive
        again = node.is_integer or node.op in ("view", "concatenate", "ruled", *BY_ROW) or bool(loops_of(node))
        small = self.sums_by_row == "all" and self.graph.matrices and node.op in ("sum", "product", "prod")
        return again or pointwise or small

    def _is_known(self, node) -> bool:
        """Tell whether the adjoint has a value without a residual."""
        return not node.args or node.id in self.after or section_of(node) <= CALL

    def _missing(self, node, keep=False) -> list[Node]:
        """Return the expensive values under a node that are no residuals yet."""
        found, seen, stack = [], set(), [node]
        while stack:
            one = stack.pop()
            if one.id in seen or self._is_known(one) or one.id in self.residuals:
                continue
            seen.add(one.id)
            if self._is_cheap(one):
                stack.extend(reversed(one.made_of))
                continue
            if keep:
                self.residuals[one.id] = len(self.residuals)
            found.append(one)
        return found

    # One step of the adjoint, with residuals in place of the nodes that computed them

    def _copy(self, node) -> Node:
        stack, copies = [node], self.copies
        while stack:
            top = stack[-1]
            if top.id not in copies:
                leaf = self._leaf(top)
                if leaf is None and (missing := [a for a in top.made_of if a.id not in copies]):
                    stack.extend(missing)
                    continue
                copies[top.id] = self._copied(top) if leaf is None else leaf
                if name := self.reverse.graph.names.get(top.id):
                    self.backward.names[copies[top.id].id] = name
            stack.pop()
        return copies[node.id]

    def _leaf(self, node) -> Node | None:
        add = self.backward.add
        if node.op == "state" and isinstance(node.attr, tuple):
            return add("state", (), node.shape, node.attr[1])
        if node.op == "state":
            self.states.add(node.attr)
            return add("residual", (), node.shape, ("state", node.attr))
        if node.id in self.residuals and node.id in self.step:
            return add("residual", (), node.shape, ("residual", self.residuals[node.id]), node.kind)
        if node.id in self.after and node.batched and node.args:
            self.states.add(self.after[node.id])
            return add("residual", (), node.shape, ("after", self.after[node.id]))
        return None

    def _copied(self, node) -> Node:
        if node.op == "ruled":
            return self.copies[node.args[0].id]
        self.backward.locate = lambda: node.line
        return self.backward.again(node, [self.copies[a.id] for a in node.args])

    # Operands of the weights' gradients

    def _walk(self, node):
        """Return source and rows of an operand in an input, a state or a residual; None if it is elsewhere."""
        index = np.arange(node.size)
        source = node
        while source.op in ("view", "ruled") and source.id not in self.residuals:
            if source.op == "ruled":
                source = source.args[0]
                continue
            index = source.attr.index(source.args[0].shape).reshape(-1)[index]
            source = source.args[0]
        if source.id in self.residuals and source.id in self.step:
            found = "residual", self.residuals[source.id]
        elif source.op == "x" or (source.op == "state" and not isinstance(source.attr, tuple)):
            found = source.op, source.attr
        elif source.id in self.after and source.batched and source.args:
            found = "after", self.after[source.id]
        else:
            return None
        walk = row_walk(index.reshape(node.shape))
        return walk and (*found, *walk)

    def _place(self, node, computed=False) -> Place:
        """Return the place of a value for the weights' sums; save it as an operand if it has none, or if `computed`."""
        depth = node.shape[-1]
        if not computed and (walk := self._walk(node)):
            source, key, offset, rows, stride = walk
            if source in ("state", "after"):
                self.states.add(key)
            return Place(source, key, offset, rows, stride, depth)
        if node.id not in self.operands:
            self.operands[node.id] = len(self.operands)
            self.backward.residuals["operand", self.operands[node.id]] = self._copy(node)
        return Place("operand", self.operands[node.id], 0, node.size // max(depth, 1), depth, depth)
