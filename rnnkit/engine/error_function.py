"""The error function and its complement, on `Value`s of either precision.

Near 0 a polynomial in x²; from there on exp(-x²) times a polynomial in (x - 4) / (x + 4), over 1 + 2x.
"""

from rnnkit.engine.exponential import exp_of_negative
from rnnkit.engine.value import absolute, copysign, fma, horner, select

# erf(x) / x in x², for |x| <= 1.
NEAR = {
    32: (7.889132e-05, -0.0008020844, 0.0051895357, -0.026854444, 0.112836, -0.37612626, 1.1283791),
    64: (
        -7.801187568010668e-10, 1.3722974371390673e-08, -1.620917515547855e-07, 1.6447517530877445e-06,
        -1.4924744646838985e-05, 0.00012055295319351913, -0.0008548325989646998, 0.005223977607422121,
        -0.026866170643276, 0.11283791670945251, -0.3761263890318355, 1.1283791670955126,
    ),
}  # fmt: skip
# exp(x²) erfc(x) (1 + 2x) in (x - 4) / (x + 4), for 0.45 <= x <= FARTHEST.
FAR = {
    32: (
        0.00012737935, 0.005485649, -0.01652796, 0.036912493, -0.06629478, 0.093777396, -0.101039656, 0.06809414,
        0.015379613, -0.13962106, 1.2329952,
    ),
    64: (
        1.522121103283604e-09, -9.709145815886648e-09, -1.69857929033514e-08, 1.0341174451645351e-07,
        7.346683619181669e-08, -8.196876460059616e-07, 2.946242491380634e-07, 5.706609097710353e-06,
        -1.1222381877861371e-05, -2.4398101439391737e-05, 0.00015062177439760041, -0.00019925695499689402,
        -0.0007577733064306502, 0.005031970017021083, -0.016197734055810625, 0.037167515533926485,
        -0.06633036581234132, 0.0937328349985284, -0.10103906603630072, 0.06809705425468857, 0.015379652102619708,
        -0.1396211168405625, 1.2329951186255526,
    ),
}  # fmt: skip
# Beyond this erfc is 0.
FARTHEST = {32: 10.5, 64: 27.5}


def _far(size):
    """erfc of `size` >= 0.45."""
    size = select(size > FARTHEST[size.width], FARTHEST[size.width], size)
    square = size * size
    lost = fma(size, size, -square)
    e = exp_of_negative(square)
    e = fma(e, -lost, e)
    return e * (horner((size - 4) / (size + 4), FAR[size.width]) / (2 * size + 1))


def erf(x):
    size = absolute(x)
    near = x * horner(x * x, NEAR[x.width])
    return select(size < 0.9, near, copysign(1 - _far(size), x))


def erfc(x):
    far = _far(absolute(x))
    near = fma(-x, horner(x * x, NEAR[x.width]), 1)
    return select(absolute(x) < 0.5, near, select(x < 0, 2 - far, far))
