"""Bounds of the integers of a step, by which checks of indices that always hold are removed.

An index is read under conditions: ``while i > 0 and h[i - 1] > x`` has no ``h[-1]``. So a node is bounded under the
conditions where it is read: comparisons bound their operands, and a loop's condition bounds its carried values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnnkit.compiler.ir.graph import SAFE, Graph, Node, loops_of
from rnnkit.compiler.ir.simplify import rebuilt

Bounds = tuple[int, int]
_DEPTH, _LEVELS = 40, 3  # of operations that are followed, and of nested choices
_CHOOSE = ("view", "where", "min", "max", "minimum", "maximum")
_OPPOSITE = {"less": "greater_equal", "less_equal": "greater", "greater": "less_equal", "greater_equal": "less",
             "equal": "not_equal", "not_equal": "equal"}  # fmt: skip
_TURNED = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal",
           "equal": "equal", "not_equal": "not_equal"}  # fmt: skip


def bounds_of(graph: Graph, states: dict[int, Bounds], nodes: dict[int, Node] | None = None) -> dict[int, Bounds]:
    """Return the bounds of integers, by default of the states after a step, from those of the states before it."""
    ranges = _Ranges(graph, states)
    nodes = {i: graph.states[i] for i in states} if nodes is None else nodes
    return {i: ranges.of(node) for i, node in nodes.items()}


def without_known_checks(graph: Graph, states: dict[int, Bounds] | None = None) -> Graph:
    """Return the graph without conditions that always hold, or never do, given the bounds of integer states."""
    if not any(node.op in ("take", "put", "floor_divide", "remainder") for node in graph.nodes):
        return graph
    ranges = _Ranges(graph, states)
    new = rebuilt(graph, (ranges.decided,), ranges.operands)
    new.checks = [one for one in new.checks if one[0].op != "literal" or one[0].attr.any()]
    return new if len(new.live()) == len(new.nodes) else rebuilt(new, ())


class _Known:
    """Knowledge in one place of a graph: bounds of nodes, and the bounds and truths that follow from them."""

    def __init__(self, bounds: dict[int, Bounds] | None = None, level: int = 0):
        self.bounds, self.level = bounds or {}, level
        self.found: dict[int, Bounds] = {}
        self.truths: dict[int, bool | None] = {}


class _Ranges:
    """Bounds of the nodes of one graph.

    Attributes
    ----------
    carried : dict of (int, int) to (float, float)
        Bounds of the carried values of loops, by the loop and the place.
    places : dict of int to (int, int) or None
        Bounds of floats, see `_of_places`.
    always : _Known
        The knowledge that holds everywhere.
    """

    def __init__(self, graph: Graph, states: dict[int, Bounds] | None = None):
        self.graph, self.states = graph, states or {}
        self.loops = {node.attr.id: node for node in graph.nodes if node.op == "loop" and not node.attr.reverse}
        self.carried: dict[tuple[int, int], Bounds] = {}
        self.places: dict[int, Bounds | None] = {}
        self._again()
        leaves: dict[int, list[tuple[int, int]]] = {}
        for node in graph.nodes:
            if node.op == "carried" and node.attr[0] in self.loops and _is_followed(node):
                leaves.setdefault(self._outermost(node.attr[0]), []).append(node.attr)
        for number in sorted(leaves, key=lambda number: self.loops[number].id):
            self._find_carried(leaves[number])

    def _outermost(self, number: int) -> int:
        around = [n for _, n in loops_of(self.loops[number]) if n != number and n in self.loops]
        return self._outermost(around[0]) if around else number

    def _find_carried(self, leaves) -> None:
        """Find the bounds of the carried values of a loop, and of the loops in it."""
        for leaf in leaves:
            self.carried[leaf] = self._of(self._operand(leaf, 0), self.always)
            self._again()
        changed = True
        while changed:  # until all bounds hold, in few steps: one that doesn't is dropped
            changed = False
            for leaf in leaves:
                (low, high), was = self._in_rounds(leaf), self.carried[leaf]
                smallest, largest = self._reached(leaf)
                found = was[0] if low >= was[0] else smallest, was[1] if high <= was[1] else largest
                if found != was:
                    self.carried[leaf], changed = found, True
                    self._again()
        for leaf in leaves:  # tighten bounds that hold
            (low, high), was = self._in_rounds(leaf), self.carried[leaf]
            self.carried[leaf] = max(low, was[0]), min(high, was[1])
            self._again()

    def _again(self) -> None:
        self.always = _Known()
        for node in self.graph.nodes:
            self._of(node, self.always)

    def _operand(self, leaf, first) -> Node:
        return self.loops[leaf[0]].args[first + leaf[1]]

    def _in_rounds(self, leaf) -> Bounds:
        """Return the bounds of a carried value at first and after a round."""
        loop = self.loops[leaf[0]]
        known = self._under(loop.args[loop.attr.count], True, self.always)
        following = self._operand(leaf, loop.attr.count + 1)
        return either(self._of(self._operand(leaf, 0), self.always), self._of(following, known))

    def _reached(self, leaf) -> Bounds:
        """Return the bounds of a carried value in all rounds up to the limit, each of which adds a little."""
        initial, loop = self._operand(leaf, 0), self.loops[leaf[0]].attr
        (low, high), ends = self._of(initial, self.always), _ends(initial)
        least, most = self._added(self._operand(leaf, loop.count + 1), leaf) or _WRAPS
        low, high = low + min(0, least) * loop.limit, high + max(0, most) * loop.limit
        return (low, high) if ends[0] <= low and high <= ends[1] else ends

    def _added(self, node: Node, leaf, depth: int = _DEPTH) -> Bounds | None:
        """Return the bounds of the difference of a node and a carried value; None if they aren't known."""
        if node.op == "carried" and node.attr == leaf:
            return 0, 0
        if node.op == "where" and depth:
            both = [self._added(arg, leaf, depth - 1) for arg in node.args[1:]]
            return None if None in both else either(*both)  # type: ignore[arg-type]
        if node.op in ("add", "subtract") and depth:
            found = self._added(node.args[0], leaf, depth - 1)
            return found and _COMBINED[node.op](found, self._of(node.args[1], self.always))
        return None

    # Bounds

    def of(self, node: Node) -> Bounds:
        return self._of(node, self.always)

    def _of(self, node: Node, known: _Known, depth: int = _DEPTH) -> Bounds:
        """Return the bounds of all elements of an integer node under some conditions."""
        if not _is_followed(node) or depth <= 0:
            return _ends(node)
        if node.id not in known.found:
            low, high = self._computed(node, known, depth)
            smallest, largest = _ends(node)
            if low < smallest or high > largest:  # some of them wrap
                low, high = smallest, largest
            least, most = known.bounds.get(node.id, (low, high))
            known.found[node.id] = max(low, least), min(high, most)
        return known.found[node.id]

    def _computed(self, node: Node, known: _Known, depth: int) -> Bounds:
        op, args = node.op, node.args
        if op == "literal":
            return (int(node.attr.min()), int(node.attr.max())) if node.attr.size else (0, 0)
        if op == "round":
            return 0, self.loops[node.attr].attr.limit - 1 if node.attr in self.loops else _ends(node)[1]
        if op == "state":
            return self.states.get(node.attr, _ends(node))
        if op == "carried":
            return self.carried.get(node.attr, _ends(node))
        if op == "result":
            return self.carried.get((args[0].attr.id, node.attr), _ends(node))
        if op == "cast" and args[0].kind == "bool":
            return 0, 1
        if op == "where":
            if (truth := self._truth(args[0], known, depth - 1)) is not None:
                return self._of(args[1 if truth else 2], known, depth - 1)
            ways = [self._under(args[0], holds, known) for holds in (True, False)]
            return either(*(self._of(arg, way, depth - 1) for arg, way in zip(args[1:], ways, strict=True)))
        args = (args[0], args[2]) if op == "put" else args
        bounds = [self._of(arg, known, depth - 1) for arg in args]
        if op in ("view", "take", "cast"):
            return bounds[0] if args[0].is_integer else self._of_places(args[0]) or _ends(node)
        if op in ("put", "concatenate"):
            return either(*bounds)
        return _COMBINED[op](*bounds) if op in _COMBINED else _ends(node)

    def _of_places(self, node: Node) -> Bounds | None:
        """Return the bounds of floats that are chosen among whole numbers in the step; None for others."""
        if node.id not in self.places:
            args = node.args[1:] if node.op == "where" else node.args
            found = None
            if node.op == "literal" and node.size and np.all(node.attr == np.rint(node.attr)):
                low, high = float(node.attr.min()), float(node.attr.max())
                found = (int(low), int(high)) if max(-low, high) < 2.0**63 else None
            elif node.op in _CHOOSE and all(several := [self._of_places(arg) for arg in args]):
                found = either(*several)  # type: ignore[arg-type]
            self.places[node.id] = found
        return self.places[node.id]

    # Conditions

    def _under(self, condition: Node, holds: bool, known: _Known) -> _Known:
        """Return the knowledge where a condition holds, or doesn't."""
        if known.level >= _LEVELS:
            return known
        found = _Known(dict(known.bounds), known.level + 1)
        stack = [(condition, holds)]
        while stack:
            node, wanted = stack.pop()
            if node.op == "logical_not":
                stack.append((node.args[0], not wanted))
            elif node.op == ("logical_and" if wanted else "logical_or"):
                stack += [(arg, wanted) for arg in node.args]
            elif node.op in _OPPOSITE:
                op = node.op if wanted else _OPPOSITE[node.op]
                a, b = map(_counted, node.args)
                for one, other, how in ((a, b, op), (b, a, _TURNED.get(op, op))):
                    low, high = self._of(other, known)
                    least, most = found.bounds.get(one.id, _ends(one))
                    if one.size > 1 or other.size > 1:
                        continue
                    if how in ("less", "less_equal", "equal"):
                        most = min(most, high - (how == "less"))
                    if how in ("greater", "greater_equal", "equal"):
                        least = max(least, low + (how == "greater"))
                    if how == "not_equal" and low == high:
                        smallest, largest = self._of(one, known)
                        least, most = max(least, smallest + (low == smallest)), min(most, largest - (high == largest))
                    found.bounds[one.id] = least, most
        return found

    def _truth(self, node: Node, known: _Known, depth: int = _DEPTH) -> bool | None:
        """Return the value of a condition, None if it isn't known."""
        if depth <= 0 or node.size != 1:
            return None
        if node.id not in known.truths:
            known.truths[node.id] = self._decided(node, known, depth)
        return known.truths[node.id]

    def _decided(self, node: Node, known: _Known, depth: int) -> bool | None:
        if node.op == "literal":
            return bool(node.attr)
        if node.op == "logical_not":
            found = self._truth(node.args[0], known, depth - 1)
            return None if found is None else not found
        if node.op in ("logical_and", "logical_or"):
            both = [self._truth(arg, known, depth - 1) for arg in node.args]
            decides = node.op == "logical_or"
            return decides if decides in both else None if None in both else not decides
        if node.op not in _OPPOSITE:
            return None
        if node.args[0] is node.args[1] and node.args[0].is_integer:
            return "equal" in node.op and node.op != "not_equal"
        (low, high), (least, most) = (self._of(_counted(arg), known, depth - 1) for arg in node.args)
        holds = {
            "less": high < least, "less_equal": high <= least, "greater": low > most, "greater_equal": low >= most,
            "equal": low == high == least == most, "not_equal": high < least or low > most,
        }  # fmt: skip
        return True if holds[node.op] else False if holds[_OPPOSITE[node.op]] else None

    # Rewriting

    def operands(self, node: Node) -> tuple[Node, ...]:
        """Return the operands of a node; those of a choice as they are under its condition."""
        if node.op != "where":
            return node.args
        condition, one, other = node.args
        return condition, self._chosen(one, condition, True), self._chosen(other, condition, False)

    def _chosen(self, node: Node, condition: Node, holds: bool) -> Node:
        if node.op != "where" or not _is_followed(node):
            return node
        known = self._under(condition, holds, self.always)
        while node.op == "where" and (truth := self._truth(node.args[0], known)) is not None:
            node = node.args[1 if truth else 2]
        return node

    def decided(self, graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
        """Return a condition that is known, or the rest of one: a rule of `rebuilt`."""
        if node.op == "loop" and not node.attr.counted and self._ends(node):
            return graph.again(replace(node, attr=replace(node.attr, counted=True)), args)
        if node.op == "where" and node.attr is not None and node.attr[0] == SAFE:
            low, high = self._of(node.args[1], self.always)
            if low >= 0 and high < node.attr[1]:
                return args[1]
        if node.op in _OPPOSITE and node.size == 1 and (truth := self._truth(node, self.always)) is not None:
            return graph.literal(np.full(node.shape, truth))
        if node.op in ("logical_and", "logical_or") and node.size == 1:
            joins = node.op == "logical_and"
            first, second = node.args
            truth = self._truth(second, self._under(first, joins, self.always))
            if truth is not None:
                return args[0] if truth == joins else graph.literal(np.full(node.shape, truth))
            for arg, other in (args, args[::-1]):
                if arg.op == "literal":
                    return other if bool(arg.attr) == joins else graph.literal(np.full(node.shape, not joins))
        if node.op in ("floor_divide", "remainder") and _is_followed(node) and args[1].op == "literal":
            return self._divided(graph, node, args)
        if node.op == "logical_not" and args[0].op == "literal":
            return graph.literal(~args[0].attr)
        if node.op == "where" and args[0].op == "literal" and args[0].size == 1:
            return args[1 if args[0].attr.all() else 2] if args[1].shape == args[2].shape == node.shape else None
        return None

    def _ends(self, loop: Node) -> bool:
        """Return whether a loop has fewer rounds than its limit: a carried value grows, or falls, within bounds."""
        if loop.attr.reverse:
            return False
        known = self._under(loop.args[loop.attr.count], True, self.always)
        for i in range(loop.attr.count):
            leaf = loop.attr.id, i
            if leaf in self.carried and known.bounds:
                low, high = self.carried[leaf]
                least, most = self._added(loop.args[loop.attr.count + 1 + i], leaf) or _WRAPS
                if (least > 0 or most < 0) and high - low < loop.attr.limit - 1:
                    return True
        return False

    def _divided(self, graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
        """Return a cheaper form of a division by a positive number: of few numbers, or by a power of two."""
        a, number = args
        if number.size != 1 or (divisor := int(number.attr)) <= 0:
            return None
        (low, high), rest = self._of(node.args[0], self.always), node.op == "remainder"

        def integer(value):
            return graph.literal(np.full(number.shape, value, node.kind))

        if rest and low >= 0 and high < divisor:
            return a if a.shape == node.shape else None
        if divisor & (divisor - 1) == 0:
            if rest:
                return graph.pointwise("bitwise_and", a, integer(divisor - 1))
            return graph.pointwise("right_shift", a, integer(divisor.bit_length() - 1))
        if not rest or low < -divisor or high >= 2 * divisor:
            return None
        if low < 0:
            more = graph.pointwise("add", a, number)
            a = graph.pointwise("where", graph.pointwise("less", a, integer(0)), more, a)
        if high >= divisor:
            less = graph.pointwise("subtract", a, number)
            a = graph.pointwise("where", graph.pointwise("less", a, number), a, less)
        return a


def _is_followed(node: Node) -> bool:
    return node.kind in ("int32", "int64")


def _counted(node: Node) -> Node:
    """Return the integer that is compared as a float."""
    if node.op == "cast" and node.args[0].is_integer:
        return node.args[0]
    return node


def either(*bounds: Bounds) -> Bounds:
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def _ends(node: Node) -> Bounds:
    """Return the smallest and the largest number of a node's kind; those of int64 if it is no integer."""
    return (-(2**31), 2**31 - 1) if node.kind == "int32" else (-(2**63), 2**63 - 1)


def _product(a: Bounds, b: Bounds) -> Bounds:
    found = [x * y for x in a for y in b]
    return min(found), max(found)


def _rest(a: Bounds, b: Bounds) -> Bounds:
    if b[0] != b[1] or b[0] <= 0:
        return _WRAPS
    return a if a[0] >= 0 and a[1] < b[0] else (0, b[0] - 1)


_WRAPS = (-(2**64), 2**64)
_COMBINED: dict[str, Callable[..., Bounds]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "subtract": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "multiply": _product,
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "negative": lambda a: (-a[1], -a[0]),
    "floor_divide": lambda a, b: (a[0] // b[0], a[1] // b[0]) if b[0] == b[1] and b[0] > 0 else _WRAPS,
    "remainder": _rest,
}
