"""Powers, cube roots and hypotenuses, on `Value`s of either precision.

Coefficients are fits as in `exponential`.
"""

import math

from rnnkit.backends.formulas.exponential import (
    FORMATS,
    exp,
    power_of_two,
    shifter,
    split_exponent,
    split_positive,
)
from rnnkit.backends.formulas.registry import formula
from rnnkit.backends.formulas.value import (
    absolute,
    by_halves,
    copysign,
    fma,
    horner,
    narrowed,
    rint,
    select,
    sqrt,
    widened,
)

# (2 artanh(s) / s - 2 - 2 s² / 3) / s⁴ in s², for s² <= 0.0295.
LOG_TERMS = (
    0.13196082374038819, 0.13256850084978839, 0.15386755699128936, 0.18181784407188463, 0.22222222519430009,
    0.28571428570102332, 0.40000000000002251,
)  # fmt: skip
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
# For float32, by way of float64: log2(1 + f) / f for 1 + f between the square roots of 1/2 and 2, right to 3e-12, and
# 2ʳ for |r| <= 1/2, right to 4e-11.
LOG2_TERMS = (
    -0.06973968219216, 0.13251797070272, -0.13463329044149, 0.13027496081396, -0.14249774267409, 0.16021664043824,
    -0.18043682314558, 0.20610712853156, -0.24044643098947, 0.2885387955275, -0.36067379317563, 0.48089834880502,
    -0.72134752032739, 1.4426950408866,
)  # fmt: skip
EXP2_TERMS = (
    1.5201915934157e-05, 0.00015469291105069, 0.0013333922588539, 0.0096180272538215, 0.055504103534162,
    0.24022651198156, 0.69314718072846, 0.99999999996168,
)  # fmt: skip
# m to the -1/3 for m between the square roots of 1/2 and 2: right to 4e-5.
INVERSE_CUBE_ROOT = (0.128365323, -0.702369096, 1.56127839, -1.86181242, 1.87451439)
CUBE_ROOT_2 = 2 ** (1 / 3)


def _sum(a, b):
    """Return a + b and its rounding error, for |a| >= |b| or a = 0."""
    total = a + b
    return total, b - (total - a)


def _product(a, b):
    """Return a * b and its rounding error."""
    product = a * b
    return product, fma(a, b, -product)


def _log_pair(x):
    """Return log(x) as a float64 and the next 53 bits, for positive finite x."""
    e, f = split_positive(x)
    d, d_low = _sum(f.constant(2), f)
    s = f / d
    s_low = fma(-s, d_low, fma(-s, d, f)) / d
    z, z_low = _product(s, s)
    z_low = fma(s + s, s_low, z_low)
    # 2 artanh(s) = s (2 + z (2/3 + z …))
    third, third_low = _sum(f.constant(TWO_THIRDS[0]), z * horner(z, LOG_TERMS))
    third_low = third_low + TWO_THIRDS[1]
    w, w_low = _product(z, third)
    w_low = fma(z, third_low, fma(z_low, third, w_low))
    w, more = _sum(f.constant(2), w)
    w_low = w_low + more
    m, m_low = _product(s, w)
    m_low = fma(s, w_low, fma(s_low, w, m_low))
    high, low = FORMATS[64].ln2
    total, more = _sum(e * high, m)
    return total, fma(e, low, m_low + more)


def _positive_power_64(x, y):
    """Return x to the y for x >= 0; not for y = 0 and x = 1."""
    high, low = _log_pair(x)
    high = select(x > 0, select(x < math.inf, high, x), select(x == 0, x.constant(-math.inf), x))
    exponent, rest = _product(high, y)
    rest = fma(low, y, rest)
    # Beyond the range of exp the result is 0 or infinite, and `rest` may be NaN.
    return exp(exponent, select(absolute(exponent) < 1000, rest, rest.constant(0)))


def _positive_power_32(x, y):
    """Return x to the y for x >= 0, by as few operations as wait for each other; not for y = 0 and x = 1."""
    x, y = widened(x), widened(y)
    e, f = split_exponent(x)
    log2 = fma(f, by_halves(f, LOG2_TERMS), e)
    log2 = select((x > 0) & (x < math.inf), log2, select(x == 0, x.constant(-math.inf), x))
    shift = shifter(x, FORMATS[64].bias)
    shifted, exponent = fma(log2, y, shift), log2 * y
    power = by_halves(fma(log2, y, shift - shifted), EXP2_TERMS) * power_of_two(shifted)
    beyond = select(exponent < 0, 0, exponent * math.inf)  # NaN stays
    return narrowed(select(absolute(exponent) < 160, power, beyond))


@formula
def power(x, y):
    """Return x to the y, right to 2 units in the last place for all arguments; float32 by way of float64."""
    size = absolute(x)
    result = (_positive_power_32 if x.width == 32 else _positive_power_64)(size, y)
    whole = rint(y) == y
    half = 0.5 * y
    odd = whole & (rint(half) != half)
    result = select(odd, copysign(result, x), result)
    result = select((x < 0) & (size < math.inf) & ~whole & ~y.is_nan(), x.constant(math.nan), result)
    # Infinite exponents are whole and even.
    return select((y == 0) | (x == 1) | ((size == 1) & (absolute(y) == math.inf)), x.constant(1), result)


@formula
def cbrt(x):
    form = FORMATS[x.width]
    size = absolute(x)
    e, f = split_positive(size)
    m = f + 1
    shift = shifter(x, form.bias)
    shifted = fma(e, 1 / 3, shift)
    rest = fma(shifted - shift, -3, e)  # -1, 0 or 1
    r = horner(m, INVERSE_CUBE_ROOT)
    r = r * select(rest > 0, 1 / CUBE_ROOT_2, select(rest < 0, x.constant(CUBE_ROOT_2), x.constant(1)))
    m = m * select(rest > 0, 2, select(rest < 0, x.constant(0.5), x.constant(1)))
    if x.width == 64:
        h = fma(-(m * r), r * r, 1)
        r = fma(r * h, fma(h, 2 / 9, 1 / 3), r)
    square = r * r
    root = m * square
    root = fma(fma(-(root * root), root, m), square * (1 / 3), root)  # one step of Newton's
    root = root * (shifted.bits() << form.digits).bits()
    return copysign(select((size > 0) & (size < math.inf), root, size), x)


@formula
def hypot(x, y):
    a, b = absolute(x), absolute(y)
    greater, less = select(a > b, a, b), select(a > b, b, a)
    # Squares of numbers of middling size neither overflow nor lose digits.
    middle = FORMATS[x.width].bias // 2 - 1
    up = FORMATS[x.width].bias // 2 + FORMATS[x.width].digits
    large, small = greater > 2.0**middle, greater < 2.0**-middle
    factor = select(large, 2.0**-up, select(small, x.constant(2.0**up), x.constant(1)))
    inverse = select(large, 2.0**up, select(small, x.constant(2.0**-up), x.constant(1)))
    greater, less = greater * factor, less * factor
    result = sqrt(fma(greater, greater, less * less)) * inverse
    return select((a == math.inf) | (b == math.inf), x.constant(math.inf), result)
