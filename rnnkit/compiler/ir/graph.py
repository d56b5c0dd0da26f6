"""The graph of a step: written by the tracer, read by all later passes.

Nodes hold shapes without the batch axis. A node is *batched* when its value differs from row to row, that is when an
input, a state, a constant or a draw stands somewhere under it; the rest depends on weights and numbers alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnkit.compiler.ir import kinds
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, OPERATIONS, POINTWISE, Operation

# The batched inputs, with their names in `Node.depends`: sequences come step by step, as x does.
BATCHED = {"x": "x", "sequence": "x", "residual": "x", "state": "state", "constant": "constant", "draw": "draw"}
INPUTS = (*BATCHED, "weight")
# Operations that only a program with rows as lanes has: loops inside a step, and computed indices.
BY_ROW = ("loop", "carried", "round", "taped", "result", "take", "put")
FAILED = ("status", "failed")  # the name of the value with the code of the check that a row fails at a step


@dataclass(eq=False, slots=True)
class View:
    """Another arrangement of a node's elements: reshape, transpose, index or broadcast of its axes."""

    key: tuple
    apply: Callable[[np.ndarray, int], np.ndarray]
    plain: bool = False  # leaves everything in place where it keeps the shape
    part: tuple | None = None  # the index of one that takes a part

    @staticmethod
    def reshape(shape):
        return View(("reshape", shape), lambda a, lead: a.reshape(a.shape[:lead] + shape), plain=True)

    @staticmethod
    def transpose(axes):
        plain = axes == tuple(range(len(axes)))
        return View(("transpose", axes), lambda a, lead: a.transpose(*range(lead), *(lead + i for i in axes)), plain)

    @staticmethod
    def item(key, name):
        plain = all(isinstance(k, slice) and k.step in (None, 1) for k in key)
        given = tuple(k.tolist() if isinstance(k, np.ndarray) else k for k in key)
        return View(("item", name), lambda a, lead: a[(slice(None),) * lead + given], plain, key)

    @staticmethod
    def gather(table):
        """Return a view by flat element numbers, in the result's shape."""

        places = table.reshape(-1)
        places.flags.writeable = False

        def gathered(a, lead):
            flat = a.reshape(*a.shape[:lead], -1)
            return flat[..., np.asarray(places, like=flat)].reshape(a.shape[:lead] + table.shape)

        return View(("gather", table.shape, table.tobytes()), gathered)

    def index(self, shape) -> np.ndarray:
        """Return, for each element of the result, the flat number of the element of an array of this shape."""
        return self.apply(np.arange(int(np.prod(shape))).reshape(shape), 0)


SAFE = "safe"  # the first of the ``attr`` of a ``where`` of places, see `Graph.safe`


@dataclass(frozen=True)
class Loop:
    """Attributes of a ``loop`` node, which runs for each row by itself::

        k, carried = 0, initials
        while go(carried, k):
            carried, k = nexts(carried, k), k + 1

    Its operands are ``(*initials, go, *nexts)``. Its body is what depends on ``("loop", id)``, as the leaves
    ``carried`` with ``attr`` ``(id, i)`` and ``round``, which is k, with ``attr`` id. A ``result`` of it is a carried
    value at the end.

    A ``reverse`` loop goes back through the rounds of another, which stands in the place of ``go``: the last round
    comes first, ``round`` is its number, and a leaf ``taped`` is a carried value at the round's beginning.
    """

    id: int
    count: int  # of carried values
    limit: int  # more rounds are an error
    line: str  # file, line and text
    reverse: bool = False
    counted: bool = False  # its condition holds in so many rounds at most


@dataclass(eq=False, slots=True)
class Node:
    """One value of a graph.

    Its operation is a pointwise one, a reduction, one of the inputs (a ``sequence`` is another one beside x, a ``kept``
    one was written by an earlier program), ``literal``, ``view``, ``concatenate``, ``product`` (batched features
    ``(…, K)`` times a weight ``(K, N)``; ``attr`` is "sparse" or None), ``einsum``, ``inverse`` or ``function`` (of
    weights alone, any of NumPy's). In steps of one row also ``take`` (of an array the element at a place along its
    first axis), ``put`` (an array with another element there), and those of a `Loop`. ``ruled`` is its first operand
    with a gradient by a rule of the user's: the others are the nodes that have a cotangent by it, then these
    cotangents, in terms of the input that ``attr`` names. No program has it.
    """

    id: int
    op: str
    args: tuple[Node, ...]
    shape: tuple[int, ...]  # without the batch axis
    kind: str = "float"  # of its elements, one of `rnnkit.compiler.ir.kinds.KINDS`
    attr: Any = None  # the input's name, the literal's array, the `View`, the axis or axes, the subscripts
    depends: frozenset[Any] = frozenset()  # the batched inputs under it, and the loops that it is in
    line: str = ""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def batched(self) -> bool:
        return bool(self.depends)

    @property
    def pointwise(self) -> bool:
        return self.op in POINTWISE

    @property
    def made_of(self) -> tuple[Node, ...]:
        """The operands that its value is computed from."""
        return self.args[:1] if self.op == "ruled" else self.args

    @property
    def is_integer(self) -> bool:
        return self.kind in kinds.INTEGERS

    @property
    def operation(self) -> Operation:
        """The definition and the rule of a pointwise operation on floats; of a cast, those of the identity."""
        return OPERATIONS.get(self.op) or _PASSES_ON


_PASSES_ON = Operation(np.positive, "{0}", lambda g, y, *args: (g,))


@dataclass(eq=False)
class Graph:
    """Nodes in order of their making, each value once: nodes that are equal are one node.

    ``residuals`` are values that are saved at every step, by name. With ``late`` the output may come steps later:
    no masked step shows it again.
    """

    nodes: list[Node] = field(default_factory=list)
    output: Node = None  # type: ignore[assignment]  # until the step was read
    states: tuple[Node, ...] = ()
    residuals: dict[tuple, Node] = field(default_factory=dict)
    late: bool = False
    names: dict[int, str] = field(default_factory=dict)
    locate: Callable[[], str] = str
    weights: dict[int, str] = field(default_factory=dict)  # names of the weights' arrays, which may be no literals
    sparse: frozenset[str] = frozenset()  # names of the sparse weights
    still: frozenset[str] = frozenset()  # names of the weights that have no gradient
    # The weights' arrays: all while a step is read, for functions of weights; later those that sparse products use.
    values: dict[tuple, np.ndarray] = field(default_factory=dict)
    # The conditions by which a row fails at a step, with their messages; `messages` has those of `keep_codes` by code.
    checks: list[tuple[Node, str]] = field(default_factory=list)
    fails: list[Node] = field(default_factory=list)  # the same conditions, also those in loops
    tests: list[Node] = field(default_factory=list)  # those of them that are evaluated with a loop's condition
    implied: set[int] = field(default_factory=set)  # checks of what a loop tells itself
    messages: tuple[str, ...] = ()
    by_vjp: bool = False  # read with the vjps of cells, too
    matrices: bool = False  # with linear algebra on matrices, one for each row
    complex: bool = False  # with pairs of nodes that stand for complex numbers
    whole: bool = False  # read for NumPy alone, where two batches are multiplied as matrices
    rows: int | None = None  # stands for the batch size where a step makes arrays by it; no other axis is as long
    read: Any = None  # while a step of one row is read: its `rnnkit.compiler.tracing.control_flow.Reader`
    calls: Any = None  # while a step of all rows is read whose calls are looked at: makes its functions such ones
    moved: dict[int, tuple] | None = None  # meanwhile: arrays written to, with their first contents
    _known: dict[tuple, Node] = field(default_factory=dict)

    def add(self, op, args=(), shape=(), attr=None, kind="float", key=None) -> Node:
        """Return the node with this operation and operands, made if there is none; ``key`` is ``attr`` in a search."""
        key = (op, tuple(a.id for a in args), attr if key is None else key, tuple(shape))
        node = self._known.get(key)
        if node is None:
            depends = frozenset().union(*(a.depends for a in args))
            depends = depends_of(op, attr, depends)
            node = Node(len(self.nodes), op, tuple(args), tuple(map(int, shape)), kind, attr, depends, self.locate())
            self.nodes.append(node)
            self._known[key] = node
        return node

    def again(self, node: Node, args) -> Node:
        """Return a node of another graph on operands in this one."""
        if node.op == "literal":
            return self.literal(node.attr)
        key = node.attr.key if node.op == "view" else None
        return self.add(node.op, args, node.shape, node.attr, node.kind, key)

    def literal(self, value: np.ndarray | float) -> Node:
        value = np.asarray(value)
        kind = kinds.kind_of(value.dtype) or "float"
        value = value if kind != "float" else value.astype(np.float64)
        return self.add("literal", (), value.shape, value, kind, key=(kind, value.shape, value.tobytes()))

    def view(self, node, view: View) -> Node:
        shape = view.apply(np.broadcast_to(np.float32(0), node.shape), 0).shape
        if shape == node.shape and view.plain:
            return node
        if node.op == "view" and node.attr.key[0] == "reshape" and view.key[0] == "reshape":
            return self.view(node.args[0], view)
        return self.add("view", (node,), shape, view, node.kind, key=view.key)

    def reshape(self, node, shape) -> Node:
        return self.view(node, View.reshape(tuple(shape)))

    def transpose(self, node, axes) -> Node:
        return self.view(node, View.transpose(tuple(axes)))

    def pointwise(self, op, *args) -> Node:
        """Return a pointwise operation, its operands cast to their common kind, or to the kind that it takes."""
        if op == "where":
            args = (self.as_bool(args[0]), *self._same_kind(args[1:]))
            kind = args[1].kind
            if kind == "bool":
                chosen = self.pointwise("logical_and", args[0], args[1])
                other = self.pointwise("logical_and", self.pointwise("logical_not", args[0]), args[2])
                return self.pointwise("logical_or", chosen, other)
        elif op in OPERATIONS and OPERATIONS[op].operands == "bool":
            args, kind = tuple(map(self.as_bool, args)), OPERATIONS[op].result
        else:
            kind = kinds.common(a.kind for a in args)
            if kind == "bool" or (op not in INTEGER_OPERATIONS and kind in kinds.INTEGERS):
                kind = "float"
            if kind in kinds.INTEGERS and INTEGER_OPERATIONS[op].result == "bool" and all(map(_is_small, args)):
                kind = "float"  # where places are compared
            args = tuple(self.cast(a, kind) for a in args)
            kind = "bool" if op in OPERATIONS and OPERATIONS[op].result == "bool" else kind
        return self.add(op, args, np.broadcast_shapes(*(a.shape for a in args)), kind=kind)

    def _same_kind(self, args):
        kind = kinds.common(a.kind for a in args)
        return tuple(self.cast(a, kind) for a in args)

    def cast(self, node, kind) -> Node:
        """Return the elements of a node as those of a kind, as NumPy's ``astype`` does it."""
        if node.kind == kind:
            return node
        if kind == "bool":
            return self.pointwise("not_equal", node, self.literal(np.asarray(0, kinds.dtype_of(node.kind, float))))
        if node.op == "literal" and kind != "float32":
            return self.literal(kinds.cast(node.attr, kind, np.float64))
        if node.op == "view" and kind == "float" and (not node.batched or node.args[0].op == "cast"):
            return self.view(self.cast(node.args[0], kind), node.attr)
        if node.op == "where" and all(a.op == "literal" for a in node.args[1:]):
            return self.pointwise("where", node.args[0], *(self.cast(a, kind) for a in node.args[1:]))
        if kind != "float":
            return self.add("cast", (node,), node.shape, kind, kind)
        if node.op == "cast" and node.args[0].kind == "float" and _is_count(node.args[0]):
            return node.args[0]
        if node.kind == "bool":
            return self.add("to_float", (node,), node.shape)
        return self.add("cast", (node,), node.shape, kind)

    def as_float(self, node) -> Node:
        return self.cast(node, "float")

    def as_bool(self, node) -> Node:
        return self.cast(node, "bool")

    def reduce(self, op, node, axes) -> Node:
        axes = tuple(sorted(axes))
        if not axes:
            return node
        shape = tuple(n for i, n in enumerate(node.shape) if i not in axes)
        given = node if node.is_integer else self.as_float(node)
        found = self.add(op, (given,), shape, axes, given.kind)
        return self.cast(found, "float32") if node.kind == "float32" else found

    def replaced(self, node, view, new) -> Node:
        """Return a node with the elements that a view of it shows replaced, in their order."""
        new = self.cast(new, node.kind)
        adjacent = (isinstance(k, int) or (isinstance(k, slice) and k.step in (None, 1)) for k in view.part or ())
        if view.part is not None and all(adjacent):
            return self._replaced_part(node, view.part, new)
        places, table = view.index(node.shape).reshape(-1), np.arange(node.size)
        if np.array_equal(places, table):
            return self.reshape(new, node.shape)
        table[places] = node.size + np.arange(places.size)
        both = self.concatenate([self.reshape(node, (-1,)), self.reshape(new, (-1,))], 0)
        return self.view(both, View.gather(table.reshape(node.shape)))

    def _replaced_part(self, node, part, new):
        for axis, k in enumerate(part):
            n = node.shape[axis]
            low, high = (k % n, k % n + 1) if isinstance(k, int) else k.indices(n)[:2]
            high = max(low, high)
            if (low, high) == (0, n):
                continue
            before, here, after = (self.along(node, axis, a, b) for a, b in ((0, low), (low, high), (high, n)))
            here = self._replaced_part(here, (*part[:axis], slice(None), *part[axis + 1 :]), new)
            return self.concatenate([p for p in (before, here, after) if p.shape[axis]], axis)
        return self.reshape(new, node.shape)

    def along(self, node, axis, low, high) -> Node:
        """Return the part of a node from `low` up to `high` along an axis."""
        return self.view(node, View.item((slice(None),) * axis + (slice(low, high),), ("along", axis, low, high)))

    def concatenate(self, nodes, axis) -> Node:
        nodes = self._same_kind(tuple(nodes))
        if len(nodes) == 1:
            return nodes[0]
        shape = list(nodes[0].shape)
        shape[axis] = sum(node.shape[axis] for node in nodes)
        if all(node.op == "view" for node in nodes):
            (whole, *others), places = zip(*map(_viewed, nodes), strict=True)
            order = np.concatenate(places, axis).ravel()
            if all(one is whole for one in others) and np.array_equal(order, np.arange(whole.size)):
                return self.reshape(whole, tuple(shape))
        return self.add("concatenate", nodes, shape, axis, nodes[0].kind)

    def take(self, array, index) -> Node:
        """Return the element of an array at each row's index along its first axis; the index has to be valid."""
        return self.add("take", (array, index), array.shape[1:], kind=array.kind)

    def safe(self, index, condition, count: int) -> Node:
        """Return an index below `count` where a condition holds, else 0, whose element is then not used."""
        index = self.cast(index, "int64")
        zero = self.literal(np.zeros((), np.int64))
        return self.add("where", (self.as_bool(condition), index, zero), index.shape, (SAFE, count), "int64")

    def put(self, array, index, value) -> Node:
        """Return an array with another element at such an index."""
        return self.add("put", (array, index, self.cast(value, array.kind)), array.shape, kind=array.kind)

    def product(self, a, weight) -> Node:
        """Return ``a (…, K) @ weight (K, N)``."""
        a, weight = self.as_float(a), self.as_float(weight)
        if not a.batched:
            return self.einsum("ab,bc->ac" if len(a.shape) == 2 else "b,bc->c", a, weight)
        attr = "sparse" if self._is_sparse(weight) else None
        return self.add("product", (a, weight), (*a.shape[:-1], weight.shape[1]), attr)

    def _is_sparse(self, node) -> bool:
        """Tell whether a node is a sparse weight, a part or transpose of one, or one scaled, which keep its zeros."""
        if node.op == "weight":
            return node.attr in self.sparse
        if node.op == "multiply":
            return any(self._is_sparse(a) for a in node.args if a.shape == node.shape)
        return node.op in ("view", "divide", "negative") and self._is_sparse(node.args[0])

    def einsum(self, subscripts, *args) -> Node:
        """Return a product of unbatched arrays, computed once; in a graph for NumPy alone, also of batched ones."""
        args = tuple(self.as_float(a) for a in args)
        shape = np.einsum(subscripts, *(np.broadcast_to(0.0, a.shape) for a in args)).shape
        return self.add("einsum", args, shape, subscripts)

    def keep_codes(self) -> None:
        """Save at every step the code, from 1 on, of the first check that a row fails, or 0: see `FAILED`."""
        self.note_fails(self.checks)
        code = self.literal(0.0)
        for i, (node, _) in reversed(list(enumerate(self.checks))):
            one, axes = node.size == 1, range(len(node.shape))
            fails = self.reshape(node, ()) if one else self.reduce("max", self.as_float(node), axes)
            code = self.pointwise("where", self.as_bool(fails), self.literal(i + 1.0), code)
        if self.checks:
            self.residuals[FAILED] = self.reshape(code, (1,))
            self.messages, self.checks = tuple(message for _, message in self.checks), []

    def note_fails(self, checks) -> None:
        self.fails += [node for node, _ in checks if node.id not in self.implied]

    def results(self) -> list[Node]:
        """Return the nodes that a program of this graph computes."""
        checks = [fails for fails, _ in self.checks]
        around = frozenset().union(*map(loops_of, checks))
        loops = [node for node in self.nodes if node.op == "loop" and ("loop", node.attr.id) in around]
        return [self.output, *self.states, *self.residuals.values(), *checks, *loops]

    def live(self) -> list[Node]:
        """Return the nodes that a result needs, in order."""
        seen = self.under(self.results())
        return [node for node in self.nodes if node.id in seen]

    @staticmethod
    def under(nodes) -> set[int]:
        """Return the numbers of nodes and of all nodes under them."""
        seen, stack = set(), list(nodes)
        while stack:
            node = stack.pop()
            if node.id not in seen:
                seen.add(node.id)
                stack.extend(node.args)
        return seen

    def copy(self) -> Graph:
        """Return a graph of the same nodes that can grow by itself."""
        copied = replace(self, nodes=list(self.nodes), residuals=dict(self.residuals), _known=dict(self._known))
        copied.checks, copied.fails, copied.tests = list(self.checks), list(self.fails), list(self.tests)
        copied.locate = str
        return copied


def _viewed(node: Node) -> tuple[Node, np.ndarray]:
    """Return the node that views of views show, and the places of their elements in it."""
    places = np.arange(node.size).reshape(node.shape)
    while node.op == "view":
        (source,) = node.args
        places, node = node.attr.index(source.shape).ravel()[places], source
    return node, places


def loops_of(node: Node) -> frozenset:
    return frozenset(one for one in node.depends if isinstance(one, tuple))


def depends_of(op, attr, under: frozenset) -> frozenset:
    """Return the dependencies of a node from those of its operands."""
    if op in BATCHED:
        return frozenset((BATCHED[op],))
    if op in ("carried", "round", "taped"):
        return frozenset((("loop", attr if op == "round" else attr[0]),))
    if op == "loop":
        return (under - {("loop", attr.id)}) | {"state"}  # how often a row goes round is its own
    return under


def _is_small(node) -> bool:
    """Tell whether integers are known to be exact as floats: indices, numbers of conditions, and small literals."""
    while node.op == "view":
        node = node.args[0]
    if node.op == "literal":
        return bool(np.all(np.abs(node.attr.astype(np.float64)) < 2**23))
    return node.op == "cast" and node.args[0].kind == "float" and _is_count(node.args[0])


def _is_count(node) -> bool:
    """Tell whether floats are known to be whole and small: how many conditions hold, or an index among few."""
    if node.op in ("view", "sum", "min", "where"):
        return all(_is_count(a) for a in node.args if node.op != "where" or a.kind != "bool")
    return node.op == "to_float" or (node.op == "literal" and bool(np.all(node.attr == np.rint(node.attr))))


def without_codes(graph: Graph) -> Graph:
    """Return the step for callers that can't raise an error: all results of a row that fails are NaN."""
    if FAILED not in graph.residuals:
        return graph
    new = graph.copy()
    fails = new.pointwise("not_equal", new.residuals.pop(FAILED), new.literal(0.0))

    def marked(node):
        padded = new.reshape(fails, (1,) * max(len(node.shape), 0)) if len(node.shape) != 1 else fails
        return new.pointwise("where", padded, new.literal(np.nan), node)

    new.output, new.states, new.messages = marked(new.output), tuple(map(marked, new.states)), ()
    return new
