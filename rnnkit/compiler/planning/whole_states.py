"""States of whole numbers, such as a counter, a place or a mode, carried as integers from step to step.

States are floats. A step that begins with ``int(states.place)`` and ends with ``float(place)`` would convert twice in
each step, check that the float has an integer, and that this is a place. Where a state is read and written in no other
way, the program of one row carries the integer. It is known to be between the numbers that a step makes of such ones,
or of 0; a row that begins with another number, or comes to one, is computed by the ordinary program. A mode, which a
step compares with numbers, is carried so as well, where asked for: integers are compared in less time than floats.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from rnnkit.compiler.ir.graph import Graph, Node
from rnnkit.compiler.ir.simplify import rebuilt
from rnnkit.compiler.planning.ranges import Bounds, bounds_of

_ATTEMPTS = 6
_SMALL = 1 << 20
# Of comparisons of an integer with a number, the integer that it is compared with as well.
_BESIDE = {"greater": np.floor, "less_equal": np.floor, "less": np.ceil, "greater_equal": np.ceil}
_BESIDE |= {"equal": np.rint, "not_equal": np.rint}


def whole_states(graph: Graph, largest: int, modes: bool = False) -> tuple[Graph, dict[int, Bounds], dict[int, Bounds]]:
    """Return the graph with such states as integers, their bounds, and those bounds that a program has to watch.

    All integers up to `largest`, and up to twice of it, are floats; with 0 no state is carried as an integer. With
    `modes`, those are carried so that are only compared with numbers.
    """
    users: dict[int, list[Node]] = {}
    live = graph.live()
    for node in live:
        for arg in node.args:
            users.setdefault(arg.id, []).append(node)
    results = {node.id for node in graph.results()}
    found = {
        node.attr: node
        for node in live
        if node.op == "state"
        and node.kind == "float"
        and node.size == 1
        and node.id not in results
        and _is_read_whole(node, users, modes)
    }
    while not_whole := [i for i in found if not _is_whole(graph.states[i], found)]:
        for i in not_whole:
            del found[i]
    if not found or not largest:
        return graph, {}, {}
    new = rebuilt(graph, (partial(_read, {node.id for node in found.values()}),))
    new.states = tuple(_whole(new, node) if i in found else node for i, node in enumerate(new.states))
    new = rebuilt(new, ())
    return new, *_bounds(new, list(found), largest)


def _is_read_whole(state: Node, users, modes: bool) -> bool:
    """Whether a state is read as an integer alone: as ``where(abs(state) < most, state, 0)``, cast, or compared so.

    Of `modes`, one that is compared with a number may be part of what becomes a state.
    """
    own = users.get(state.id, ())
    modes = modes and any(_is_beside(user, state.id) for user in own)
    for user in own:
        if _is_compared(user, state.id) or (modes and _is_beside(user, state.id)):
            continue
        if user.op == "absolute":
            if any(one.op != "less" or one.args[1].op != "literal" for one in users.get(user.id, ())):
                return False
        elif _is_made_whole(user, state.id):
            if any(one.op != "cast" or one.kind != "int64" for one in users.get(user.id, ())):
                return False
        elif not modes or user.op not in ("where", "add", "subtract"):
            return False
    return bool(own)


def _is_beside(node: Node, state: int) -> bool:
    """Whether a state is compared with a number."""
    if node.op not in _BESIDE or node.args[0].id != state or node.args[1].op != "literal" or node.args[1].size != 1:
        return False
    number = float(node.args[1].attr.reshape(()))
    return abs(number) < _SMALL and (number == np.rint(number) or node.op not in ("equal", "not_equal"))


def _is_made_whole(node: Node, state: int) -> bool:
    """Whether a node is ``where(abs(state) < most, state, 0)``."""
    if node.op != "where" or node.args[1].id != state or node.args[0].op != "less":
        return False
    tested = node.args[0].args[0]
    return tested.op == "absolute" and tested.args[0].id == state


def _is_compared(node: Node, state: int) -> bool:
    """Whether a state is compared with itself as an integer."""
    if node.op not in ("equal", "not_equal") or node.args[0].id != state or not _is_part(node.args[1], {}):
        return False
    cast = node.args[1].args
    return bool(cast) and cast[0].op == "cast" and cast[0].args[0].op == "where" and cast[0].args[0].args[1].id == state


def _is_whole(node: Node, states: dict[int, Node]) -> bool:
    """Whether a float is an integer's, on all ways to it, if those states are."""
    if node.op == "where":
        return all(_is_whole(arg, states) for arg in node.args[1:])
    if node.op in ("add", "subtract"):
        return all(_is_part(arg, states) for arg in node.args) and any(arg.op == "literal" for arg in node.args)
    return _is_part(node, states)


def _is_part(node: Node, states: dict[int, Node]) -> bool:
    """Whether a float is an integer itself: one of the states, converted, or a small number in the step."""
    if node.op == "state":
        return node.attr in states
    if node.op == "literal":
        whole = np.all(node.attr == np.rint(node.attr)) and np.all(np.abs(node.attr) < _SMALL)
        return bool(whole) and not np.signbit(node.attr[node.attr == 0]).any()
    return node.op == "cast" and node.kind == "float" and node.args[0].kind == "int64"


def _whole(graph: Graph, node: Node) -> Node:
    """The integer of such a float."""
    if node.op == "where":
        return graph.pointwise("where", node.args[0], *(_whole(graph, arg) for arg in node.args[1:]))
    if node.op in ("add", "subtract"):
        return graph.pointwise(node.op, *(_whole(graph, arg) for arg in node.args))
    return graph.literal(node.attr.astype(np.int64)) if node.op == "literal" else node.args[0]


def _read(states: set[int], graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    """A state as an integer, and what was asked before it was made one."""
    if node.id in states:
        return graph.cast(graph.add("state", (), node.shape, node.attr, "int64"), "float")
    if any(_is_beside(node, state) for state in states):
        number = graph.literal(_BESIDE[node.op](node.args[1].attr).astype(np.int64))
        return graph.pointwise(node.op, args[0].args[0], number)
    if any(_is_compared(node, state) for state in states):
        return graph.literal(np.full(node.shape, node.op == "equal"))
    if node.op == "absolute" and node.args[0].id in states:
        return args[0]
    if node.op == "less" and node.args[0].op == "absolute" and node.args[0].args[0].id in states:
        return graph.literal(np.full(node.shape, True))
    if any(_is_made_whole(node, state) for state in states):
        return args[1]
    if node.op == "cast" and any(_is_made_whole(node.args[0], state) for state in states):
        return args[0].args[0]
    return None


def _bounds(graph: Graph, states: list[int], largest: int) -> tuple[dict[int, Bounds], dict[int, Bounds]]:
    """Between which numbers states are: those that steps make of 0, as far as that ends, or all that floats have."""
    full = (-largest, largest)
    made = bounds_of(graph, dict.fromkeys(states, full))
    bounds = {i: _both(one, (0, 0)) for i, one in made.items() if full[0] <= one[0] and one[1] <= full[1]}
    if len(bounds) < len(states) or any(low < 0 for low, _ in bounds.values()):  # places are from 0 on
        numbers = _numbers(graph)
        for widened in (True, False):
            found = _grown(graph, states, numbers, widened)
            if found is not None:
                return {i: _within(one, bounds.get(i, full)) for i, one in found.items()}, {}
    return dict.fromkeys(states, full) | bounds, dict.fromkeys([i for i in states if i not in bounds], full)


def _grown(graph: Graph, states: list[int], numbers: list[int], widened: bool) -> dict[int, Bounds] | None:
    """What bounds of 0 become by steps, until they stay or are beyond all numbers in the step."""
    bounds = dict.fromkeys(states, (0, 0))
    for _ in range(_ATTEMPTS):
        made = bounds_of(graph, bounds)
        wider = {i: _both(one, made[i]) for i, one in bounds.items()}
        if wider == bounds:
            return bounds
        if any(low < numbers[0] or high > numbers[-1] for low, high in wider.values()):
            return None
        bounds = {i: _to_numbers(one, numbers) for i, one in wider.items()} if widened else wider
    return None


def _both(one: Bounds, other: Bounds) -> Bounds:
    return min(one[0], other[0]), max(one[1], other[1])


def _within(one: Bounds, other: Bounds) -> Bounds:
    return max(one[0], other[0]), min(one[1], other[1])


def _numbers(graph: Graph) -> list[int]:
    """The integers in a step, in order."""
    literals = (node.attr for node in graph.nodes if node.op == "literal" and node.kind == "int64")
    return sorted({0, *(number for array in literals for number in array.reshape(-1).tolist())})


def _to_numbers(bounds: Bounds, numbers: list[int]) -> Bounds:
    """Bounds widened to numbers in the step."""
    return max(n for n in numbers if n <= bounds[0]), min(n for n in numbers if n >= bounds[1])
