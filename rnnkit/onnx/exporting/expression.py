"""Values of an ONNX graph with Python's operators, for which the formulas of compiled code serve as they stand.

A function that ONNX has, in both precisions, is that operator. What reads the bits of numbers has a form of its own
here, which keeps the digits that a plain one would lose, and the values at 0, infinity and NaN.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rnnkit.backends.formulas.error_function import FAR, FARTHEST, NEAR
from rnnkit.backends.formulas.table import FORMULAS
from rnnkit.backends.formulas.value import Value, absolute, copysign, horner, rint, select
from rnnkit.onnx.exporting.block import Block

_INSTRUCTIONS = {"fadd": "Add", "fsub": "Sub", "fmul": "Mul", "fdiv": "Div", "fneg": "Neg", "add": "Add", "sub": "Sub"}
_INSTRUCTIONS |= {"mul": "Mul", "neg": "Neg", "and_": "And", "or_": "Or", "xor": "Xor", "not_": "Not"}
_COMPARISONS = {"<": "Less", "<=": "LessOrEqual", ">": "Greater", ">=": "GreaterOrEqual", "==": "Equal"}
_FUNCTIONS = {"fabs": "Abs", "sqrt": "Sqrt", "floor": "Floor", "ceil": "Ceil", "rint": "Round"}
_HALF_PI, _HALF_PI_REST = math.pi / 2, 6.123233995736766e-17  # the rest is π/2 minus the nearest float64


class Named(NamedTuple):
    """A value by its name, with the dtype of its numbers."""

    type: Any
    name: str


class _Lines(NamedTuple):
    """The graph to which nodes are added, with the step's `line`."""

    block: Block
    line: str

    def select(self, mask: Named, a: Named, b: Named) -> Named:
        return Named(a.type, self.block.add("Where", mask.name, a.name, b.name, line=self.line))


class Expression(Value):
    """A value of the graph `block`, of numbers of a dtype or conditions; nodes get the step's `line`."""

    lanes = None

    @classmethod
    def of_name(cls, block: Block, name: str, dtype, line: str = "") -> Expression:
        return cls(_Lines(block, line), Named(np.dtype(dtype), name))

    @property
    def name(self) -> str:
        return self.value.name

    @property
    def is_float(self) -> bool:
        return self.type.kind == "f"

    @property
    def width(self) -> int:
        """The bits of a number."""
        return 8 * self.type.itemsize

    def constant(self, number):
        return self.of(Named(self.type, self.builder.block.number(number, self.type)))

    def call(self, name: str, *others, dtype=None, **attributes):
        """Add an operator of ONNX on this value and others."""
        operands = [self.name, *(self.like(other).name for other in others)]
        found = self.builder.block.add(name, *operands, line=self.builder.line, **attributes)
        return self.of(Named(dtype or self.type, found))

    def function(self, name, *others):
        if name == "fma":
            return self * others[0] + others[1]
        if name == "trunc":
            return select(self < 0, self.call("Ceil"), self.call("Floor"))
        if name == "copysign":
            (sign,) = others
            size = absolute(self)
            return select((sign < 0) | (1.0 / sign < 0), -size, size)
        return self.call(_FUNCTIONS[name])

    def _emit(self, instruction, *others, **keywords):
        return self.call(_INSTRUCTIONS[instruction], *others)

    def _emit_compare(self, instruction, operator, other):
        found = self.call(_COMPARISONS["==" if operator == "!=" else operator], other, dtype=np.dtype(bool))
        return ~found if operator == "!=" else found


def _native(name: str, **attributes):
    """Return a formula of one ONNX operator."""
    return lambda x, *others: x.call(name, *others, **attributes)


def _in_single(name: str, formula):
    """Return a formula: one operator in float32, for which ONNX Runtime has a kernel, another formula in float64."""
    return lambda x: x.call(name) if x.width == 32 else formula(x)


def _exp(x):
    return x.call("Exp")


def _log(x):
    return x.call("Log")


def _expm1(x):
    """exp(x) - 1, near 0 by tanh(x / 2)."""
    half = (0.5 * x).call("Tanh")
    return select(absolute(x) < 1.0, 2.0 * half / (1.0 - half), _exp(x) - 1.0)


def _log1p(x):
    """log(1 + x), with a correction for the rounding of the sum."""
    u = x + 1.0
    lost = _log(u) * (x / (u - 1.0))
    return select((u == 1.0) | (x == math.inf), x, lost)


def _far(size):
    """erfc of `size` >= 0."""
    above, below = FAR[size.width]
    size = size.call("Min", FARTHEST[size.width])
    return _exp(-(size * size)) * (horner(size, above) / horner(size, below))


def _erf(x):
    near = x * horner(x * x, NEAR[64])
    return select(absolute(x) < 0.9, near, copysign(1.0 - _far(absolute(x)), x))


def _erfc(x):
    far = _far(absolute(x))
    return select(x < 0, 2.0 - far, far)


def _cos(x):
    """The cosine: ONNX Runtime's kernel in float64 exists since 1.29; accurate at π/2."""
    half = (0.5 * x).call("Sin")
    near = ((_HALF_PI - absolute(x)) + _HALF_PI_REST).call("Sin")
    return select(absolute(x) < 2.0, near, 1.0 - 2.0 * half * half)


def _sinc(x):
    """sin(πx) / (πx), exactly 0 at whole numbers."""
    turned = math.pi * (x - 2.0 * rint(0.5 * x))
    at_zero = x == 0.0
    return select(at_zero, x.constant(1.0), turned.call("Sin") / select(at_zero, x.constant(1.0), math.pi * x))


Expression.own = {
    "exp": _exp, "expm1": _expm1, "log": _log, "log1p": _log1p, "tanh": _native("Tanh"), "maximum": _native("Max"),
    "minimum": _native("Min"), "sign": _native("Sign"), "power": _native("Pow"), "fmod": _native("Mod", fmod=1),
    "erf": _in_single("Erf", _erf), "erfc": _erfc, "sin": _native("Sin"), "cos": _in_single("Cos", _cos), "sinc": _sinc,
    "exp_of_negative": lambda x: _exp(-x),
    "exp_product": lambda a, b: _exp(a * b),
    "exp2": lambda x: x.constant(2.0).call("Pow", x),
    "log2": lambda x: _log(x) * (1.0 / math.log(2.0)),
    "log10": lambda x: _log(x) * (1.0 / math.log(10.0)),
    "sigmoid": lambda x: 1.0 / (_exp(-x) + 1.0),  # ONNX Runtime's Sigmoid is 0 for values below 1e-7
    "cbrt": lambda x: copysign(absolute(x).call("Pow", 1.0 / 3.0), x),
    "tan": lambda x: x.call("Sin") / (x.call("Cos") if x.width == 32 else _cos(x)),
} | {
    name: _in_single(known, FORMULAS[name].__wrapped__)  # type: ignore[attr-defined]  # by functools.wraps
    for name, known in {
        "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "arcsinh": "Asinh",
        "arccosh": "Acosh", "arctanh": "Atanh",
    }.items()
}  # fmt: skip


def _divided(name: str, **attributes):
    """Return a formula of a division of integers: 0 for a divisor of 0."""

    def divided(a, b):
        nothing = b == 0
        return select(nothing, a.constant(0), a.call(name, select(nothing, b.constant(1), b), **attributes))

    return divided


# By the names of `rnnkit.compiler.ir.operations`; integers have functions of their own.
POINTWISE: dict[str, Callable] = FORMULAS | {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "negative": operator.neg, "where": select, "greater": operator.gt, "greater_equal": operator.ge,
    "less": operator.lt, "less_equal": operator.le, "equal": operator.eq, "not_equal": operator.ne,
    "logical_and": operator.and_, "logical_or": operator.or_, "logical_xor": operator.xor,
    "logical_not": operator.invert,
}  # fmt: skip
OF_INTEGERS = {
    "absolute": _native("Abs"),
    "floor_divide": lambda a, b: _divided("Div")(a - _divided("Mod")(a, b), b),
    "remainder": _divided("Mod"),
    "fmod": _divided("Mod", fmod=1),
}
