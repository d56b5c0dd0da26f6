"""The pass that rewrites patterns of a traced graph by rules, and drops nodes that no result needs.

A rule gets a node and its operands, which are rewritten already. It returns what replaces the node, or None. The normal
form of every graph, such as that equal nodes are one, is no rule: see `rnnkit.execution.passes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np

from rnnkit.compiler.ir.graph import INPUTS, Graph, Node, View

Rule = Callable[[Graph, Node, tuple[Node, ...]], Node | None]
_LARGEST_EXPONENT = 64  # of a power of two whose reciprocal is a normal number, also in float32


def simplify(graph: Graph) -> Graph:
    """Return the same step, rewritten by `RULES`, in the same order; loops lose carried values that nothing reads."""
    new = rebuilt(graph, (*RULES, row_without_axis) if graph.by_vjp else RULES)
    if narrower := _unread_columns(new):
        new = rebuilt(new, (partial(_narrowed, narrower),))
    return new if len(new.live()) == len(new.nodes) else rebuilt(new, ())  # without the nodes that were rewritten


def _unread_columns(graph: Graph) -> dict[int, tuple[int, int]]:
    """Return the first and the last column that is read of each product of which not all are, by the node's number."""
    read: dict[int, list[np.ndarray]] = {}
    whole = {node.id for node in graph.results()}
    for node in graph.live():
        for arg in node.made_of:
            if arg.op == "product" and node.op == "view":
                read.setdefault(arg.id, []).append(node.attr.index(arg.shape).ravel() % arg.shape[-1])
            elif arg.op == "product":
                whole.add(arg.id)
    found = {number: np.concatenate(columns) for number, columns in read.items() if number not in whole}
    ends = {number: (int(columns.min()), int(columns.max())) for number, columns in found.items() if columns.size}
    return {n: (low, high) for n, (low, high) in ends.items() if high - low + 1 < graph.nodes[n].shape[-1]}


def _narrowed(narrower: dict[int, tuple[int, int]], graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    """Compute the columns of a product that are read: of one with complex numbers perhaps the real part alone."""
    if node.op != "view" or node.args[0].id not in narrower:
        return None
    low, high = narrower[node.args[0].id]
    a, weight = args[0].args
    some = graph.product(a, graph.view(weight, View.item((slice(None), slice(low, high + 1)), ("columns", low, high))))
    rows, columns = np.divmod(node.attr.index(args[0].shape), args[0].shape[-1])
    places = rows * some.shape[-1] + columns - low
    if np.array_equal(places.ravel(), np.arange(some.size)):
        return graph.reshape(some, node.shape)
    return graph.view(some, View.gather(places))


def stable_sigmoid(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    """Replace ``1 / (1 + exp(-z))`` by the sigmoid, which neither overflows nor warns."""
    if node.op != "divide" or not _is_one(args[0]) or args[1].op != "add":
        return None
    denominator = args[1]
    for one, power in (denominator.args, denominator.args[::-1]):
        if _is_one(one) and power.op == "exp" and power.shape == denominator.shape:
            exponent = power.args[0]
            z = exponent.args[0] if exponent.op == "negative" else graph.pointwise("negative", exponent)
            return graph.pointwise("sigmoid", z)
    return None


def without_rules(graph: Graph) -> Graph:
    """Return the step for runs without a gradient: nodes with a user's rule become their values."""
    if all(node.op != "ruled" for node in graph.nodes):
        return graph
    return rebuilt(graph, (_value_of,), lambda node: node.made_of)


def _value_of(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    if node.op == "ruled":
        return args[0]
    if node.op == "view" and node.args[0].op == "ruled" and args[0].op == "concatenate":  # of several values, one
        places, first = node.attr.index(args[0].shape), 0
        for part in args[0].args if len(args[0].shape) == 1 else ():
            if part.shape == node.shape and np.array_equal(places, first + np.arange(part.size)):
                return part
            first += part.size
    return None


def reduced(graph: Graph) -> Graph:
    """Return the same step for a program, with cheaper divisions by powers of two and powers by roots.

    It runs after differentiation: the slope of ``x**3.5`` at 0 is 0, that of the root in it infinite.
    """
    if not any(node.op in ("divide", "power") and node.args[1].op == "literal" for node in graph.nodes):
        return graph
    return rebuilt(graph, (_by_roots, _by_product))


def _by_product(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    """Replace a division by a power of two by a product with its reciprocal, which is exact."""
    if node.op != "divide" or args[1].op != "literal" or not args[0].batched or args[1].size != 1:
        return None
    divisor = float(args[1].attr.reshape(()))
    fraction, exponent = np.frexp(divisor)
    if abs(fraction) != 0.5 or abs(exponent) > _LARGEST_EXPONENT:
        return None
    return graph.pointwise("multiply", args[0], graph.literal(1.0 / args[1].attr))


def _quarters(exponent: Node) -> float | None:
    """Return an exponent that is a small multiple of 1/4, but no integer: roots give its power within 4 ulp."""
    if exponent.op != "literal" or exponent.size != 1:
        return None
    found = float(exponent.attr.reshape(()))
    return found if -2 < found < 4 and (found * 4).is_integer() and not found.is_integer() else None


def _by_roots(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    exponent = _quarters(args[1]) if node.op == "power" else None
    if exponent is None or args[0].shape != node.shape:
        return None
    base, one = args[0], graph.literal(1.0)
    whole, quarters = divmod(round(abs(exponent) * 4), 4)
    root = graph.pointwise("sqrt", base)
    found = root if quarters == 2 else graph.pointwise("sqrt", root)
    if quarters == 3:
        found = graph.pointwise("multiply", root, found)
    if exponent < 0:  # each factor by itself, which overflows where the result does
        base, found = (graph.pointwise("divide", one, factor) for factor in (base, found))
    for _ in range(whole):
        found = graph.pointwise("multiply", base, found)
    return graph.pointwise("absolute", found)  # of -0, which has a root


def product_by_parts(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    """Replace a product of a concatenation by the sum of the parts' products, so that each can leave the time loop."""
    if node.op != "product" or args[0].op != "concatenate" or args[0].attr != len(args[0].shape) - 1:
        return None
    (joined, weight), total, low = args, None, 0
    for part in joined.args:
        high = low + part.shape[-1]
        rows = graph.view(weight, View.item((slice(low, high),), ("rows", low, high)))
        term = product_by_parts(graph, node, (part, rows)) or graph.product(part, rows)
        total, low = term if total is None else graph.pointwise("add", total, term), high
    return total


def row_without_axis(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    """Compute a vjp's value of a batch of one row as the step's value of a row, so that it is computed once."""
    if node.shape[:1] != (1,) or not (node.pointwise or node.op == "product"):
        return None
    rows = [_row_of(a, len(node.shape)) for a in (args if node.pointwise else args[:1])]
    if any(a is None for a in rows):
        return None
    found = graph.pointwise(node.op, *rows) if node.pointwise else graph.product(rows[0], args[1])
    return graph.reshape(found, node.shape) if found.shape == node.shape[1:] and found.kind == node.kind else None


def _row_of(node: Node, rank: int) -> Node | None:
    if len(node.shape) < rank:
        return node
    own = node.op == "view" and node.attr.key[0] == "reshape" and node.args[0].shape == node.shape[1:]
    return node.args[0] if own else None


RULES: tuple[Rule, ...] = (stable_sigmoid, product_by_parts)


def places_in_floats(graph: Graph) -> Graph:
    """Return the same step for a target without integers, if these are indices: counted, compared and chosen.

    A ValueError names the operation and the line that computes with integers, or in float32 beside float64.
    """
    exact = ("int32", "int64")
    if all(node.kind in ("float", "bool") for node in graph.live()):
        return graph
    for node in graph.live():
        kinds = {node.kind, *(a.kind for a in node.args)} - {"float", "bool"}
        few = all(a.op != "literal" or bool((abs(a.attr.astype(float)) < 2**23).all()) for a in node.args)
        counts = node.op in ("add", "subtract") and few and any(a.op == "literal" for a in node.args)
        compares = node.kind == "bool" or node.op in (*INPUTS, "literal", "cast", "view", "concatenate", "where")
        if kinds and not (kinds <= set(exact) and (counts or compares)):
            raise ValueError(
                "expected a step of many numbers to compute with floats on a GPU, and with integers only as places; "
                f'got {node.op} of {sorted(kinds)[0]} in the line {node.line!r}; keep the layer on device="cpu"'
            )
    return rebuilt(graph, (_place_in_floats,))


def _place_in_floats(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
    if node.op == "literal" and node.is_integer:
        return graph.literal(node.attr.astype(float))
    if node.op == "cast":
        if not node.is_integer or node.args[0].is_integer:
            return args[0]
        cut = graph.pointwise("trunc", args[0])
        return graph.pointwise("where", graph.pointwise("equal", cut, cut), cut, graph.literal(-(2.0**63)))
    if node.op == "view" and node.is_integer:
        return graph.view(args[0], node.attr)
    if node.op == "concatenate" and node.is_integer:
        return graph.concatenate(args, node.attr)
    return graph.pointwise(node.op, *args) if node.is_integer else None


def _is_one(node: Node) -> bool:
    return node.op == "literal" and node.shape == () and float(node.attr) == 1.0


def rebuilt(
    graph: Graph, rules: Iterable[Rule], operands: Callable[[Node], tuple[Node, ...]] = lambda node: node.args
) -> Graph:
    """Return a new graph of the nodes that a result needs, in their order, each rewritten by the first matching rule.

    `operands` returns the operands of a node, which may be others than its own, but come before it.
    """
    new = replace(graph, nodes=[], names={}, _known={})
    made: dict[int, Node] = {}
    loops = {node.attr.id: node for node in graph.nodes if node.op == "loop"}
    needed, carried = _needed(graph, loops, operands)
    for node in graph.nodes:
        if node.id not in needed:
            continue
        node = _renumbered(replace(node, args=operands(node)), carried, loops)
        new.locate = partial(str, node.line)
        args = tuple(made[a.id] for a in node.args)
        answers = (rule(new, node, args) for rule in rules)
        found = next((answer for answer in answers if answer is not None), None)
        made[node.id] = new.again(node, args) if found is None else found
    new.locate = str
    new.output, new.states = made[graph.output.id], tuple(made[node.id] for node in graph.states)
    new.residuals = {name: made[node.id] for name, node in graph.residuals.items()}
    new.checks = [(made[node.id], message) for node, message in graph.checks]
    several = graph.fails, graph.tests
    new.fails, new.tests = ([made[node.id] for node in some if node.id in made] for some in several)
    for number, name in graph.names.items():
        if number in made:
            new.names.setdefault(made[number].id, name)
    return new


def _needed(graph: Graph, loops: dict[int, Node], operands) -> tuple[set[int], dict[int, list[int]]]:
    """Return the nodes that a result needs, and for each loop the numbers of the carried values among them."""
    carried: dict[int, set[int]] = {number: set() for number in loops}
    seen: set[int] = set()
    stack = graph.results()
    while stack:
        node = stack.pop()
        if node.id in seen:
            continue
        seen.add(node.id)
        if node.op in ("carried", "taped", "result"):
            number, i = _carried_by(node, loops)
            carried[number].add(i)
            loop = loops[number]
            stack += [operands(loop)[i], operands(loop)[loop.attr.count + 1 + i]]
        stack += operands(node) if node.op != "loop" else [operands(node)[node.attr.count]]
    return seen, {number: sorted(places) for number, places in carried.items()}


def _carried_by(node: Node, loops: dict[int, Node]) -> tuple[int, int]:
    """Return the loop that carries a ``carried``, ``taped`` or ``result`` node, and its place there."""
    number, i = node.attr if node.op != "result" else (node.args[0].attr.id, node.attr)
    if node.op == "taped":  # by the loop whose rounds are undone
        back = loops[number]
        number = back.args[back.attr.count].attr.id
    return number, i


def _renumbered(node: Node, carried: dict[int, list[int]], loops: dict[int, Node]) -> Node:
    """Return a node of a loop that carries less."""
    if node.op in ("carried", "taped", "result"):
        number, i = _carried_by(node, loops)
        place = carried[number].index(i)
        return replace(node, attr=place if node.op == "result" else (node.attr[0], place))
    if node.op != "loop":
        return node
    count, places = node.attr.count, carried[node.attr.id]
    kept = [*places, count, *(count + 1 + i for i in places)]
    return replace(node, args=tuple(node.args[i] for i in kept), attr=replace(node.attr, count=len(places)))
