"""Python's control flow, read from the syntax tree of a step of one row.

The tree is evaluated on symbols, statement by statement. Of a decision by a row's values, both branches are read
(`rnnkit.compiler.tracing.decisions`); each is a *way* through the step. ``return``, ``break`` and ``continue`` end a
way, which joins the others at the end of its function, loop or round. A loop of few rounds is unrolled; any other
becomes a `Loop` node, which carries the values that a round changes. The user's functions that a step calls are read as
the step is.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import linecache
import sys
import types
from collections.abc import Callable, ItemsView, ValuesView
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from rnnkit.compiler.tracing import places
from rnnkit.compiler.tracing.batch_axis import ReadsValues, Untraceable
from rnnkit.compiler.tracing.broadcasting import find_symbol, lift
from rnnkit.compiler.tracing.complex_numbers import Complex, paired
from rnnkit.compiler.tracing.custom_gradient import with_rule
from rnnkit.compiler.tracing.decisions import Memory, Partly, Unread, Way, both, known, mapped, negated, truth
from rnnkit.compiler.tracing.expressions import BINARY, CHANGEABLE, IN_PLACE, REFUSED, Expressions
from rnnkit.compiler.tracing.iterations import Iteration, iteration_of
from rnnkit.compiler.tracing.loops import RETURNED, Exits, LoopReader
from rnnkit.compiler.tracing.python_functions import FUNCTIONS, STATIC, called_with_symbols
from rnnkit.compiler.tracing.source import Inner, lookup_of, source_of
from rnnkit.compiler.tracing.symbol import RULES, Symbol
from rnnkit.complex_pairs import is_complex

_UNROLLED = 400  # nodes that an unrolled loop may make
_SHORT = 8  # rounds of a loop that may make four times as many nodes
_LIBRARIES = {"numpy", "scipy", "rnnkit", "numba"} | set(sys.stdlib_module_names) - {"__main__"}


_CHANGING = (
    "add append appendleft clear discard extend extendleft insert pop popitem popleft remove reverse rotate setdefault "
    "update"
).split()


class Frame:
    """A function that is being read: its names, the lookup of outer names, and the ways on which it returned."""

    def __init__(self, names, outer: Callable[[str], Any], code):
        self.names, self.outer, self.code = names, outer, code
        self.file: str = code.file if isinstance(code, Inner) else code.co_filename
        self.returns: list[Way] = []
        self.last: dict[str, Any] = {}

    def has(self, name) -> bool:
        """Tell whether a name belongs to this function of the step, or to one around it."""
        return name in self.names or (isinstance(self.code, Inner) and self.code.frame.has(name))


class Reader(Expressions):
    """Reads the functions of one step, for one graph."""

    def __init__(self, graph, like):
        self.graph, self.like = graph, like
        self.outside = {}
        self.limit = 0  # rounds of a loop
        self.memory = Memory(graph, like)
        graph.moved = {}
        self.place: tuple[str, int] | None = None  # file and line that are being read
        self.roots: list[dict] = []  # the names of the step at its end
        self.frames: list[Frame] = []
        self.loops: list[Exits] = []
        self.base: Any = True  # the condition of the function or round that is being read
        self.live: Any = True  # the condition of the rows that haven't left it
        self.trail: tuple = ()  # the decisions on the way
        self.exits = 0
        self.compiles = False  # whether the step calls a function jitted by numba
        self.loop_count = 0
        self.rounds: dict[int, int] = {}  # the most rounds of each loop
        self.placed: dict[int, tuple[float, float]] = {}  # the bounds of indices that were checked
        self.rebound: list[tuple[Symbol, Any]] = []  # symbols that became a checked index, and their nodes before

    def __call__(self, function, limit: int) -> Callable:
        """Return a function that reads `function`, with at most `limit` rounds in a loop; without source, calls it."""
        self.limit = limit
        own = function.__func__ if isinstance(function, types.MethodType) else function
        if isinstance(own, types.FunctionType) and source_of(own) is not None:
            return lambda *args, **keywords: self.call(function, args, keywords)

        def called(*args, **keywords):
            try:
                return function(*args, **keywords)
            except ReadsValues as error:
                error.add_note("of a step whose source is not there, no decision can be read")
                raise

        return called

    def first_readable(self, ways: list[Callable[[], Any]]) -> tuple[int, Any]:
        """Return the number and the result of the first of several ways to read a step that can be read; or raise the
        error of the way that came furthest.
        """
        moved, checks, rebound, failed = self.graph.moved, len(self.graph.checks), len(self.rebound), []
        nodes = {number: symbol.node for number, (symbol, _) in moved.items()}
        for number, way in enumerate(ways):
            try:
                return number, way()
            except Exception as error:
                failed.append((self.place, error))
            self.place, self.live, self.base, self.trail = None, True, True, ()
            for symbol, node in reversed(self.rebound[rebound:]):
                symbol._node = node
            for key, (symbol, first) in moved.items():
                symbol._node = nodes.get(key, first)
            del self.rebound[rebound:], self.graph.checks[checks:]
        self.place, reason = max(failed, key=lambda one: one[0][1] if one[0] else np.inf)
        raise reason

    def integer(self, state: Symbol, name: str) -> Any:
        """Return a state as integers, which is checked."""
        k = np.where(np.abs(state) < 2.0**63, state, 0.0).astype(np.int64)
        held = (state == k).all() if state.ndim else state == k
        self.check(truth(held), f"expected an integer as the state {name!r}, which starts as one")
        return k

    def whole(self, value) -> Any:
        """Return a result of a row as one of all rows."""
        if is_complex(value):
            return paired(self.like, self.whole(value.real), self.whole(value.imag))
        return self.like.made(self.symbol(value).node, 0)

    # Places in the source, checks and indices

    def line(self) -> str:
        """Return the text of the line that is being read."""
        return "" if self.place is None else linecache.getline(*self.place).strip()

    def location(self) -> str:
        """Return file, line and text of the line that is being read, for errors."""
        return "" if self.place is None else f"{self.place[0]}, line {self.place[1]}: {self.line()}"

    def path(self):
        """Return the condition under which the current line runs."""
        return both(self.base, self.live)

    def check(self, held, message: str) -> None:
        """Add a check: an error where the condition doesn't hold for a row that is here."""
        fails = both(self.path(), negated(held))
        if fails is not False:
            place = self.location()
            self.graph.checks.append((self.symbol(fails).node, f"{message}, in {place}" if place else message))

    def symbol(self, value) -> Symbol:
        """Return a number or array of the step as a symbol."""
        return lift(self.like, value)

    def as_place(self, k: Symbol, count: int, shape) -> Symbol:
        """Return an index as a checked one from 0 on; `k` is known to be valid from here on, if all rows are here."""
        given, k = k, k.reshape(()) if k.node.size == 1 else k
        low, high = self.bounds(k.node)
        inside = both(low >= -count or truth(k >= -count), high < count or truth(k < count))
        self.check(inside, f"an index is out of range for an array of shape {shape}")
        safe = both(self.path(), inside)
        if safe is not True:
            k = self.like.made(self.graph.safe(k.node, self.symbol(safe).node, count))
            low, high = max(low, -count), min(high, count - 1)
            self.placed[k.node.id] = min(low, 0), max(high, 0)
            if self.path() is True and given.node.kind == k.node.kind and given.node.shape == ():
                self.rebound.append((given, given.node))
                given._node = k.node
        return np.where(k < 0, k + count, k) if low < 0 else k  # type: ignore[return-value]

    def bounds(self, node) -> tuple[float, float]:
        """Return the known bounds of an integer, in rows that are here."""
        if node.id in self.placed:
            return self.placed[node.id]
        bounds = [self.bounds(a) for a in node.args] if node.op in ("add", "subtract", "multiply", "where") else []
        if node.op == "literal":
            return float(node.attr.min()), float(node.attr.max())
        if node.op == "round":
            return 0, self.rounds[node.attr] - 1
        if node.op == "where":
            return min(b[0] for b in bounds[1:]), max(b[1] for b in bounds[1:])
        if node.op == "remainder" and node.args[1].op == "literal" and node.args[1].attr.min() > 0:
            return 0, float(node.args[1].attr.max()) - 1
        if bounds:
            (a, b), (c, d) = bounds
            if not np.isfinite((a, b, c, d)).all():
                return -np.inf, np.inf
            ends = {"add": (a + c, b + d), "subtract": (a - d, b - c)}.get(node.op) or (a * c, a * d, b * c, b * d)
            return min(ends), max(ends)
        return -np.inf, np.inf

    # Ways

    def way(self, **more) -> Way:
        """Return the current state of the reading."""
        return self.memory.way(self.live, self.frames[-1].names | more, self.trail)

    def go_to(self, way: Way) -> None:
        """Read on from the end of a way."""
        names = self.frames[-1].names
        names.clear()
        names.update(way.names)
        self.live, self.trail = way.live, way.trail
        self.memory.restore(way)

    def again_from_here(self) -> Callable[[], None]:
        """Return a function that takes back all that is read from here on."""
        way, exits = self.way(), self.exits
        loop = self.loops[-1] if self.loops else Exits()
        kept = self.graph.checks, self.frames[-1].returns, loop.breaks, loop.continues, self.rebound
        lengths = list(map(len, kept))

        def again():
            self.go_to(way)
            self.exits = exits
            for symbol, node in reversed(self.rebound[lengths[-1] :]):
                symbol._node = node
            for several, length in zip(kept, lengths, strict=True):
                del several[length:]

        return again

    def join(self, ways: list[Way]) -> None:
        """Read on where ways meet, of which each row took one."""
        if not ways:
            self.live = False
            return
        trail = ways[0].trail[: _shared([way.trail for way in ways])]
        self.go_to(replace(self._met(ways, len(trail)), trail=trail))

    def _met(self, ways: list[Way], depth: int) -> Way:
        """Return several ways joined to one, by the decisions that parted them from `depth` on."""
        first, *others = ways
        if not others or first.live is True:
            return first
        parts: dict[bool, list[Way]] = {True: [], False: []}
        for way in ways:
            if len(way.trail) > depth and len(first.trail) > depth and way.trail[depth][0] is first.trail[depth][0]:
                parts[way.trail[depth][1]].append(way)
        if len(parts[True]) + len(parts[False]) < len(ways):
            return self.memory.joined(first.live, first, self._met(others, depth))
        if not parts[True] or not parts[False]:
            return self._met(ways, depth + 1)
        condition = self.like.made(first.trail[depth][0])
        return self.memory.joined(condition, *(self._met(parts[holds], depth + 1) for holds in (True, False)))

    def decide(self, condition, then: Callable[[], Any], otherwise: Callable[[], Any]):
        """Read both branches, each under its condition; return their results, joined."""
        if isinstance(condition, bool):
            return then() if condition else otherwise()
        start, exits, ways = self.way(), self.exits, []
        for under, branch in ((condition, then), (negated(condition), otherwise)):
            self.go_to(start)
            self.live, self.trail = both(start.live, under), (*start.trail, _decision(under))
            made = branch()
            ways.append(self.way(**{"": made}))
        live = [way for way in ways if way.live is not False]
        if len(live) == 2:
            live = [replace(self.memory.joined(condition, *ways), trail=start.trail)]
        if live:
            self.go_to(live[0])
        else:
            self.live = False
        if self.exits == exits:
            self.live = start.live  # the two conditions together are that of before
        return self.frames[-1].names.pop("", None)

    # Functions

    def call(self, function, args, keywords) -> Any:
        if isinstance(function, Inner):
            return self._read(function.node, function.signature.bind(*args, **keywords), function.lookup, function)
        if (rule := _rule(function)) is not None and (is_of_symbols(args, keywords) or rule in STATIC):
            return rule(self, *args, **keywords)
        if hasattr(function, "with_rule") and is_of_symbols(args, keywords):
            return with_rule(self.call, function, args, keywords)
        if hasattr(function, "py_func"):
            function, self.compiles = function.py_func, True
        if isinstance(function, functools.partial):
            return self.call(function.func, (*function.args, *args), {**function.keywords, **keywords})
        if isinstance(function, types.MethodType) and isinstance(function.__func__, types.FunctionType):
            if is_users(function.__func__):
                return self.call(function.__func__, (function.__self__, *args), keywords)
        elif isinstance(function, types.FunctionType) and is_users(function) and source_of(function) is not None:
            bound = inspect.signature(function).bind(*args, **keywords)
            self.is_outside([*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()])
            return self._read(source_of(function), bound, lookup_of(function), function.__code__)
        self._refuse_hidden_change(function)
        if (found := called_with_symbols(function, args, keywords)) is not NotImplemented:
            return found
        checks = len(self.graph.checks)
        given = tuple(a.entries(self) if isinstance(a, Iteration) else a for a in args)
        if (getattr(function, "__module__", None) or "").startswith("scipy.linalg") and is_of_symbols(args, keywords):
            made = RULES["function"](function, given, keywords)  # by itself it doesn't dispatch, as NumPy's do
        else:
            made = function(*given, **keywords)
        for i, (fails, message) in enumerate(self.graph.checks[checks:], checks):
            under = both(self.path(), self.like.made(fails).any())
            self.graph.checks[i] = self.symbol(under).node, message
        if isinstance(made, np.ndarray) and made.dtype.kind in "fiub":
            made = self.like.made(self.graph.literal(made))  # the step may write to an array that it makes
        elif isinstance(made, np.ndarray) and is_complex(made):
            made = paired(self.like, *(self.like.made(self.graph.literal(part)) for part in (made.real, made.imag)))
        return made

    def _refuse_hidden_change(self, function):
        of = getattr(function, "__self__", None)
        if not isinstance(of, CHANGEABLE) or getattr(function, "__name__", "") not in _CHANGING:
            return
        self.refuse_outside(of)
        if not isinstance(of, list) and self.path() is not True:
            raise Untraceable(f"a {type(of).__name__} that changes under a condition; use an array")

    def read(self, function, *args):
        """Return the result of a function of rnnkit, which is read as a step is."""
        bound = inspect.signature(function).bind(*args)
        return self._read(source_of(function), bound, lookup_of(function), function.__code__)

    def _read(self, node, bound, outer, code):
        if any(frame.code is code for frame in self.frames):
            raise Untraceable("a function that calls itself; write a loop")
        bound.apply_defaults()
        frame = Frame(dict(bound.arguments), outer, code)
        held = self.base, self.live, self.loops, self.exits, self.trail
        place = self.place
        self.base, self.live, self.loops, self.trail = self.path(), True, [], ()
        self.frames.append(frame)
        try:
            if isinstance(node, ast.Lambda):
                return self.evaluate(node.body)
            self.run(node.body)
            if self.live is not False:
                self.leave_function(None)
            self.join([replace(way, names={"": way.names[RETURNED]}) for way in frame.returns])
            result, frame.names = frame.names.get(""), frame.last  # which a function that it returns reads
            if not self.frames[:-1]:
                self.roots.append(frame.last)
            self.place = place
            return self.readable(result)
        finally:
            self.frames.pop()
            self.base, self.live, self.loops, self.exits, self.trail = held

    def leave_function(self, value) -> None:
        """Return from the function, in the rows that are here."""
        frame = self.frames[-1]
        frame.returns.append(self.way(**{RETURNED: value}))
        frame.last = dict(frame.names)
        self.live = False
        self.exits += 1

    def readable(self, value):
        """Return a value that is read, or raise the reason why it may not be."""
        if isinstance(value, Unread):
            raise Untraceable(value.reason)
        if isinstance(value, Partly):
            if value.none is not False:
                raise Untraceable("a function or a choice that gives None in one branch and a number in the other")
            self.check(value.under, "a name is read that has no value on this way")
            return value.value
        return mapped(value, self.readable) if isinstance(value, tuple) else value

    # Statements

    def run(self, statements) -> None:
        """Read statements until no row is left."""
        held = self.place
        for statement in statements:
            if self.live is False:
                break
            self.place = self.frames[-1].file, statement.lineno
            name = type(statement).__name__
            if name in REFUSED:
                raise Untraceable(REFUSED[name])
            method = getattr(self, f"_run_{name}", None)
            if method is None:
                raise Untraceable(f"the statement {name} can't be read in a step of one row")
            method(statement)
        self.place = held

    def _run_Expr(self, node):
        self.evaluate(node.value)

    def _run_Pass(self, node):
        pass

    def _run_Assign(self, node):
        value = self.evaluate(node.value)
        for target in node.targets:
            self.assign(target, value)

    def _run_AnnAssign(self, node):
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value))

    def _run_AugAssign(self, node):
        target = node.target
        if isinstance(target, ast.Subscript):
            container, key = self.evaluate(target.value), self.evaluate(target.slice)
            old, shown = self.load(container, key), not places.is_computed(key) and not places.copies(key)
        else:
            old, shown = self.evaluate(ast.copy_location(ast.Name(target.id, ast.Load()), target)), True
        self.refuse_outside(old)
        in_place = shown and (isinstance(old, list) or (isinstance(old, (Symbol, Complex)) and bool(old.ndim)))
        new = (IN_PLACE if in_place else BINARY)[type(node.op)](old, self.evaluate(node.value))
        if isinstance(target, ast.Subscript):
            if not in_place:
                self.store(container, key, new)
        else:
            self.assign(target, new)

    def _run_Delete(self, node):
        for target in node.targets:
            if not isinstance(target, ast.Name):
                raise Untraceable("del of an entry; write the array that is left")
            self.frames[-1].names.pop(target.id, None)

    def _run_If(self, node):
        self.decide(truth(self.evaluate(node.test)), lambda: self.run(node.body), lambda: self.run(node.orelse))

    def _run_Return(self, node):
        self.leave_function(None if node.value is None else self.evaluate(node.value))

    def _run_Break(self, node):
        self.loops[-1].breaks.append(self.way())
        self.live = False
        self.exits += 1

    def _run_Continue(self, node):
        self.loops[-1].continues.append(self.way())
        self.live = False
        self.exits += 1

    def _run_Assert(self, node):
        message = "" if node.msg is None else f": {self._text(node.msg)}"
        self.check(truth(self.evaluate(node.test)), f"an assertion doesn't hold{message}")

    def _run_Raise(self, node):
        if self.path() is True:
            raise self.evaluate(node.exc)
        named = isinstance(node.exc, ast.Call)
        what = ast.unparse(node.exc.func if named else node.exc) if node.exc else "an exception"
        text = f"{what}: {self._text(node.exc.args[0])}" if named and node.exc.args else what
        self.check(False, text)
        self.live = False
        self.exits += 1

    def _run_FunctionDef(self, node):
        if node.decorator_list:
            raise Untraceable("a decorated function inside a step; define it outside")
        self.frames[-1].names[node.name] = self._function(node)

    def _run_Import(self, node):
        for name in node.names:
            module, first = importlib.import_module(name.name), name.name.partition(".")[0]
            self.frames[-1].names[name.asname or first] = module if name.asname else sys.modules[first]

    def _run_ImportFrom(self, node):
        module = importlib.import_module("." * node.level + (node.module or ""))
        for name in node.names:
            self.frames[-1].names[name.asname or name.name] = getattr(module, name.name)

    def _text(self, node) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(str(v.value) if isinstance(v, ast.Constant) else self._text_of(v) for v in node.values)
        return ast.unparse(node)

    def _text_of(self, node) -> str:
        """Return the text that an f-string shows; the expression where its value differs by row."""
        checks = len(self.graph.checks)
        try:
            value = known(self.evaluate(node.value))
            if find_symbol(value) is None:
                return self._formatted(node, value)
        except Exception:  # perhaps in a branch that no row takes
            pass
        finally:
            del self.graph.checks[checks:]
        return f"the row's {ast.unparse(node.value)}"

    # Loops

    def _run_For(self, node):
        iteration = iteration_of(self, self.evaluate(node.iter))
        length = iteration.length
        again = self.again_from_here()
        if isinstance(length, int):
            if self._unrolled(node, iteration, length):
                return
            again()

        def begin(k):
            self.assign(node.target, iteration.at(self, k))

        try:
            LoopReader(self, node, iteration.more, begin, length, length is not None).run()
        except Untraceable:
            if length is None or length > 4 * _SHORT:
                raise
            again()
            self._unrolled(node, iteration, length, always=True)

    def _unrolled(self, node, iteration, length, always=False) -> bool:
        made, worth = len(self.graph.nodes), True

        def rounds():
            nonlocal worth
            for k in range(length):
                self.assign(node.target, iteration.at(self, k))
                yield
                count = (len(self.graph.nodes) - made) / (k + 1) * length
                if not always and count > (_UNROLLED if length > _SHORT else 4 * _UNROLLED):
                    worth = False
                    return

        self._rounds(node, rounds())
        return worth

    def _run_While(self, node):
        again, live, made = self.again_from_here(), self.live, len(self.graph.nodes)
        known_rounds, first = True, None

        def wants():
            return truth(self.evaluate(node.test))

        def rounds():
            nonlocal known_rounds, first
            k = 0
            while True:
                wanted = wants()
                first = wanted if first is None else first
                if wanted is False:
                    return
                known_rounds = wanted is True and self.live is live
                k += 1
                if not known_rounds or (k > _SHORT and len(self.graph.nodes) - made > _UNROLLED) or k > _UNROLLED:
                    known_rounds = False
                    return
                yield

        self._rounds(node, rounds())
        if not known_rounds:
            again()
            LoopReader(self, node, lambda _: wants(), lambda _: None, None, first is True).run()

    def body(self, node) -> Exits:
        """Read the body of a loop once."""
        loop, before, exits = Exits(), self.live, self.exits
        self.loops.append(loop)
        self.run(node.body)
        self.loops.pop()
        left = [self.way()] if self.live is not False else []
        self.join([*loop.continues, *left])
        if self.exits - exits == len(loop.continues):
            self.live = before  # no row has left the loop
        return loop

    def _rounds(self, node, rounds):
        """Read a loop's body for each of the rounds, one after another."""
        breaks: list[Way] = []
        exits, entered, returned = self.exits, self.live, len(self.frames[-1].returns)
        for _ in rounds:
            breaks += self.body(node).breaks
            if self.live is False:
                break
        if len(self.frames[-1].returns) == returned:
            self.exits = exits
        exits = self.exits
        if self.live is not False:
            self.run(node.orelse)  # where a break or continue is that of an outer loop
        left = [self.way()] if self.live is not False else []
        if breaks:
            self.join([*breaks, *left])
        if len(self.frames[-1].returns) == returned and self.exits == exits:
            self.live = entered


@contextmanager
def reading(graph, like):
    """Set `Graph.read` inside, by which functions of one row are read while a step is traced."""
    reader = graph.read = Reader(graph, like)
    try:
        yield reader
    finally:
        graph.read = graph.moved = None


def _decision(condition) -> tuple[Any, bool]:
    """Return a condition's node without negations, and whether it holds."""
    if isinstance(condition, bool):
        return None, condition
    node = condition.node
    return (node.args[0], False) if node.op == "logical_not" else (node, True)


def _shared(trails: list[tuple]) -> int:
    """Return the number of decisions that all trails have in common, from the first on."""
    count = 0
    for decisions in zip(*trails, strict=False):
        node, holds = decisions[0]
        if not all(one[0] is node and one[1] == holds for one in decisions):
            break
        count += 1
    return count


def is_users(function) -> bool:
    """Tell whether a function is neither a library's nor rnnkit's."""
    return (function.__module__ or "").partition(".")[0] not in _LIBRARIES


def _rule(function):
    try:
        return FUNCTIONS.get(function)
    except TypeError:
        return None


def is_of_symbols(args, keywords) -> bool:
    """Tell whether a call has symbols, or functions of the step, among its arguments."""
    stack = [*args, *keywords.values()]
    while stack:
        value = stack.pop()
        if isinstance(value, (Symbol, Complex, Inner, Iteration)):
            return True
        if isinstance(value, (list, tuple, set, ItemsView, ValuesView)):
            stack.extend(value)
    return False
