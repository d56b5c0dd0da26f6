"""Remainders and whole quotients, on `Value`s of either precision, exact as NumPy's."""

import math
import operator

from rnnkit.backends.formulas.exponential import FORMATS
from rnnkit.backends.formulas.registry import formula
from rnnkit.backends.formulas.value import absolute, copysign, floor, fma, select, trunc, where_lanes


@formula
def fmod(a, b):
    size, by = absolute(a), absolute(b)
    ratio = size / by
    # The quotient as rounded is the whole number below, or one more; the multiply-add is exact for both.
    rest = fma(-trunc(ratio), by, size)
    rest = select(rest < 0, rest + by, rest)
    rest = select(size < by, size, rest)
    far = (ratio >= 2.0 ** FORMATS[a.width].digits) & (size < math.inf) & (by > 0)
    return where_lanes(far, operator.mod, copysign(rest, a), a, b)


@formula
def remainder(a, b):
    rest = fmod(a, b)
    moved = select((b < 0) ^ (rest < 0), rest + b, rest)
    return select(rest == 0, copysign(rest.constant(0), b), moved)


@formula
def floor_divide(a, b):
    rest = fmod(a, b)
    quotient = (a - rest) / b
    quotient = select((rest != 0) & ((b < 0) ^ (rest < 0)), quotient - 1, quotient)
    whole = floor(quotient)
    whole = select(quotient - whole > 0.5, whole + 1, whole)
    whole = select(quotient == 0, copysign(a.constant(0), a / b), whole)
    return select(b == 0, a / b, whole)
