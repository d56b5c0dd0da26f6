"""Writes the instructions of LLVM's functions as text, by the methods of llvmlite's ``IRBuilder``.

llvmlite makes an object for each instruction, which is turned into text in the end: most of the time in which a program
was translated. Here an instruction is a line from the first. Types, constants and declarations are llvmlite's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from llvmlite import ir

_I1, _I32 = ir.IntType(1), ir.IntType(32)
_CONDITIONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_FOLDED: dict[str, Callable] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
_NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "or": 0, "xor": 0, "shl": 0, "ashr": 0}


@cache
def _name(llvm_type) -> str:
    return "ptr" if isinstance(llvm_type, ir.PointerType) else str(llvm_type)


def _typed(value) -> str:
    return value.typed if isinstance(value, Register) else f"{_name(value.type)} {value.get_reference()}"


class Register:
    """The result of an instruction."""

    __slots__ = ("reference", "type", "typed")

    def __init__(self, llvm_type, reference: str):
        self.type, self.reference, self.typed = llvm_type, reference, f"{_name(llvm_type)} {reference}"

    def get_reference(self) -> str:
        return self.reference


class Access(Register):
    """A load or a store, the last instruction so far, to which details may be added."""

    __slots__ = ("lines",)

    def __init__(self, llvm_type, reference: str, lines: list[str]):
        super().__init__(llvm_type, reference)
        self.lines = lines

    def _set_align(self, alignment: int) -> None:
        self.lines[-1] += f", align {alignment}"

    align = property(fset=_set_align)

    def set_metadata(self, name: str, node) -> None:
        self.lines[-1] += f", !{name} {node.get_reference()}"


class Phi(Register):
    """A value that depends on where the block was entered from."""

    __slots__ = ("ways",)

    def __init__(self, llvm_type, reference: str):
        super().__init__(llvm_type, reference)
        self.ways: list[str] = []

    def add_incoming(self, value, block: Block) -> None:
        self.ways.append(f"[{value.get_reference()}, %{block.name}]")

    def __str__(self):
        return f"{self.reference} = phi {_name(self.type)} {', '.join(self.ways)}"


class Switch:
    """The end of a block, by a number."""

    def __init__(self, number, default: Block):
        self.number, self.default, self.cases = number, default, ""

    def add_case(self, number: int, block: Block) -> None:
        self.cases += f" {_name(self.number.type)} {number}, label %{block.name}"

    def __str__(self):
        return f"switch {_typed(self.number)}, label %{self.default.name} [{self.cases}]"


class Block:
    """Instructions that follow each other; those added after the block's end stand before it."""

    def __init__(self, name: str):
        self.name = name
        self.phis: list[Phi] = []
        self.lines: list[str] = []
        self.values: dict[str, Register] = {}
        self.end: str | Switch | None = None

    @property
    def is_terminated(self) -> bool:
        return self.end is not None

    def __str__(self):
        return "\n  ".join([f"{self.name}:", *map(str, self.phis), *self.lines, f"{self.end}\n"])


class Function(ir.Function):
    def __init__(self, module: ir.Module, kind: ir.FunctionType, name: str):
        super().__init__(module, kind, name)
        self.registers = 0

    def descr_body(self, buf) -> None:
        buf.extend(map(str, self.blocks))


def _of_two(operation: str) -> Callable[[Builder, Any, Any], Any]:
    return lambda builder, a, b: builder._binary(operation, a, b)


def _to_type(operation: str) -> Callable[[Builder, Any, Any], Any]:
    return lambda builder, value, llvm_type: builder._cast(operation, value, llvm_type)


def _by_condition(operation: str) -> Callable[[Builder, str, Any, Any], Register]:
    return lambda builder, condition, a, b: builder._compared(operation, condition, a, b)


class Builder:
    """Writer of instructions at the end of a block of a `Function`; see llvmlite's ``IRBuilder``."""

    def __init__(self, function: Function, block: Block | None = None):
        self.function = function
        self.block = block or self.append_basic_block("entry")

    @property
    def module(self):
        return self.function.module

    def _new(self) -> str:
        self.function.registers += 1
        return f"%v{self.function.registers}"

    def _put(self, llvm_type, text: str) -> Register:
        register = Register(llvm_type, self._new())
        self.block.lines.append(f"{register.reference} = {text}")
        return register

    def _pure(self, llvm_type, text: str) -> Register:
        """Return the result of an instruction that depends on its operands alone; a block computes it once."""
        key = f"{text} of {llvm_type.pointee}" if isinstance(llvm_type, ir.PointerType) else text
        found = self.block.values.get(key)
        if found is None:
            found = self.block.values[key] = self._put(llvm_type, text)
        return found

    def append_basic_block(self, name: str) -> Block:
        block = Block(f"{name}.{len(self.function.blocks)}")
        self.function.blocks.append(block)
        return block

    def position_at_end(self, block: Block) -> None:
        self.block = block

    @contextmanager
    def goto_entry_block(self) -> Iterator[None]:
        block, self.block = self.block, self.function.blocks[0]
        yield
        self.block = block

    def _finish(self, end) -> None:
        if self.block.is_terminated:
            raise ValueError(f"the block {self.block.name} has ended")
        self.block.end = end

    def branch(self, block: Block) -> None:
        self._finish(f"br label %{block.name}")

    def cbranch(self, test, then: Block, other: Block) -> None:
        self._finish(f"br i1 {test.get_reference()}, label %{then.name}, label %{other.name}")

    def weigh(self, weights: tuple[int, int]) -> None:
        """Note how often the branch that ends this block goes to the one and the other."""
        node = self.module.add_metadata([ir.MetaDataString(self.module, "branch_weights"), *map(_I32, weights)])
        self.block.end += f", !prof {node.get_reference()}"  # type: ignore[operator]  # the text of a branch

    def switch(self, number, default: Block) -> Switch:
        switch = Switch(number, default)
        self._finish(switch)
        return switch

    def ret(self, value) -> None:
        self._finish(f"ret {_typed(value)}")

    def ret_void(self) -> None:
        self._finish("ret void")

    def unreachable(self) -> None:
        self._finish("unreachable")

    @contextmanager
    def if_then(self, test, likely: bool | None = None) -> Iterator[None]:
        then, done = self.append_basic_block("if"), self.append_basic_block("endif")
        self.cbranch(test, then, done)
        if likely is not None:
            self.weigh((99, 1) if likely else (1, 99))
        self.position_at_end(then)
        yield
        if not self.block.is_terminated:
            self.branch(done)
        self.position_at_end(done)

    def phi(self, llvm_type) -> Phi:
        phi = Phi(llvm_type, self._new())
        self.block.phis.append(phi)
        return phi

    def _binary(self, operation: str, a, b):
        if isinstance(b, ir.Constant) and isinstance(b.type, ir.IntType):
            if isinstance(a, ir.Constant) and operation in _FOLDED:
                return b.type(_FOLDED[operation](a.constant, b.constant))
            if b.constant == _NEUTRAL.get(operation):
                return a
        return self._pure(a.type, f"{operation} {a.typed if type(a) is Register else _typed(a)}, {b.get_reference()}")

    def _cast(self, operation: str, value, llvm_type):
        if value.type == llvm_type:
            return value
        return self._pure(llvm_type, f"{operation} {_typed(value)} to {_name(llvm_type)}")

    add, sub, mul = _of_two("add"), _of_two("sub"), _of_two("mul")
    add_without_overflow = _of_two("add nsw")
    sdiv, srem = _of_two("sdiv"), _of_two("srem")
    and_, or_, xor = _of_two("and"), _of_two("or"), _of_two("xor")
    shl, ashr = _of_two("shl"), _of_two("ashr")
    fadd, fsub, fmul, fdiv, frem = map(_of_two, ("fadd", "fsub", "fmul", "fdiv", "frem"))
    zext, sext, trunc, bitcast, inttoptr = map(_to_type, ("zext", "sext", "trunc", "bitcast", "inttoptr"))
    sitofp, uitofp, fptosi, fptrunc, fpext = map(_to_type, ("sitofp", "uitofp", "fptosi", "fptrunc", "fpext"))

    def neg(self, value) -> Register:
        vector = isinstance(value.type, ir.VectorType)
        return self._binary("sub", ir.Constant(value.type, [0] * value.type.count if vector else 0), value)

    def not_(self, value) -> Register:
        vector = isinstance(value.type, ir.VectorType)
        return self._binary("xor", value, ir.Constant(value.type, [-1] * value.type.count if vector else -1))

    def fneg(self, value) -> Register:
        return self._pure(value.type, f"fneg {_typed(value)}")

    def _compared(self, operation: str, condition: str, a, b) -> Register:
        kind = ir.VectorType(_I1, a.type.count) if isinstance(a.type, ir.VectorType) else _I1
        name = _CONDITIONS[condition]
        signless = operation.startswith("icmp") and name in ("eq", "ne")
        return self._pure(kind, f"{'icmp ' if signless else operation}{name} {_typed(a)}, {b.get_reference()}")

    icmp_signed, icmp_unsigned = _by_condition("icmp s"), _by_condition("icmp u")
    fcmp_ordered, fcmp_unordered = _by_condition("fcmp o"), _by_condition("fcmp u")

    def select(self, test, a, b) -> Register:
        return self._pure(a.type, f"select {_typed(test)}, {_typed(a)}, {_typed(b)}")

    def call(self, function, arguments: Sequence[Any]) -> Any:
        kind = function.function_type if isinstance(function, ir.Function) else function.type.pointee
        text = f"call {_name(kind.return_type)} {function.get_reference()}({', '.join(map(_typed, arguments))})"
        if isinstance(kind.return_type, ir.VoidType):
            self.block.lines.append(text)
            return None
        return self._put(kind.return_type, text)

    def extract_element(self, vector, index) -> Register:
        return self._pure(vector.type.element, f"extractelement {_typed(vector)}, {_typed(index)}")

    def insert_element(self, vector, value, index) -> Register:
        return self._pure(vector.type, f"insertelement {_typed(vector)}, {_typed(value)}, {_typed(index)}")

    def shuffle_vector(self, a, b, places) -> Register:
        kind = ir.VectorType(a.type.element, places.type.count)
        return self._pure(kind, f"shufflevector {_typed(a)}, {_typed(b)}, {_typed(places)}")

    def extract_value(self, aggregate, index: int) -> Register:
        return self._pure(aggregate.type.elements[index], f"extractvalue {_typed(aggregate)}, {index}")

    def alloca(self, llvm_type) -> Register:
        return self._put(llvm_type.as_pointer(), f"alloca {_name(llvm_type)}")

    def load(self, pointer) -> Access:
        kind = pointer.type.pointee
        access = Access(kind, self._new(), self.block.lines)
        self.block.lines.append(f"{access.reference} = load {_name(kind)}, ptr {pointer.get_reference()}")
        return access

    def store(self, value, pointer) -> Access:
        self.block.lines.append(f"store {_typed(value)}, ptr {pointer.get_reference()}")
        return Access(ir.VoidType(), "", self.block.lines)

    def load_atomic(self, pointer, ordering: str, align: int) -> Register:
        kind = pointer.type.pointee
        text = f"load atomic {_name(kind)}, ptr {pointer.get_reference()} {ordering}, align {align}"
        return self._put(kind, text)

    def store_atomic(self, value, pointer, ordering: str, align: int) -> None:
        self.block.lines.append(
            f"store atomic {_typed(value)}, ptr {pointer.get_reference()} {ordering}, align {align}"
        )

    def atomic_rmw(self, operation: str, pointer, value, ordering: str) -> Register:
        text = f"atomicrmw {operation} ptr {pointer.get_reference()}, {_typed(value)} {ordering}"
        return self._put(value.type, text)

    def cmpxchg(self, pointer, expected, value, ordering: str, failing: str) -> Register:
        place = f"ptr {pointer.get_reference()}"
        text = f"cmpxchg {place}, {_typed(expected)}, {_typed(value)} {ordering} {failing}"
        return self._put(ir.LiteralStructType([value.type, _I1]), text)

    def fence(self, ordering: str) -> None:
        self.block.lines.append(f"fence {ordering}")
