"""Elementwise functions for jitted code: on vectors and on numbers, float32 and float64, by NumPy's names.

A vector's lane and a number give the same bits. Nearly all are vectorised; those in `LANEWISE` go through their
lanes one by one.
"""

import operator

import numpy as np
from numba.extending import intrinsic

from rnnkit.engine import error_function, exponential, trigonometry
from rnnkit.engine.registers import Vector, common, convert
from rnnkit.engine.value import Value, by_lane
from rnnkit.engine.value import copysign as _copysign
from rnnkit.engine.value import floor as _floor
from rnnkit.engine.value import select as _select
from rnnkit.engine.vector import (  # noqa: F401
    absolute,
    ceil,
    copysign,
    floor,
    function_of_values,
    maximum,
    minimum,
    rint,
    sqrt,
    trunc,
)

_one = function_of_values(1)
_two = function_of_values(2)

exp = _one(exponential.exp)
exp2 = _one(exponential.exp2)
expm1 = _one(exponential.expm1)
log = _one(exponential.log)
log2 = _one(exponential.log2)
log10 = _one(exponential.log10)
log1p = _one(exponential.log1p)
tanh = _one(exponential.tanh)
sigmoid = _one(exponential.sigmoid)
softplus = _one(exponential.softplus)
log_sigmoid = _one(exponential.log_sigmoid)
sinh = _one(exponential.sinh)
cosh = _one(exponential.cosh)
arcsinh = _one(exponential.arcsinh)
arccosh = _one(exponential.arccosh)
arctanh = _one(exponential.arctanh)
logaddexp = _two(exponential.logaddexp)
erf = _one(error_function.erf)
erfc = _one(error_function.erfc)
sin = _one(trigonometry.sin)
cos = _one(trigonometry.cos)
tan = _one(trigonometry.tan)
arcsin = _one(trigonometry.arcsin)
arccos = _one(trigonometry.arccos)
arctan = _one(trigonometry.arctan)


@_one
def square(x):
    return x * x


@_one
def reciprocal(x):
    return 1 / x


@_one
def sign(x):
    return _select(x > 0, x.constant(1), _select(x < 0, x.constant(-1), _select(x == 0, x.constant(0), x)))


@_two
def fmod(a, b):
    return _fmod(a, b)


@_two
def remainder(a, b):
    rest = _fmod(a, b)
    moved = _select((b < 0) ^ (rest < 0), rest + b, rest)
    return _select(rest == 0, _copysign(rest.constant(0), b), moved)


@_two
def floor_divide(a, b):
    rest = _fmod(a, b)
    quotient = (a - rest) / b
    quotient = _select((rest != 0) & ((b < 0) ^ (rest < 0)), quotient - 1, quotient)
    whole = _floor(quotient)
    whole = _select(quotient - whole > 0.5, whole + 1, whole)
    whole = _select(quotient == 0, _copysign(a.constant(0), a / b), whole)
    return _select(b == 0, a / b, whole)


def _fmod(a, b):
    return by_lane(operator.mod, a, b)


LANEWISE = ("power", "arctan2", "hypot", "cbrt", "fmod", "remainder", "floor_divide")


def _lanewise(ufunc):
    """NumPy's `ufunc` in each lane by itself, as numba compiles it for numbers."""
    arity = ufunc.nin

    def unary(a):
        return ufunc(a)

    def binary(a, b):
        return ufunc(a, b)

    scalar_function = unary if arity == 1 else binary

    def typed(arguments):
        kind = common(arguments)
        if kind is None:
            return None
        dtype = kind.dtype if isinstance(kind, Vector) else kind

        def generate(context, builder, signature, numbers):
            def compute(*scalars):
                called = dtype(*[dtype] * arity)
                return Value(
                    builder, context.compile_internal(builder, scalar_function, called, [s.value for s in scalars])
                )

            given = zip(numbers, signature.args, strict=True)
            return by_lane(compute, *(convert(context, builder, n, t, kind) for n, t in given)).value

        return kind(*arguments), generate

    if arity == 1:

        def definition(typingctx, a):
            return typed((a,))
    else:

        def definition(typingctx, a, b):
            return typed((a, b))

    definition.__name__ = definition.__qualname__ = ufunc.__name__
    return intrinsic(definition)


power = _lanewise(np.power)
arctan2 = _lanewise(np.arctan2)
hypot = _lanewise(np.hypot)
cbrt = _lanewise(np.cbrt)

FUNCTIONS = (
    "absolute sqrt floor ceil trunc rint copysign minimum maximum sign square reciprocal exp exp2 expm1 log log2 log10 "
    "log1p logaddexp sinh cosh tanh arcsinh arccosh arctanh sigmoid softplus log_sigmoid erf erfc sin cos tan arcsin "
    "arccos arctan"
)
FUNCTIONS = (*FUNCTIONS.split(), *LANEWISE)
