"""Powers and divisions that a program computes with less work: they give what they gave."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.ir.simplify import reduced

QUARTERS = [n / 4 for n in range(-7, 16) if n % 4]


def computed(function, x):
    """A function of numbers, in a step of one row."""
    step = rk.cell(states={"h": ()}, per_row=True)(lambda x, states: (function(x[0]), (states.h,)))
    return rk.RNN(step(), return_sequences=True, dtype=x.dtype)(x[None, :, None])[0]


@pytest.mark.parametrize("exponent", QUARTERS)
def test_powers_by_quarters_are_within_four_ulp(exponent):
    x = np.exp(np.random.default_rng(0).uniform(-20, 20, 300)).astype(np.float32)
    expected = x.astype(np.float64) ** exponent
    found = computed(lambda z: z**exponent, x)
    assert (np.abs(found - expected) <= 4 * np.spacing(np.abs(found))).all()


@pytest.mark.parametrize("exponent", QUARTERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_their_ends_are_those_of_numpy(exponent, dtype):
    ends = np.array([0.0, -0.0, np.inf, -1.0, np.nan, 1e-40, 1e-300, 1e30, 1e300, 1.0], np.float64)
    with np.errstate(all="ignore"):
        ends = ends.astype(dtype)
        expected = np.power(ends, np.array(exponent, dtype))
    found = computed(lambda z: z**exponent, ends)
    assert (np.isnan(expected) | (np.signbit(found) == np.signbit(expected))).all()
    np.testing.assert_allclose(
        found, expected, rtol=8 * np.finfo(dtype).eps, atol=2 * np.finfo(dtype).smallest_subnormal
    )


def test_the_slope_at_zero_is_that_of_a_power():
    step = rk.cell(states={"h": ()}, per_row=True)(lambda x, states: (x[0] ** 3.5 + x[0] ** 1.25, (states.h,)))
    x = np.array([0.0, 1.0, 4.0]).reshape(1, 3, 1)
    y, back = rk.RNN(step(), return_sequences=True).vjp(x)
    np.testing.assert_allclose(back(np.ones_like(y)).x[0, :, 0], [0, 3.5 + 1.25, 3.5 * 32 + 1.25 * 4**0.25], rtol=1e-12)


def test_divisions_by_powers_of_two_are_products():
    graph = Graph()
    x = graph.add("x", (), (3,))
    parts = [graph.pointwise("divide", x, graph.literal(n)) for n in (4.0, -0.125, 3.0, 2.0**70, 0.0)]
    graph.output = graph.concatenate(parts, 0)
    ops = [node.op for node in reduced(graph).live() if node.op in ("divide", "multiply")]
    assert sorted(ops) == ["divide"] * 3 + ["multiply"] * 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_such_divisions_have_the_same_bits(dtype):
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    x = (rng.normal(size=200) * np.exp(rng.uniform(-80, 80, 200))).astype(dtype)
    x = np.concatenate([x, [0.0, -0.0, np.inf, np.nan, info.tiny, 7 * info.smallest_subnormal, info.max]]).astype(dtype)
    for divisor in (4.0, -0.125, 2.0**20):
        with np.errstate(all="ignore"):
            expected = x / np.array(divisor, dtype)
        np.testing.assert_array_equal(computed(lambda z, n=divisor: z / n, x), expected)
