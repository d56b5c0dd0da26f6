"""The adjoint of a step: from the cotangents of its results to those of all that it read.

Every operation of a graph has a rule, for pointwise operations and reductions beside their forward definition
(`rnnkit.compiler.operations`), for what moves or multiplies arrays here. Applied from the results back to the inputs,
the rules give another graph, which is a step again: it runs from the last step to the first, its states are the
cotangents of the states, its output is the cotangent of x. It reads the cotangents of the outputs and some values that
the forward step has *kept*: those that are dear; what is cheap is computed again. It *keeps* in turn what the gradients
of the weights are made of, sums over rows and steps: of a value, or of the outer products of two.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rnnkit.compiler.graph import Graph, Node, View
from rnnkit.compiler.layout import row_walk, strides_of
from rnnkit.compiler.lifting import lift
from rnnkit.compiler.operations import OPERATIONS, REDUCTIONS
from rnnkit.compiler.plan import CALL, section_of
from rnnkit.compiler.symbol import Symbol

# Rules that pass a cotangent on or choose it, and so never multiply a 0 by an infinity.
_PASSING = ("add", "subtract", "negative", "where", "maximum", "minimum", "sum")


@dataclass(frozen=True)
class Place:
    """Rows of ``depth`` neighbouring elements of a sequence: ``rows`` of them for a step of one row of the batch.

    ``source`` is "x", "state" (as it was before the step) or "kept" by the forward step, or "own": kept by the adjoint.
    """

    source: str
    key: object
    offset: int
    rows: int
    stride: int
    depth: int


@dataclass(frozen=True)
class Sum:
    """A sum over rows and steps: of the outer products of two places, or of one place if ``a`` is None."""

    a: Place | None
    b: Place

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the sum."""
        return (self.b.depth,) if self.a is None else (self.a.depth, self.b.depth)


@dataclass(eq=False)
class Adjoint:
    """How the gradient of a step is computed.

    Attributes
    ----------
    forward : Graph
        The step, and what it keeps for the adjoint.
        By name: ``("kept", i)``, or ``("after", i)`` for a state, where a masked row has what it held.
    backward : Graph
        One step of the adjoint. Its states are the cotangents of the states, then those of the constants.
    sums : list of Sum
    weights : dict of str to Node
        The weights' gradients, in terms of the sums, which stand in as weights named ``("sum", i)``.
    """

    forward: Graph
    backward: Graph = field(default_factory=Graph)
    sums: list[Sum] = field(default_factory=list)
    weights: dict[str, Node] = field(default_factory=dict)


def differentiate(graph: Graph, dtype, constant_shapes=(), x_shape=()) -> Adjoint:
    """The adjoint of a step's graph.

    Raises
    ------
    ValueError
        If a function without a derivative stands in the way, with its line.
    """
    both = graph.copy()
    reverse = _Reverse(both, np.dtype(dtype))
    for i, node in enumerate(graph.states):
        reverse.add(node, both.add("state", (), node.shape, ("cotangent", i)))
    reverse.add(graph.output, both.add("sequence", (), graph.output.shape, "output"))
    reverse.run([node for node in graph.live() if node.batched])
    return _Split(graph, both, reverse, constant_shapes, x_shape).run()


class _Reverse:
    """Goes from the results of a graph back to its inputs and gathers the cotangent of each node."""

    def __init__(self, graph: Graph, dtype):
        self.graph, self.dtype = graph, dtype
        self.whole: dict[int, list[Node]] = {}
        self.parts: dict[int, list[tuple[Node, np.ndarray]]] = {}
        self.outer: dict[int, list[tuple[Node, Node]]] = {}  # of an unbatched node: operands and cotangents of products
        self.unsure: set[int] = set()

    def run(self, nodes):
        """Apply the rules of these nodes, given in order of their making."""
        chosen = [a for node in nodes if node.op == "where" for a in node.args[1:]]
        self.unsure |= self.graph.under(chosen)
        for node in reversed(nodes):
            if node.kind == "float" and node.args and (g := self.total(node)) is not None:
                self._apply(node, g)

    def add(self, node, g):
        """Another part of a node's cotangent, of its shape."""
        if node.kind == "float" and node.op != "literal":
            self.whole.setdefault(node.id, []).append(g)

    def _place(self, node, g, index):
        """Another part: its elements belong to those of the node with these flat numbers."""
        if node.kind == "float" and node.op != "literal":
            self.parts.setdefault(node.id, []).append((g, index))

    def total(self, node) -> Node | None:
        """The cotangent of a node, or None where nothing reaches it."""
        graph, found = self.graph, list(self.whole.get(node.id, ()))
        if node.id in self.parts:
            found += _assembled(graph, node.shape, self.parts[node.id])
        total = None
        for g in found:
            total = g if total is None else graph.pointwise("add", total, g)
        return total

    def _apply(self, node, g):
        graph = self.graph
        if node.pointwise:
            self._pointwise(node, g)
        elif node.op in REDUCTIONS:
            self._reduction(node, g)
        elif node.op == "view":
            (arg,) = node.args
            self._place(arg, g, node.attr.index(arg.shape))
        elif node.op == "concatenate":
            low = 0
            for part in node.args:
                high = low + part.shape[node.attr]
                key = (slice(None),) * node.attr + (slice(low, high),)
                piece = graph.view(g, View.item(key, ("along", node.attr, low, high)))
                self.add(part, piece)
                low = high
        elif node.op == "product":
            self._product(node, g)
        elif node.op == "einsum":
            self._einsum(node, g)
        elif node.op == "inverse":
            turned = graph.einsum("ji,jk,lk->il", node, g, node)
            self.add(node.args[0], graph.pointwise("negative", turned))
        elif not node.attr.flat:
            raise ValueError(
                f"expected functions with known derivatives, got {node.attr.name} of weights in the line "
                f"{node.line!r}; write it with products and pointwise functions, or give the cell a vjp"
            )

    def _symbol(self, node, rank) -> Symbol:
        """A node for a rule; a batched one has the batch axis first, before ``rank`` axes."""
        if node.batched:
            node = self.graph.reshape(node, (*(1,) * (rank - len(node.shape)), *node.shape))
        return Symbol(self.graph, node, 0 if node.batched else None, self.dtype)

    def _pointwise(self, node, g):
        rank = len(node.shape)
        symbols = [self._symbol(a, rank) for a in (g, node, *node.args)]
        for arg, c in zip(node.args, OPERATIONS[node.op].gradient(*symbols), strict=True):
            if c is None or arg.kind != "float" or arg.op == "literal":
                continue
            c = self._guarded(node, g, self.graph.as_float(lift(symbols[0], c).node))
            self._sum_to(arg, self._broadcast(c, node.shape))

    def _sum_to(self, arg, c):
        """Add to an operand the cotangent of what it was broadcast to."""
        padded = (1,) * (len(c.shape) - len(arg.shape)) + arg.shape
        stretched = [i for i, (n, m) in enumerate(zip(padded, c.shape, strict=True)) if n == 1 and m != 1]
        self.add(arg, self.graph.reshape(self.graph.reduce("sum", c, stretched), arg.shape))

    def _broadcast(self, node, shape) -> Node:
        if node.shape == shape:
            return node
        table = np.broadcast_to(np.arange(node.size).reshape(node.shape), shape)
        return self.graph.view(node, View.gather(np.ascontiguousarray(table)))

    def _guarded(self, node, g, c) -> Node:
        """Nothing comes of no cotangent, whatever stood in a branch that ``where`` didn't take."""
        if node.id not in self.unsure or node.op in _PASSING:
            return c
        graph = self.graph
        none = graph.pointwise("equal", g, graph.literal(0.0))
        return graph.pointwise("where", none, graph.literal(0.0), c)

    def _reduction(self, node, g):
        (arg,) = node.args
        kept = tuple(1 if i in node.attr else n for i, n in enumerate(arg.shape))
        g, y = (self.graph.reshape(n, kept) for n in (g, node))
        axes = tuple(i - len(arg.shape) for i in node.attr)
        symbols = [self._symbol(n, len(arg.shape)) for n in (g, y, arg)]
        c = self.graph.as_float(lift(symbols[0], REDUCTIONS[node.op].gradient(*symbols, axes)).node)
        c = self._broadcast(c, arg.shape)
        self.add(arg, self._guarded(node, self._broadcast(g, arg.shape), c))

    def _product(self, node, g):
        graph, (a, weight) = self.graph, node.args
        some = None
        if node.id in self.unsure and g.size:
            last = len(g.shape) - 1
            size = graph.reduce("max", graph.pointwise("absolute", g), (last,))
            some = graph.pointwise("not_equal", graph.reshape(size, (*size.shape, 1)), graph.literal(0.0))
        if a.op != "literal":
            self.add(a, self._where_some(some, graph.whole_product(g, graph.transpose(weight, (1, 0)))))
        if weight.op == "literal":
            return
        a = self._where_some(some, a)
        self.outer.setdefault(weight.id, []).append((a, g))

    def _where_some(self, some, node) -> Node:
        """Rows with a cotangent; zeros for the others, whatever stands there."""
        return node if some is None else self.graph.pointwise("where", some, node, self.graph.literal(0.0))

    def _einsum(self, node, g):
        inputs, output = node.attr.split("->")
        inputs = inputs.split(",")
        for i, arg in enumerate(node.args):
            others = [n for j, n in enumerate(node.args) if j != i]
            letters = ",".join([output, *(s for j, s in enumerate(inputs) if j != i)])
            self.add(arg, self.graph.einsum(f"{letters}->{inputs[i]}", g, *others))


def _assembled(graph, shape, parts) -> list[Node]:
    """Cotangents of a node from those of views of it: few arrays of its shape, whose sum it is."""
    size, found, free = int(np.prod(shape)), [], []
    for g, index in parts:
        g, index = _without_repeats(graph, g, index)
        numbers = index.reshape(-1)
        if not numbers.size:
            continue
        if len(np.unique(numbers)) != numbers.size:
            found.append(graph.reshape(_summed(graph, g, numbers, size), shape))
            continue
        for group in free:
            if not np.isin(numbers, group[1]).any():
                group[0].append((g, numbers))
                group[1] = np.concatenate([group[1], numbers])
                break
        else:
            free.append([[(g, numbers)], numbers])
    for group, _ in free:
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


def _without_repeats(graph, g, index):
    """Sum a cotangent along the axes over which its elements belong to the same element."""
    described = strides_of(index)
    repeated = [] if described is None else [i for i, s in enumerate(described[1]) if s == 0 and index.shape[i] > 1]
    for axis in repeated:
        index = index.take([0], axis)
    kept = index.reshape([n for i, n in enumerate(index.shape) if i not in repeated])
    return graph.reduce("sum", g, repeated), kept


def _summed(graph, g, numbers, size) -> Node:
    """The sums of the elements of a cotangent that belong to the same element, ``(size,)``."""
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers, minlength=size)
    rank = np.arange(numbers.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((size, counts.max()), numbers.size)
    table[numbers[order], rank] = order
    padded = graph.concatenate([graph.reshape(g, (g.size,)), graph.literal(np.zeros(1))], 0)
    return graph.reduce("sum", graph.view(padded, View.gather(table)), (1,))


class _Split:
    """Parts what runs in the time loops, forwards and backwards, from what is computed after them."""

    def __init__(self, graph: Graph, both: Graph, reverse: _Reverse, constant_shapes, x_shape):
        self.graph, self.both, self.reverse = graph, both, reverse
        self.constant_shapes, self.x_shape = constant_shapes, x_shape
        self.step = {node.id for node in graph.live() if node.batched}
        self.after = {node.id: i for i, node in enumerate(graph.states)}
        self.kept: dict[int, int] = {}
        self.states: set[int] = set()
        self.copies: dict[int, Node] = {}
        self.own: dict[int, int] = {}
        self.backward = Graph(sparse=graph.sparse, values=graph.values, late=True)

    def run(self) -> Adjoint:
        """The adjoint."""
        graph, both, reverse, backward = self.graph, self.both, self.reverse, self.backward
        shared = [n for n in graph.live() if not n.batched and n.op != "literal"]
        rows = [(node, total) for node in shared if (total := reverse.total(node)) is not None]
        outer = [(node, a, g) for node in shared for a, g in reverse.outer.get(node.id, ())]
        leaves = [both.add("state", (), node.shape, i) for i, node in enumerate(graph.states)]
        leaves += [both.add("constant", (), shape, i) for i, shape in enumerate(self.constant_shapes)]
        results = [reverse.total(leaf) or both.literal(np.zeros(leaf.shape)) for leaf in leaves]
        d_x = reverse.total(both.add("x", (), self.x_shape)) or both.literal(np.zeros(self.x_shape))
        operands = [a for _, a, _ in outer if self._walk(a) is None]
        self._keep([*results, d_x, *(g for _, g in rows), *(g for _, _, g in outer), *operands])
        for i, (leaf, total) in enumerate(zip(leaves, results, strict=True)):
            total = self._copy(total)
            if leaf.op == "constant":
                total = backward.pointwise("add", backward.add("state", (), leaf.shape, i), total)
            backward.states += (total,)
        backward.output = self._copy(d_x)
        adjoint = Adjoint(graph.copy(), backward=backward)
        for _, a, g in outer:
            adjoint.sums.append(Sum(self._place(a), self._place(g, own=True)))
        for _, g in rows:
            adjoint.sums.append(Sum(None, self._place(both.reshape(g, (g.size,)), own=True)))
        adjoint.weights = self._weights([node for node, *_ in (*outer, *rows)], adjoint.sums, shared)
        adjoint.forward.kept = {("kept", key): graph.nodes[i] for i, key in self.kept.items()}
        adjoint.forward.kept |= {("after", i): graph.states[i] for i in sorted(self.states)}
        return adjoint

    # What the forward step keeps

    def _keep(self, targets):
        """Choose what to keep so that these can be computed."""
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
            if sum(n.size for n in missing) > node.size:
                missing = [node]
            for n in missing:
                self.kept.setdefault(n.id, len(self.kept))

    @staticmethod
    def _is_cheap(node) -> bool:
        return node.op in ("view", "concatenate") or (node.pointwise and not OPERATIONS[node.op].dear)

    def _is_known(self, node) -> bool:
        """Whether the adjoint finds a value without the forward step keeping it."""
        return not node.args or node.id in self.after or section_of(node) <= CALL

    def _missing(self, node, keep=False) -> list[Node]:
        """The dear values under a node that aren't kept yet."""
        if self._is_known(node) or node.id in self.kept:
            return []
        if not self._is_cheap(node):
            if keep:
                self.kept[node.id] = len(self.kept)
            return [node]
        found = {n.id: n for arg in node.args for n in self._missing(arg)}
        return list(found.values())

    # One step of the adjoint, with the kept values in place of how they came about

    def _copy(self, node) -> Node:
        stack, copies = [node], self.copies
        while stack:
            top = stack[-1]
            if top.id not in copies:
                leaf = self._leaf(top)
                if leaf is None and (missing := [a for a in top.args if a.id not in copies]):
                    stack.extend(missing)
                    continue
                copies[top.id] = self._copied(top) if leaf is None else leaf
                if name := self.both.names.get(top.id):
                    self.backward.names[copies[top.id].id] = name
            stack.pop()
        return copies[node.id]

    def _leaf(self, node) -> Node | None:
        add = self.backward.add
        if node.op == "state" and isinstance(node.attr, tuple):
            return add("state", (), node.shape, node.attr[1])
        if node.op == "state":
            self.states.add(node.attr)
            return add("kept", (), node.shape, ("state", node.attr))
        if node.id in self.kept and node.id in self.step:
            return add("kept", (), node.shape, ("kept", self.kept[node.id]), node.kind)
        if node.id in self.after and node.batched and node.args:
            self.states.add(self.after[node.id])
            return add("kept", (), node.shape, ("after", self.after[node.id]))
        return None

    def _copied(self, node) -> Node:
        backward = self.backward
        if node.op == "literal":
            return backward.literal(node.attr)
        backward.locate = lambda: node.line
        key = node.attr.key if node.op == "view" else None
        args = [self.copies[a.id] for a in node.args]
        return backward.add(node.op, args, node.shape, node.attr, node.kind, key)

    # What the weights' gradients are sums of

    def _walk(self, node):
        """Source and rows of an operand that stands in an input, a state or a kept value; else None."""
        index = np.arange(node.size)
        source = node
        while source.op == "view" and source.id not in self.kept:
            index = source.attr.index(source.args[0].shape).reshape(-1)[index]
            source = source.args[0]
        if source.id in self.kept and source.id in self.step:
            found = "kept", self.kept[source.id]
        elif source.op == "x" or (source.op == "state" and not isinstance(source.attr, tuple)):
            found = source.op, source.attr
        elif source.id in self.after and source.batched and source.args:
            found = "after", self.after[source.id]
        else:
            return None
        walk = row_walk(index.reshape(node.shape))
        return walk and (*found, *walk)

    def _place(self, node, own=False) -> Place:
        """Where the adjoint's sums find a value; it is kept for them if it stands nowhere, or is to be the `own`."""
        depth = node.shape[-1]
        if not own and (walk := self._walk(node)):
            source, key, offset, rows, stride = walk
            if source in ("state", "after"):
                self.states.add(key)
            return Place(source, key, offset, rows, stride, depth)
        if node.id not in self.own:
            self.own[node.id] = len(self.own)
            self.backward.kept["own", self.own[node.id]] = self._copy(node)
        return Place("own", self.own[node.id], 0, node.size // max(depth, 1), depth, depth)

    def _weights(self, reached, sums, shared) -> dict[str, Node]:
        """The weights' cotangents from those of the unbatched values that rows have to do with."""
        both, reverse = self.both, _Reverse(self.both, self.reverse.dtype)
        for i, (node, s) in enumerate(zip(reached, sums, strict=True)):
            finished = both.add("weight", (), s.shape, ("sum", i))
            reverse.add(node, both.reshape(finished, node.shape))
        reverse.unsure = self.reverse.unsure
        reverse.run(shared)
        names = {node.attr: node for node in shared if node.op == "weight"}
        found = {name: reverse.total(node) for name, node in names.items()}
        return {name: node for name, node in found.items() if node is not None}
