"""Reverse mode: the rule of each operation, and the accumulation of cotangents.

For pointwise operations and reductions the rules stand beside their forward definition
(`rnnkit.compiler.ir.operations`); here are those of operations that move or multiply arrays. Cotangents are nodes of
the same graph.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from rnnkit.compiler.autodiff.loops import Copies, fresh
from rnnkit.compiler.ir.graph import Graph, Node, View, loops_of
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.ir.matrix_functions import Kernel, WeightFunction
from rnnkit.compiler.ir.operations import REDUCTIONS
from rnnkit.compiler.ir.strides import strides_of
from rnnkit.compiler.tracing.broadcasting import lift
from rnnkit.compiler.tracing.symbol import Symbol

# Rules that pass a cotangent on or choose it, and so never multiply a 0 by an infinity.
PASSING = ("add", "subtract", "negative", "where", "maximum", "minimum", "sum", "cast")


def reverse_step(step: Graph, dtype) -> Reverse:
    """Return the reverse pass of a step; a ValueError names the line of a function without a derivative.

    The cotangents of its results are ``("sequence", "output")`` and ``("state", ("cotangent", i))``.
    """
    reverse = Reverse(step.copy(), dtype)
    for i, node in enumerate(step.states):
        reverse.add(node, reverse.graph.add("state", (), node.shape, ("cotangent", i)))
    reverse.add(step.output, reverse.graph.add("sequence", (), step.output.shape, "output"))
    live = step.live()
    reverse.run([node for node in live if node.batched])
    moving = {node.id for node in live if node.op == "weight" and node.attr not in step.still}
    for node in live:
        if any(a.id in moving for a in node.args):
            moving.add(node.id)
    reverse.shared = [node for node in live if not node.batched and node.id in moving]
    return reverse


def to_x(step: Graph, dtype, x_shape) -> Graph:
    """Return the step with another output: the derivative of the sum of its only state's elements by x."""
    reverse = Reverse(step.copy(), dtype)
    (total,) = step.states
    reverse.add(total, reverse.graph.literal(np.ones(total.shape)))
    reverse.run([node for node in step.live() if node.batched])
    reverse.graph.output = reverse.to_input("x", x_shape)
    return reverse.graph


class Reverse:
    """Reverse pass through a graph, which grows by its nodes' cotangents; `shared` are the nodes of all rows."""

    def __init__(self, graph: Graph, dtype):
        self.graph, self.dtype = graph, np.dtype(dtype)
        self.shared: list[Node] = []
        self.whole: dict[int, list[Node]] = {}
        self.parts: dict[int, list[tuple[Node, np.ndarray]]] = {}
        self.outer: dict[int, list[tuple[Node, Node]]] = {}  # of an unbatched node: operands and cotangents of products
        self.elements: dict[int, list[tuple[Node, Node]]] = {}  # computed places, and cotangents of what stands there
        self.unsure: set[int] = set()
        self.open: frozenset = frozenset()  # the loops that it goes back through

    def inside(self, token) -> Reverse:
        """Return another pass in the same graph, for the rounds of a loop."""
        inner = Reverse(self.graph, self.dtype)
        inner.open = self.open | {token}
        return inner

    def reached(self) -> set[int]:
        """Return the numbers of nodes that have cotangents."""
        return {*self.whole, *self.parts, *self.elements, *self.outer}

    def run(self, nodes):
        """Apply the rules of these nodes, given in order of their making."""
        used = self.reached()
        for node in reversed(nodes):
            if node.id in used:
                used.update(a.id for a in (node.args[1:] if _has_kernels(node) else node.args))
        nodes = [node for node in nodes if node.id in used]
        chosen = [a for node in nodes if node.op == "where" for a in node.args[1:]]
        self.unsure |= self.graph.under(chosen)
        for node in reversed(nodes):
            if not loops_of(node) <= self.open:
                continue
            if node.op == "loop":
                self._through_loop(node)
            elif node.op != "result" and node.kind in FLOATS and node.args and (g := self.total(node)) is not None:
                self._apply(node, g)

    def _through_loop(self, node: Node) -> None:
        """Add to the cotangents of a ``loop`` node's inputs, see `rnnkit.compiler.autodiff.loops`."""
        graph, loop, count = self.graph, node.attr, node.attr.count
        initials, nexts = node.args[:count], node.args[count + 1 :]
        results = {one.attr: one for one in graph.nodes if one.op == "result" and one.args[0] is node}
        given = {i: g for i, one in results.items() if (g := self.total(one)) is not None}
        if not given:
            return
        new = fresh(graph)
        copies = Copies(graph, loop, new)
        again = [copies.of(one) for one in nexts]
        back = self.inside(("loop", new))
        back.unsure = self.unsure | {copies.made[i].id for i in self.unsure & copies.made.keys()}
        starts: list[Node] = []
        ends: list[Node] = []
        targets: list[Node] = []

        def carry(start) -> Node:
            starts.append(start)
            return graph.add("carried", (), start.shape, (new, len(starts) - 1), start.kind)

        def nothing(shape) -> Node:
            return graph.literal(np.zeros(shape))

        for i, following in enumerate(again):
            if following.kind in FLOATS:
                back.add(following, carry(given.get(i, nothing(following.shape))))
                targets.append(initials[i])
        back.run(sorted(set(copies.made.values()), key=lambda one: one.id))
        for i, initial in enumerate(initials):
            if initial.kind in FLOATS:
                taped = graph.add("taped", (), initial.shape, (new, i), initial.kind)
                ends.append(back.total(taped) or nothing(initial.shape))
        inside = {one.id for one in copies.made.values()}
        for number in sorted(back.reached() - inside):
            outside = graph.nodes[number]
            if outside.op == "taped" and outside.attr[0] == new:
                continue
            sums = [back.total(outside), *(self.outer_product(a, g) for a, g in back.outer.get(number, ()))]
            for of_round in sums:
                if of_round is not None:
                    ends.append(graph.pointwise("add", carry(nothing(outside.shape)), of_round))
                    targets.append(outside)
        attr = replace(loop, id=new, count=len(starts), reverse=True)
        made = graph.add("loop", (*starts, node, *ends), (), attr, node.kind)
        for i, target in enumerate(targets):
            self.add(target, graph.add("result", (made,), target.shape, i, target.kind))

    def add(self, node, g):
        """Add a part of a node's cotangent, of its shape."""
        if node.kind in FLOATS and node.op != "literal":
            self.whole.setdefault(node.id, []).append(g)

    def place(self, node, g, index):
        """Add a part of a node's cotangent, whose elements belong to those of the node with these flat numbers."""
        if node.kind in FLOATS and node.op != "literal":
            self.parts.setdefault(node.id, []).append((g, index))

    def total(self, node) -> Node | None:
        """Return the cotangent of a node, None if it has none."""
        graph, found = self.graph, list(self.whole.get(node.id, ()))
        if node.id in self.parts:
            found += _assembled(graph, node.shape, self.parts[node.id])
        total = None
        for g in found:
            total = g if total is None else graph.pointwise("add", total, g)
        for index, g in self.elements.get(node.id, ()):
            total = graph.literal(np.zeros(node.shape)) if total is None else total
            total = graph.put(total, index, graph.pointwise("add", graph.take(total, index), g))
        return total

    def to_input(self, op, shape, attr=None) -> Node:
        """Return the cotangent of an input, zeros if it has none."""
        return self.total(self.graph.add(op, (), shape, attr)) or self.graph.literal(np.zeros(shape))

    def summed(self) -> list[tuple[Node, Node | None, Node]]:
        """Return the terms of the shared nodes' sums over rows: two nodes for an outer product, or None and a node."""
        outer = [(node, a, g) for node in self.shared for a, g in self.outer.get(node.id, ())]
        return outer + [(node, None, g) for node in self.shared if (g := self.total(node)) is not None]

    def to_weights(self) -> dict[str, Node]:
        """Return the weights' cotangents in terms of finished sums in the order of `summed`: weights ``("sum", i)``."""
        again = Reverse(self.graph, self.dtype)
        again.unsure = self.unsure
        for i, (node, _, _) in enumerate(self.summed()):
            again.add(node, self.graph.add("weight", (), node.shape, ("sum", i)))
        again.run(self.shared)
        totals = {node.attr: again.total(node) for node in self.shared if node.op == "weight"}
        return {name: total for name, total in totals.items() if total is not None}

    def _apply(self, node, g):
        graph = self.graph
        if node.pointwise:
            self._pointwise(node, g)
        elif node.op in REDUCTIONS:
            self._reduction(node, g)
        elif node.op == "view":
            (arg,) = node.args
            self.place(arg, g, node.attr.index(arg.shape))
        elif node.op == "concatenate":
            low = 0
            for part in node.args:
                high = low + part.shape[node.attr]
                self.add(part, graph.along(g, node.attr, low, high))
                low = high
        elif node.op == "product":
            self._product(node, g)
        elif node.op == "einsum":
            self._einsum(node, g)
        elif node.op == "inverse":
            turned = graph.einsum("ji,jk,lk->il", node, g, node)
            self.add(node.args[0], graph.pointwise("negative", turned))
        elif node.op == "take":
            array, index = node.args
            self._element(array, index, g)
        elif node.op == "put":
            array, index, value = node.args
            self.add(value, graph.take(g, index))
            self.add(array, graph.put(g, index, graph.literal(np.zeros(value.shape))))
        elif node.op == "ruled":
            self._ruled(node, g)
        elif node.attr.rule is not None:
            self._function(node, g)
        elif not node.attr.flat:
            raise ValueError(
                f"expected functions with known derivatives, got {node.attr.name} of weights in the line "
                f"{node.line!r}; write it with products and pointwise functions, or give the cell a vjp"
            )

    def _element(self, array, index, g):
        if array.kind in FLOATS and array.op != "literal":
            self.elements.setdefault(array.id, []).append((index, g))

    def outer_product(self, a, g) -> Node:
        """Return the contribution of the rows of two nodes to the gradient of a weight."""
        rows = [self.graph.reshape(one, (math.prod(one.shape[:-1]), one.shape[-1])) for one in (a, g)]
        left = self.graph.reshape(rows[0], (*rows[0].shape, 1))
        right = self.graph.reshape(rows[1], (rows[1].shape[0], 1, rows[1].shape[1]))
        return self.graph.reduce("sum", self.graph.pointwise("multiply", left, right), (0,))

    def _pointwise(self, node, g):
        rank = len(node.shape)
        symbols = [symbol_of(self, a, rank) for a in (g, node, *node.args)]
        for arg, c in zip(node.args, node.operation.gradient(*symbols), strict=True):
            if c is None or arg.kind not in FLOATS or arg.op == "literal":
                continue
            c = self._guarded(node, g, self.graph.as_float(lift(symbols[0], c).node))
            self._sum_to(arg, broadcast(self.graph, c, node.shape))

    def _sum_to(self, arg, c):
        """Add to an operand's cotangent that of the array which it was broadcast to."""
        padded = (1,) * (len(c.shape) - len(arg.shape)) + arg.shape
        stretched = [i for i, (n, m) in enumerate(zip(padded, c.shape, strict=True)) if n == 1 and m != 1]
        self.add(arg, self.graph.reshape(self.graph.reduce("sum", c, stretched), arg.shape))

    def _guarded(self, node, g, c) -> Node:
        """Return ``c``, 0 where ``g`` is 0 if the node is under a branch of ``where``, which may not be taken.

        It is 0 however steep the slope is.
        """
        if node.id not in self.unsure or node.op in PASSING:
            return c
        zero = self.graph.literal(0.0)
        return self.graph.pointwise("where", self.graph.pointwise("equal", g, zero), zero, c)

    def _reduction(self, node, g):
        (arg,) = node.args
        kept = tuple(1 if i in node.attr else n for i, n in enumerate(arg.shape))
        g, y = (self.graph.reshape(n, kept) for n in (g, node))
        axes = tuple(i - len(arg.shape) for i in node.attr)
        symbols = [symbol_of(self, n, len(arg.shape)) for n in (g, y, arg)]
        c = self.graph.as_float(lift(symbols[0], REDUCTIONS[node.op].gradient(*symbols, axes)).node)
        c = broadcast(self.graph, c, arg.shape)
        self.add(arg, self._guarded(node, broadcast(self.graph, g, arg.shape), c))

    def _product(self, node, g):
        graph, (a, weight) = self.graph, node.args
        some = self._some(node, g, len(g.shape) - 1)
        if a.op != "literal":
            self.add(a, self._where_some(some, graph.product(g, graph.transpose(weight, (1, 0)))))
        if weight.op != "literal":
            self.outer.setdefault(weight.id, []).append((self._where_some(some, a), g))

    def _some(self, node, g, first) -> Node | None:
        """Tell whether there is a cotangent along the axes from one on, if a ``where`` may not have taken its node."""
        if node.id not in self.unsure or not g.size:
            return None
        size = self.graph.reduce("max", self.graph.pointwise("absolute", g), tuple(range(first, len(g.shape))))
        size = self.graph.reshape(size, (*size.shape, 1))
        return self.graph.pointwise("not_equal", size, self.graph.literal(0.0))

    def _where_some(self, some, node) -> Node:
        """Return rows with a cotangent, and zeros for the others."""
        return node if some is None else self.graph.pointwise("where", some, node, self.graph.literal(0.0))

    def _ruled(self, node, g):
        """Apply the user's rule, with the cotangent in the place of the input that stands for it; or a kernel's."""
        if _has_kernels(node):
            kernel, arg = node.attr[1][0], node.args[1]
            back, of = kernel.back, {"x": [arg], "y": [node], "shape": []}[kernel.reads]
            if not of:
                back = lambda d, *others: kernel.back(d, (len(d), *arg.shape), *others)
            attr = WeightFunction("a cotangent", back)
            c = self.graph.add("function", (g, *of, *node.args[2:]), arg.shape, attr)
            return self.add(arg, self._where_some(self._some(node, g, 0), c))
        count = len(node.args) // 2
        own = self.graph.add(node.attr[0], (), node.shape, node.attr[1])
        rules, some = node.args[1 + count :], self._some(node, g, 0)
        for arg, rule, c in zip(node.args[1 : 1 + count], rules, replaced(self.graph, rules, own, g), strict=True):
            if c.shape == node.shape and is_elementwise(rule, own):
                c = self._guarded(node, g, c)
            else:
                c = self._where_some(some, c)
            if outer := self._as_outer(arg, c):
                self.outer.setdefault(arg.id, []).append(outer)
                continue
            if c.size < arg.size:
                c = broadcast(self.graph, c, arg.shape)
            self._sum_to(arg, c)
        return None

    def _as_outer(self, weight, c) -> tuple[Node, Node] | None:
        """Return the two nodes whose outer product is a row's part of a weight's cotangent; None if it is none."""
        while (c.op == "view" and c.attr.key[0] == "reshape") or (c.op == "sum" and c.size == c.args[0].size):
            (c,) = c.args
        if weight.batched or len(weight.shape) != 2 or c.op != "multiply" or not all(a.batched for a in c.args):
            return None
        n, m = weight.shape
        a, g = c.args
        a, g = (a, g) if a.shape[:2] == (n, 1) and g.shape[:2] == (1, m) else (g, a)
        if (a.shape[:2], g.shape[:2], a.size, g.size) != ((n, 1), (1, m), n, m):
            return None
        return self.graph.reshape(a, (n,)), self.graph.reshape(g, (m,))

    def _function(self, node, g):
        """Apply the rule of a function of weights, which is another function for each argument."""
        for i, arg in enumerate(node.args):
            given = (self.graph.as_float(g), node, *node.args)
            self.add(arg, self.graph.add("function", given, arg.shape, node.attr.cotangent(i), key=("cotangent", i)))

    def _einsum(self, node, g):
        inputs, output = node.attr.split("->")
        inputs = inputs.split(",")
        for i, arg in enumerate(node.args):
            others = [n for j, n in enumerate(node.args) if j != i]
            letters = ",".join([output, *(s for j, s in enumerate(inputs) if j != i)])
            self.add(arg, self.graph.einsum(f"{letters}->{inputs[i]}", g, *others))


def _has_kernels(node: Node) -> bool:
    """Tell whether a node's value and cotangent are computed at once, rather than by the nodes of its formula."""
    return node.op == "ruled" and isinstance(node.attr[1][0], Kernel) and node.attr[1][0].back is not None


def replaced(graph: Graph, nodes, old: Node, new: Node) -> list[Node]:
    """Return nodes with another node in the place of `old` under them."""
    made, stack = {old.id: new}, list(nodes)
    while stack:
        node = stack[-1]
        if node.id in made:
            stack.pop()
        elif missing := [a for a in node.args if a.id not in made]:
            stack += missing
        else:
            args = [made[a.id] for a in node.args]
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            made[stack.pop().id] = node if same else graph.again(node, args)
    return [made[node.id] for node in nodes]


def symbol_of(way, node, rank) -> Symbol:
    """Return a node as a symbol for a rule; a batched one has the batch axis before ``rank`` axes."""
    if node.batched:
        node = way.graph.reshape(node, (*(1,) * (rank - len(node.shape)), *node.shape))
    return Symbol(way.graph, node, 0 if node.batched else None, way.dtype)


def broadcast(graph, node, shape) -> Node:
    """Return a node's elements in a larger shape."""
    if node.shape == shape:
        return node
    return graph.view(node, View.repeat(node.shape, shape))


def is_elementwise(node: Node, source: Node) -> bool:
    """Tell whether each element of a node depends on the source's element in its place alone."""
    stack, seen = [node], set()
    while stack:
        one = stack.pop()
        if one.id in seen or one is source:
            continue
        seen.add(one.id)
        if source.id in Graph.under([one]):
            if not one.pointwise or one.shape != source.shape:
                return False
            stack += one.args
    return True


def _assembled(graph, shape, parts) -> list[Node]:
    """Return few arrays whose sum is a node's cotangent, from those of views of the node."""
    size, found = int(np.prod(shape)), []
    groups: list[list[tuple[Node, np.ndarray]]] = []  # of parts that have no element in common
    for g, index in parts:
        g, index = _without_repeats(graph, g, index)
        if graph.whole and (moved := _moved_back(graph, g, index, shape)) is not None:
            found.append(moved)
            continue
        numbers = index.reshape(-1)
        if not numbers.size:
            continue
        if np.bincount(numbers).max() > 1:
            found.append(graph.reshape(_summed(graph, g, numbers, size), shape))
            continue
        apart = (group for group in groups if not any(np.isin(numbers, n).any() for _, n in group))
        group = next(apart, None)
        if group is None:
            groups.append([(g, numbers)])
        else:
            group.append((g, numbers))
    for group in groups:
        group.sort(key=lambda item: item[1].min())
        pieces = [graph.reshape(g, (g.size,)) for g, _ in group]
        numbers = np.concatenate([n for _, n in group])
        table = np.full(size, numbers.size)
        table[numbers] = np.arange(numbers.size)
        if numbers.size < size:
            pieces.append(graph.literal(np.zeros(1)))
        joined = graph.concatenate(pieces, 0)
        if numbers.size == size and np.array_equal(table, np.arange(size)):
            found.append(graph.reshape(joined, shape))
        else:
            found.append(graph.view(joined, View.gather(table.reshape(shape))))
    return found


def _moved_back(graph, g, index, shape) -> Node | None:
    """Return a cotangent in a node's shape, if it has all elements with permuted axes, or consecutive ones of them."""
    described, size = strides_of(index), int(np.prod(shape))
    if described is None or not index.size:
        return None
    order = tuple(sorted(range(index.ndim), key=lambda axis: -(described[1][axis] or 0)))
    first, turned = described[0], index.transpose(order).reshape(-1)
    if not np.array_equal(turned, np.arange(first, first + index.size)):
        return None
    row = graph.reshape(graph.transpose(g, order), (index.size,))
    around = [graph.literal(np.zeros(n)) for n in (first, size - first - index.size)]
    return graph.reshape(graph.concatenate([one for one in (around[0], row, around[1]) if one.size], 0), shape)


def _without_repeats(graph, g, index):
    """Sum a cotangent along the axes over which its elements belong to the same element."""
    described = strides_of(index)
    repeated = [] if described is None else [i for i, s in enumerate(described[1]) if s == 0 and index.shape[i] > 1]
    for axis in repeated:
        index = index.take([0], axis)
    kept = index.reshape([n for i, n in enumerate(index.shape) if i not in repeated])
    return graph.reduce("sum", g, repeated), kept


def _summed(graph, g, numbers, size) -> Node:
    """Return the sums of the elements of a cotangent that belong to the same element, ``(size,)``."""
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers, minlength=size)
    rank = np.arange(numbers.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((size, counts.max()), numbers.size)
    table[numbers[order], rank] = order
    padded = graph.concatenate([graph.reshape(g, (g.size,)), graph.literal(np.zeros(1))], 0)
    return graph.reduce("sum", graph.view(padded, View.gather(table)), (1,))
