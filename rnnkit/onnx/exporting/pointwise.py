"""Pointwise operations of a step's graph as operators of ONNX."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from rnnkit.backends.formulas import special
from rnnkit.onnx.exporting import formulas
from rnnkit.onnx.exporting.expression import Expression, where


def _native(operator: str, **attributes):
    """Return a formula of one ONNX operator."""
    return lambda x, *others: x.call(operator, *others, **attributes)


def _in_single(operator: str, formula):
    """Return a formula: one operator in float32, for which ONNX Runtime has a kernel, another formula in float64."""
    return lambda x: x.call(operator) if x.in_single else formula(x)


def _of_log(base: float):
    return lambda x: formulas.log(x) * (1.0 / math.log(base))


# By the names of `rnnkit.compiler.ir.operations`.
POINTWISE: dict[str, Callable[..., Expression]] = {
    "add": _native("Add"),
    "subtract": _native("Sub"),
    "multiply": _native("Mul"),
    "divide": _native("Div"),
    "negative": _native("Neg"),
    "square": lambda x: x * x,
    "absolute": _native("Abs"),
    "copysign": formulas.copysign,
    "maximum": _native("Max"),
    "minimum": _native("Min"),
    "where": where,
    "sign": _native("Sign"),
    "floor": _native("Floor"),
    "ceil": _native("Ceil"),
    "trunc": formulas.trunc,
    "rint": _native("Round"),
    "to_float": Expression.to_float,
    "greater": _native("Greater"),
    "greater_equal": _native("GreaterOrEqual"),
    "less": _native("Less"),
    "less_equal": _native("LessOrEqual"),
    "equal": _native("Equal"),
    "not_equal": lambda a, b: ~a.equals(b),
    "logical_and": _native("And"),
    "logical_or": _native("Or"),
    "logical_xor": _native("Xor"),
    "logical_not": _native("Not"),
    "sigmoid": formulas.sigmoid,
    "tanh": _native("Tanh"),
    "softplus": formulas.softplus,
    "log_sigmoid": formulas.log_sigmoid,
    "erf": _in_single("Erf", formulas.erf),
    "erfc": formulas.erfc,
    "exp": formulas.exp,
    "exp2": formulas.exp2,
    "expm1": formulas.expm1,
    "log": formulas.log,
    "log2": _of_log(2.0),
    "log10": _of_log(10.0),
    "log1p": formulas.log1p,
    "xlogy": formulas.xlogy,
    "xlog1py": formulas.xlog1py,
    "logaddexp": formulas.logaddexp,
    "logaddexp2": formulas.logaddexp2,
    "power": _native("Pow"),
    "sqrt": formulas.sqrt,
    "cbrt": formulas.cbrt,
    "hypot": formulas.hypot,
    "sin": _native("Sin"),
    "cos": _in_single("Cos", formulas.cos),
    "tan": formulas.tan,
    "sinc": formulas.sinc,
    "arcsin": _in_single("Asin", formulas.arcsin),
    "arccos": _in_single("Acos", formulas.arccos),
    "arctan": _in_single("Atan", formulas.arctan),
    "arctan2": formulas.arctan2,
    "sinh": _in_single("Sinh", formulas.sinh),
    "cosh": _in_single("Cosh", formulas.cosh),
    "arcsinh": _in_single("Asinh", formulas.arcsinh),
    "arccosh": _in_single("Acosh", formulas.arccosh),
    "arctanh": _in_single("Atanh", formulas.arctanh),
    "floor_divide": formulas.floor_divide,
    "remainder": formulas.remainder,
    "fmod": formulas.fmod,
    **{name: functools.partial(getattr(special, name), m=formulas.MATHEMATICS) for name in special.NAMES},
}


def _divided(operator: str, **attributes):
    """Return a formula of a division of integers: 0 for a divisor of 0."""
    return lambda a, b: where(b.equals(0), a.like(0), a.call(operator, where(b.equals(0), b.like(1), b), **attributes))


def _floor_divide(a: Expression, b: Expression) -> Expression:
    rest = _divided("Mod")(a, b)
    return _divided("Div")(a - rest, b)


# Of int32 and int64.
INTEGERS_POINTWISE = {
    name: POINTWISE[name]
    for name in (
        "add subtract multiply negative square absolute maximum minimum where sign greater greater_equal less "
        "less_equal equal not_equal"
    ).split()
} | {"floor_divide": _floor_divide, "remainder": _divided("Mod"), "fmod": _divided("Mod", fmod=1)}
