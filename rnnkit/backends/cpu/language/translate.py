"""From the text of functions to LLVM's IR, in one pass over the syntax tree.

The language is a small part of Python with Python's meaning: ``if``, ``while``, ``for … in range(…)``, ``break``,
``continue``, ``return``, assignments, and expressions of int64, bool, floats and SIMD values. A variable has one type.
Names that are no variables are numbers, other functions of the language, or intrinsics, whose definitions emit IR.

Control flow is structured, so the IR is written in SSA form at once: where branches meet, and where a loop begins, a
variable that was assigned gets a phi. In code that is not optimized a phi is two copies each time, so there a variable
that is assigned more than once is a place on the stack. An int that divides follows Python (the quotient is rounded
down); by 0 it gives 0.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

from rnnkit.backends.cpu.language.builder import Block, Builder
from rnnkit.backends.cpu.language.builder import Function as Written
from rnnkit.backends.cpu.language.function import Function, assigned_by
from rnnkit.backends.cpu.language.machine_code import Module, add_caller, declared
from rnnkit.backends.cpu.simd.intrinsic import Emission, Intrinsic
from rnnkit.backends.cpu.simd.kinds import BOOL, FLOAT64, INT, VOID, Kind, cast
from rnnkit.backends.cpu.simd.vector import arithmetic
from rnnkit.backends.formulas.value import call_intrinsic

I64, BIT = INT.llvm, BOOL.llvm
LARGE_MODULE = 500  # instructions, from which the functions that follow are compiled beside it
_OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.BitXor: operator.xor, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.USub: operator.neg, ast.Invert: operator.invert,
}  # fmt: skip
_COMPARED = {
    operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "==", operator.ne: "!=",
}  # fmt: skip
_OF_INTS = {
    operator.add: "add", operator.sub: "sub", operator.mul: "mul", operator.and_: "and_", operator.or_: "or_",
    operator.xor: "xor",
}  # fmt: skip


class Typed(NamedTuple):
    """An LLVM value and its kind; of a variable perhaps the address of its place on the stack."""

    value: Any
    kind: Kind


_Names = dict[str, Typed]


class Fault(Exception):
    """A text that is not of the language: names the function and the line."""


def translate(function: Function, name: str, arguments: int, add: Callable = add_caller) -> list[Module]:
    """Return modules with a named function of so many int64 that returns an int64, and with all that it calls; `add`
    adds the function that Python calls.
    """
    functions = _Functions()
    code, _ = functions.get(function, (INT,) * arguments, name)
    add(functions.module("directing"), code, f"{name}_from_python")
    return functions.modules


class _Functions:
    """The functions of a program, one for each function of the language and the types of its arguments."""

    def __init__(self) -> None:
        self.modules: list[Module] = []
        self.found: dict[tuple, tuple[ir.Function, Kind]] = {}
        self.names: list[str] = []

    def get(self, function: Function, kinds: tuple, name: str = "") -> tuple[ir.Function, Kind]:
        """Return the LLVM function and the type of its result; functions that a named one calls are named after it."""
        key = function, kinds
        if key not in self.found:
            self.names.append(name or f"{self.names[0]}_{function.__name__}_{len(self.names)}")
            self.found[key] = _Body(self, function, kinds).write(self.names[-1], bool(name))
        return self.found[key]

    def module(self, decorator: str) -> Module:
        """Return where the next function of a decorator goes; modules that compute are not large."""
        for module in self.modules:
            if module.decorator == decorator and (module.directs or module.size < LARGE_MODULE):
                return module
        self.modules.append(Module(decorator))
        return self.modules[-1]


class _Loop:
    """The targets of a loop's ``break`` and ``continue``, and the variables' values on each way to them."""

    def __init__(self, again, done):
        self.again, self.done = again, done
        self.to_again: list[tuple[Block, _Names]] = []
        self.to_done: list[tuple[Block, _Names]] = []


class _Body:
    def __init__(self, functions: _Functions, function: Function, kinds: tuple):
        self.functions, self.function, self.kinds = functions, function, kinds
        self.names: _Names = {}
        self.loops: list[_Loop] = []
        self.at: Any = None
        self.changed = function.changed if function.decorator == "directing" else set()
        self.places: _Names = {}

    def write(self, name: str, gives: bool) -> tuple[ir.Function, Kind]:
        definition = self.function.definition
        self.gives, self.assigned = gives or self.function.gives, assigned_by(definition)
        result = INT if self.gives else VOID
        self.module = self.functions.module(self.function.decorator)
        written = Written(self.module, ir.FunctionType(result.llvm, [kind.llvm for kind in self.kinds]), name)
        written.attributes.add("nounwind")
        self.builder = Builder(written)
        for argument, given, kind in zip(definition.args.args, written.args, self.kinds, strict=True):
            self._assign(argument.arg, Typed(given, kind))
        self._block(definition.body)
        if not self.builder.block.is_terminated:
            self._return(None)
        self.module.size += written.registers
        return written, result

    def _translation(self, prefix, node) -> Callable:
        kind = type(node).__name__
        found = getattr(self, prefix + kind, None)
        if found is None:
            raise TypeError(f"{kind} is not of the language of programs")
        return found

    def _block(self, statements) -> None:
        for statement in statements:
            if self.builder.block.is_terminated:
                return
            self.at = statement
            try:
                self._translation("_", statement)(statement)
            except Fault:
                raise
            except Exception as error:
                line = self.function.lines[self.at.lineno - 1].strip()
                raise Fault(f"{self.function.__name__}: {line!r}: {error}") from error

    def _Pass(self, node):
        pass

    def _Expr(self, node):
        if not isinstance(node.value, ast.Constant):  # a docstring
            self._value(node.value)

    def _Return(self, node):
        self._return(None if node.value is None else self._int(self._value(node.value)))

    def _return(self, value):
        if self.gives:
            self.builder.ret(I64(0) if value is None else value)
        else:
            self.builder.ret_void()

    def _Assign(self, node):
        (target,) = node.targets
        if isinstance(target, ast.Tuple):
            values = [self._value(element) for element in node.value.elts]
            for element, value in zip(target.elts, values, strict=True):
                self._assign(element.id, value)  # type: ignore[attr-defined]  # a name, else this is the error
        else:
            self._assign(target.id, self._value(node.value))

    def _AugAssign(self, node):
        name, symbol = node.target.id, _OPERATORS[type(node.op)]
        self._assign(name, self._binary(symbol, self._name(name), self._value(node.value)))

    def _assign(self, name, value: Typed):
        if name in self.changed and name not in self.places:
            with self.builder.goto_entry_block():
                self.places[name] = Typed(self.builder.alloca(value.kind.llvm), value.kind)
        before = self.places.get(name) or self.names.get(name)
        if before is not None and before.kind != value.kind:
            value = Typed(cast(self.builder, value.value, value.kind, before.kind), before.kind)
        if name in self.places:
            self.builder.store(value.value, self.places[name].value)
            value = self.places[name]
        self.names[name] = value

    def _If(self, node):
        test = self._test(node.test)
        then, other, done = self._new("then"), self._new("else"), self._new("done")
        self.builder.cbranch(test, then, other)
        called = ast.unparse(node.test.func) if isinstance(node.test, ast.Call) else ""
        if called == "seldom":
            self.builder.weigh((1, 9999))
        before = dict(self.names)
        ways: list[tuple[Block, _Names]] = []
        for block, body in ((then, node.body), (other, node.orelse)):
            self.names = dict(before)
            self.builder.position_at_end(block)
            if called == "jump" and block is then:  # a side effect keeps LLVM from turning it into a select
                call_intrinsic(self.builder, "llvm.sideeffect", VOID.llvm, [])
            self._block(body)
            self._go(done, ways)
        self._meet(done, ways)

    def _While(self, node):
        header, body, done = self._new("while"), self._new("body"), self._new("done")
        before = self.builder.block
        self.builder.branch(header)
        self.builder.position_at_end(header)
        phis = self._phis(node, before)
        loop = _Loop(header, done)
        if isinstance(node.test, ast.Constant):
            self.builder.branch(body)
        else:
            test = self._test(node.test)
            loop.to_done.append((self.builder.block, dict(self.names)))
            self.builder.cbranch(test, body, done)
        self.builder.position_at_end(body)
        self._repeated(loop, node.body)
        self._close(phis, loop.to_again)
        self._meet(done, loop.to_done)

    def _For(self, node):
        """Translate a for loop: its condition is tested once before the loop, then at the end of its body."""
        if not (isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func) == "range"):
            raise TypeError("a loop runs over range(…)")
        bounds = [self._int(self._value(argument)) for argument in node.iter.args]
        start, stop, step = {1: [I64(0), *bounds, I64(1)], 2: [*bounds, I64(1)]}.get(len(bounds), bounds)
        body, again, done = self._new("for"), self._new("again"), self._new("done")
        before = self.builder.block
        loop = _Loop(again, done)
        loop.to_done.append((before, dict(self.names)))
        self.builder.cbranch(self.builder.icmp_signed("<", start, stop), body, done)
        self.builder.position_at_end(body)
        index = self.builder.phi(I64)
        index.add_incoming(start, before)
        phis = self._phis(node, before)
        self._assign(node.target.id, Typed(index, INT))
        self._repeated(loop, node.body)
        self._meet(again, loop.to_again)
        following = self.builder.add_without_overflow(index, step)
        index.add_incoming(following, again)
        self._close(phis, [(again, self.names)])
        loop.to_done.append((again, dict(self.names)))
        self.builder.cbranch(self.builder.icmp_signed("<", following, stop), body, done)
        self._meet(done, loop.to_done)

    def _Break(self, node):
        loop = self.loops[-1]
        self._go(loop.done, loop.to_done)

    def _Continue(self, node):
        loop = self.loops[-1]
        self._go(loop.again, loop.to_again)

    def _repeated(self, loop, statements):
        self.loops.append(loop)
        self._block(statements)
        self._go(loop.again, loop.to_again)
        self.loops.pop()

    def _new(self, name) -> Block:
        return self.builder.append_basic_block(name)

    def _go(self, block, ways) -> None:
        """Branch to a block, if this one hasn't ended, and note the variables' values on this way."""
        if not self.builder.block.is_terminated:
            ways.append((self.builder.block, dict(self.names)))
            self.builder.branch(block)

    def _meet(self, block, ways) -> None:
        """Go on in a block with what all ways to it have assigned."""
        self.builder.position_at_end(block)
        if not ways:
            self.builder.unreachable()
            return
        (_, first), *others = ways
        self.names = dict(first)
        for _, names in others:  # most of which are the same in all of them
            self.names = {name: value for name, value in self.names.items() if names.get(name) is value}
        for name in first if len(self.names) < len(first) else ():
            if name not in self.names and all(name in names for _, names in others):
                self.names[name] = self._joined([names[name] for _, names in ways], [way for way, _ in ways])

    def _joined(self, values: list[Typed], blocks) -> Typed:
        """Return one value for several ways; a bool that meets an int is an int."""
        if all(value.value is values[0].value for value in values):
            return values[0]
        kinds = {value.kind for value in values}
        (kind,) = kinds if len(kinds) == 1 else kinds - {BOOL}
        phi = self.builder.phi(kind.llvm)
        for value, block in zip(values, blocks, strict=True):
            # In another type, it is converted before the block ends.
            phi.add_incoming(cast(Builder(self.builder.function, block), *value, kind), block)
        return Typed(phi, kind)

    def _phis(self, loop, before) -> dict[str, Any]:
        """Return a phi for each variable that a loop assigns and that has a value before it."""
        phis = {}
        for name in sorted(self.assigned[loop] & self.names.keys() - self.places.keys()):
            value, kind = self.names[name]
            phis[name] = phi = self.builder.phi(kind.llvm)
            phi.add_incoming(value, before)
            self.names[name] = Typed(phi, kind)
        return phis

    def _close(self, phis, ways) -> None:
        """Add the values that come back to the beginning of a loop."""
        for block, names in ways:
            for name, phi in phis.items():
                phi.add_incoming(names[name].value, block)

    def _value(self, node) -> Typed:
        self.at = node if hasattr(node, "lineno") else self.at
        return self._translation("_of_", node)(node)

    def _int(self, value: Typed):
        return cast(self.builder, value.value, value.kind, INT)

    def _test(self, node):
        value = self._value(node)
        return cast(self.builder, value.value, value.kind, BOOL)

    def _of_Constant(self, node):
        return _constant(node.value)

    def _of_Name(self, node):
        return self._name(node.id)

    def _name(self, name) -> Typed:
        if name not in self.names:
            return _constant(self._known(name))
        value, kind = self.names[name]
        return Typed(self.builder.load(value) if name in self.places else value, kind)

    def _known(self, name):
        try:
            return self.function.look_up(name)
        except AttributeError:
            raise NameError(f"{name} has no value on some way to this line") from None

    def _of_Attribute(self, node):
        return _constant(self._object(node))

    def _object(self, node):
        """Return Python's value of a name, or of an attribute of one."""
        if isinstance(node, ast.Attribute):
            return getattr(self._object(node.value), node.attr)
        return self._known(node.id)

    def _of_BinOp(self, node):
        return self._binary(_OPERATORS[type(node.op)], self._value(node.left), self._value(node.right))

    def _binary(self, symbol, a: Typed, b: Typed) -> Typed:
        if not {a.kind, b.kind} <= {INT, BOOL}:
            return self._operator(symbol, a, b)
        if symbol in _COMPARED:
            return Typed(self.builder.icmp_signed(_COMPARED[symbol], self._int(a), self._int(b)), BOOL)
        if symbol in (operator.and_, operator.or_, operator.xor) and a.kind == b.kind == BOOL:
            return Typed(getattr(self.builder, _OF_INTS[symbol])(a.value, b.value), BOOL)
        if symbol in (operator.floordiv, operator.mod):
            return Typed(self._divided(self._int(a), self._int(b), symbol is operator.mod), INT)
        return Typed(getattr(self.builder, _OF_INTS[symbol])(self._int(a), self._int(b)), INT)

    def _divided(self, a, b, rest: bool):
        """Return the quotient, rounded down, or with `rest` the remainder; 0 where b is 0."""
        builder, zero = self.builder, I64(0)
        if isinstance(b, ir.Constant) and b.constant > 0:
            if b.constant == 1:
                return zero if rest else a
            divisor, good = b, None
        else:
            good = builder.icmp_signed("!=", b, zero)
            divisor = builder.select(good, b, I64(1))
        left = builder.srem(a, divisor)
        differs = builder.icmp_signed("<", builder.xor(left, divisor), zero)
        down = builder.and_(builder.icmp_signed("!=", left, zero), differs)
        if rest:
            result = builder.add(left, builder.select(down, divisor, zero))
        else:
            result = builder.sub(builder.sdiv(a, divisor), builder.zext(down, I64))
        return result if good is None else builder.select(good, result, zero)

    def _of_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            return Typed(self.builder.not_(self._test(node.operand)), BOOL)
        value = self._value(node.operand)
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            return _constant(-node.operand.value)  # type: ignore[operator]  # a number, else this is the error
        symbol = _OPERATORS[type(node.op)]
        if value.kind == INT:
            return Typed((self.builder.neg if symbol is operator.neg else self.builder.not_)(value.value), INT)
        return self._operator(symbol, value)

    def _of_Compare(self, node):
        (symbol,), (right,) = node.ops, node.comparators
        return self._binary(_OPERATORS[type(symbol)], self._value(node.left), self._value(right))

    def _of_BoolOp(self, node):
        """Translate ``and`` or ``or``: later operands are computed only where they decide."""
        decided = isinstance(node.op, ast.Or)
        done, ways = self._new("decided"), []
        for operand in node.values[:-1]:
            test, following = self._test(operand), self._new("undecided")
            ways.append((BIT(decided), self.builder.block))
            self.builder.cbranch(test, *((done, following) if decided else (following, done)))
            self.builder.position_at_end(following)
        ways.append((self._test(node.values[-1]), self.builder.block))
        self.builder.branch(done)
        self.builder.position_at_end(done)
        phi = self.builder.phi(BIT)
        for value, block in ways:
            phi.add_incoming(value, block)
        return Typed(phi, BOOL)

    def _of_IfExp(self, node):
        test = self._test(node.test)
        then, other, done = self._new("then"), self._new("else"), self._new("chosen")
        self.builder.cbranch(test, then, other)
        values, blocks = [], []
        for block, branch in ((then, node.body), (other, node.orelse)):
            self.builder.position_at_end(block)
            values.append(self._value(branch))
            blocks.append(self.builder.block)
            self.builder.branch(done)
        self.builder.position_at_end(done)
        return self._joined(values, blocks)

    def _of_Call(self, node):
        function = self._object(node.func)
        values = [self._value(argument) for argument in node.args]
        if function in (min, max):
            return self._extreme("<" if function is min else ">", values)
        kinds = tuple(value.kind for value in values)
        if isinstance(function, Function):
            called, result = self.functions.get(function, kinds)
            code = declared(self.module, called)
            return Typed(self.builder.call(code, [value.value for value in values]), result)
        if not isinstance(function, Intrinsic):
            raise TypeError(f"{ast.unparse(node.func)} is no function of programs")
        emission = function.typed(*kinds)
        if emission is None:
            raise TypeError(f"{function.__name__} takes no {', '.join(map(str, kinds)) or 'call without arguments'}")
        return self._emitted(emission, values)

    def _extreme(self, relation, values) -> Typed:
        first, *others = (self._int(value) for value in values)
        for other in others:
            first = self.builder.select(self.builder.icmp_signed(relation, other, first), other, first)
        return Typed(first, INT)

    def _operator(self, symbol, *values) -> Typed:
        emission = arithmetic(symbol, *(value.kind for value in values))
        if emission is None:
            raise TypeError(f"no {symbol.__name__} of {' and '.join(str(value.kind) for value in values)}")
        return self._emitted(emission, values)

    def _emitted(self, emission: Emission, values) -> Typed:
        given = zip(values, emission.takes, strict=True)
        arguments = [cast(self.builder, value.value, value.kind, kind) for value, kind in given]
        return Typed(emission.emit(self.builder, *arguments), emission.gives)


def _constant(value) -> Typed:
    if isinstance(value, bool):
        return Typed(BIT(value), BOOL)
    if isinstance(value, int):
        return Typed(I64(value), INT)
    if isinstance(value, float):
        return Typed(ir.DoubleType()(value), FLOAT64)
    raise TypeError(f"{value!r} is no value of programs")
