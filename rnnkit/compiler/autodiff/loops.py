"""The gradient of a loop in a step: another loop, which runs through the rounds from the last to the first.

In each round, the body is computed again from the values that the loop carried at the round's beginning (`taped`); the
rules of its operations take the cotangents of the round's results to those of its inputs. An input from outside of the
loop gets the sum over all rounds.
"""

from __future__ import annotations

from dataclasses import replace

from rnnkit.compiler.ir.graph import Graph, Node, loops_of


def fresh(graph: Graph) -> int:
    """Return a number that no loop has."""
    return 1 + max((one[1] for node in graph.nodes for one in node.depends if isinstance(one, tuple)), default=0)


class Copies:
    """Copy of a loop's body on the values that it carried at the beginning of a round; `made` has the copies by id."""

    def __init__(self, graph: Graph, loop, new: int):
        self.graph, self.loop, self.new = graph, loop, new
        self.made: dict[int, Node] = {}
        self.renamed: dict[int, int] = {}  # of loops in the body
        self.inside = {("loop", loop.id)}
        loops = [node for node in graph.nodes if node.op == "loop"]
        while more := {("loop", one.attr.id) for one in loops if loops_of(one) & self.inside} - self.inside:
            self.inside |= more

    def of(self, node: Node) -> Node:
        """Return the copy of a node of the body; a node outside as it is."""
        stack = [node]
        while stack:
            one = stack[-1]
            if one.id in self.made or not self._is_within(one):
                stack.pop()
                continue
            if missing := [a for a in one.args if a.id not in self.made and self._is_within(a)]:
                stack.extend(missing)
                continue
            stack.pop()
            self.made[one.id] = self._copied(one)
        return self.made.get(node.id, node)

    def _is_within(self, node) -> bool:
        """Tell whether a node is in the body, as is a loop whose own values are all inside."""
        return bool(loops_of(node) & self.inside) or (node.op == "loop" and ("loop", node.attr.id) in self.inside)

    def _copied(self, node) -> Node:
        graph, attr = self.graph, node.attr
        if node.op in ("carried", "taped"):
            number, i = attr
            if number == self.loop.id:
                return graph.add("taped", (), node.shape, (self.new, i), node.kind)
            return graph.add(node.op, (), node.shape, (self._name(number), i), node.kind)
        if node.op == "round":
            return graph.add("round", (), (), self.new if attr == self.loop.id else self._name(attr), node.kind)
        args = tuple(self.made.get(a.id, a) for a in node.args)
        if node.op == "loop":
            return graph.add("loop", args, (), replace(attr, id=self._name(attr.id)), node.kind)
        return graph.again(node, args)

    def _name(self, number: int) -> int:
        if number not in self.renamed:
            self.renamed[number] = max(fresh(self.graph), 1 + max((self.new, *self.renamed.values())))
        return self.renamed[number]
