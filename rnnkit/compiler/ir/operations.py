"""The pointwise operations and reductions of a graph: in NumPy, in a kernel, and their derivatives.

An operation has the name of the function that it is, NumPy's, scipy.special's or rnnkit's; `COMPOSED` are the functions
of NumPy and scipy.special that several operations make. Tracing, jitted steps and kernels follow these tables;
`docs/recipes.md` says how to add to them.

The third field of each is its rule, ``gradient(g, y, *args)``: from the cotangent ``g`` of the result ``y`` to those of
the operands, one each, None for an operand that has none. Rules are linear in ``g`` and pointwise, and so serve forward
mode: the tangent of ``y`` is the sum of ``gradient(t, y, *args)[i]`` over the operands ``i`` with their tangents ``t``.
They are NumPy on whole arrays that broadcast, and run on symbols; the caller sums over broadcast axes. In terms of
``y`` a rule saves a function: the slope of ``tanh``, ``sigmoid`` and ``expm1`` is then exact to a rounding of 1.

Where a function has no derivative (`docs/gradients.md`):

- A tie of two arrays is split evenly, in ``maximum`` and ``minimum`` as in ``max`` and ``min``.
- A tie of ``maximum`` with a number is the number's: the slope of ``relu`` at 0 is 0. That of ``minimum`` is the
  array's, since the two add up to ``x + number``: so ``elu``, smooth at 0, has slope 1 there.
- ``absolute``, ``hypot`` and ``arctan2`` have slope 0 at 0, as has ``power`` where its formula is no number.
- ``sqrt``, ``cbrt`` and ``log`` have an infinite slope at 0, as it is.
- ``xlogy`` and ``xlog1py`` have slope 0 for their second operand where the first is 0, and for the first where that is
  0 and there is no logarithm.
- ``gammaln``, ``psi`` and the inverses of the error function have the slope that their formula has at their poles.
- Functions that jump have the slope that they have between the jumps.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnkit import activations
from rnnkit.compiler.ir.kinds import INTEGERS


@dataclass(frozen=True)
class Operation:
    """One pointwise operation."""

    evaluate: Callable  # its NumPy form, on arrays that broadcast
    text: str  # its form in a kernel, with {0}, {1} … for the operands
    gradient: Callable  # its rule: (g, y, *args) to a tuple of cotangents
    result: str = "float"  # or "bool", as `operands`; `where` takes a bool first
    operands: str = "float"
    expensive: bool = False  # costs so much that it is kept rather than computed twice
    aliases: tuple[str, ...] = ()  # other functions of NumPy and scipy.special that are the same


@dataclass(frozen=True)
class IntegerOperation:
    """One pointwise operation on integers, in NumPy and in a kernel: both wrap, and a division by 0 gives 0."""

    evaluate: Callable
    text: str  # with {0}, {1} … for the operands
    result: str = "integer"  # the kind of its operands, or "bool"


@dataclass(frozen=True)
class Reduction:
    """One reduction over feature axes, called as NumPy's.

    Its rule takes ``(g, y, x, axes)`` to the cotangent of ``x``, or one that broadcasts to it. ``g`` and ``y`` keep the
    reduced axes with length 1, and ``axes`` are negative, so that a batch axis may stand in front.
    """

    evaluate: Callable  # NumPy's function
    gradient: Callable  # its rule
    combine: str  # the operation on two numbers that it is made of
    start: float  # what it is of no numbers

    def of_nothing(self, kind: str) -> float:
        """Return what it is of no numbers of a kind: of integers no infinity, but the least or the greatest one."""
        if kind not in INTEGERS:
            return self.start
        limits = np.iinfo(kind)
        return int(min(max(self.start, limits.min), limits.max))

    def __call__(self, x, axis):
        return self.evaluate(x, axis=axis)


# Rules that take more than a line.


def flat(g, y, *args):
    """Return no cotangents: the rule of piecewise constant functions."""
    return (None,) * len(args)


def _is_number(operand) -> bool:
    """Tell whether an operand is a number, which has no cotangent; an array may be anything."""
    return getattr(operand, "fixed", isinstance(operand, numbers.Real))


def _maximum(g, y, a, b):
    if _is_number(b):
        return np.where(a > b, g, 0.0), None
    if _is_number(a):
        return None, np.where(b > a, g, 0.0)
    return _split(g, a > b, b > a, a == b)


def _minimum(g, y, a, b):
    if _is_number(b):
        return np.where(a <= b, g, 0.0), None
    if _is_number(a):
        return None, np.where(b <= a, g, 0.0)
    return _split(g, a < b, b < a, a == b)


def _split(g, first, second, tie):
    half = np.where(tie, 0.5 * g, 0.0)
    return np.where(first, g, half), np.where(second, g, half)


def _power(g, y, a, b):
    positive = a > 0
    by_base = np.where(b == 0, 0.0, b * np.power(a, b - 1))
    by_exponent = np.where(positive, y * np.log(np.where(positive, a, 1.0)), 0.0)
    return g * by_base, g * by_exponent


def _hypot(g, y, a, b):
    y = np.where(y == 0, 1.0, y)
    return g * (a / y), g * (b / y)


def _arctan2(g, y, a, b):
    r = np.hypot(a, b)  # a * a + b * b would overflow
    r = np.where(r == 0, 1.0, r)
    return g / r * (b / r), g / r * (-a / r)


def _logaddexp(g, y, a, b):
    even = a == b  # two infinities, too
    return (g * np.where(even, 0.5, activations.sigmoid(a - b)), g * np.where(even, 0.5, activations.sigmoid(b - a)))


def _logaddexp2(g, y, a, b):
    even = a == b
    return (
        g * np.where(even, 0.5, activations.sigmoid(_LOG_2 * (a - b))),
        g * np.where(even, 0.5, activations.sigmoid(_LOG_2 * (b - a))),
    )


def _xlogy(g, y, a, b):
    nothing = a == 0
    outside = nothing & (b <= 0)
    by_factor = np.where(outside, 0.0, np.log(np.where(outside, 1.0, b)))
    return g * by_factor, g * np.where(nothing, 0.0, a / np.where(nothing, 1.0, b))


def _xlog1py(g, y, a, b):
    nothing = a == 0
    outside = nothing & (b <= -1)
    by_factor = np.where(outside, 0.0, np.log1p(np.where(outside, 0.0, b)))
    return g * by_factor, g * np.where(nothing, 0.0, a / np.where(nothing, 1.0, 1.0 + b))


def _remainder(g, y, a, b):
    return g, g * np.rint((y - a) / b)  # a = n * b + y: floor(a / b), rounded, could be one off


def _sinc(g, y, x):
    near = np.abs(x) < 0.25  # there cos(πx) - y would cancel
    inside, outside = np.where(near, x, 0.0), np.where(near, 1.0, x)
    square = inside * inside
    series = functools.reduce(lambda total, term: total * square + term, _SINC_SLOPE)
    cosine = np.cos(math.pi * (x - 2.0 * np.rint(0.5 * x)))  # of less than a turn
    return (g * np.where(near, inside * series, (cosine - y) / outside),)


def _exprel(g, y, x):
    near = np.abs(x) < 1.0  # there exp(x) - y would cancel
    inside, outside = np.where(near, x, 0.0), np.where(near, 1.0, x)
    series = functools.reduce(lambda total, term: total * inside + term, _EXPREL_SLOPE)
    share = 1.0 / outside
    apart = np.where(x > 0, y * (1.0 - share) + share, (np.exp(-np.abs(outside)) - y) * share)
    return (g * np.where(near, series, apart),)


def _extreme(g, y, x, axes):
    most = x == y
    count = np.sum(most.astype(g.dtype), axis=axes, keepdims=True)
    return np.where(most, g / np.maximum(count, 1.0), 0.0)  # no x is the largest, if that is NaN


def _prod(g, y, x, axes):
    zero = x == 0
    zeros, others = zero.astype(g.dtype), np.where(zero, 1.0, x)
    alone = np.sum(zeros, axis=axes, keepdims=True) - zeros == 0  # no other factor is zero
    return np.where(alone, g * (np.prod(others, axis=axes, keepdims=True) / others), 0.0)


def _psi(g, y, x):
    size = np.where(x < 0, 1.0 - x, x)
    slope = special("zeta", 2.0, size)
    rest = np.where(x < 0, x - np.rint(x), 0.5)
    return (g * np.where(x < 0, np.square(1.0 / (rest * np.sinc(rest))) - slope, slope),)


def _zeta(g, y, s, x):
    return None, g * (-s * _hurwitz(s + 1.0, x))


def _log_ndtr(g, y, x):
    tail = special("erfcx", math.sqrt(0.5) * np.abs(x))
    bell = np.exp(-0.5 * np.square(x))
    upper = math.sqrt(0.5 / math.pi) * bell / (1.0 - 0.5 * tail * bell)
    return (g * np.where(x < 0, math.sqrt(2.0 / math.pi) / tail, upper),)


def _i1e(g, y, x):
    share = np.where(x == 0, 0.5, y / np.where(x == 0, 1.0, x))
    return (g * (special("i0e", x) - share - np.sign(x) * y),)


def special(name, *args):
    """Compute a function of scipy.special, whose import takes a tenth of a second, on arrays or symbols."""
    import scipy.special

    return getattr(scipy.special, name)(*args)


def _hurwitz(s, x):
    """Return the Hurwitz zeta function: NaN for a negative x and for NaN, 0 for a large power."""
    found = np.where((s > 1e4) & (x > 1.1), 0.0, special("zeta", s, x))
    return np.where((x < 0) | np.isnan(s) | np.isnan(x), np.nan, found)


def _special(name):
    return functools.partial(special, name)


_expensive = functools.partial(Operation, expensive=True)
_compare = functools.partial(Operation, gradient=flat, result="bool")
_logical = functools.partial(Operation, gradient=flat, result="bool", operands="bool")

_LOG_2, _LOG_10 = math.log(2.0), math.log(10.0)
_ERF_SLOPE = 2.0 / math.sqrt(math.pi)
# The slope of sinc over x, in x²: the powers of sin(πx) / (πx), each derived.
_SINC_SLOPE = [(-1) ** k * math.pi ** (2 * k) * 2 * k / math.factorial(2 * k + 1) for k in range(9, 0, -1)]
_EXPREL_SLOPE: list = [k / math.factorial(k + 1) for k in range(19, 0, -1)]  # in x

OPERATIONS: dict[str, Operation] = {
    # arithmetic
    "add": Operation(np.add, "{0} + {1}", lambda g, y, a, b: (g, g)),
    "subtract": Operation(np.subtract, "{0} - {1}", lambda g, y, a, b: (g, -g)),
    "multiply": Operation(np.multiply, "{0} * {1}", lambda g, y, a, b: (g * b, g * a)),
    "divide": _expensive(np.divide, "{0} / {1}", lambda g, y, a, b: (g / b, -(g / b * y)), aliases=("true_divide",)),
    "negative": Operation(np.negative, "-{0}", lambda g, y, x: (-g,)),
    "square": Operation(np.square, "{0} * {0}", lambda g, y, x: (g * (2.0 * x),)),
    # choice
    "absolute": Operation(np.absolute, "absolute({0})", lambda g, y, x: (g * np.sign(x),), aliases=("abs", "fabs")),
    "copysign": Operation(
        np.copysign, "copysign({0}, {1})", lambda g, y, a, b: (g * (np.sign(a) * np.copysign(1.0, b)), None)
    ),
    "maximum": Operation(np.maximum, "maximum({0}, {1})", _maximum),
    "minimum": Operation(np.minimum, "minimum({0}, {1})", _minimum),
    "where": Operation(
        np.where, "select({0}, {1}, {2})", lambda g, y, c, a, b: (None, np.where(c, g, 0.0), np.where(c, 0.0, g))
    ),
    # steps
    "sign": Operation(np.sign, "sign({0})", flat),
    "floor": Operation(np.floor, "floor({0})", flat),
    "ceil": Operation(np.ceil, "ceil({0})", flat),
    "trunc": Operation(np.trunc, "trunc({0})", flat),
    "rint": Operation(np.rint, "rint({0})", flat),
    # conditions
    "to_float": Operation(lambda c: np.where(c, 1.0, 0.0), "select({0}, one, zero)", flat, operands="bool"),
    "greater": _compare(np.greater, "{0} > {1}"),
    "greater_equal": _compare(np.greater_equal, "{0} >= {1}"),
    "less": _compare(np.less, "{0} < {1}"),
    "less_equal": _compare(np.less_equal, "{0} <= {1}"),
    "equal": _compare(np.equal, "{0} == {1}"),
    "not_equal": _compare(np.not_equal, "{0} != {1}"),
    "logical_and": _logical(np.logical_and, "{0} & {1}", aliases=("bitwise_and",)),
    "logical_or": _logical(np.logical_or, "{0} | {1}", aliases=("bitwise_or",)),
    "logical_xor": _logical(np.logical_xor, "{0} ^ {1}", aliases=("bitwise_xor",)),
    "logical_not": _logical(np.logical_not, "~{0}", aliases=("invert",)),
    # sigmoids
    "sigmoid": _expensive(
        activations.sigmoid, "sigmoid({0})", lambda g, y, x: (g * (y * (1.0 - y)),), aliases=("expit",)
    ),
    "tanh": _expensive(np.tanh, "tanh({0})", lambda g, y, x: (g * (1.0 - y * y),)),
    "softplus": _expensive(activations.softplus, "softplus({0})", lambda g, y, x: (g * activations.sigmoid(x),)),
    "log_sigmoid": _expensive(
        activations.log_sigmoid,
        "log_sigmoid({0})",
        lambda g, y, x: (g * activations.sigmoid(-x),),
        aliases=("log_expit",),
    ),
    "erf": _expensive(activations.erf, "erf({0})", lambda g, y, x: (g * (_ERF_SLOPE * np.exp(-x * x)),)),
    "erfc": _expensive(activations.erfc, "erfc({0})", lambda g, y, x: (g * (-_ERF_SLOPE * np.exp(-x * x)),)),
    "erfcx": _expensive(_special("erfcx"), "erfcx({0})", lambda g, y, x: (g * (2.0 * x * y - _ERF_SLOPE),)),
    "erfinv": _expensive(_special("erfinv"), "erfinv({0})", lambda g, y, x: (g * (np.exp(y * y) / _ERF_SLOPE),)),
    "erfcinv": _expensive(_special("erfcinv"), "erfcinv({0})", lambda g, y, x: (g * (-np.exp(y * y) / _ERF_SLOPE),)),
    "ndtri": _expensive(
        _special("ndtri"), "ndtri({0})", lambda g, y, x: (g * (math.sqrt(2.0 * math.pi) * np.exp(0.5 * y * y)),)
    ),
    "log_ndtr": _expensive(_special("log_ndtr"), "log_ndtr({0})", _log_ndtr),
    # gamma and Bessel functions
    "gammaln": _expensive(_special("gammaln"), "gammaln({0})", lambda g, y, x: (g * special("psi", x),)),
    "psi": _expensive(_special("psi"), "psi({0})", _psi, aliases=("digamma",)),
    "zeta": _expensive(_hurwitz, "zeta({0}, {1})", _zeta, aliases=("_zeta",)),
    "i0e": _expensive(_special("i0e"), "i0e({0})", lambda g, y, x: (g * (special("i1e", x) - np.sign(x) * y),)),
    "i1e": _expensive(_special("i1e"), "i1e({0})", _i1e),
    "k0e": _expensive(_special("k0e"), "k0e({0})", lambda g, y, x: (g * (y - special("k1e", x)),)),
    "k1e": _expensive(_special("k1e"), "k1e({0})", lambda g, y, x: (g * (y - special("k0e", x) - y / x),)),
    # powers and logarithms
    "exp": _expensive(np.exp, "exp({0})", lambda g, y, x: (g * y,)),
    "exp2": _expensive(np.exp2, "exp2({0})", lambda g, y, x: (g * (_LOG_2 * y),)),
    "expm1": _expensive(np.expm1, "expm1({0})", lambda g, y, x: (g * (y + 1.0),)),
    "exprel": _expensive(_special("exprel"), "exprel({0})", _exprel),
    "log": _expensive(np.log, "log({0})", lambda g, y, x: (g / x,)),
    "log2": _expensive(np.log2, "log2({0})", lambda g, y, x: (g / (_LOG_2 * x),)),
    "log10": _expensive(np.log10, "log10({0})", lambda g, y, x: (g / (_LOG_10 * x),)),
    "log1p": _expensive(np.log1p, "log1p({0})", lambda g, y, x: (g / (1.0 + x),)),
    "xlogy": _expensive(_special("xlogy"), "xlogy({0}, {1})", _xlogy),
    "xlog1py": _expensive(_special("xlog1py"), "xlog1py({0}, {1})", _xlog1py),
    "logaddexp": _expensive(np.logaddexp, "logaddexp({0}, {1})", _logaddexp),
    "logaddexp2": _expensive(np.logaddexp2, "logaddexp2({0}, {1})", _logaddexp2),
    "power": _expensive(np.power, "power({0}, {1})", _power, aliases=("float_power", "pow")),
    "sqrt": _expensive(np.sqrt, "sqrt({0})", lambda g, y, x: (0.5 * g / y,)),
    "cbrt": _expensive(np.cbrt, "cbrt({0})", lambda g, y, x: (g / (3.0 * (y * y)),)),
    "hypot": _expensive(np.hypot, "hypot({0}, {1})", _hypot),
    # angles
    "sin": _expensive(np.sin, "sin({0})", lambda g, y, x: (g * np.cos(x),)),
    "cos": _expensive(np.cos, "cos({0})", lambda g, y, x: (-(g * np.sin(x)),)),
    "tan": _expensive(np.tan, "tan({0})", lambda g, y, x: (g * (1.0 + y * y),)),
    "sinc": _expensive(np.sinc, "sinc({0})", _sinc),
    "arcsin": _expensive(np.arcsin, "arcsin({0})", lambda g, y, x: (g / np.sqrt((1.0 - x) * (1.0 + x)),)),
    "arccos": _expensive(np.arccos, "arccos({0})", lambda g, y, x: (-(g / np.sqrt((1.0 - x) * (1.0 + x))),)),
    "arctan": _expensive(np.arctan, "arctan({0})", lambda g, y, x: (g / (1.0 + x * x),)),
    "arctan2": _expensive(np.arctan2, "arctan2({0}, {1})", _arctan2),
    "sinh": _expensive(np.sinh, "sinh({0})", lambda g, y, x: (g * np.cosh(x),)),
    "cosh": _expensive(np.cosh, "cosh({0})", lambda g, y, x: (g * np.sinh(x),)),
    "arcsinh": _expensive(np.arcsinh, "arcsinh({0})", lambda g, y, x: (g / np.hypot(1.0, x),)),
    "arccosh": _expensive(np.arccosh, "arccosh({0})", lambda g, y, x: (g / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)),)),
    "arctanh": _expensive(np.arctanh, "arctanh({0})", lambda g, y, x: (g / ((1.0 - x) * (1.0 + x)),)),
    # division with rest
    "floor_divide": _expensive(np.floor_divide, "floor_divide({0}, {1})", flat),
    "remainder": _expensive(np.remainder, "remainder({0}, {1})", _remainder, aliases=("mod",)),
    "fmod": _expensive(np.fmod, "fmod({0}, {1})", _remainder),
}


# Operations on integers, some of them on integers alone; ``where`` takes a condition first.
INTEGER_OPERATIONS: dict[str, IntegerOperation] = {
    name: IntegerOperation(OPERATIONS[name].evaluate, OPERATIONS[name].text, result)
    for result, names in {
        "integer": "add subtract multiply negative square maximum minimum where sign",
        "bool": "greater greater_equal less less_equal equal not_equal",
    }.items()
    for name in names.split()
} | {
    "absolute": IntegerOperation(np.absolute, "integer_absolute({0})"),
    "floor_divide": IntegerOperation(np.floor_divide, "integer_floor_divide({0}, {1})"),
    "remainder": IntegerOperation(np.remainder, "integer_remainder({0}, {1})"),
    "fmod": IntegerOperation(np.fmod, "integer_fmod({0}, {1})"),
    "bitwise_and": IntegerOperation(np.bitwise_and, "{0} & {1}"),
    "bitwise_or": IntegerOperation(np.bitwise_or, "{0} | {1}"),
    "bitwise_xor": IntegerOperation(np.bitwise_xor, "{0} ^ {1}"),
    "invert": IntegerOperation(np.invert, "~{0}"),
    "left_shift": IntegerOperation(np.left_shift, "left_shift({0}, {1})"),
    "right_shift": IntegerOperation(np.right_shift, "right_shift({0}, {1})"),
}
# All operations that are computed element by element; a cast's ``attr`` is its result's kind.
POINTWISE = frozenset((*OPERATIONS, *INTEGER_OPERATIONS, "cast"))

# Operations whose slope may be infinite, by which a zero tangent must not be multiplied.
STEEP = frozenset(
    "divide sqrt cbrt log log2 log10 log1p xlogy xlog1py power arcsin arccos arccosh arctanh arctan2 hypot "
    "gammaln psi zeta erfinv erfcinv ndtri log_ndtr k0e k1e".split()
)

# Operations that a kernel may compute lane by lane, with libm.
BY_LANE = dict.fromkeys(("sin", "cos", "tan"), "beyond 1e5 in float32, 1e6 in float64")
BY_LANE |= dict.fromkeys(
    ("fmod", "remainder", "floor_divide"), "where a / b is beyond 2**23 in float32, 2**52 in float64"
)


def _gamma_sign(x):
    """Return the sign of Γ(x); NaN at its poles below 0."""
    below = np.floor(x)
    sign = np.where((x < 0) & (np.remainder(below, 2.0) == 1.0), -1.0, 1.0)
    return np.where(x == 0, np.copysign(1.0, x), np.where((x < 0) & (below == x), np.nan, sign))


def _stirling(x):
    """Return the correction to Stirling's formula for log Γ(1 / x)."""
    terms = (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)
    return x * functools.reduce(lambda total, term: total * (x * x) + term, terms)


def _betaln(a, b):
    """Return log |B(a, b)|; Γ(large) / Γ(large + small) by Stirling's formula, without the digits that both share."""
    small, large = np.minimum(a, b), np.maximum(a, b)
    is_large = large > 10.0
    first = np.where(is_large, large, 10.0)
    total = first + np.where(is_large, small, 1.0)
    ratio = small * (1.0 - np.log(total)) - (first - 0.5) * np.log1p(np.where(is_large, small, 1.0) / first)
    ratio = ratio + _stirling(1.0 / first) - _stirling(1.0 / total)
    near = special("gammaln", large) - special("gammaln", a + b)
    return special("gammaln", small) + np.where(is_large & (total > 5.0), ratio, near)


def _grown(y, x):
    """Return y exp(x), where one of the factors may be out of range."""
    root = np.exp(0.5 * x)
    return y * root * root


COMPOSED: dict[str, Callable] = {
    "reciprocal": lambda x: np.divide(1.0, x),
    "isnan": lambda x: np.not_equal(x, x),
    "isinf": lambda x: np.equal(np.absolute(x), np.inf),
    "isfinite": lambda x: np.less(np.absolute(x), np.inf),
    "signbit": lambda x: np.less(np.copysign(1.0, x), 0.0),
    "fmax": lambda a, b: np.where(np.isnan(a), b, np.where(np.isnan(b), a, np.maximum(a, b))),
    "fmin": lambda a, b: np.where(np.isnan(a), b, np.where(np.isnan(b), a, np.minimum(a, b))),
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "heaviside": lambda x, h: np.where(np.isnan(x), np.nan, np.where(np.equal(x, 0), h, np.where(x > 0, 1.0, 0.0))),
    "divmod": lambda a, b: (np.floor_divide(a, b), np.remainder(a, b)),
    "deg2rad": lambda x: x * (np.pi / 180.0),
    "radians": lambda x: x * (np.pi / 180.0),
    "rad2deg": lambda x: x * (180.0 / np.pi),
    "degrees": lambda x: x * (180.0 / np.pi),
    "exp10": lambda x: np.power(10.0, x),
    "entr": lambda x: np.where(x < 0, -np.inf, 0.0 - OPERATIONS["xlogy"].evaluate(x, x)),
    "logit": lambda x: np.log(x) - np.log1p(-x),
    "gamma": lambda x: _gamma_sign(x) * np.exp(special("gammaln", x)),
    "betaln": _betaln,
    "beta": lambda a, b: _gamma_sign(a) * _gamma_sign(b) * _gamma_sign(a + b) * np.exp(special("betaln", a, b)),
    "i0": lambda x: _grown(special("i0e", x), np.abs(x)),
    "i1": lambda x: _grown(special("i1e", x), np.abs(x)),
    "k0": lambda x: _grown(special("k0e", x), -x),
    "k1": lambda x: _grown(special("k1e", x), -x),
    "ndtr": lambda x: 0.5 * activations.erfc(x * (-1.0 / np.sqrt(2.0))),
}

REDUCTIONS: dict[str, Reduction] = {
    "sum": Reduction(np.sum, lambda g, y, x, axes: g, "add", 0.0),
    "prod": Reduction(np.prod, _prod, "multiply", 1.0),
    "max": Reduction(np.max, _extreme, "maximum", -np.inf),
    "min": Reduction(np.min, _extreme, "minimum", np.inf),
}
