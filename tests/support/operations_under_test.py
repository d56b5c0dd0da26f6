"""Every pointwise operation and what is known of it apart from rnnkit: a row here puts an operation under test."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mpmath
import numpy as np
from scipy import special

# Where an operand is drawn from; a condition is a draw from {0, 1}.
WIDE, POSITIVE, LARGE, INSIDE, CONDITION = (-3.0, 3.0), (0.2, 4.0), (1.0, 4.0), (-0.9, 0.9), "condition"
NEAR = 1.0 - 1e-12
INF = float("inf")
POLE = [((0.0,), (INF,))]


class Row(NamedTuple):
    """One operation.

    Attributes
    ----------
    domains : sequence
        Where each operand is drawn from; the operation is differentiable nearly everywhere there. Without one, it is
        flat: constant wherever it has a derivative.
    exact : callable
        The same in mpmath.
    extremes : sequence
        Operands where the rule of the gradient has all its digits.
    corners : sequence
        Pairs of operands where there is no derivative, or none of two sides, and the slopes that are decided there.
    numpy : callable
        The same on arrays, as NumPy's and scipy.special's function has it, at 0, infinity and NaN, too. By default
        NumPy's function of that name.
    wider, wider_than_float : callable
        The same on arrays, right to far below half a unit in the last place of the next narrower format; the second in
        float64 alone.
    cancels : bool
        The result may be far smaller than the operands: errors are counted in units of these.
    near_one : bool
        The slope is a difference of 1 and a value near it: exact to a rounding of 1, not of itself.
    """

    domains: Sequence = ()
    exact: Callable | None = None
    extremes: Sequence = ()
    corners: Sequence = ()
    numpy: Callable | None = None
    wider: Callable | None = None
    wider_than_float: Callable | None = None
    cancels: bool = False
    near_one: bool = False


def _sigmoid(x):
    e = np.exp(-abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _sinc(x):
    """NumPy's rounds πx, and so is off near whole numbers."""
    x, pi = abs(x), np.longdouble("3.14159265358979323846").astype(x.dtype)
    whole = np.rint(x)
    sine = np.sin(pi * np.where(whole % 2 == 1, whole - x, x - whole))
    return np.where(x == 0, 1, sine / (pi * x))


def _xlogy(x, y):
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y))


def _xlog1py(x, y):
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log1p(y))


def _erfc(x):
    return mpmath.erfc(x) if abs(x) < 1000 else mpmath.mpf(0 if x > 0 else 2)


def _special(name, domain, exact, extremes, near_one=False):
    """A function of one operand that scipy.special has; it is the wider one of float32 where it has its digits."""
    function = getattr(special, name)
    wider = None if name in ("gammaln", "psi") else function  # below 0 they have zeros, where none has its digits
    return Row(
        (domain,), exact, extremes, numpy=function, wider_than_float=wider, near_one=near_one, cancels=name == "gammaln"
    )


def _above_zero(function):
    """A function that is compared with above 0 only."""

    def above(x):
        if mpmath.re(x) <= 0:
            raise ValueError("a pole, or near a zero")
        return function(x)

    return above


def _erfcx(x):
    if x > 1e4:
        return (1 - 1 / (2 * x * x)) / (x * mpmath.sqrt(mpmath.pi))
    return mpmath.exp(x * x) * mpmath.erfc(x) if x > -1000 else mpmath.inf


def _erfcinv(x):
    if mpmath.re(x) in (0, 2):
        raise ValueError("a pole")
    if not 0 < mpmath.re(x) < 2:
        return mpmath.nan
    if mpmath.re(x) > 0.25:
        return mpmath.erfinv(1 - x)
    y = mpmath.mpf(float(special.erfcinv(max(float(x), 1e-300))))
    for _ in range(12):  # Newton's steps in logarithms
        tail = mpmath.erfc(y)
        y += (mpmath.log(tail) - mpmath.log(x)) * tail * mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(y * y)
    return y


def _ndtri(x):
    return -mpmath.sqrt(2) * _erfcinv(2 * x)


def _log_ndtr(x):
    z = x * mpmath.sqrt(mpmath.mpf(1) / 2)
    if abs(x) > 1000:
        return mpmath.mpf(0) if x > 0 else mpmath.log(_erfcx(-z) / 2) - z * z
    return mpmath.log1p(-mpmath.erfc(z) / 2) if x > 0 else mpmath.log(mpmath.erfc(-z) / 2)


def _hurwitz(s, x):
    """SciPy's where there is a sum: NaN of NaN, 0 of a large power."""
    found = np.where((s > 1e4) & (x > 1.1), 0, special.zeta(s, x))
    return np.where((x < 0) | np.isnan(s) | np.isnan(x), np.nan, found).astype(np.result_type(s, x))


ROWS: dict[str, Row] = {
    "add": Row((WIDE, WIDE), lambda a, b: a + b),
    "subtract": Row((WIDE, WIDE), lambda a, b: a - b),
    "multiply": Row((WIDE, WIDE), lambda a, b: a * b, [(1e200, 1e-200), (0.0, 1e300)]),
    "divide": Row((WIDE, POSITIVE), lambda a, b: a / b, [(1e300, 1e10), (1.0, 1e300), (1e-300, 1e-300), (0.0, 2.0)]),
    "negative": Row((WIDE,), lambda x: -x),
    "square": Row((WIDE,), lambda x: x * x, [1e-200, -1e150, 0.0]),
    "absolute": Row((WIDE,), abs, corners=[((0.0,), (0.0,))]),
    "copysign": Row(
        (WIDE, WIDE),
        corners=[
            ((0.0, -1.0), (0.0, None)),
            ((-2.0, -1.0), (1.0, None)),
            ((2.0, 0.0), (1.0, None)),
            ((2.0, -0.0), (-1.0, None)),
        ],
    ),
    "maximum": Row((WIDE, WIDE)),
    "minimum": Row((WIDE, WIDE)),
    "where": Row((CONDITION, WIDE, WIDE)),
    **dict.fromkeys("sign floor ceil trunc rint to_float".split(), Row()),
    **dict.fromkeys("greater greater_equal less less_equal equal not_equal".split(), Row()),
    **dict.fromkeys("logical_and logical_or logical_xor logical_not".split(), Row()),
    "sigmoid": Row(
        (WIDE,),
        lambda x: 1 / (1 + mpmath.exp(-x)),
        [0.0, -40.0, 40.0, -700.0, 1e4],
        numpy=special.expit,
        wider=_sigmoid,
        near_one=True,
    ),
    "tanh": Row((WIDE,), mpmath.tanh, [0.0, 1e-200, 19.0, -400.0, 1e300], wider=np.tanh, near_one=True),
    "softplus": Row(
        (WIDE,),
        lambda x: mpmath.log1p(mpmath.exp(x)),
        [0.0, -40.0, 40.0, -700.0, 1e4],
        numpy=lambda x: np.logaddexp(x, np.zeros_like(x)),
        wider=lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))),
    ),
    "log_sigmoid": Row(
        (WIDE,),
        lambda x: -mpmath.log1p(mpmath.exp(-x)),
        [0.0, -40.0, 40.0, 700.0, -1e4],
        numpy=special.log_expit,
        wider_than_float=special.log_expit,
    ),
    "erf": Row((WIDE,), mpmath.erf, [0.0, 5.0, -26.0, 1e200], numpy=special.erf, wider_than_float=special.erf),
    "erfc": Row((WIDE,), _erfc, [0.0, -5.0, 26.0], numpy=special.erfc, wider_than_float=special.erfc),
    "erfcx": _special("erfcx", WIDE, _erfcx, [0.0, -5.0, 26.0]),
    "erfinv": _special("erfinv", INSIDE, mpmath.erfinv, [0.0, 1e-200, 0.999, -0.76]),
    "erfcinv": _special("erfcinv", (0.2, 1.8), _erfcinv, [1.0, 1e-3, 1.9]),
    "ndtri": _special("ndtri", (0.1, 0.9), _ndtri, [0.5, 1e-3, 0.99]),
    "log_ndtr": _special("log_ndtr", WIDE, _log_ndtr, [0.0, -5.0, -1e6, 8.0]),
    "gammaln": _special("gammaln", LARGE, _above_zero(mpmath.loggamma), [1e-300, 1.0, 2.0, 170.0, 1e300]),
    "psi": _special("psi", LARGE, _above_zero(mpmath.digamma), [1e-100, 1.0, 170.0, 1e150]),
    "zeta": Row(((2.0, 5.0), LARGE), mpmath.zeta, numpy=_hurwitz),
    "i0e": _special("i0e", LARGE, lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)), [0.0, -2.0, 0.1]),
    "i1e": _special("i1e", LARGE, lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)), [0.0, -2.0, 0.1], True),
    "k0e": _special("k0e", POSITIVE, _above_zero(lambda x: mpmath.besselk(0, x) * mpmath.exp(x)), [1e-100, 1.5]),
    "k1e": _special("k1e", POSITIVE, _above_zero(lambda x: mpmath.besselk(1, x) * mpmath.exp(x)), [1e-100, 1.5]),
    "exp": Row((WIDE,), mpmath.exp, [-700.0, 0.0, 700.0], wider=np.exp),
    "exp2": Row((WIDE,), lambda x: mpmath.power(2, x), [-1000.0, 0.0, 1000.0], wider=np.exp2),
    "expm1": Row((WIDE,), mpmath.expm1, [-40.0, 1e-200, 700.0], wider=np.expm1, near_one=True),
    "exprel": Row(
        (WIDE,),
        lambda x: mpmath.expm1(x) / x if x else mpmath.mpf(1),
        [0.0, 1e-200, -40.0, -1e4, 1.0, 700.0],
        numpy=special.exprel,
        wider=lambda x: np.where(x == 0, 1, np.expm1(x) / np.where(x == 0, 1, x)),
    ),
    "log": Row((POSITIVE,), mpmath.log, [1e-300, 1e300], POLE, wider=np.log),
    "log2": Row((POSITIVE,), lambda x: mpmath.log(x, 2), [1e-300, 1e300], POLE, wider=np.log2),
    "log10": Row((POSITIVE,), mpmath.log10, [1e-300, 1e300], POLE, wider=np.log10),
    "log1p": Row((POSITIVE,), mpmath.log1p, [-NEAR, 1e-200, 1e300], wider=np.log1p),
    "xlogy": Row(
        (WIDE, POSITIVE),
        lambda a, b: a * mpmath.log(b),
        [(1e-300, 1e300), (-3.0, 1e-300), (0.0, 2.0), (1e300, 1.0 + 1e-12)],
        [((0.0, 0.0), (0.0, 0.0)), ((0.0, -1.0), (0.0, 0.0)), ((0.0, INF), (INF, 0.0)), ((2.0, 0.0), (-INF, INF))],
        numpy=special.xlogy,
        wider=_xlogy,
    ),
    "xlog1py": Row(
        (WIDE, POSITIVE),
        lambda a, b: a * mpmath.log1p(b),
        [(1e-300, 1e300), (-3.0, -NEAR), (0.0, 2.0), (1e300, 1e-12), (2.0, -1e-200)],
        [((0.0, -1.0), (0.0, 0.0)), ((0.0, -2.0), (0.0, 0.0)), ((0.0, INF), (INF, 0.0)), ((2.0, -1.0), (-INF, INF))],
        numpy=special.xlog1py,
        wider=_xlog1py,
    ),
    "logaddexp": Row(
        (WIDE, WIDE),
        lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b)),
        [(1e3, -1e3), (-1e3, 1e3), (-1e4, -1e4), (700.0, 690.0)],
        [((-INF, -INF), (0.5, 0.5)), ((-INF, 3.0), (0.0, 1.0))],
        wider=np.logaddexp,
        cancels=True,
    ),
    "logaddexp2": Row(
        (WIDE, WIDE),
        lambda a, b: mpmath.log(mpmath.power(2, a) + mpmath.power(2, b), 2),
        [(1e3, -1e3), (-1e3, 1e3), (-1e4, -1e4), (700.0, 690.0)],
        [((-INF, -INF), (0.5, 0.5)), ((INF, INF), (0.5, 0.5)), ((-INF, 3.0), (0.0, 1.0))],
        wider=np.logaddexp2,
        cancels=True,
    ),
    "power": Row(
        (POSITIVE, WIDE),
        lambda a, b: a**b,
        [(1e100, 3.0), (1e-100, 2.5), (2.0, -1000.0), (0.5, 1000.0), (1.0, 1e100), (3.0, 0.0), (7.0, 1.0)],
        wider=np.power,
    ),
    "sqrt": Row((POSITIVE,), mpmath.sqrt, [1e-300, 1e300], POLE),
    "cbrt": Row((LARGE,), lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), [1e-300, 1e300], POLE, wider=np.cbrt),
    "hypot": Row(
        (WIDE, LARGE),
        lambda a, b: mpmath.sqrt(a * a + b * b),
        [(1e300, 1e300), (1e-200, -1e-200), (3e5, 1e-10), (0.0, -2.0)],
        [((0.0, 0.0), (0.0, 0.0))],
        wider=np.hypot,
    ),
    "sin": Row((WIDE,), mpmath.sin, [0.0, 1e5, -1e5]),
    "cos": Row((WIDE,), mpmath.cos, [0.0, 1e5, -1e5]),
    "tan": Row((INSIDE,), mpmath.tan, [0.0, 1.5707963, 1e5]),
    "sinc": Row(
        (INSIDE,),
        mpmath.sincpi,
        [0.0, 1e-200, -1e-3, 0.2499, -0.25, 0.5, 7.0, 1e5, -1e5 - 0.25],
        numpy=_sinc,
        wider=_sinc,
    ),
    "arcsin": Row((INSIDE,), mpmath.asin, [NEAR, -NEAR, 1e-200], [((1.0,), (INF,))]),
    "arccos": Row((INSIDE,), mpmath.acos, [NEAR, -NEAR, 1e-200]),
    "arctan": Row((WIDE,), mpmath.atan, [0.0, 1e150, 1e200], wider=np.arctan),
    "arctan2": Row(
        (WIDE, LARGE),
        mpmath.atan2,
        [(1e300, -1e300), (-1e-150, -1e-150), (1e-10, -3e5), (3.0, 0.0)],
        [((0.0, 0.0), (0.0, 0.0))],
        wider=np.arctan2,
    ),
    "sinh": Row((WIDE,), mpmath.sinh, [0.0, 700.0, -700.0], wider=np.sinh),
    "cosh": Row((WIDE,), mpmath.cosh, [0.0, 700.0, -700.0], wider=np.cosh),
    "arcsinh": Row((WIDE,), mpmath.asinh, [0.0, 1e200, -1e200]),
    "arccosh": Row(((1.2, 6.0),), mpmath.acosh, [1.0 + 1e-12, 1e200], [((1.0,), (INF,))]),
    "arctanh": Row((INSIDE,), mpmath.atanh, [NEAR, -NEAR, 1e-200], [((1.0,), (INF,))]),
    "floor_divide": Row(),
    "remainder": Row(
        (WIDE, (0.4, 0.7)),
        lambda a, b: a - mpmath.floor(a / b) * b,
        [(1e10, 3.0), (-7.5, 2.0), (7.5, -2.0), (0.3, 0.1), (-0.3, 0.1)],
        [((6.0, 2.0), (1.0, -3.0))],
    ),
    "fmod": Row(
        (WIDE, (0.4, 0.7)),
        lambda a, b: a - mpmath.sign(a / b) * mpmath.floor(abs(a / b)) * b,
        [(1e10, 3.0), (-7.5, 2.0), (7.5, -2.0), (0.3, 0.1), (-0.3, 0.1)],
        [((6.0, 2.0), (1.0, -3.0))],
    ),
}
FLAT = {name for name, row in ROWS.items() if not row.domains}
DOMAINS = {name: row.domains for name, row in ROWS.items() if row.domains}


def numpy_function(name):
    """The operation on arrays, by NumPy or scipy.special."""
    return ROWS[name].numpy or getattr(np, name)
