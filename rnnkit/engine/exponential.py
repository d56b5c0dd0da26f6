"""Exponentials, logarithms and what is made of them, on `Value`s of either precision.

The polynomials are minimax fits, computed with 40 digits. Results are within about 2 units in the last place,
subnormal ones included; NaN passes, and infinities are what NumPy makes of them.
"""

import math
from typing import NamedTuple

from rnnkit.engine.value import absolute, copysign, fma, horner, maximum, select, sqrt

LN2 = math.log(2)
LOG2_E = 1 / LN2


class _Format(NamedTuple):
    """What differs between float32 and float64."""

    digits: int  # stored bits of the significand
    bias: int
    ln2: tuple  # the nearest float, and what is missing
    ln2_short: tuple  # the first few bits, exact times any exponent, and what is missing
    log2_e_low: float
    log10_e: tuple
    log10_2: tuple
    exp_range: tuple  # the result is 0 before and infinite after
    negligible: float  # exp(-x) is below half a unit of 1
    exp_terms: tuple  # (exp(r) - 1 - r) / r², |r| <= ln(2) / 2
    log_terms: tuple  # (2 artanh(s) / s - 2) / s², in s²


FORMATS = {
    32: _Format(
        digits=23,
        bias=127,
        ln2=(0.6931472, -1.9046542e-09),
        ln2_short=(0.69313812, 9.0580006e-06),
        log2_e_low=1.9259629e-08,
        log10_e=(0.4342945, -1.010305e-08),
        log10_2=(0.30102539, 4.6050390e-06),
        exp_range=(-104.0, 89.0),
        negligible=18.0,
        exp_terms=(0.0013946117, 0.008366407, 0.041666288, 0.16666545, 0.5),
        log_terms=(0.29592457, 0.39988488, 0.66666687),
    ),
    64: _Format(
        digits=52,
        bias=1023,
        ln2=(0.6931471805599453, 2.3190468138462996e-17),
        ln2_short=(0.6931471803691238, 1.9082149292705877e-10),
        log2_e_low=2.0355273740931033e-17,
        log10_e=(0.4342944819032518, 1.098319650216765e-17),
        log10_2=(0.30102999566361177, 3.694239077158931e-13),
        exp_range=(-746.0, 710.0),
        negligible=40.0,
        exp_terms=(
            2.5114041391904968e-08, 2.762566898931271e-07, 2.755722947762577e-06, 2.4801506398639447e-05,
            0.00019841269901120108, 0.0013888888930396377, 0.00833333333331558, 0.04166666666658144,
            0.16666666666666685, 0.5000000000000004,
        ),
        log_terms=(
            0.14631335178782012, 0.15330500961465363, 0.18182926407518024, 0.22222210614148297,
            0.2857142862923043, 0.3999999999989215, 0.666666666666667,
        ),
    ),
}  # fmt: skip


def between(x, low, high):
    """x moved into [low, high]; NaN stays."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


# --- Exponentials: x = n ln(2) + r, and exp(x) = 2ⁿ exp(r) ---


def _shifter(x):
    """Adding this rounds to an integer, and leaves that integer in the low bits."""
    return x.constant(1.5 * 2.0 ** FORMATS[x.width].digits)


def _split(x):
    """(n, still with the shifter; r)."""
    form = FORMATS[x.width]
    shifted = fma(x, LOG2_E, _shifter(x))
    n = shifted - _shifter(x)
    return shifted, fma(n, -form.ln2[1], fma(n, -form.ln2[0], x))


def _exp_less_one(r):
    """exp(r) - 1 for |r| <= ln(2) / 2."""
    return fma(r * r, horner(r, FORMATS[r.width].exp_terms), r)


def _power_of_two(shifted, offset=0):
    """2 to the n + offset, where that is a normal number."""
    form = FORMATS[shifted.width]
    return ((shifted.bits() << form.digits) + ((form.bias + offset) << form.digits)).bits()


def _scale(x, shifted):
    """x times 2ⁿ, rounded once: in two steps, since 2ⁿ itself may lie outside the format."""
    form = FORMATS[x.width]
    n = shifted.bits() - _shifter(x).bits()
    half = n >> 1
    for part in (half, n - half):
        x = x * ((part + form.bias) << form.digits).bits()
    return x


def exp(x):
    shifted, r = _split(between(x, *FORMATS[x.width].exp_range))
    return _scale(_exp_less_one(r) + 1, shifted)


def exp2(x):
    low, high = (round(limit * LOG2_E) for limit in FORMATS[x.width].exp_range)
    x = between(x, low, high)
    shifted = x + _shifter(x)
    r = (x - (shifted - _shifter(x))) * LN2
    return _scale(_exp_less_one(r) + 1, shifted)


def expm1(x):
    form = FORMATS[x.width]
    shifted, r = _split(between(x, -form.negligible, form.exp_range[1]))
    half = _power_of_two(shifted, -1)  # 2ⁿ is infinite for the greatest x, half of it is not
    result = fma(half, _exp_less_one(r), half - 0.5) * 2
    return copysign(result, x)


def exp_of_negative(x):
    """exp(-x) for x >= 0, a little faster than `exp`."""
    form = FORMATS[x.width]
    shifted, r = _split(-select(x > -form.exp_range[0], -form.exp_range[0], x))
    up = 64 if x.width == 32 else 128
    return (_exp_less_one(r) + 1) * _power_of_two(shifted, up) * 2.0**-up


def tanh(x):
    form = FORMATS[x.width]
    size = absolute(x)
    # With t = exp(2|x|) - 1, tanh(|x|) = t / (t + 2), without cancellation near 0.
    shifted, r = _split(2 * select(size > form.negligible / 2 + 1, form.negligible / 2 + 1, size))
    scale = _power_of_two(shifted)
    t = fma(scale, _exp_less_one(r), scale - 1)
    return copysign(t / (t + 2), x)


def sigmoid(x):
    """1 / (1 + exp(-x)), exact in both tails."""
    e = exp_of_negative(absolute(x))
    return select(x < 0, e, x.constant(1)) / (e + 1)


def sinh(x):
    size = absolute(x)
    t = expm1(size)
    small = 0.5 * (t + t / (t + 1))
    root = exp(0.5 * size)
    return copysign(select(size > FORMATS[x.width].negligible, 0.5 * root * root, small), x)


def cosh(x):
    size = absolute(x)
    e = exp(size)
    root = exp(0.5 * size)
    return select(size > FORMATS[x.width].negligible, 0.5 * root * root, 0.5 * e + 0.5 / e)


# --- Logarithms: x = 2ᵉ m with m near 1, and log(x) = e ln(2) + log(m) ---


def _split_exponent(x):
    """(e, m - 1) with m between the square roots of 1/2 and 2, for positive normal x."""
    form = FORMATS[x.width]
    start = x.constant(math.sqrt(0.5)).bits()
    bits = x.bits() - start
    e = ((bits >> form.digits) + _shifter(x).bits()).bits() - _shifter(x)
    m = ((bits & ((1 << form.digits) - 1)) + start).bits()
    return e, m - 1


def _split_positive(x):
    """As `_split_exponent`, for subnormal x too."""
    form = FORMATS[x.width]
    subnormal = x < 2.0 ** (1 - form.bias)
    up = form.digits + 2
    e, f = _split_exponent(select(subnormal, x * 2.0**up, x))
    return select(subnormal, e - up, e), f


def _log_less_linear(f, small):
    """f - log(1 + f) - small, without rounding away the small terms."""
    s = f / (f + 2)
    z = s * s
    half_square = 0.5 * f * f
    return half_square - fma(s, fma(z, horner(z, FORMATS[f.width].log_terms), half_square), small)


def _log_of_parts(e, f, correction):
    high, low = FORMATS[f.width].ln2_short
    return fma(e, high, f - _log_less_linear(f, fma(e, low, correction)))


def _with_edges(x, result):
    """A logarithm's value at 0, below, and at infinity."""
    result = select(x == math.inf, x, result)
    return select(x > 0, result, select(x == 0, x.constant(-math.inf), x.constant(math.nan)))


def log(x):
    e, f = _split_positive(x)
    return _with_edges(x, _log_of_parts(e, f, x.constant(0)))


def log2(x):
    e, f = _split_positive(x)
    y = f - _log_less_linear(f, f.constant(0))
    return _with_edges(x, fma(y, LOG2_E, fma(y, FORMATS[x.width].log2_e_low, e)))


def log10(x):
    e, f = _split_positive(x)
    y = f - _log_less_linear(f, f.constant(0))
    form = FORMATS[x.width]
    small = fma(y, form.log10_e[1], e * form.log10_2[1])
    return _with_edges(x, fma(e, form.log10_2[0], fma(y, form.log10_e[0], small)))


def _log1p_inside(x):
    """log(1 + x) for -1 < x < infinity."""
    u = x + 1
    # What the sum 1 + x has lost.
    rest = (1 - (u - (u - 1))) + (x - (u - 1))
    e, f = _split_exponent(u)
    return _log_of_parts(e, f, rest / u)


def log1p(x):
    result = _with_edges(x + 1, _log1p_inside(x))
    return copysign(result, x)


def softplus(x):
    """log(1 + exp(x)), exact in both tails."""
    return maximum(x, x.constant(0)) + _log1p_inside(exp_of_negative(absolute(x)))


def log_sigmoid(x):
    return -softplus(-x)


def logaddexp(a, b):
    greater = select(a > b, a, b)
    apart = greater + _log1p_inside(exp_of_negative(absolute(a - b)))
    return select(a == b, a + LN2, apart)


def _log1p_doubled(large, x, inside):
    """log(2x) where x is so `large` that its square might overflow, log(1 + inside) elsewhere."""
    return log1p(select(large, x, inside)) + select(large, x.constant(LN2), x.constant(0))


def arcsinh(x):
    size = absolute(x)
    square = size * size
    large = size > 2.0 ** (30 if x.width == 32 else 60)
    return copysign(_log1p_doubled(large, size, size + square / (1 + sqrt(square + 1))), x)


def arccosh(x):
    t = x - 1
    large = x > 2.0 ** (30 if x.width == 32 else 60)
    result = _log1p_doubled(large, x, t + sqrt(t * (t + 2)))
    return select(x < 1, x.constant(math.nan), result)


def arctanh(x):
    size = absolute(x)
    return copysign(0.5 * log1p(2 * size / (1 - size)), x)
