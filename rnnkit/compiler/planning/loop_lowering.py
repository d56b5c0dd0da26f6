"""The lines of one fused loop, from the nodes that it computes."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.ir.plan import Load, Number, Pointwise, Value


class LoopValues:
    """The lines of one loop, each value once."""

    INLINE = (0.0, 1.0, -1.0, 2.0, 0.5)

    def __init__(self, planner, shape, own):
        self.planner, self.shape, self.own = planner, shape, own
        self.values: list[Value] = []
        self.loads: list[tuple[Load, np.ndarray]] = []
        self.known: dict = {}
        self.used: dict[str, int] = {}

    def _name(self, node) -> str:
        wanted = self.planner.graph.names.get(node.id) or {"x": "x_t", "product": "z", "literal": "k"}.get(node.op, "v")
        count = self.used.get(wanted, 0)
        self.used[wanted] = count + 1
        return f"{wanted}__{count}" if count or wanted in ("v", "k") else f"{wanted}_"

    def _add(self, value: Value) -> str:
        self.values.append(value)
        return value.name

    def value(self, node, index, own=False) -> str:
        key = node.id, index.tobytes()
        if key in self.known:
            return self.known[key]
        planner = self.planner
        if node.op == "view" and not planner.stored(node):
            name = self.value(node.args[0], planner.view_index(node)[index])
        elif node.op == "concatenate" and not planner.stored(node):
            name = self.value(*part_of(node, index))
        elif planner.stored(node) and not own:
            name = self._load(node, index)
        else:
            args = tuple(self.value(a, spread(a, node, index)) for a in node.args)
            name = self._add(Pointwise(self._name(node), node.op, args, node.kind))
        self.known[key] = name
        return name

    def _load(self, node, index) -> str:
        if node.op == "literal" and node.shape == () and node.kind == "float" and float(node.attr) in self.INLINE:
            return self._add(Number(self._name(node), float(node.attr)))
        buffer, elements = self.planner.prepacked_at(node) if not node.batched else self.planner.home[node.id]
        load = Load(self._name(node), buffer, node.kind)
        self.loads.append((load, elements[index]))
        return self._add(load)


def spread(arg, node, index) -> np.ndarray:
    """Return the elements of an operand that broadcast to some elements of a pointwise node."""
    if arg.shape == node.shape:
        return index
    return np.broadcast_to(np.arange(arg.size).reshape(arg.shape), node.shape).reshape(-1)[index]


def part_of(node, index):
    """Return the part of a concatenation that has all these elements, and their numbers there; or None, None."""
    places = np.unravel_index(index, node.shape)
    along, low = places[node.attr], 0
    for part in node.args:
        high = low + part.shape[node.attr]
        if index.size and along.min() >= low and along.max() < high:
            local = list(places)
            local[node.attr] = along - low
            return part, np.ravel_multi_index(local, part.shape)
        low = high
    if not index.size:
        return node.args[0], index
    return None, None
