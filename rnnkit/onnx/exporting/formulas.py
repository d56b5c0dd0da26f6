"""Functions that ONNX has no operator for, or ONNX Runtime no kernel in float64, in terms of others.

They keep a function's digits where the plain form would lose them, and its values at 0, infinity and NaN. Coefficients
are those of the compiled kernels.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

from rnnkit.backends.formulas.error_function import FAR, FARTHEST, NEAR
from rnnkit.backends.formulas.trigonometry import ARCSIN, ARCTAN
from rnnkit.onnx.exporting.expression import where

LN2, HALF_PI, INF = math.log(2), math.pi / 2, math.inf
HALF_PI_REST = 6.123233995736766e-17  # π/2 minus the nearest float64
_LARGE = 2.0**60  # beyond, 1 + x² is x²


def horner(x, terms):
    """Return a polynomial's value; the coefficient of the highest power is first."""
    result = x.like(terms[0])
    for term in terms[1:]:
        result = result * x + term
    return result


def exp(x):
    """The exponential."""
    return x.call("Exp")


def log(x):
    """The natural logarithm."""
    return x.call("Log")


def sqrt(x):
    """The square root."""
    return x.call("Sqrt")


def signed_as(size, x):
    """Return `size` with the sign of x; the sign of 0 is lost."""
    return where(x < 0, -size, size)


def is_negative(x):
    """Return whether the sign is minus, also for -0."""
    return (x < 0) | (1.0 / x < 0)


def copysign(a, b):
    """Return |a| with the sign of b, also of -0."""
    size = abs(a)
    return where(is_negative(b), -size, size)


# Exponentials and logarithms


def sigmoid(x):
    """Return 1 / (1 + exp(-x)), also if exp overflows. ONNX Runtime's Sigmoid is 0 for values below 1e-7."""
    return 1.0 / (exp(-x) + 1.0)


def expm1(x):
    """Return exp(x) - 1, near 0 by tanh(x / 2)."""
    half = (0.5 * x).call("Tanh")
    return where(abs(x) < 1.0, 2.0 * half / (1.0 - half), exp(x) - 1.0)


def log1p(x):
    """Return log(1 + x), with a correction for the rounding of the sum."""
    u = x + 1.0
    lost = log(u) * (x / (u - 1.0))
    return where(u.equals(1.0) | x.equals(INF), x, lost)


def softplus(x):
    """log(1 + exp(x))."""
    return x.call("Max", 0.0) + log1p(exp(-abs(x)))


def log_sigmoid(x):
    """log(1 / (1 + exp(-x)))."""
    return x.call("Min", 0.0) - log1p(exp(-abs(x)))


def exp2(x):
    """2 to the x."""
    return x.like(2.0).call("Pow", x)


def xlogy(x, y, logarithm=log):
    """Return x log(y), and 0 where x is 0 and y is not NaN."""
    return where(x.equals(0.0) & y.equals(y), x.like(0.0), x * logarithm(y))


def xlog1py(x, y):
    """Return x log(1 + y), and 0 where x is 0 and y is not NaN."""
    return xlogy(x, y, log1p)


def logaddexp(a, b):
    """Return log(exp(a) + exp(b)), also for equal infinities, whose difference is NaN."""
    return where(a.equals(b), a + LN2, a.call("Max", b) + log1p(exp(-abs(a - b))))


def logaddexp2(a, b):
    """log2(2**a + 2**b)."""
    return where(a.equals(b), a + 1.0, a.call("Max", b) + log1p(exp2(-abs(a - b))) * (1.0 / LN2))


def cbrt(x):
    """The real cube root."""
    return signed_as(abs(x).call("Pow", 1.0 / 3.0), x)


def hypot(a, b):
    """Return sqrt(a² + b²) without overflow of the squares."""
    a, b = abs(a), abs(b)
    large, small = a.call("Max", b), a.call("Min", b)
    ratio = small / where(large.equals(0.0), large.like(1.0), large)
    found = large * sqrt(1.0 + ratio * ratio)
    return where(a.equals(INF) | b.equals(INF), large.like(INF), found)


def sinh(x):
    """The hyperbolic sine."""
    size = abs(x)
    less_one, root = expm1(size), exp(0.5 * size)
    small = 0.5 * (less_one + less_one / (less_one + 1.0))
    return signed_as(where(size > 40.0, 0.5 * root * root, small), x)


def cosh(x):
    """The hyperbolic cosine."""
    root = exp(0.5 * abs(x))
    return 0.5 * root * root + 0.5 / root / root


def arcsinh(x):
    """The inverse of the hyperbolic sine."""
    size = abs(x)
    square = size * size
    large = size > _LARGE
    inside = log1p(where(large, size, size + square / (1.0 + sqrt(square + 1.0))))
    return signed_as(inside + where(large, x.like(LN2), x.like(0.0)), x)


def arccosh(x):
    """The inverse of the hyperbolic cosine; NaN below 1."""
    above = x - 1.0
    large = x > _LARGE
    inside = log1p(where(large, x, above + sqrt(above * (above + 2.0))))
    return inside + where(large, x.like(LN2), x.like(0.0))


def arctanh(x):
    """The inverse of the hyperbolic tangent."""
    size = abs(x)
    return signed_as(0.5 * log1p(2.0 * size / (1.0 - size)), x)


# The error function


def _far(size):
    """Return erfc of `size` >= 0."""
    bits = 32 if size.in_single else 64
    above, below = FAR[bits]
    size = size.call("Min", FARTHEST[bits])
    return exp(-(size * size)) * (horner(size, above) / horner(size, below))


def erf(x):
    """The error function."""
    near = x * horner(x * x, NEAR[64])
    return where(abs(x) < 0.9, near, signed_as(1.0 - _far(abs(x)), x))


def erfc(x):
    """Return 1 - erf(x), accurate in the upper tail."""
    far = _far(abs(x))
    return where(x < 0, 2.0 - far, far)


# Angles


def cos(x):
    """Return the cosine: ONNX Runtime's kernel in float64 exists since 1.29; accurate at π/2."""
    half = (0.5 * x).call("Sin")
    near = ((HALF_PI - abs(x)) + HALF_PI_REST).call("Sin")
    return where(abs(x) < 2.0, near, 1.0 - 2.0 * half * half)


def tan(x):
    """The tangent."""
    return x.call("Sin") / (x.call("Cos") if x.in_single else cos(x))


def sinc(x):
    """Return sin(πx) / (πx), exactly 0 at whole numbers."""
    turned = math.pi * (x - 2.0 * (0.5 * x).call("Round"))
    at_zero = x.equals(0.0)
    return where(at_zero, x.like(1.0), turned.call("Sin") / where(at_zero, x.like(1.0), math.pi * x))


def _odd(x, square, terms):
    """Return x + x³ times a polynomial in x²."""
    return x + x * square * horner(square, terms)


def _arctan_of_share(x):
    return _odd(x, x * x, ARCTAN[64])


def arctan(x):
    """The inverse of the tangent."""
    size = abs(x)
    steep = size > 1.0
    angle = _arctan_of_share(where(steep, 1.0 / size, size))
    return signed_as(where(steep, HALF_PI - angle, angle), x)


def arctan2(y, x):
    """Return the angle of a point, with signed zeros."""
    tall, wide = abs(y), abs(x)
    steep = tall > wide
    less, greater = where(steep, wide, tall), where(steep, tall, wide)
    ratio = where(less.equals(greater), where(less.equals(0.0), less, less.like(1.0)), less / greater)
    angle = _arctan_of_share(ratio)
    angle = where(steep, HALF_PI - angle, angle)
    return copysign(where(is_negative(x), math.pi - angle, angle), y)


def _arcsin_parts(x):
    """Return (|x| > 1/2, y): y is arcsin(|x|), or arcsin(sqrt((1 - |x|) / 2)) where the condition holds."""
    size = abs(x)
    steep = size > 0.5
    square = where(steep, (1.0 - size) * 0.5, size * size)
    return steep, _odd(where(steep, sqrt(square), size), square, ARCSIN[64])


def arcsin(x):
    """The inverse of the sine."""
    steep, angle = _arcsin_parts(x)
    return signed_as(where(steep, HALF_PI - 2.0 * angle, angle), x)


def arccos(x):
    """The inverse of the cosine."""
    steep, angle = _arcsin_parts(x)
    far = where(x > 0, 2.0 * angle, math.pi - 2.0 * angle)
    return where(steep, far, HALF_PI - signed_as(angle, x))


# Division with rest, as Python's and NumPy's


def fmod(a, b):
    """Return the remainder of a / b with the sign of a."""
    return a.call("Mod", b, fmod=1)


def remainder(a, b):
    """Return the remainder of a / b with the sign of b."""
    left = fmod(a, b)
    return where(_is_short(left, b), left + b, left)


def floor_divide(a, b):
    """Return the largest integer up to a / b, computed from the exact remainder."""
    left = fmod(a, b)
    count = (a - left) / b - _is_short(left, b).to_float()
    whole = count.call("Floor")
    whole = whole + (count - whole > 0.5).to_float()
    return where(b.equals(0.0), a / b, whole)


def _is_short(left, b):
    """Return whether a remainder has another sign than b."""
    return ~left.equals(0.0) & ((left < 0) ^ (b < 0))


def trunc(x):
    """Round towards 0."""
    return where(x < 0, x.call("Ceil"), x.call("Floor"))


# Operations used by `rnnkit.backends.formulas.special`.
MATHEMATICS = SimpleNamespace(
    select=where, absolute=abs, horner=horner, sqrt=sqrt, log=log, log1p=log1p, exp=exp, sinc=sinc,
    exp_product=lambda a, b: exp(a * b), power=lambda a, b: a.call("Pow", b), rint=lambda x: x.call("Round"),
)  # fmt: skip
