"""The engine's elementwise functions: right to a few units in the last place, and the same bits in every lane."""

import functools

import mpmath
import numpy as np
import pytest
from numba import njit
from scipy import special

from rnnkit.engine import math, vector

DTYPES = ("float32", "float64")
BINARY = (
    "copysign",
    "minimum",
    "maximum",
    "logaddexp",
    "power",
    "arctan2",
    "hypot",
    "fmod",
    "remainder",
    "floor_divide",
)
UNARY = tuple(name for name in math.FUNCTIONS if name not in BINARY)

SCIPY = {
    "sigmoid": special.expit,
    "log_sigmoid": special.log_expit,
    "erf": special.erf,
    "erfc": special.erfc,
    "softplus": lambda x: np.logaddexp(x, np.zeros_like(x)),
}
SOURCE = """
def run(x, y, vectors, numbers):
    count = x.size
    for i in range(0, count, {lanes}):
        mask = first_{dtype}(count - i)
        a = load_{dtype}(x.ctypes.data + i * {size}, mask)
        b = load_{dtype}(y.ctypes.data + i * {size}, mask)
        store(vectors.ctypes.data + i * {size}, function({arguments}), mask)
    for i in range(count):
        a, b = x[i], y[i]
        numbers[i] = function({arguments})
"""


@functools.cache
def kernel(name, dtype):
    """``run(x, y, vectors, numbers)``: the function on vectors of x (and y), and on numbers."""
    arguments = "a, b" if name in BINARY else "a"
    size = np.dtype(dtype).itemsize
    text = SOURCE.format(lanes=vector.LANES[dtype], dtype=dtype, size=size, arguments=arguments)
    names = vars(vector) | {"function": getattr(math, name)}
    exec(text, names)
    return njit(error_model="numpy")(names["run"])


def both_ways(name, x, y=None):
    vectors, numbers = np.empty_like(x), np.empty_like(x)
    kernel(name, x.dtype.name)(x, x if y is None else y, vectors, numbers)
    return vectors, numbers


def numpy_function(name):
    return SCIPY.get(name) or getattr(np, name)


def grid(dtype):
    """Numbers of every size, dense where the functions bend, with the edges of the format."""
    rng = np.random.default_rng(5)
    info = np.finfo(dtype)
    least, greatest = np.log10(float(info.smallest_subnormal)), np.log10(float(info.max))
    parts = [rng.uniform(-span, span, 80) for span in (1, 3, 20, 110, 760, 1e4)]
    parts.append(rng.choice([-1, 1], 150) * 10.0 ** rng.uniform(least, greatest, 150))
    parts.append(1 + rng.uniform(-1, 1, 60) * 10.0 ** rng.uniform(-16, 0, 60))
    parts.append([1, -1, 0.5, 2, 1000, info.tiny, info.smallest_subnormal, -info.smallest_subnormal, info.max])
    return np.concatenate(parts).astype(dtype)


def edges(dtype):
    info = np.finfo(dtype)
    return np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, info.max, -info.max, info.tiny, 3.5, -3.5], dtype)


def same_bits(a, b):
    integers = f"u{a.itemsize}"
    return np.array_equal(np.where(np.isnan(a), 0, a.view(integers)), np.where(np.isnan(b), 0, b.view(integers)))


def real(function):
    """`function` of mpmath, with NaN where it isn't real."""

    def wrapped(x):
        result = function(x)
        return result if isinstance(result, mpmath.mpf) else mpmath.nan

    return wrapped


def _erfc(x):
    return mpmath.erfc(x) if abs(x) < 1000 else mpmath.mpf(0 if x > 0 else 2)


EXACT = {
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.power(2, x),
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log2": lambda x: mpmath.log(x, 2),
    "log10": mpmath.log10,
    "log1p": mpmath.log1p,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "arcsinh": mpmath.asinh,
    "arccosh": mpmath.acosh,
    "arctanh": mpmath.atanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "erf": mpmath.erf,
    "erfc": _erfc,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_within_four_units_in_the_last_place(name, dtype):
    x = grid(dtype)
    got, _ = both_ways(name, x)
    greatest = mpmath.mpf(float(np.finfo(dtype).max))
    with mpmath.workprec(160):
        for argument, result in zip(x, got, strict=True):
            try:
                exact = real(EXACT[name])(mpmath.mpf(float(argument)))
            except (ValueError, ZeroDivisionError):  # a pole: the edges have a test of their own
                continue
            if mpmath.isnan(exact):
                assert np.isnan(result), (argument, result)
            elif abs(exact) > greatest:
                assert np.isinf(result) or abs(result) > greatest * (1 - 4 * np.finfo(dtype).eps), (argument, result)
            elif mpmath.isfinite(exact):
                unit = np.spacing(np.minimum(abs(float(exact)), np.finfo(dtype).max / 2).astype(dtype))
                error = abs(mpmath.mpf(float(result)) - exact) / mpmath.mpf(float(unit))
                assert error <= 4, (argument, result, float(exact))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_a_lane_has_the_bits_of_a_number_and_edges_are_numpys(name, dtype):
    x = np.concatenate([grid(dtype), edges(dtype)])
    for count in (x.size, 1, vector.LANES[dtype] + 1):
        assert same_bits(*both_ways(name, x[-count:].copy()))
    got, _ = both_ways(name, edges(dtype))
    with np.errstate(all="ignore"):
        expected = numpy_function(name)(edges(dtype))
    # Values near 1 may differ by a rounding; 0, its sign, infinity and NaN may not.
    np.testing.assert_allclose(got, expected, rtol=8 * np.finfo(dtype).eps, atol=0)
    zeros = ~np.isnan(expected) & (expected == 0)
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(expected[zeros]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_are_numpys(name, dtype):
    few = np.concatenate([edges(dtype), np.array([0.3, -0.3, 2.5, 2.0, -7.0, 1e-3], dtype)])
    x, y = (part.ravel().copy() for part in np.meshgrid(few, few))
    vectors, numbers = both_ways(name, x, y)
    assert same_bits(vectors, numbers)
    with np.errstate(all="ignore"):
        expected = numpy_function(name)(x, y)
    np.testing.assert_allclose(vectors, expected, rtol=8 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_a_huge_neighbour_changes_no_bit(name):
    x = np.linspace(-3, 3, 37, dtype="float32")
    alone, _ = both_ways(name, x)
    among, _ = both_ways(name, np.where(np.arange(37) % 2, x, np.float32(1e30)))
    assert same_bits(alone[1::2].copy(), among[1::2].copy())
    np.testing.assert_allclose(among[::2], getattr(np, name)(1e30 + np.zeros(19, "float32")), rtol=1e-6)


def test_sigmoid_keeps_its_lower_tail():
    got, _ = both_ways("sigmoid", np.array([-80.0, -103.0, 80.0], "float32"))
    np.testing.assert_array_equal(got, np.array([1.8048513e-35, 1.4e-45, 1.0], "float32"))


def test_every_function_is_tried():
    assert set(EXACT) <= set(UNARY)
    assert set(BINARY) | set(UNARY) == set(math.FUNCTIONS)
    assert set(math.LANEWISE) <= set(math.FUNCTIONS)
