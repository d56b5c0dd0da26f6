"""The pointwise operations of a graph, one line each: how NumPy computes them, and what a kernel writes for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnkit import functions


@dataclass(frozen=True)
class Operation:
    """One pointwise operation.

    Attributes
    ----------
    evaluate : callable
        Its NumPy form, on arrays that broadcast.
    text : str
        Its form in a kernel, with ``{0}``, ``{1}`` … for the operands.
    result, operands : "float" or "bool"
        What it gives and what it takes; ``where`` takes a bool first.
    dear : bool
        Costs so much that it is kept rather than computed twice.
    """

    evaluate: Callable
    text: str
    result: str = "float"
    operands: str = "float"
    dear: bool = False


def _dear(name, evaluate, arity=1):
    operands = ", ".join("{" + str(i) + "}" for i in range(arity))
    return Operation(evaluate, f"{name}({operands})", dear=True)


OPERATIONS: dict[str, Operation] = {
    "add": Operation(np.add, "{0} + {1}"),
    "subtract": Operation(np.subtract, "{0} - {1}"),
    "multiply": Operation(np.multiply, "{0} * {1}"),
    "divide": Operation(np.divide, "{0} / {1}", dear=True),
    "negative": Operation(np.negative, "-{0}"),
    "absolute": Operation(np.absolute, "absolute({0})"),
    "sign": Operation(np.sign, "sign({0})"),
    "square": Operation(np.square, "{0} * {0}"),
    "maximum": Operation(np.maximum, "maximum({0}, {1})"),
    "minimum": Operation(np.minimum, "minimum({0}, {1})"),
    "copysign": Operation(np.copysign, "copysign({0}, {1})"),
    "floor": Operation(np.floor, "floor({0})"),
    "ceil": Operation(np.ceil, "ceil({0})"),
    "trunc": Operation(np.trunc, "trunc({0})"),
    "rint": Operation(np.rint, "rint({0})"),
    "where": Operation(np.where, "select({0}, {1}, {2})"),
    "to_float": Operation(lambda condition: np.where(condition, 1.0, 0.0), "select({0}, one, zero)", operands="bool"),
    "greater": Operation(np.greater, "{0} > {1}", result="bool"),
    "greater_equal": Operation(np.greater_equal, "{0} >= {1}", result="bool"),
    "less": Operation(np.less, "{0} < {1}", result="bool"),
    "less_equal": Operation(np.less_equal, "{0} <= {1}", result="bool"),
    "equal": Operation(np.equal, "{0} == {1}", result="bool"),
    "not_equal": Operation(np.not_equal, "{0} != {1}", result="bool"),
    "logical_and": Operation(np.logical_and, "{0} & {1}", result="bool", operands="bool"),
    "logical_or": Operation(np.logical_or, "{0} | {1}", result="bool", operands="bool"),
    "logical_xor": Operation(np.logical_xor, "{0} ^ {1}", result="bool", operands="bool"),
    "logical_not": Operation(np.logical_not, "~{0}", result="bool", operands="bool"),
    "sigmoid": _dear("sigmoid", functions.sigmoid),
    "softplus": _dear("softplus", functions.softplus),
    "log_sigmoid": _dear("log_sigmoid", functions.log_sigmoid),
    "erf": _dear("erf", functions.erf),
    "erfc": _dear("erfc", functions.erfc),
    "sqrt": _dear("sqrt", np.sqrt),
}
for _name in (
    "exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh cbrt"
).split():
    OPERATIONS[_name] = _dear(_name, getattr(np, _name))
for _name in "power arctan2 hypot logaddexp floor_divide remainder fmod".split():
    OPERATIONS[_name] = _dear(_name, getattr(np, _name), 2)

# Where a kernel leaves vectors and goes lane by lane, with libm.
BY_LANE = dict.fromkeys(("sin", "cos", "tan"), "beyond 1e5 in float32, 1e6 in float64") | dict.fromkeys(
    ("fmod", "remainder", "floor_divide"), "where a / b is beyond 2**23 in float32, 2**52 in float64"
)

REDUCTIONS: dict[str, Callable] = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}
