"""Exponentials, logarithms and functions of them, on `Value`s of either precision.

The coefficients are minimax fits of the relative error of the result, in 40 digits of mpmath, by least squares with
weights that grow where the error is greatest (Lawson's). Results are within 4 units in the last place, most within 2,
subnormal ones included; NaN passes, and infinities are what NumPy makes of them.
"""

import math
from typing import NamedTuple

from rnnkit.backends.formulas.registry import formula, replaceable
from rnnkit.backends.formulas.value import absolute, copysign, fma, horner, select, sqrt

LN2 = math.log(2)
LOG2_E = 1 / LN2


class _Format(NamedTuple):
    """The constants that differ between float32 and float64."""

    digits: int  # stored bits of the significand
    bias: int
    ln2: tuple  # the first few bits, exact times any exponent, and the rest
    log2_e_low: float
    log10_e: tuple
    log10_2: tuple
    exp_range: tuple  # the result is 0 before and infinite after
    negligible: float  # exp(-x) is below half a unit of 1
    up: int  # 2 to the up times the least number is normal, the greatest over it far from infinite
    exp_terms: tuple  # (exp(r) - 1 - r) / r², |r| <= ln(2) / 2
    coth_terms: tuple  # r coth(r / 2) in r², |r| <= ln(2) / 2
    log_terms: tuple  # (2 artanh(s) / s - 2) / s², in s² <= 0.0295
    log1p_terms: tuple  # the same for s² <= 1/9

    @property
    def half_coth_terms(self):
        """Coefficients of r coth(r) in r², |r| <= ln(2) / 4."""
        last = len(self.coth_terms) - 1
        return tuple(term * 4.0 ** (last - i) / 2 for i, term in enumerate(self.coth_terms))


FORMATS = {
    32: _Format(
        digits=23,
        bias=127,
        ln2=(0.69313812, 9.0580006e-06),
        log2_e_low=1.9259629e-08,
        log10_e=(0.4342945, -1.010305e-08),
        log10_2=(0.30102539, 4.6050390e-06),
        exp_range=(-104.0, 89.0),
        negligible=18.0,
        up=64,
        exp_terms=(0.0013946117, 0.008366407, 0.041666288, 0.16666545, 0.5),
        coth_terms=(-0.0027667537, 0.16666626, 2.0),
        log_terms=(0.29592457, 0.39988488, 0.66666687),
        log1p_terms=(0.280116274, 0.280018767, 0.400215232, 0.666664163),
    ),
    64: _Format(
        digits=52,
        bias=1023,
        ln2=(0.6931471803691238, 1.9082149292705877e-10),
        log2_e_low=2.0355273740931033e-17,
        log10_e=(0.4342944819032518, 1.098319650216765e-17),
        log10_2=(0.30102999566361177, 3.694239077158931e-13),
        exp_range=(-746.0, 710.0),
        negligible=40.0,
        up=128,
        exp_terms=(
            2.5114041391904968e-08, 2.762566898931271e-07, 2.755722947762577e-06, 2.4801506398639447e-05,
            0.00019841269901120108, 0.0013888888930396377, 0.00833333333331558, 0.04166666666658144,
            0.16666666666666685, 0.5000000000000004,
        ),
        coth_terms=(
            4.1381213327106994e-08, -1.653390182892037e-06, 6.613756321122769e-05, -0.0027777777777014487,
            0.16666666666666602, 2.0,
        ),
        log_terms=(
            0.14631335178782012, 0.15330500961465363, 0.18182926407518024, 0.22222210614148297,
            0.2857142862923043, 0.3999999999989215, 0.666666666666667,
        ),
        log1p_terms=(
            0.17007766189173872, 0.083460633559437853, 0.12104690545113881, 0.13301154151991277,
            0.15386545845281203, 0.1818174460118069, 0.22222223950115788, 0.28571428548175065,
            0.40000000000154692, 0.6666666666666631,
        ),
    ),
}  # fmt: skip


def at_most(x, high):
    """Return the smaller of two numbers; NaN stays. One instruction."""
    return select(x > high, high, x)


def at_least(x, low):
    """Return the greater of two numbers; NaN stays. One instruction."""
    return select(x < low, low, x)


def between(x, low, high):
    """Return x moved into [low, high]; NaN stays."""
    return at_least(at_most(x, high), low)


# --- Exponentials: x = n ln(2) + r, and exp(x) = 2ⁿ exp(r) ---


def shifter(x, offset=0):
    """Return a number whose addition rounds to an integer and leaves that integer plus `offset` in the low bits."""
    return x.constant(1.5 * 2.0 ** FORMATS[x.width].digits + offset)


def _split(x, sign=1, offset=0, rest=None):
    """Return (n, still with the shifter and its `offset`; r) of `sign` (x + `rest`), rest far smaller than x."""
    high, low = FORMATS[x.width].ln2
    shift = shifter(x, offset)
    shifted = fma(x, sign * LOG2_E, shift)
    n = shifted - shift
    r = fma(n, -high, x if sign > 0 else -x)  # exact
    if rest is None:
        return shifted, fma(n, -low, r)
    return shifted, r + fma(n, -low, rest if sign > 0 else -rest)


def exp_less_one(r):
    """Return exp(r) - 1 for |r| <= ln(2) / 2."""
    return fma(r * r, horner(r, FORMATS[r.width].exp_terms), r)


def _exp_near_zero(r):
    """Return exp(r) for |r| <= ln(2) / 2."""
    return horner(r, (*FORMATS[r.width].exp_terms, 1, 1))


def power_of_two(shifted):
    """Return 2ⁿ where it is a normal number and the shifter's offset was the bias (plus k: 2 to the n + k)."""
    return (shifted.bits() << FORMATS[shifted.width].digits).bits()


def _scale(x, shifted):
    """Return x times 2ⁿ, rounded once, in two steps as 2ⁿ may overflow; the shifter's offset was twice the bias."""
    digits = FORMATS[x.width].digits
    half = shifted.bits() >> 1
    for part in (half, shifted.bits() - half):
        x = x * (part << digits).bits()
    return x


@formula
def exp(x, rest=None):
    """Return exp(x + `rest`), rest far smaller than x."""
    form = FORMATS[x.width]
    shifted, r = _split(between(x, *form.exp_range), 1, 2 * form.bias, rest)
    return _scale(_exp_near_zero(r), shifted)


@formula
def exp2(x):
    form = FORMATS[x.width]
    low, high = (round(limit * LOG2_E) for limit in form.exp_range)
    x = between(x, low, high)
    shift = shifter(x, 2 * form.bias)
    shifted = x + shift
    return _scale(_exp_near_zero((x - (shifted - shift)) * LN2), shifted)


@formula
def expm1(x):
    form = FORMATS[x.width]
    # 2ⁿ is infinite for the greatest x, half of it is not
    shifted, r = _split(between(x, -form.negligible, form.exp_range[1]), offset=form.bias - 1)
    half = power_of_two(shifted)
    result = fma(half, exp_less_one(r), half - 0.5)
    return copysign(result + result, x)


def scale_negative(function, x, rest=None):
    """Return exp(-x - `rest`) = exp(r) 2ⁿ for x >= 0, as `function` of r times 2ⁿ; a little faster than `exp`."""
    form = FORMATS[x.width]
    shifted, r = _split(at_most(x, -form.exp_range[0]), -1, form.bias + form.up, rest)
    return function(r) * power_of_two(shifted) * 2.0**-form.up


@replaceable
def exp_of_negative(x):
    return scale_negative(_exp_near_zero, x)


# In sigmoid and tanh exp(r) is (q + r) / (q - r) with q = r coth(r / 2), which is even: one division is enough for all.
# Only one multiply-add waits for q, which is known last.


@formula
def sigmoid(x):
    """Return 1 / (1 + exp(-x)), exact in both tails."""
    form = FORMATS[x.width]
    shifted, r = _split(between(x, form.exp_range[0], form.negligible), -1, form.bias - form.up)
    q = horner(r * r, form.coth_terms)
    # q - r over q - r + 2ⁿ (q + r), both times `one`, lest 2ⁿ be infinite
    one, scale = 2.0**-form.up, power_of_two(shifted)
    return fma(q, one, -(r * one)) / fma(q, scale + one, r * (scale - one))


@formula
def tanh(x):
    form = FORMATS[x.width]
    size = at_most(absolute(x), form.negligible / 2 + 1)
    # 2|x| = n ln(2) + 2 r, in one part since n is small
    shift = shifter(x, form.bias)
    shifted = fma(size, 2 * LOG2_E, shift)
    r = fma(shifted - shift, -LN2 / 2, size)
    q = horner(r * r, form.half_coth_terms)
    # 2ⁿ (q + r) less q - r, over their sum, without cancellation near 0
    scale = power_of_two(shifted)
    less, more = scale - 1, scale + 1
    return copysign(fma(q, less, r * more) / fma(q, more, r * less), x)


@formula
def sinh(x):
    size = absolute(x)
    t = expm1(size)
    small = 0.5 * (t + t / (t + 1))
    root = exp(0.5 * size)
    return copysign(select(size > FORMATS[x.width].negligible, 0.5 * root * root, small), x)


@formula
def cosh(x):
    size = absolute(x)
    e = exp(size)
    root = exp(0.5 * size)
    return select(size > FORMATS[x.width].negligible, 0.5 * root * root, 0.5 * e + 0.5 / e)


@formula
def exprel(x):
    """Return (exp(x) - 1) / x, and 1 at 0."""
    form, root = FORMATS[x.width], exp(0.5 * x)
    result = select(x > form.exp_range[1] - 1, root * (root / x), expm1(x) / x)
    result = select(x == math.inf, x, result)
    return select(absolute(x) < 2.0 ** -(form.digits // 2 + 2), 0.5 * x + 1, result)


# --- Logarithms: x = 2ᵉ m with m near 1, and log(x) = e ln(2) + log(m) ---


def split_exponent(x):
    """Return (e, m - 1) with m between the square roots of 1/2 and 2, for positive normal x."""
    form = FORMATS[x.width]
    start = x.constant(math.sqrt(0.5)).bits()
    bits = x.bits() - start
    e = ((bits >> form.digits) + shifter(x).bits()).bits() - shifter(x)
    m = ((bits & ((1 << form.digits) - 1)) + start).bits()
    return e, m - 1


def split_positive(x):
    """As `split_exponent`, for subnormal x too."""
    form = FORMATS[x.width]
    subnormal = x < 2.0 ** (1 - form.bias)
    up = form.digits + 2
    e, f = split_exponent(select(subnormal, x * 2.0**up, x))
    return select(subnormal, e - up, e), f


def _log_less_linear(f, small):
    """Return f - log(1 + f) - small, without rounding away the small terms."""
    s = f / (f + 2)
    z = s * s
    half_square = 0.5 * f * f
    return half_square - fma(s, fma(z, horner(z, FORMATS[f.width].log_terms), half_square), small)


def _log_of_parts(e, f, correction):
    high, low = FORMATS[f.width].ln2
    return fma(e, high, f - _log_less_linear(f, fma(e, low, correction)))


def _with_edges(x, result):
    """Return a logarithm's value, with those at 0, below, and at infinity."""
    result = select(x == math.inf, x, result)
    return select(x > 0, result, select(x == 0, x.constant(-math.inf), x.constant(math.nan)))


@formula
def log(x):
    e, f = split_positive(x)
    return _with_edges(x, _log_of_parts(e, f, x.constant(0)))


@formula
def xlogy(x, y):
    """x log(y), and 0 where x is, whatever number y is."""
    return select((x == 0) & (y == y), x.constant(0), x * log(y))


@formula
def log2(x):
    e, f = split_positive(x)
    y = f - _log_less_linear(f, f.constant(0))
    return _with_edges(x, fma(y, LOG2_E, fma(y, FORMATS[x.width].log2_e_low, e)))


@formula
def log10(x):
    e, f = split_positive(x)
    y = f - _log_less_linear(f, f.constant(0))
    form = FORMATS[x.width]
    small = fma(y, form.log10_e[1], e * form.log10_2[1])
    return _with_edges(x, fma(e, form.log10_2[0], fma(y, form.log10_e[0], small)))


def _log1p_inside(x):
    """Return log(1 + x) for -1 < x < infinity."""
    u = x + 1
    # The rounding error of 1 + x.
    rest = (1 - (u - (u - 1))) + (x - (u - 1))
    e, f = split_exponent(u)
    return _log_of_parts(e, f, rest / u)


@formula
def log1p(x):
    result = _with_edges(x + 1, _log1p_inside(x))
    return copysign(result, x)


@formula
def xlog1py(x, y):
    """Return x log(1 + y), and 0 where x is 0, whatever number y is."""
    return select((x == 0) & (y == y), x.constant(0), x * log1p(y))


def _log1p_of_share(e):
    """Return log(1 + e) for 0 <= e <= 1."""
    s = e / (e + 2)
    return s * horner(s * s, (*FORMATS[e.width].log1p_terms, 2))


@formula
def softplus(x):
    """Return log(1 + exp(x)), exact in both tails."""
    return at_least(x, x.constant(0)) + _log1p_of_share(exp_of_negative(absolute(x)))


@formula
def log_sigmoid(x):
    return -softplus(-x)


@formula
def logaddexp(a, b):
    greater = select(a > b, a, b)
    apart = greater + _log1p_of_share(exp_of_negative(absolute(a - b)))
    return select(a == b, a + LN2, apart)


@formula
def logaddexp2(a, b):
    greater = select(a > b, a, b)
    apart = fma(_log1p_of_share(exp2(-absolute(a - b))), LOG2_E, greater)
    return select(a == b, a + 1, apart)


def _log1p_doubled(large, x, inside):
    """Return log(2x) where x is so `large` that its square might overflow, log(1 + inside) elsewhere."""
    return log1p(select(large, x, inside)) + select(large, x.constant(LN2), x.constant(0))


@formula
def arcsinh(x):
    size = absolute(x)
    square = size * size
    large = size > 2.0 ** (30 if x.width == 32 else 60)
    return copysign(_log1p_doubled(large, size, size + square / (1 + sqrt(square + 1))), x)


@formula
def arccosh(x):
    t = x - 1
    large = x > 2.0 ** (30 if x.width == 32 else 60)
    result = _log1p_doubled(large, x, t + sqrt(t * (t + 2)))
    return select(x < 1, x.constant(math.nan), result)


@formula
def arctanh(x):
    size = absolute(x)
    return copysign(0.5 * log1p(2 * size / (1 - size)), x)
