"""Decisions by values while a step of one row is read: conditions, and the join of two ways through the step.

A condition is a Python bool where tracing knows it, else a symbol. Both ways are read, each from the state before the
decision; then every name, array and list that differs between them becomes ``where(condition, one, other)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import find_symbol, lift, pointwise
from rnnkit.compiler.tracing.complex_numbers import Complex, imag_part, paired, real_part, truth_of
from rnnkit.compiler.tracing.symbol import Symbol
from rnnkit.complex_pairs import is_complex


def known(value):
    """Return a symbol of constants as an array of NumPy; anything else as it is."""
    if not isinstance(value, Symbol) or not value.fixed:
        return value
    return np.asarray(evaluate([value.node], {}, np.float64)[value.node.id])


def truth(value):
    """Return a value as a condition."""
    value = truth_of(value) if isinstance(value, Complex) else value
    value = known(value)
    if not isinstance(value, Symbol):
        return bool(value)
    if value.node.size != 1:
        raise Untraceable(f"the truth of an array of shape {value.shape}; write np.any or np.all")
    return value.reshape(()).astype(bool)


def both(a, b):
    """Return ``a and b`` of conditions."""
    if isinstance(a, bool) or isinstance(b, bool):
        return (b if a else False) if isinstance(a, bool) else (a if b else False)
    return a if a.node is b.node else not _opposite(a, b) and pointwise("logical_and", a, b)


def either(a, b):
    """Return ``a or b`` of conditions."""
    if isinstance(a, bool) or isinstance(b, bool):
        return (True if a else b) if isinstance(a, bool) else (True if b else a)
    return a if a.node is b.node else _opposite(a, b) or pointwise("logical_or", a, b)


def _opposite(a, b) -> bool:
    return any(x.node.op == "logical_not" and x.node.args[0] is y.node for x, y in ((a, b), (b, a)))


def negated(a):
    """Return ``not a`` of a condition."""
    if isinstance(a, bool):
        return not a
    inner = a.node.args[0] if a.node.op == "logical_not" else None
    return pointwise("logical_not", a) if inner is None else a.made(inner)


@dataclass(frozen=True)
class Unread:
    """The value of a name that may not be read, with the reason."""

    reason: str


@dataclass(frozen=True, eq=False)
class Partly:
    """A name that has a value under a condition only, and is None under another."""

    value: Any
    under: Any
    none: Any = False


@dataclass(frozen=True, eq=False)
class Way:
    """The end of one way through a step: its condition, and the values of names, arrays and lists.

    ``trail`` are the decisions, each a condition and whether it held, on this way since its function or round began,
    without those whose branches have joined again.
    """

    live: Any
    names: dict[str, Any]
    nodes: dict[int, Any]
    lists: dict[int, tuple[list, list]]
    trail: tuple[tuple[Any, bool], ...] = ()


class Memory:
    """The names of a function that is read, and the arrays and lists that it changes."""

    def __init__(self, graph, like):
        self.graph, self.like = graph, like

    def way(self, live, names, trail) -> Way:
        """Return a `Way` with the current values."""
        nodes = {number: symbol.node for number, (symbol, _) in self.graph.moved.items()}
        lists: dict[int, tuple[list, list]] = {}
        stack = list(names.values())
        while stack:
            value = stack.pop()
            if isinstance(value, list) and id(value) not in lists:
                lists[id(value)] = value, list(value)
            if isinstance(value, (list, tuple)):
                stack.extend(value)
        return Way(live, dict(names), nodes, lists, trail)

    def restore(self, way: Way) -> None:
        """Restore the values of arrays and lists at the end of a way."""
        for number, (symbol, first) in self.graph.moved.items():
            symbol._node = way.nodes.get(number, first)
        for held, content in way.lists.values():
            held[:] = content

    def node_in(self, way: Way, symbol):
        """Return the node of a symbol at the end of a way."""
        if symbol.base is not None:
            return self.graph.view(self.node_in(way, symbol.base), symbol.shows)
        first = self.graph.moved.get(id(symbol), (symbol, symbol._node))[1]
        return way.nodes.get(id(symbol), first)

    def joined(self, condition, a: Way, b: Way) -> Way:
        """Return the way of rows that took a under the condition, else b; arrays and lists get its values."""
        names = {
            name: self._joined(condition, a, b, a.names.get(name, _UNSET), b.names.get(name, _UNSET), _called(name))
            for name in {**a.names, **b.names}
        }
        nodes = {}
        for number, (_, first) in self.graph.moved.items():
            one, other = a.nodes.get(number, first), b.nodes.get(number, first)
            nodes[number] = one if one is other else self.graph.pointwise("where", condition.node, one, other)
        lists = dict(a.lists | b.lists)
        for number in a.lists.keys() & b.lists.keys():
            held, content = a.lists[number]
            other = b.lists[number][1]
            if len(content) != len(other):
                raise Untraceable("a list that is longer in one branch than in the other; use an array of fixed length")
            pairs = zip(content, other, strict=True)
            merged = [self._joined(condition, a, b, one, two, "an entry of a list") for one, two in pairs]
            lists[number] = held, merged
        way = Way(either(a.live, b.live), names, nodes, lists)
        self.restore(way)
        return way

    def _joined(self, condition, a: Way, b: Way, one, other, what):
        if one is other:
            return one
        is_none = (one is None and _is_numbers(other)) or (other is None and _is_numbers(one))
        if is_none or isinstance(one, (Unread, Partly)) or isinstance(other, (Unread, Partly)):
            return self._partly(condition, a, b, one, other, what)
        if is_complex(one) or is_complex(other):
            if not is_numeric(one) or not is_numeric(other):
                return Unread(f"expected numbers as {what} in both branches, got {in_words(one)} and {in_words(other)}")
            parts = [self._joined(condition, a, b, of(one), of(other), what) for of in (real_part, imag_part)]
            wrong = next((part for part in parts if isinstance(part, Unread)), None)
            return paired(self.like, *parts) if wrong is None else wrong
        nested = (tuple, list)
        if isinstance(one, nested) and isinstance(other, nested) and len(one) == len(other):
            pairs = zip(one, other, strict=True)
            found = [self._joined(condition, a, b, x, y, what) for x, y in pairs]
            return type(one)(*found) if hasattr(one, "_fields") else type(one)(found)
        if is_numeric(one) and is_numeric(other):
            if not isinstance(one, Symbol) and type(one) is type(other) and np.array_equal(one, other):
                return one
            pair = [self.node_in(w, v) if isinstance(v, Symbol) else self._node(v) for w, v in ((a, one), (b, other))]
            if pair[0].shape != pair[1].shape:
                shapes = " in one branch and ".join(str(node.shape) for node in pair)
                return Unread(f"expected {what} of one shape, got {shapes} in the other")
            made = self.like.made(self.graph.pointwise("where", condition.node, *pair))
            # To write into it would change one of the two arrays, which another name may stand for.
            made.unsure = bool(made.ndim) and any(_is_held(a, v) and _is_held(b, v) for v in (one, other))
            return made
        try:
            same = bool(one == other)
        except Exception:
            same = False
        kinds = " in one branch and ".join(map(in_words, (one, other)))
        hint = "; write numbers for words" if isinstance(one, str) and isinstance(other, str) else ""
        problem = f"expected numbers or arrays as {what} in both branches, got {kinds} in the other{hint}"
        return one if same else Unread(problem)

    def _partly(self, condition, a, b, one, other, what):
        parts, none = [], False
        for value, under in ((one, condition), (other, negated(condition))):
            if isinstance(value, Unread):
                if value is not _UNSET:
                    return value
            elif isinstance(value, Partly):
                parts.append((value.value, both(under, value.under)))
                none = either(none, both(under, value.none))
            elif value is None and other is not _UNSET and one is not _UNSET:
                none = either(none, under)
            else:
                parts.append((value, under))
        if not parts:
            return _UNSET
        if len(parts) == 1:
            return Partly(*parts[0], none)
        (x, under_x), (y, under_y) = parts
        value, under = self._joined(condition, a, b, x, y, what), either(under_x, under_y)
        return value if under is True else Partly(value, under, none)

    def _node(self, value):
        return lift(self.like, value).node


_UNSET = Unread("")


def _called(name) -> str:
    """Return the words for a name in errors; it may also be the result of an expression or a function."""
    return repr(name) if name.isidentifier() else f"the {name or 'result'}"


def _is_held(way, value) -> bool:
    """Tell whether a name stands for this array, or for a tuple with it."""
    array = value.base if isinstance(value, Symbol) and value.base is not None else value
    held = [one for v in way.names.values() for one in (v if isinstance(v, (tuple, list)) else parts_of(v))]
    return any(one is value or one is array for one in held)


def in_words(value) -> str:
    """Return the words for a value in errors."""
    return "None" if value is None else "a number or array" if is_numeric(value) else f"a {type(value).__name__}"


def leaves_of(value) -> list:
    """Return the leaves of tuples and lists, in order; of complex numbers both parts."""
    if isinstance(value, (tuple, list)):
        return [leaf for one in value for leaf in leaves_of(one)]
    return list(parts_of(value))


def mapped(value, function):
    """Return tuples and lists with a function's result for each leaf."""
    if is_complex(value):
        parts = function(value.real), function(value.imag)
        like = find_symbol(*parts)
        return value if like is None else paired(like, *parts)
    if not isinstance(value, (tuple, list)):
        return function(value)
    found = [mapped(one, function) for one in value]
    return type(value)(*found) if hasattr(value, "_fields") else type(value)(found)


def parts_of(value) -> tuple:
    """Return the real and imaginary part of a complex array, or the value alone."""
    return (value.real, value.imag) if is_complex(value) else (value,)


def _is_numbers(value) -> bool:
    return all(map(is_numeric, leaves_of(value)))


def is_numeric(value) -> bool:
    """Tell whether this is a number or an array of numbers."""
    return isinstance(value, (bool, int, float, complex, np.number, np.bool_, np.ndarray, Symbol, Complex))
