"""The engine's elementwise functions: right to a few units in the last place, and the same bits in every lane."""

import re

import mpmath
import numpy as np
import pytest
from operations_under_test import ROWS, numpy_function
from programs_under_test import HEAD, program

from rnnkit.backends.cpu.language.function import read
from rnnkit.backends.cpu.language.machine_code import assembly
from rnnkit.backends.cpu.language.translate import translate
from rnnkit.backends.cpu.simd import vector
from rnnkit.backends.formulas import trigonometry
from rnnkit.backends.formulas.table import FORMULAS, arity
from rnnkit.compiler.ir.operations import BY_LANE, OPERATIONS

DTYPES = ("float32", "float64")
UNARY = [name for name, formula in FORMULAS.items() if arity(formula) == 1]
BINARY = [name for name, formula in FORMULAS.items() if arity(formula) == 2]
EXACT = {name: ROWS[name].exact for name in UNARY if ROWS[name].exact}
# In a wider format than the one under test; accurate there to far below half a unit of the narrower.
WIDER = {name: ROWS[name].wider for name in UNARY if ROWS[name].wider}
WIDER_THAN_FLOAT = WIDER | {name: ROWS[name].wider_than_float for name in UNARY if ROWS[name].wider_than_float}
SOURCE = """
def run(x, y, count, vectors, numbers):
    for i in range(0, count, {lanes}):
        mask = first_{dtype}(count - i)
        a = load_{dtype}(x + i * {size}, mask)
        b = load_{dtype}(y + i * {size}, mask)
        store(vectors + i * {size}, {name}({arguments}), mask)
    for i in range(count):
        c, d = load_scalar_{dtype}(x + i * {size}), load_scalar_{dtype}(y + i * {size})
        store_scalar_{dtype}(numbers + i * {size}, {name}({scalars}))
"""


def text_of(name, dtype):
    """``run(x, y, count, vectors, numbers)``: the function on vectors of x (and y), and on numbers."""
    both = name in BINARY
    size = np.dtype(dtype).itemsize
    arguments, scalars = ("a, b", "c, d") if both else ("a", "c")
    return SOURCE.format(
        lanes=vector.LANES[dtype], dtype=dtype, size=size, name=name, arguments=arguments, scalars=scalars
    )


def both_ways(name, x, y=None):
    vectors, numbers = np.empty_like(x), np.empty_like(x)
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(x if y is None else y)
    program(text_of(name, x.dtype.name), 5)(x, y, x.size, vectors, numbers)
    return vectors, numbers


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


def units_apart(got, exact, beside=0.0):
    """Errors in units in the last place of the exact value as rounded; 0 where both are NaN, or the same infinity.

    Where what stands `beside` is greater than the exact value, its units are meant.
    """
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        unit = np.spacing(np.minimum(np.fmax(abs(rounded), beside), info.max / 2)).astype(exact.dtype)
        apart = abs(np.where(np.isinf(got), np.copysign(2 * exact.dtype.type(info.max), exact), got) - exact) / unit
    return np.where((np.isnan(got) & np.isnan(exact)) | (got == rounded), 0, apart)


@pytest.mark.parametrize("name", WIDER_THAN_FLOAT)
def test_floats_of_every_size_are_within_four_units(name):
    x = np.arange(0, 2**32, 40_013, dtype="uint32").view("float32")
    with np.errstate(all="ignore"):
        exact = WIDER_THAN_FLOAT[name](x.astype("float64"))
    got, _ = both_ways(name, x)
    assert units_apart(got, exact).max() <= 4


@pytest.mark.skipif(np.finfo("longdouble").nmant < 60, reason="needs a format wider than float64")
@pytest.mark.parametrize("name", WIDER)
def test_doubles_where_functions_bend_are_within_four_units(name):
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.uniform(-span, span, 20_000) for span in (0.4, 2, 20, 750)])
    with np.errstate(all="ignore"):
        exact = WIDER[name](x.astype("longdouble"))
    got, _ = both_ways(name, x)
    assert units_apart(got, exact).max() <= 4


@pytest.mark.sweep
@pytest.mark.parametrize("name", WIDER_THAN_FLOAT)
def test_every_float_is_within_four_units(name):
    for start in range(0, 2**32, 2**22):
        x = np.arange(start, start + 2**22, dtype="uint32").view("float32")
        with np.errstate(all="ignore"):
            exact = WIDER_THAN_FLOAT[name](x.astype("float64"))
        got, _ = both_ways(name, x)
        # erfc rounds three polynomials and a quotient: 4.03 where they all round badly.
        assert units_apart(got, exact).max() <= (4.1 if name == "erfc" else 4), start


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_is_odd_and_never_beyond_one(dtype):
    x = np.concatenate([np.linspace(0, 30, 60_001), [1e5, 1e30, np.inf]]).astype(dtype)
    got, _ = both_ways("tanh", x)
    assert same_bits(both_ways("tanh", -x)[0], -got)
    assert got.max() == 1 and (got[x > 20] == 1).all()


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


def two_of_every_size(dtype, count=40_000):
    """Pairs near each other, apart, and of any size."""
    rng = np.random.default_rng(11)
    info = np.finfo(dtype)
    least, greatest = np.log10(float(info.smallest_subnormal)), np.log10(float(info.max))
    x = rng.choice([-1, 1], count) * 10.0 ** rng.uniform(least, greatest, count)
    y = rng.choice([-1, 1], count) * 10.0 ** rng.uniform(least, greatest, count)
    with np.errstate(over="ignore"):
        y[::3] = x[::3] * rng.uniform(-3, 3, x[::3].size)
        y[1::3] = x[1::3] * 10.0 ** rng.uniform(-9, 9, x[1::3].size)
        return x.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_remainders_are_numpys_to_the_bit(name, dtype):
    x, y = two_of_every_size(dtype)
    whole = np.random.default_rng(12).integers(-50, 51, (2, 2000)).astype(dtype)
    x, y = np.concatenate([x, whole[0]]), np.concatenate([y, whole[1]])
    with np.errstate(all="ignore"):
        assert same_bits(both_ways(name, x, y)[0], numpy_function(name)(x, y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in BINARY if ROWS[name].wider])
def test_functions_of_two_are_within_four_units(name, dtype):
    wider = "float64" if dtype == "float32" else "longdouble"
    if np.finfo(wider).nmant < 50 + 10 * (dtype == "float64"):
        pytest.skip("needs a format wider than float64")
    x, y = two_of_every_size(dtype)
    if name == "power":  # results of every size, from bases of every size and from bases near 1
        rng = np.random.default_rng(13)
        x[::2] = 1 + rng.uniform(-1, 1, x[::2].size) * 10.0 ** rng.uniform(-6, 0, x[::2].size)
        with np.errstate(all="ignore"):
            y = (rng.uniform(-1.1, 1.1, x.size) * abs(np.log(np.finfo(dtype).tiny) / np.log(abs(x)))).astype(dtype)
        y[::4] = np.rint(y[::4])
    with np.errstate(all="ignore"):
        exact = ROWS[name].wider(x.astype(wider), y.astype(wider))
    beside = np.fmax(abs(x), abs(y)) if ROWS[name].cancels else 0.0
    assert units_apart(both_ways(name, x, y)[0], exact, beside).max() <= 4


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


@pytest.mark.parametrize("name", FORMULAS)
def test_libm_is_called_only_where_explain_says_so(name):
    calls = set()
    for dtype in DTYPES:
        code = assembly(translate(read(HEAD + text_of(name, dtype).lstrip()), "run", 5))
        calls |= set(re.findall(r"\$(\w+), %r|\bcallq?\s+(\w+)|\bbl\s+(\w+)", code))
    called = {word.rstrip("f") for words in calls for word in words}
    libm = (
        "exp exp2 log log2 log10 pow sin cos tan sincos fmod floor ceil trunc rint sqrt fabs tanh atan atan2 hypot cbrt"
    )
    assert bool(called & set(libm.split())) == (name in BY_LANE), called


def test_explain_says_beyond_which_angle():
    assert BY_LANE["sin"] == "beyond 1e5 in float32, 1e6 in float64"
    assert trigonometry.LIMIT == {32: 1e5, 64: 1e6}


def test_every_operation_that_is_called_has_a_formula_and_every_formula_an_operation():
    called = {name: re.fullmatch(r"(\w+)\((.*)\)", operation.text) for name, operation in OPERATIONS.items()}
    called = {name: (match[1], match[2].count("{")) for name, match in called.items() if match}
    assert {formula for formula, _ in called.values()} - {"select"} == set(FORMULAS) - {"square"}
    for name, (formula, operands) in called.items():
        assert formula == "select" or (formula == name and arity(FORMULAS[name]) == operands)
