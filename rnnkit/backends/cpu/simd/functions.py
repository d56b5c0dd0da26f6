"""Elementwise functions for jitted code: on vectors and on numbers, float32 and float64, by NumPy's names.

A vector's lane and a number give the same bits. Nearly all are vectorised; those in `LANEWISE` go through their
lanes one by one.
"""

from rnnkit.backends.cpu.simd.vector import (  # noqa: F401
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
from rnnkit.backends.formulas import division, error_function, exponential, powers, trigonometry, value

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
arctan2 = _two(trigonometry.arctan2)
power = _two(powers.power)
cbrt = _one(powers.cbrt)
hypot = _two(powers.hypot)
fmod = _two(division.fmod)
remainder = _two(division.remainder)
floor_divide = _two(division.floor_divide)
sign = _one(value.sign)


@_one
def square(x):
    return x * x


@_one
def reciprocal(x):
    return 1 / x
