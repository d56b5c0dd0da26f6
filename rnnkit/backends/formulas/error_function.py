"""The error function and its complement, on `Value`s of either precision.

erfc is exp(-x²) times a quotient of polynomials in |x|, mirrored below 0; erf is 1 less that, near 0 a polynomial in
x². Coefficients are fits as in `exponential`. The greatest error over all floats is erfc's: 4.03 units in the last
place.
"""

from rnnkit.backends.formulas.exponential import at_most, exp_less_one, scale_negative
from rnnkit.backends.formulas.registry import formula
from rnnkit.backends.formulas.value import absolute, copysign, fma, horner, select

# erf(x) / x in x², for |x| <= 1.
NEAR = {
    32: (7.889132e-05, -0.0008020844, 0.0051895357, -0.026854444, 0.112836, -0.37612626, 1.1283791),
    64: (
        -7.801187568010668e-10, 1.3722974371390673e-08, -1.620917515547855e-07, 1.6447517530877445e-06,
        -1.4924744646838985e-05, 0.00012055295319351913, -0.0008548325989646998, 0.005223977607422121,
        -0.026866170643276, 0.11283791670945251, -0.3761263890318355, 1.1283791670955126,
    ),
}  # fmt: skip
# exp(x²) erfc(x) for 0 <= x <= FARTHEST: numerator and denominator, both by a factor that rounds well.
FAR = {
    32: (
        (0.05282219, 0.36794308, 1.1714927, 1.9789548, 1.59375),
        (0.09362387, 0.6522017, 2.1225722, 3.8399649, 3.77731, 1.59375),
    ),
    64: (
        (
            6.27696272843754e-05, 0.0011930752176698076, 0.011104150260946211, 0.06546430006319685, 0.2673738536778619,
            0.78186285727411, 1.63713200684463, 2.3765975101082653, 2.1918741943224225, 1.0,
        ),
        (
            0.00011125626760042278, 0.0021146707639307766, 0.01973722202801913, 0.11708978599986504,
            0.4836929887839598, 1.4427746561999713, 3.128994085002133, 4.849933253658591, 5.123102232611739,
            3.3202533614179206, 1.0,
        ),
    ),
}  # fmt: skip
# Beyond this erfc is 0.
FARTHEST = {32: 10.5, 64: 27.5}


def _halves(square, coefficients):
    """Return the polynomial's even powers, and its odd ones over x: fewer serial roundings than in `horner`."""
    last = len(coefficients) - 1
    return (horner(square, coefficients[start::2]) for start in (last % 2, 1 - last % 2))


def _far(size):
    """Return erfc of `size` >= 0."""
    size = at_most(size, FARTHEST[size.width])
    square = size * size
    (even, odd), (even_below, odd_below) = (_halves(square, terms) for terms in FAR[size.width])
    above = fma(odd, size, even)
    lost_above = fma(odd, size, even - above)
    below = fma(odd_below, size, even_below)

    def quotient(r):
        """Return exp(r) times `above` plus `lost_above`, its rounding error, over `below`."""
        return (fma(exp_less_one(r), above, lost_above) + above) / below

    return scale_negative(quotient, square, fma(size, size, -square))


@formula
def erf(x):
    size = absolute(x)
    near = x * horner(x * x, NEAR[x.width])
    return select(size < 0.9, near, copysign(1 - _far(size), x))


@formula
def erfc(x):
    far = _far(absolute(x))
    return select(x < 0, 2 - far, far)
