"""Circular functions and their inverses, on `Value`s of either precision."""

import math

from rnnkit.backends.formulas.registry import formula
from rnnkit.backends.formulas.value import absolute, copysign, fma, horner, rint, select, sqrt, where_lanes

# Up to here x less a multiple of π/2 is exact enough with π/2 in three parts; libm takes over beyond.
LIMIT = {32: 1e5, 64: 1e6}
HALF_PI = {
    32: (1.5707964, -4.371139e-08, -1.7151245e-15),
    64: (1.5707963267948966, 6.123233995736766e-17, -1.497384905065873e-33),
}
# (sin(r) - r) / r³ and (cos(r) - 1 + r²/2) / r⁴ in r², for |r| <= π/4.
SIN = {
    32: (-0.00019585493, 0.008332738, -0.16666664),
    64: (
        1.5916739735348524e-10, -2.505111248333183e-08, 2.755731600931954e-06, -0.00019841269836578255,
        0.008333333333330828, -0.16666666666666666,
    ),
}  # fmt: skip
COS = {
    32: (2.454552e-05, -0.0013888292, 0.041666664),
    64: (
        -1.138176218218228e-11, 2.0876134141263103e-09, -2.7557317213324817e-07, 2.4801587298652705e-05,
        -0.0013888888888887322, 0.041666666666666664,
    ),
}  # fmt: skip
# (sin(πr) / (πr) - 1) / r² in r², for |r| <= 1/2.
SINC = {
    32: (0.024725012, -0.19044738, 0.8117164, -1.6449333),
    64: (
        2.449924323292862e-07, -6.97206667305231e-06, 0.0001484278301794277, -0.0023460808937176363,
        0.02614784780545423, -0.19075182412150085, 0.8117424252833401, -1.6449340668482264,
    ),
}  # fmt: skip
# (arctan(x) - x) / x³ in x², for |x| <= 1.
ARCTAN = {
    32: (
        0.0029901403, -0.01664512, 0.043660875, -0.075900204, 0.10683578, -0.14215456, 0.19994302, -0.33333176,
    ),
    64: (
        -2.095610062900281e-05, 0.0002296862157814307, -0.0011934050436975348, 0.003934866908174069,
        -0.009329498356926933, 0.017170683370417467, -0.02601820099089339, 0.03421264644132821,
        -0.04101065194286355, 0.04677729342010024, -0.05240535413050631, 0.05877649313591346,
        -0.06665927437019568, 0.07692222556172759, -0.09090902208941123, 0.11111110744486306,
        -0.14285714274055383, 0.19999999999814363, -0.33333333333332343,
    ),
}  # fmt: skip
# (arcsin(x) - x) / x³ in x², for |x| <= 1/2.
ARCSIN = {
    32: (0.04208556, 0.02423536, 0.045456693, 0.07495436, 0.16666748),
    64: (
        0.03164454390129145, -0.015805531768518535, 0.019240661981065645, 0.006641967776162393,
        0.012140405458753088, 0.013890074568600582, 0.01735915823724757, 0.022371799067302217,
        0.030381957163539527, 0.04464285688503026, 0.07500000000252288, 0.1666666666666588,
    ),
}  # fmt: skip


def _odd(x, square, terms):
    """Return x + x³ times a polynomial in x²."""
    return fma(x * square, horner(square, terms), x)


def _octant(x):
    """Return (sin r, cos r, quadrant as an integer) of x = quadrant π/2 + r."""
    shifter = x.constant(1.5 * 2.0 ** (23 if x.width == 32 else 52))
    shifted = fma(x, 2 / math.pi, shifter)
    quadrant = shifted - shifter
    r = x
    for part in HALF_PI[x.width]:
        r = fma(quadrant, -part, r)
    square = r * r
    cosine = fma(square * square, horner(square, COS[x.width]), fma(square, -0.5, 1))
    return _odd(r, square, SIN[x.width]), cosine, shifted.bits()


def _with_libm(name, x, result):
    """Return `result`, with libm's function in the lanes that are out of reach."""
    return where_lanes(absolute(x) > LIMIT[x.width], lambda lane: lane.function(name), result, x)


def _quarter_turned(sine, cosine, quadrant):
    """Return the sine of an angle in its quadrant."""
    magnitude = select((quadrant & 1) != 0, cosine, sine)
    return select((quadrant & 2) != 0, -magnitude, magnitude)


@formula
def sin(x):
    near = select(x == 0, x, _quarter_turned(*_octant(x)))  # keeps the sign of 0
    return _with_libm("sin", x, near)


@formula
def cos(x):
    sine, cosine, quadrant = _octant(x)
    return _with_libm("cos", x, _quarter_turned(sine, cosine, quadrant + 1))


@formula
def tan(x):
    sine, cosine, quadrant = _octant(x)
    odd = (quadrant & 1) != 0
    near = select(x == 0, x, select(odd, -cosine, sine) / select(odd, sine, cosine))
    far = _with_libm("sin", x, near) / _with_libm("cos", x, near.constant(1))
    return select(absolute(x) > LIMIT[x.width], far, near)


@formula
def sinc(x):
    """Return sin(πx) / (πx), which is 0 at whole numbers."""
    size = absolute(x)
    whole = rint(size)
    half = 0.5 * whole
    r = select(rint(half) != half, whole - size, size - whole)  # exact; sin(πr) = sin(π |x|)
    square = r * r
    return select(whole == 0, 1, r / size) * fma(square, horner(square, SINC[x.width]), 1)


@formula
def arctan(x):
    size = absolute(x)
    steep = size > 1
    inner = select(steep, 1 / size, size)
    angle = _odd(inner, inner * inner, ARCTAN[x.width])
    high, low, _ = HALF_PI[x.width]
    return copysign(select(steep, high - (angle - low), angle), x)


@formula
def arctan2(y, x):
    tall, wide = absolute(y), absolute(x)
    steep = tall > wide
    less, greater = select(steep, wide, tall), select(steep, tall, wide)
    # Two zeros or two infinities have no quotient.
    ratio = select(less == greater, select(less == 0, less, 1.0), less / greater)
    angle = _odd(ratio, ratio * ratio, ARCTAN[x.width])
    high, low, _ = HALF_PI[x.width]
    angle = select(steep, high - (angle - low), angle)
    leftward = copysign(x.constant(1), x) < 0
    return copysign(select(leftward, 2 * high - (angle - 2 * low), angle), y)


def _arcsin_parts(x):
    """Return (|x| > 1/2, arcsin(|x|) or, there, arcsin(sqrt((1 - |x|) / 2)))."""
    size = absolute(x)
    steep = size > 0.5
    square = select(steep, (1 - size) * 0.5, size * size)
    inner = select(steep, sqrt(square), size)
    return steep, _odd(inner, square, ARCSIN[x.width])


@formula
def arcsin(x):
    steep, angle = _arcsin_parts(x)
    high, low, _ = HALF_PI[x.width]
    return copysign(select(steep, high - (2 * angle - low), angle), x)


@formula
def arccos(x):
    steep, angle = _arcsin_parts(x)
    high, low, _ = HALF_PI[x.width]
    right = 2 * angle
    left = 2 * (high - (angle - low))
    signed = copysign(angle, x)
    return select(steep, select(x > 0, right, left), high - (signed - low))
