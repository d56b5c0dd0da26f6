"""Forms of a graph that its plan by rows is made of: conditions in place of codes, and arrays changed in place.

A graph says what is computed, and every node is a value of its own. An array that is changed under a condition is
``where(c, put(a, k, v), a)`` in it, a choice between all elements of two arrays. As ``put(a, k, where(c, v, a[k]))`` it
is the same array, of which the plan changes one element where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from rnnkit.compiler.ir.graph import FAILED, Graph, Loop, Node, loops_of
from rnnkit.compiler.ir.simplify import rebuilt


def with_checks(graph: Graph) -> Graph:
    """Return the graph with the conditions by which rows fail, `Graph.checks`, in place of the first one's code."""
    if FAILED not in graph.residuals:
        return graph
    new = graph.copy()
    del new.residuals[FAILED]
    needed = Graph.under([graph.residuals[FAILED]])
    around = {one for node in new.live() for one in node.depends}
    new.checks = [(node, "") for node in graph.fails if node.id in needed or node.depends <= around]
    loops = {node.attr.id: node.attr for node in graph.nodes if node.op == "loop"}
    return rebuilt(new, (partial(_without_limit, loops),))


def _without_limit(loops: dict[int, Loop], graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    """Return a loop's condition without the number of rounds from which it is an error: its plan counts them."""
    if node.op == "less" and node.args[0].op == "round" and node.args[1].op == "literal":
        loop = loops.get(node.args[0].attr)
        if loop is not None and not loop.counted and int(node.args[1].attr) == loop.limit - 1:
            return graph.literal(True)
    if node.op == "logical_and":
        left = [arg for arg in args if arg.op != "literal" or not arg.attr.all()]
        return left[0] if len(left) == 1 else None
    return None


def changed_in_place(graph: Graph, least: int) -> Graph:
    """Return the graph without choices between arrays of more than `least` elements, where only some were changed."""
    return _InPlace(graph, least).run()


class _InPlace:
    """Finds such choices, the inner ones first.

    Attributes
    ----------
    same : dict of int to Node
        Of each choice, the changed array that it becomes.
    bases : dict of int to dict of Node to Node
        Of the first change on one way: in place of the array that it changed, what the other way left.
    under : dict of int to list of (Node, bool)
        Of a change, the conditions under which it is made.
    """

    def __init__(self, graph: Graph, least: int):
        self.graph, self.least = graph, least
        self.same: dict[int, Node] = {}
        self.bases: dict[int, dict[int, Node]] = {}
        self.under: dict[int, list[tuple[Node, bool]]] = {}
        self.users: dict[int, set[Node]] = {}
        self.live = graph.live()
        for node in self.live:
            for arg in node.args:
                self.users.setdefault(arg.id, set()).add(node)
        self.results = set(map(id, graph.results()))
        self.loops = {("loop", node.attr.id): node for node in self.live if node.op == "loop"}

    def run(self) -> Graph:
        """Return the graph with these changes."""
        graph = self.graph
        for node in self.live:
            if node.op == "where" and node.shape and node.shape[0] > self.least and node.args[0].size == 1:
                self._choice(node)
        if not self.same:
            return graph
        graph = graph.copy()
        graph.output, graph.states = self._now(graph.output), tuple(map(self._now, graph.states))
        graph.residuals = {name: self._now(node) for name, node in graph.residuals.items()}
        return rebuilt(graph, (self._put,), self._operands)

    def _now(self, node: Node) -> Node:
        return self.same.get(node.id, node)

    def _base(self, change: Node, array: Node) -> Node:
        """Return the array that a change is made in: as it was, or as the other way left it."""
        array = self._now(array)
        return self.bases.get(change.id, {}).get(array.id, array)

    def _operands(self, node: Node) -> tuple[Node, ...]:
        return (*(self._base(node, arg) for arg in node.args), *(c for c, _ in self.under.get(node.id, ())))

    def _put(self, graph: Graph, node: Node, args) -> Node | None:
        if node.op != "put" or node.id not in self.under:
            return None
        array, index, value, *conditions = args
        held = None
        for condition, (_, wanted) in zip(conditions, self.under[node.id], strict=True):
            one = graph.reshape(condition, ())
            one = one if wanted else graph.pointwise("logical_not", one)
            held = one if held is None else graph.pointwise("logical_and", held, one)
        return graph.put(array, index, graph.pointwise("where", held, value, graph.take(array, index)))

    def _choice(self, node: Node) -> None:
        """Make one array of two that were changed on the one way and the other, if nothing else reads them."""
        condition, *ends = node.args
        one, other = map(self._changes, map(self._now, ends))
        shared = {array.id for array in other}
        base = next((array for array in one if array.id in shared), None)
        if base is None:
            return
        ways = [
            _Way(several[: several.index(base)], condition, wanted) for several, wanted in ((one, True), (other, False))
        ]
        ways = sorted((way for way in ways if way.changes), key=lambda way: way.first.id)  # as they are computed
        if not ways or not all(self._is_apart(way, node) for way in ways):
            return
        if len(ways) == 2:
            first, second = ways
            begins, end = second.first, first.end_like(base)
            reads = [self._base(begins, arg) for arg in begins.args]
            if end is None or end.id >= begins.id or begins.id in self.bases or sum(arg is base for arg in reads) != 1:
                return
            for user in [begins, *self._looks(base, second, end, node)]:
                self.bases[user.id] = {base.id: end}
        for way in ways:
            for array in way.changes:
                if array.op == "put":
                    self.under.setdefault(array.id, []).append((condition, way.wanted))
        self.same[node.id] = ways[-1].end

    def _looks(self, array: Node, way: _Way, end: Node, choice: Node) -> list[Node]:
        """Return the nodes that read elements of an array on a way only, behind what another way leaves of it."""
        changes = self._made_on(way, choice)
        found = [user for user in self._users(array) if user.op in ("take", "view") and user.id > end.id]
        return [one for one in found if one.id not in self.bases and self._is_only_on(way, one, changes)]

    def _changes(self, array: Node) -> list[Node]:
        """Return an array and what it is made of by changes, the last one first."""
        found = [array]
        while True:
            change = _change(array)
            if change is None:
                return found
            array = self._base(change, change.args[array.attr] if change.op == "loop" else change.args[0])
            found.append(array)

    def _users(self, array: Node) -> set[Node]:
        """Return the nodes that read an array, also as a choice that it has become."""
        found = set()
        for user in self.users.get(array.id, ()):
            found.add(user)
            if self.same.get(user.id) is array:
                found |= self._users(user)
        return found

    @staticmethod
    def _made_on(way: _Way, choice: Node) -> set[int]:
        return {choice.id, *(made.id for made in way.makers)}

    def _is_apart(self, way: _Way, choice: Node) -> bool:
        """Return whether nothing reads what a way leaves but the choice, and what goes this way too."""
        changes = self._made_on(way, choice)
        for array in way.changes:
            if array.op == "put" and way.condition.id >= array.id:
                return False
            if array.op == "result" and not way.is_in(array.args[0].args[array.args[0].attr.count]):
                return False
        return all(self._is_only_on(way, array, changes) for array in way.changes)

    def _is_only_on(self, way: _Way, array: Node, changes: set[int]) -> bool:
        """Return whether rows that don't go a way need nothing of an array."""
        stack, seen = [array], set()
        while stack:
            node = stack.pop()
            if id(node) in self.results:
                return False
            for user in self._users(node):
                if user.id in seen or user.id in changes or self.same.get(user.id) is node:
                    continue
                seen.add(user.id)
                if user.op == "where" and user.args[0] is not node:
                    sides = [(user.args[1], way.is_in(user.args[0])), (user.args[2], way.is_in(user.args[0], False))]
                    if all(held for side, held in sides if side is node):
                        continue
                if user.op == "logical_and" and way.is_in(user):
                    continue
                if not any(way.is_in(self.loops[token].args[self.loops[token].attr.count]) for token in loops_of(user)):
                    stack.append(user)
        return True


@dataclass(frozen=True)
class _Way:
    """Changes of an array, the last one first, of rows for which a condition is as wanted."""

    changes: list[Node]
    condition: Node
    wanted: bool

    @property
    def end(self) -> Node:
        return self.changes[0]

    def end_like(self, base: Node) -> Node | None:
        """Return the array after all changes, in the shape of `base`; None if it has another one."""
        for array in self.changes:
            if array.shape == base.shape:
                return array
            if array.op != "view":
                break
        return None

    @property
    def first(self) -> Node:
        """The node that makes the first change."""
        return self.makers[-1]

    @property
    def makers(self) -> list[Node]:
        """The nodes that make the changes."""
        return [made for array in self.changes if (made := _change(array)) is not None]

    def is_in(self, node: Node, holds: bool = True) -> bool:
        """Return whether a row goes this way if a node holds, or if it doesn't."""
        if node.op == "logical_not":
            return self.is_in(node.args[0], not holds)
        if node is self.condition:
            return holds == self.wanted
        joined = "logical_and" if holds else "logical_or"
        return node.op == joined and any(self.is_in(arg, holds) for arg in node.args)


def _change(array: Node) -> Node | None:
    """Return the node that makes an array of another one by changes of elements."""
    if array.op == "put" or (
        array.op == "view" and array.size == array.args[0].size and array.attr.key[0] == "reshape"
    ):
        return array
    return array.args[0] if array.op == "result" and not array.args[0].attr.reverse else None
