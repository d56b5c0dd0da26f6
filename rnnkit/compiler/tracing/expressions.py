"""Expressions and assignments of a step of one row: the values of a syntax tree, on symbols."""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, MutableSet
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.compiler.tracing import places
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import find_symbol
from rnnkit.compiler.tracing.complex_numbers import Complex, imag_part, paired, real_part
from rnnkit.compiler.tracing.decisions import Partly, Unread, both, either, is_numeric, known, negated, truth
from rnnkit.compiler.tracing.iterations import iteration_of
from rnnkit.compiler.tracing.source import Inner
from rnnkit.compiler.tracing.symbol import Symbol, is_condition
from rnnkit.complex_pairs import is_complex

BINARY: dict[type, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}  # fmt: skip
IN_PLACE: dict[type, Callable] = {
    kind: getattr(operator, "i" + function.__name__.strip("_")) for kind, function in BINARY.items()
}
_UNARY: dict[type, Callable] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert}
_COMPARED: dict[type, Callable] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne, ast.Is: operator.is_, ast.IsNot: operator.is_not,
}  # fmt: skip
_ORDERED = ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq
REFUSED = {
    "Yield": "a generator; write a loop that fills an array",
    "YieldFrom": "a generator; write a loop that fills an array",
    "Await": "await; a step is a plain function",
    "Try": "try; write the condition with if",
    "With": "with; write what it holds without it",
    "Global": "global; return what the step changes as a state",
    "Nonlocal": "nonlocal; return what the function changes",
    "ClassDef": "a class in a step; define it outside",
    "Match": "match; write if and elif",
}
CHANGEABLE = MutableMapping, MutableSet, MutableSequence
_UNSET = object()
_SKIPPED = {builtins.sum: 0, builtins.any: False, builtins.all: True}  # the neutral element


class Expressions:
    """The part of a `Reader` that evaluates expressions."""

    if TYPE_CHECKING:
        place: tuple[str, int] | None

        def __getattr__(self, name) -> Any:
            """Return what a `Reader` has besides: its frames and memory, checks, decisions and calls."""

    # Assignment

    def assign(self, target, value) -> None:
        if isinstance(target, ast.Name):
            self.frames[-1].names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target.elts, value)
        elif isinstance(target, ast.Subscript):
            self.store(self.evaluate(target.value), self.evaluate(target.slice), value)
        else:
            raise Untraceable("an assignment to an attribute; return what the step changes as a state")

    def _unpack(self, targets, value):
        values = iteration_of(self, value).entries(self)
        starred = [i for i, target in enumerate(targets) if isinstance(target, ast.Starred)]
        if starred:
            (at,), extra = starred, len(values) - len(targets) + 1
            values[at : at + extra] = [values[at : at + extra]]
            targets = [t.value if isinstance(t, ast.Starred) else t for t in targets]
        if len(values) != len(targets):
            raise ValueError(f"expected {len(targets)} values to unpack, got {len(values)}")
        for target, one in zip(targets, values, strict=True):
            self.assign(target, one)

    def load(self, container, key):
        if isinstance(container, dict) and find_symbol(_plain(key)) is not None:
            raise Untraceable("a dict at a computed key; write if, or an array")
        if places.is_computed(key):
            if isinstance(container, (list, tuple)):
                container = self._stacked(container)
            if is_complex(container):
                return paired(self.like, *(self.load(part, key) for part in (container.real, container.imag)))
            if isinstance(container, np.ndarray):
                container = self.symbol(container)
            if isinstance(container, Symbol):
                return places.load(self, container, key)
        key = _plain(key)
        try:
            return container[key]
        except IndexError:
            if self.path() is True:
                raise
            self.check(False, f"an index is out of range: {key}")
            return container[tuple(0 for _ in key) if isinstance(key, tuple) else 0]

    def _stacked(self, values):
        if not all(map(is_numeric, values)):
            raise Untraceable("a computed place in a list of what is no number or array; use an array")
        return np.stack(values) if any(map(is_complex, values)) else self.symbol(values)

    def store(self, container, key, value) -> None:
        self.refuse_outside(container)
        if isinstance(container, Complex):
            self.store(container.real, key, real_part(value))
            return self.store(container.imag, key, imag_part(value))
        if isinstance(container, Symbol):
            if places.is_computed(key):
                return places.store(self, container, key, value)
            try:
                container[_plain(key)] = value
            except IndexError:
                if self.path() is True:
                    raise
                self.check(False, f"an index is out of range: {key}")
            return None
        if isinstance(container, list):
            if not places.is_computed(key):
                container[_plain(key)] = value
                return None
            n = len(container)
            self.check(both(truth(key >= -n), truth(key < n)), f"an index is out of range for a list of {n}")
            for k in range(n):
                here = either(truth(key == k), truth(key == k - n))
                container[k] = np.where(here, value, container[k])
            return None
        if isinstance(container, dict) and self.path() is True:
            container[_plain(key)] = value
            return None
        if isinstance(container, np.ndarray):
            raise Untraceable("an assignment into an array that isn't the step's own; copy it first")
        raise Untraceable(f"an assignment into a {type(container).__name__}; use an array of the step's own")

    # Expressions

    def evaluate(self, node) -> Any:
        name, held = type(node).__name__, self.place
        method = getattr(self, f"_{name}", None)
        if name in REFUSED or method is None:
            raise Untraceable(REFUSED.get(name, f"the expression {name} can't be read in a step of one row"))
        self.place = self.frames[-1].file, node.lineno
        value = method(node)
        self.place = held
        return value

    def _Constant(self, node):
        return node.value

    def _Name(self, node):
        frame = self.frames[-1]
        value = frame.names[node.id] if node.id in frame.names else frame.outer(node.id)
        if not frame.has(node.id):
            self.is_outside(value)
        if isinstance(value, Unread):
            raise Untraceable(value.reason or f"the name {node.id!r} has no value here")
        if isinstance(value, Partly):
            without = "is None" if value.none is not False else "has no value"
            self.check(value.under, f"the name {node.id!r} {without} where it is read")
            value = value.value
        return value

    def _Attribute(self, node):
        of = self.evaluate(node.value)
        value = getattr(of, node.attr)
        if not isinstance(of, (Symbol, *CHANGEABLE)):
            self.is_outside(value)
        return value

    def is_outside(self, value) -> None:
        """Note that a list or dict, with all that it holds, was there before the step."""
        stack = [value]
        while stack:
            one = stack.pop()
            if isinstance(one, (*CHANGEABLE, tuple)) and id(one) not in self.outside:
                self.outside[id(one)] = one
                stack.extend(one.values() if isinstance(one, Mapping) else one)

    def refuse_outside(self, container) -> None:
        """Refuse a change of a container that was there before the step."""
        if isinstance(container, CHANGEABLE) and id(container) in self.outside:
            raise Untraceable(
                f"a change of a {type(container).__name__} from outside of the step, which only its reading would see; "
                "return what is to be kept as an output or a state"
            )

    def _Subscript(self, node):
        return self.load(self.evaluate(node.value), self.evaluate(node.slice))

    def _Slice(self, node):
        return slice(*(None if n is None else self.evaluate(n) for n in (node.lower, node.upper, node.step)))

    def _Tuple(self, node):
        return tuple(self._each(node.elts))

    def _List(self, node):
        return list(self._each(node.elts))

    def _Set(self, node):
        return set(self._each(node.elts))

    def _each(self, nodes):
        values: list = []
        for one in nodes:
            if isinstance(one, ast.Starred):
                values += iteration_of(self, self.evaluate(one.value)).entries(self)
            else:
                values.append(self.evaluate(one))
        return values

    def _Dict(self, node):
        found: dict = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                found |= self.evaluate(value)
            else:
                found[self.evaluate(key)] = self.evaluate(value)
        return found

    def _JoinedStr(self, node):
        values = ((v, v.value if isinstance(v, ast.Constant) else known(self.evaluate(v.value))) for v in node.values)
        return "".join(str(one) if isinstance(v, ast.Constant) else self._formatted(v, one) for v, one in values)

    def _formatted(self, node, value) -> str:
        if node.conversion > 0:
            value = f"%{chr(node.conversion)}" % (value,)
        return format(value, "" if node.format_spec is None else self._JoinedStr(node.format_spec))

    def _NamedExpr(self, node):
        value = self.evaluate(node.value)
        self.assign(node.target, value)
        return value

    def _BinOp(self, node):
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        if isinstance(left, list) and isinstance(right, Symbol):
            left = self.symbol(left)  # as NumPy makes an array of a list
        if isinstance(node.op, (ast.FloorDiv, ast.Mod)) and all(map(_is_whole, (left, right))):
            self.check(negated(truth(right == 0)), "integer division by zero")
        return BINARY[type(node.op)](left, right)

    def _UnaryOp(self, node):
        value = self.evaluate(node.operand)
        if isinstance(node.op, ast.Not):
            return negated(truth(value))
        return _UNARY[type(node.op)](value)

    def _BoolOp(self, node):
        return self._bool(isinstance(node.op, ast.And), node.values)

    def _bool(self, is_and, nodes):
        value = self.evaluate(nodes[0])
        if len(nodes) == 1:
            return value
        condition = truth(value)
        if isinstance(condition, bool):
            return self._bool(is_and, nodes[1:]) if condition is is_and else value

        def rest():
            return self._bool(is_and, nodes[1:])

        if _is_decision(value):
            other = self._only(condition if is_and else negated(condition), rest)
            if _is_decision(other):
                return (both if is_and else either)(condition, truth(other))
            return self.chosen(condition, *((other, value) if is_and else (value, other)))
        branches = (rest, lambda: value) if is_and else (lambda: value, rest)
        return self.readable(self.decide(condition, *branches))

    def chosen(self, condition, one, other):
        """Return one value where a condition holds, else the other."""
        if isinstance(condition, bool):
            return one if condition else other
        way = self.way()
        return self.readable(self.memory._joined(condition, way, way, one, other, "a choice of two"))

    def _only(self, condition, branch):
        """Return the value of a branch under its condition; refuse a branch that changes anything."""
        start = self.way()
        self.live = both(start.live, condition)
        value = branch()
        changed = self.way()
        self.live = start.live
        if any(changed.nodes[n] is not node for n, node in start.nodes.items()) or any(
            changed.names[name] is not value for name, value in start.names.items()
        ):
            raise Untraceable("and, or with an operand that changes a name or an array; write if")
        return value

    def _IfExp(self, node):
        condition, (one, other) = truth(self.evaluate(node.test)), (node.body, node.orelse)
        return self.readable(self.decide(condition, lambda: self.evaluate(one), lambda: self.evaluate(other)))

    def _Compare(self, node):
        none = isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value is None
        if none and isinstance(node.left, ast.Name) and isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            value = self.frames[-1].names.get(node.left.id)
            if isinstance(value, Partly) and value.none is not False:
                self.check(either(value.under, value.none), f"the name {node.left.id!r} has no value where it is read")
                return value.none if isinstance(node.ops[0], ast.Is) else negated(value.none)
        return self._compare(self.evaluate(node.left), node.ops, node.comparators)

    def _compare(self, left, operators, nodes):
        right = self.evaluate(nodes[0])
        found = self.compared(type(operators[0]), left, right)
        if len(nodes) == 1:
            return found
        condition = truth(found)
        if condition is False:
            return False
        rest = self._only(condition, lambda: self._compare(right, operators[1:], nodes[1:]))
        return both(condition, truth(rest))

    def compared(self, kind, left, right):
        """Return the result of an operator of a comparison, a class of `ast`."""
        if kind not in _COMPARED:  # in, or not in
            if find_symbol(left, right) is None:
                found: Any = left in right
            else:
                found = False
                for one in right:
                    found = either(found, truth(self.compared(ast.Eq, left, one)))
            return found if kind is ast.In else negated(found)
        if (left is None or right is None) and kind in (ast.Eq, ast.NotEq):
            return (left is right) is (kind is ast.Eq)
        if kind in _ORDERED and all(isinstance(one, (tuple, list)) for one in (left, right)):
            return self._in_order(kind, left, right)
        return _COMPARED[kind](left, right)

    def _in_order(self, kind, left, right):
        """Compare tuples or lists: the first entries that differ decide, or else the lengths."""
        if kind is ast.NotEq:
            return negated(self._in_order(ast.Eq, left, right))
        if isinstance(left, list) is not isinstance(right, list):
            return _COMPARED[kind](left, right) and False  # which Python refuses, or takes as different
        found = _COMPARED[kind](len(left), len(right))
        for one, other in reversed(list(zip(left, right, strict=False))):
            same = one is other or truth(self.compared(ast.Eq, one, other))  # as Python does, also of NaN
            found = both(same, found)
            if kind is not ast.Eq:
                found = either(found, both(negated(same), truth(self.compared(kind, one, other))))
        return found

    def _Call(self, node):
        function = self.evaluate(node.func)
        skips = node.args and any(function is one for one in _SKIPPED)
        if skips and isinstance(node.args[0], (ast.GeneratorExp, ast.ListComp)):
            args = [self._ListComp(node.args[0], _SKIPPED[function]), *self._each(node.args[1:])]
        else:
            args = self._each(node.args)
        keywords: dict = {}
        for keyword in node.keywords:
            value = self.evaluate(keyword.value)
            keywords |= value if keyword.arg is None else {keyword.arg: value}
        return self.call(function, tuple(args), keywords)

    def _Lambda(self, node):
        return self._function(node)

    def _function(self, node):
        defaults = [self.evaluate(d) for d in node.args.defaults]
        named = {a.arg: self.evaluate(d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d}
        return Inner(self, node, self.frames[-1], defaults, named)

    def _ListComp(self, node, skipped=_UNSET):
        return self._comprehended(node.generators, lambda: self.evaluate(node.elt), skipped)

    _GeneratorExp = _ListComp

    def _SetComp(self, node):
        return set(self._ListComp(node))

    def _DictComp(self, node):
        return dict(self._comprehended(node.generators, lambda: (self.evaluate(node.key), self.evaluate(node.value))))

    def _comprehended(self, generators, element, skipped=_UNSET) -> list:
        """Return the elements; where a row's values choose, `skipped` stands in for one that is left out."""
        names = self.frames[-1].names
        targets = (t.id for g in generators for t in ast.walk(g.target) if isinstance(t, ast.Name))
        hidden = {name: names.get(name, _UNSET) for name in targets}
        found: list = []

        def go(rest):
            if not rest:
                found.append(element())
                return
            for value in iteration_of(self, self.evaluate(rest[0].iter)).entries(self):
                self.assign(rest[0].target, value)
                wanted: Any = True
                for test in rest[0].ifs:
                    if wanted is True:
                        wanted = truth(self.evaluate(test))
                    elif wanted is not False:
                        wanted = both(wanted, self._only(wanted, lambda test=test: truth(self.evaluate(test))))
                if wanted is True:
                    go(rest[1:])
                elif wanted is not False:
                    if skipped is _UNSET or rest[1:]:
                        raise Untraceable("a comprehension that chooses by values; write a loop with if")
                    found.append(self.readable(self.decide(wanted, element, lambda: skipped)))

        go(generators)
        for name, value in hidden.items():
            names.pop(name, None) if value is _UNSET else names.__setitem__(name, value)
        return found


def _plain(key):
    """Return an index with symbols of constants as numbers."""
    if isinstance(key, tuple):
        return tuple(map(_plain, key))
    if isinstance(key, slice):
        return slice(*(None if k is None else _plain(k) for k in (key.start, key.stop, key.step)))
    key = known(key)
    return int(key) if isinstance(key, np.ndarray) and not key.ndim and key.dtype.kind in "iu" else key


def _is_decision(value) -> bool:
    return isinstance(value, (bool, np.bool_)) or is_condition(value)


def _is_whole(value) -> bool:
    return value.node.is_integer if isinstance(value, Symbol) else isinstance(value, (int, np.integer))
