"""States of whole numbers, such as a counter, a place or a mode, carried as integers from step to step.

States are floats. A step that begins with ``int(states.place)`` and ends with ``float(place)`` would convert twice in
each step, check that the float has an integer, and that this is a place. Where a state is read and written in no other
way, the program of one row carries the integer. It is known to be between the numbers that a step makes of such ones,
or of 0; a row that begins with another number, or comes to one, is computed by the ordinary program. A mode, which a
step compares with numbers, is carried so as well, where asked for: integers are compared in less time than floats.
So is an array whose elements a step reads as integers, such as pointers back, if all that is put into it has bounds.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from rnnkit.compiler.ir.graph import Graph, Node
from rnnkit.compiler.ir.simplify import rebuilt
from rnnkit.compiler.planning.ranges import Bounds, bounds_of, either

_ATTEMPTS = 6
_SMALL, _MOST = 1 << 18, 2.0**31  # of numbers in a step, and that an integer is asked for
# Comparisons, and the integer that is compared with in place of a number between two of them.
_ARRAYS = ("put", "take", "view", "concatenate")
_COMPARISONS: dict = {"greater": np.floor, "less_equal": np.floor, "less": np.ceil, "greater_equal": np.ceil}
_COMPARISONS |= dict.fromkeys(("equal", "not_equal"))


def whole_states(
    graph: Graph, largest: int, modes: bool = False, arrays: bool = True
) -> tuple[Graph, dict[int, Bounds], dict[int, Bounds]]:
    """Return the graph with such states as integers, their bounds, and those bounds that a program has to watch.

    All integers up to `largest`, and up to twice of it, are floats; with 0 no state is carried as an integer. With
    `modes`, those are carried so as well that are only compared, chosen, and added to; and `arrays`, where asked for.
    """
    arrays = arrays and modes
    live = graph.live() if largest else []
    users: dict[int, list[Node]] = {node.id: [] for node in live}
    for node in live:
        for arg in node.args:
            users[arg.id].append(node)
    shown = {node.id for node in (graph.output, *graph.residuals.values(), *(fails for fails, _ in graph.checks))}
    states = {node.attr: node for node in live if node.op == "state" and node.kind == "float"}
    states = {i: node for i, node in states.items() if node.size == 1 or arrays}
    found = {i for i, node in states.items() if modes or any(one.op == "absolute" for one in users[node.id])}
    while found:
        made = _whole_numbers(live, found, arrays)
        wanted, lost = set[int](), {i for i in found if graph.states[i].id not in made}
        asked = set[int]().union(*(made.get(node.args[0].id, ()) for node in live if node.op == "absolute"))
        lost |= {i for i in found - asked if states[i].size > 1}
        for node in live:
            if of := made.get(node.id):
                others = [user for user in users[node.id] if not _reads(user, made, users)]
                if len(others) < len(users[node.id]):
                    wanted |= of
                if node.id in shown or any(user.id not in made for user in others):
                    lost |= of
        if not (lost := lost | (found - wanted)):
            break
        found -= lost
    if not found:
        return graph, {}, {}
    known: dict[int, Node] = {}
    new = rebuilt(graph, (partial(_read, made, users, {states[i].id for i in found}, known),))
    new.states = tuple(_whole(new, node, known) if i in found else node for i, node in enumerate(new.states))
    needed = rebuilt(new, ())
    bounds, watched = _bounds(needed, list(found), largest)
    several = {i for i in found if states[i].size > 1}
    unknown = any(i in watched or bounds[i] == (0, 0) for i in several)  # which none but what is there is put into
    most = max(max(-low, high) for low, high in bounds_of(new, bounds, known).values()) if several else 0
    if unknown or most > 2 * largest:
        return whole_states(graph, largest, modes, arrays=False)
    return needed, bounds, watched


def _whole_numbers(live: list[Node], found: set[int], arrays: bool) -> dict[int, set[int]]:
    """Return the floats that are whole numbers if some states are: by their ids, the states that each is made of."""
    made: dict[int, set[int]] = {}
    for node in live:
        args = [arg for arg in node.args if arg.kind == "float"] if node.op in ("where", *_ARRAYS) else node.args
        is_sum = node.op in ("add", "subtract") and any(arg.op == "literal" for arg in args)
        is_chosen = node.op == "where" or (arrays and node.kind == "float" and node.op in _ARRAYS)
        if node.op == "state" and node.attr in found:
            made[node.id] = {node.attr}
        elif node.kind == "float" and (_is_small(node) or (node.op == "cast" and args[0].kind == "int64")):
            made[node.id] = set()
        elif (is_chosen or is_sum) and all(arg.id in made for arg in args):
            made[node.id] = set().union(*(made[arg.id] for arg in args))
    return made


def _is_small(node: Node) -> bool:
    """Return whether a node is a small whole number in the step."""
    if node.op != "literal" or np.any(node.attr != np.rint(node.attr)) or np.any(np.abs(node.attr) >= _SMALL):
        return False
    return not np.signbit(node.attr[node.attr == 0]).any()


def _reads(node: Node, made: dict[int, set[int]], users: dict[int, list[Node]]) -> bool:
    """Return whether whole numbers are compared, or one becomes an integer, as ``where(abs(it) < most, it, 0)``."""
    if node.op == "absolute":
        asked = [one.args[1] if one.op == "less" else node for one in users[node.id]]
        return all(one.op == "literal" and np.all(one.attr >= _MOST) for one in asked)
    if node.op == "cast":
        return node.kind == "int64" and node.args[0].id in made
    if node.op not in _COMPARISONS or node.args[0].id not in made:
        return False
    other = node.args[1]
    is_near = other.op == "literal" and _COMPARISONS[node.op] is not None and np.all(np.abs(other.attr) < _SMALL)
    return other.id in made or bool(is_near)


def _whole(graph: Graph, node: Node, known: dict[int, Node]) -> Node:
    """Return the integer of such a float."""
    if node.id not in known:
        args = [_whole(graph, arg, known) if arg.kind == "float" else arg for arg in node.args]
        if node.op in ("where", "add", "subtract"):
            found = graph.pointwise(node.op, *args)
        elif node.op in _ARRAYS:
            key = node.attr.key if node.op == "view" else None
            found = graph.add(node.op, args, node.shape, node.attr, "int64", key)
        else:
            found = graph.literal(node.attr.astype(np.int64)) if node.op == "literal" else node.args[0]
        known[node.id] = found
    return known[node.id]


def _read(made, users, states: set[int], known, graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    """Return a state as an integer, what was asked before it was made one, and comparisons with it."""
    if node.id in states:
        return graph.cast(graph.add("state", (), node.shape, node.attr, "int64"), "float")
    if node.op == "less" and node.args[0].op == "absolute" and made.get(node.args[0].args[0].id):
        return graph.literal(np.full(node.shape, True))
    if node.op != "absolute" and _reads(node, made, users) and any(made.get(arg.id) for arg in node.args):
        one, *others = (
            _whole(graph, new if arg.id in made else graph.literal(_COMPARISONS[node.op](arg.attr)), known)
            for arg, new in zip(node.args, args, strict=True)
        )
        return graph.pointwise(node.op, one, *others) if others else one
    if node.op in ("put", "take") and made.get(node.id):  # in their order, in which arrays are changed in place
        new = graph.again(node, args)
        _whole(graph, new, known)
        return new
    return None


def _bounds(graph: Graph, states: list[int], largest: int) -> tuple[dict[int, Bounds], dict[int, Bounds]]:
    """Between which numbers states are: those that steps make of 0, as far as that ends, or all that floats have."""
    full = (-largest, largest)
    made = bounds_of(graph, dict.fromkeys(states, full))
    bounds = {i: either(one, (0, 0)) for i, one in made.items() if full[0] <= one[0] and one[1] <= full[1]}
    if len(bounds) < len(states) or any(low < 0 for low, _ in bounds.values()):  # places are from 0 on
        numbers = _numbers(graph)
        for widened in (True, False):
            found = _grown(graph, states, numbers, widened)
            if found is not None:
                return {i: _within(one, bounds.get(i, full)) for i, one in found.items()}, {}
    watched = dict.fromkeys([i for i in states if i not in bounds and graph.states[i].size == 1], full)
    bounds = dict.fromkeys(states, full) | bounds
    arrays = [i for i in states if graph.states[i].size > 1]
    found = _grown(graph, arrays, _numbers(graph), False, bounds) if arrays else {}
    return (bounds, watched | dict.fromkeys(arrays, full)) if found is None else (bounds | found, watched)


def _grown(
    graph: Graph, states: list[int], numbers: list[int], widened: bool, others: dict[int, Bounds] | None = None
) -> dict[int, Bounds] | None:
    """Return the bounds that those of 0 grow to by steps; None if they pass all numbers in the step or keep on."""
    bounds = dict.fromkeys(states, (0, 0))
    for _ in range(_ATTEMPTS):
        made = bounds_of(graph, (others or {}) | bounds)
        wider = {i: either(one, made[i]) for i, one in bounds.items()}
        if wider == bounds:
            return bounds
        if any(low < numbers[0] or high > numbers[-1] for low, high in wider.values()):
            return None
        bounds = {i: _to_numbers(one, numbers) for i, one in wider.items()} if widened else wider
    return None


def _within(one: Bounds, other: Bounds) -> Bounds:
    return max(one[0], other[0]), min(one[1], other[1])


def _numbers(graph: Graph) -> list[int]:
    """Return the integers in a step, in order."""
    literals = (node.attr for node in graph.nodes if node.op == "literal" and node.kind == "int64")
    return sorted({0, *(number for array in literals for number in array.reshape(-1).tolist())})


def _to_numbers(bounds: Bounds, numbers: list[int]) -> Bounds:
    """Bounds widened to numbers in the step."""
    return max(n for n in numbers if n <= bounds[0]), min(n for n in numbers if n >= bounds[1])
