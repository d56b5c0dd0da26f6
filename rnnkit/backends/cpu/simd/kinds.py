"""The types of values in programs: int64, bool, floats, and registers full of floats or of bits."""

from __future__ import annotations

from functools import cache

from llvmlite import ir


class Kind:
    """A type, of which there is one object; `llvm` is LLVM's type."""

    def __init__(self, name: str, llvm: ir.Type):
        self.name, self.llvm = name, llvm

    def __str__(self):
        return self.name


class Float(Kind):
    """A float of `size` bytes."""

    def __init__(self, name: str, llvm: ir.Type, size: int):
        super().__init__(name, llvm)
        self.size = size


class Integer(Kind):
    """An integer of `size` bytes."""

    def __init__(self, size: int):
        super().__init__(f"int{8 * size}", ir.IntType(8 * size))
        self.size = size


class Vector(Kind):
    """`lanes` numbers of one kind: ``<lanes x float>`` in LLVM, and with one lane a plain number."""

    def __init__(self, element: Float | Integer, lanes: int):
        llvm = ir.VectorType(element.llvm, lanes) if lanes > 1 else element.llvm
        super().__init__(f"vector({element} x {lanes})", llvm)
        self.element, self.lanes = element, lanes


class Mask(Kind):
    """`lanes` bits."""

    def __init__(self, lanes: int):
        super().__init__(f"mask({lanes})", ir.VectorType(ir.IntType(1), lanes) if lanes > 1 else ir.IntType(1))
        self.lanes = lanes


VOID = Kind("void", ir.VoidType())
INT, INT32 = Integer(8), Integer(4)
BOOL = Kind("bool", ir.IntType(1))
FLOAT32 = Float("float32", ir.FloatType(), 4)
FLOAT64 = Float("float64", ir.DoubleType(), 8)
FLOATS = {kind.name: kind for kind in (FLOAT32, FLOAT64)}


@cache
def vector(element: Float | Integer, lanes: int) -> Vector:
    return Vector(element, lanes)


@cache
def mask(lanes: int) -> Mask:
    return Mask(lanes)


def cast(builder, value, given: Kind, wanted: Kind):
    """Return an LLVM number of one kind as one of another; a TypeError if one is no number, or an int is a float's."""
    if given is wanted:
        return value
    if given is BOOL and wanted is INT:
        return builder.zext(value, wanted.llvm)
    if given is INT and wanted is BOOL:
        return builder.icmp_signed("!=", value, INT.llvm(0))
    if given is INT and wanted is INT32:
        return builder.trunc(value, wanted.llvm)
    if isinstance(wanted, Float):
        if isinstance(given, Float):
            return (builder.fpext if wanted.size > given.size else builder.fptrunc)(value, wanted.llvm)
        if given in (INT, BOOL):
            return (builder.sitofp if given is INT else builder.uitofp)(value, wanted.llvm)
    raise TypeError(f"{given} is no {wanted}")
