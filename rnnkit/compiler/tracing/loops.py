"""Loops of many rounds, or of a number of rounds that differs by row, as nodes of the graph.

A round is read once, with symbols for the values that it may change; if it changes more, or to another kind, it is read
again. The way in which a row leaves a loop, and the check that it fails in one, are carried values, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.compiler.ir.graph import Loop, Node
from rnnkit.compiler.ir.kinds import common, dtype_of
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.complex_numbers import Complex

from rnnkit.compiler.tracing.decisions import (  # isort: skip
    Partly, Unread, both, either, in_words, is_numeric, leaves_of, mapped, negated, parts_of, truth,
)  # fmt: skip
from rnnkit.compiler.tracing.source import Inner, changed_by, may_be_left, read_outside, tree_of
from rnnkit.compiler.tracing.symbol import Symbol

RETURNED = "return value"
_RUNNING, _GONE, _CODE = "the rows that go on", "the rows that have returned", "what a row has failed by"
_INTERNAL = (RETURNED, _RUNNING, _GONE, _CODE)
_ATTEMPTS = 12


class Exits:
    """The ways on which a loop that is being read was left, and those on which its round ended early."""

    def __init__(self):
        self.breaks: list = []
        self.continues: list = []


class LoopReader:
    """Reader of one loop of at most `length` rounds, if that is known; if `certain`, every row goes round once.

    With the number of a round, `test` tells whether there is one, and `begin` gives the names of a ``for`` values.
    """

    def __init__(self, reader, node, test, begin, length, certain):
        self.reader, self.graph, self.like = reader, reader.graph, reader.like
        self.node, self.test, self.begin, self.certain = node, test, begin, certain
        self.limit, self.bounded = (reader.limit, False) if length is None else (length, True)
        frame = self.frame = reader.frames[-1]
        self.start, self.again = reader.way(), reader.again_from_here()
        self.given, written = changed_by(node)
        function = frame.code.node if isinstance(frame.code, Inner) else tree_of(frame.code)
        self.later = read_outside(function, node)
        self.reachable = self._reachable()
        # By name, or by the id of an array or list that is written into.
        self.carried: dict[Any, Any] = {}
        for name in sorted((self.given | written) & frame.names.keys()):
            value = array = frame.names[name]
            while isinstance(array, Symbol) and array.base is not None:
                array = array.base
            if not all(map(is_numeric, leaves_of(value))):
                continue
            is_array = isinstance(array, Symbol) and bool(array.ndim)
            others = [one for other, one in frame.names.items() if other != name]
            if name in written & self.given and is_array and any(one is array for one in others):
                raise Untraceable(f"a loop that writes into {name!r} and gives it another array, while another name "
                                  "stands for the first one, too; copy it before the loop")  # fmt: skip
            if name in written - self.given and (isinstance(value, list) or is_array):
                self.carried.setdefault(id(array), array)
            elif name in self.given or not isinstance(value, Symbol) or not value.ndim:
                self.carried[name] = value
        if may_be_left(node.body):
            self.carried[_RUNNING] = True

    def run(self) -> None:
        for _ in range(_ATTEMPTS):
            self.again()
            if (found := self._attempt()) is not None:
                return self._leave(*found)
        raise Untraceable("a loop that changes the form of its values in every round; use arrays of fixed shape")

    def _reachable(self) -> set[int]:
        """Return the ids of all values that the loop could change for other names."""
        found: set[int] = set()
        stack = [value for frame in self.reader.frames for value in frame.names.values()]
        while stack:
            value = stack.pop()
            if isinstance(value, (tuple, list)) and id(value) not in found:
                stack.extend(value)
            if isinstance(value, Symbol) and value.base is not None:
                stack.append(value.base)
            if isinstance(value, Complex):
                stack += parts_of(value)
            found.add(id(value))
        return found

    def _attempt(self):
        """Read a round: the results by what carries them, and its checks' messages; None if it has to carry more."""
        reader, graph, names = self.reader, self.graph, self.frame.names
        reader.loop_count += 1
        number = reader.loop_count
        initials: list[Node] = []
        enter: dict[Any, list[Node]] = {}
        for key, value in self.carried.items():
            first = [reader.symbol(leaf).node for leaf in self._leaves(value)]
            places = range(len(initials), len(initials) + len(first))
            made = [graph.add("carried", (), n.shape, (number, i), n.kind) for i, n in zip(places, first, strict=True)]
            enter[key] = made
            initials += first
            self._set(key, value, enter[key])
        flags = {name: names.pop(_flag(name)) for name in self.carried if _flag(name) in self.carried}
        names |= {name: Partly(names[name], truth(flag)) for name, flag in flags.items()}
        # A loop in the body has such values of its own.
        value, running, _, failed = (names.pop(name, None) for name in _INTERNAL)
        running = True if running is None else truth(running)
        k = self.like.made(graph.add("round", (), (), number, "int64"))
        reader.rounds[number], checks, mark = self.limit, len(graph.checks), len(self.frame.returns)
        base, exits = reader.base, reader.exits
        reader.base, reader.live, reader.trail = both(reader.path(), running), True, ()
        go = both(reader.base, self.test(k))
        graph.tests += [node for node, _ in graph.checks[checks:]]
        reader.base = go = reader.symbol(go if self.bounded else both(go, truth(k < self.limit)))
        self.begin(k)
        gone, going, breaks = self._round(mark)
        reader.base, reader.exits = base, exits
        texts = self._code(checks, failed, number)
        if _RUNNING in self.carried or breaks or gone is not False:
            names[_RUNNING] = reader.symbol(going)
        if _GONE in self.carried or gone is not False:
            names[_GONE] = reader.symbol(gone)
            names.setdefault(RETURNED, value)
        for name in flags:
            value = names[name]
            names[_flag(name)] = reader.symbol(value.under if isinstance(value, Partly) else True)
        final = reader.way()
        if self._carry_more(final, enter):
            return None
        nexts = [
            graph.cast(reader.symbol(leaf).node, before.kind)
            for key, value in self.carried.items()
            for leaf, before in zip(self._after(key, value, final), enter[key], strict=True)
        ]
        attr = Loop(number, len(initials), self.limit + 1, reader.location(), counted=self.bounded)  # ends before
        loop = graph.add("loop", (*initials, go.node, *nexts), (), attr, "bool")
        results = iter([graph.add("result", (loop,), n.shape, i, n.kind) for i, n in enumerate(initials)])
        return {key: [next(results) for _ in nodes] for key, nodes in enter.items()}, texts

    def _round(self, mark):
        """Read the body and join its ways; return which rows have returned, which go on, and the ways that broke."""
        reader, returns = self.reader, self.frame.returns
        loop = reader.body(self.node)
        left = [reader.way()] if reader.live is not False else []
        going, gone = reader.live, False
        for way in returns[mark:]:
            gone = either(gone, way.live)
        # The ways are of different rows, so that the condition of the last is never needed.
        reader.join([*loop.breaks, *returns[mark:], *left])
        del returns[mark:]
        return gone, going, loop.breaks

    def _code(self, mark, prior, number) -> list[str]:
        """Carry the number, from 1 on, of the first check that a row has failed in the body; return their messages."""
        checks, token = self.graph.checks, ("loop", number)
        inside = [one for one in checks[mark:] if token in one[0].depends]
        checks[mark:] = [one for one in checks[mark:] if token not in one[0].depends]
        self.graph.note_fails(inside)
        found: Any = 0.0
        for i, (fails, _) in reversed(list(enumerate(inside))):
            found = np.where(self.like.made(fails), i + 1.0, found)
        if inside or prior is not None:
            self.frame.names[_CODE] = found if prior is None else np.where(prior > 0.0, prior, found)
        return [text for _, text in inside]

    # Carried values

    @staticmethod
    def _leaves(value) -> list:
        return leaves_of(list(value) if isinstance(value, list) else value)

    def _set(self, key, value, nodes) -> None:
        rest = iter([self.like.made(node) for node in nodes])
        if isinstance(key, str):
            self.frame.names[key] = mapped(value, lambda _: next(rest))
        elif isinstance(value, Symbol):
            value._move(next(rest).node)
        else:
            value[:] = mapped(list(value), lambda _: next(rest))

    def _after(self, key, value, final) -> list:
        """Return the leaves of a carried value after a round."""
        if isinstance(key, str):
            return leaves_of(_value_of(final.names[key]))
        return [self.like.made(value.node)] if isinstance(value, Symbol) else self._leaves(value)

    def _carry_more(self, final, enter) -> bool:
        """Carry also all values that a round has changed; return whether there were any."""
        more = [self._widen(key, value, final, enter[key]) for key, value in list(self.carried.items())]
        more += [self._carry_name(name, value) for name, value in final.names.items()]
        for number, (symbol, first) in self.graph.moved.items():
            before = self.start.nodes.get(number, first)
            if number in self.reachable and number not in self.carried and final.nodes.get(number, first) is not before:
                self.carried[number] = symbol
                more.append(True)
        for number, (_, content) in final.lists.items():
            held, before = self.start.lists.get(number, (None, content))
            if len(before) != len(content):
                raise Untraceable("a list that grows in a loop; use an array of fixed length and an index")
            if number not in self.carried and any(a is not b for a, b in zip(before, content, strict=True)):
                self.carried[number] = held
                more.append(True)
        return any(more)

    def _widen(self, key, value, final, nodes) -> bool:
        """Carry a value in the kinds that it has after a round; return whether they differ."""
        name = repr(key) if isinstance(key, str) else "an array"
        found = final.names.get(key, Unread("")) if isinstance(key, str) else None
        if isinstance(found, Unread):
            raise Untraceable(found.reason or f"the name {name} has no value after a round of a loop")
        leaves = self._after(key, value, final)
        if len(leaves) != len(nodes) or not all(map(is_numeric, leaves)):
            raise Untraceable(f"expected numbers or arrays in {name}, as many after each round of a loop")
        new = [self.reader.symbol(leaf).node for leaf in leaves]
        for one, before in zip(new, nodes, strict=True):
            if one.shape != before.shape:
                wanted = f"{name} of one shape in every round of a loop"
                raise Untraceable(f"expected {wanted}, got {before.shape} and {one.shape}")
        wider = [common((one.kind, before.kind)) for one, before in zip(new, nodes, strict=True)]
        if not isinstance(key, str) or wider == [before.kind for before in nodes]:
            return False
        pairs = zip(self._leaves(value), wider, strict=True)
        rest = iter([self.graph.cast(self.reader.symbol(leaf).node, kind) for leaf, kind in pairs])
        self.carried[key] = mapped(value, lambda _: self.like.made(next(rest)))
        return True

    def _carry_name(self, name, value) -> bool:
        before = self.start.names.get(name, Unread(""))
        wanted = name in self.later or name in self.start.names or name in (_RUNNING, _GONE, _CODE)
        wanted = wanted or (name == RETURNED and self.frame.names.get(_GONE) is not None)
        if not wanted or name in self.carried or value is before or isinstance(value, Unread):
            return False
        if name in (_RUNNING, _CODE):
            self.carried[name] = True if name == _RUNNING else 0.0
        elif not isinstance(before, (Unread, Partly)):
            if not all(map(is_numeric, leaves_of(before))):
                told = f"{name!r} is {in_words(before)} before a loop that makes it numbers"
                raise Untraceable(f"{told}; start it with a number")
            self.carried[name] = before
        elif all(map(is_numeric, leaves_of(_value_of(value)))):
            first, has_one = mapped(_value_of(value), self._zero), False
            if isinstance(before, Partly):
                first, has_one = _value_of(before), before.under
            self.carried[name] = first
            if name not in _INTERNAL and (isinstance(value, Partly) or not self.certain):
                self.carried[_flag(name)] = has_one
        elif name == RETURNED:
            raise Untraceable("a loop that returns what is no number or array")
        else:
            return False
        return True

    def _zero(self, leaf):
        node = self.reader.symbol(leaf).node
        return self.like.made(self.graph.literal(np.zeros(node.shape, dtype_of(node.kind, np.float64))))

    # After the loop

    def _leave(self, results, texts) -> None:
        reader, names = self.reader, self.frame.names
        reader.go_to(self.start)
        for name in self.given - set(self.carried) - set(names):
            names[name] = Unread(f"the name {name!r} has a value inside a loop only; give it one before")
        for key, nodes in results.items():
            self._set(key, self.carried[key], nodes)
        for name in [name for name in self.carried if _flag(name) in self.carried]:
            names[name] = Partly(names[name], truth(names.pop(_flag(name))))
        value, running, gone, code = (names.pop(name, None) for name in _INTERNAL)
        running = True if running is None else truth(running)
        failed = [(truth(code == i).node, text) for i, text in enumerate(texts, 1)]
        self.graph.implied |= {node.id for node, _ in failed}
        self.graph.checks += failed
        if not self.bounded:  # it has ended, and a row would still go on
            count = len(self.graph.checks)
            again = both(running, self.test(reader.symbol(self.limit)))
            reader.check(negated(again), f"a loop of more than {self.limit} rounds")
            self.graph.implied |= {node.id for node, _ in self.graph.checks[count:]}  # by the loop itself
        if gone is not None:
            live, gone = reader.live, truth(gone)
            reader.live = both(live, gone)
            reader.leave_function(value)
            reader.live = both(live, negated(gone))
        if self.node.orelse:
            reader.decide(running, lambda: reader.run(self.node.orelse), lambda: None)


def _flag(name) -> str:
    return f"whether {name} has a value"


def _value_of(value):
    if isinstance(value, Partly) and value.none is not False:
        raise Untraceable("a name that is None in some rounds of a loop; give it a number")
    return value.value if isinstance(value, Partly) else value
