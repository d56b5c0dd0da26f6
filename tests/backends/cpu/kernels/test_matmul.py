"""Products of rows with a packed weight: right, and the same bits in whatever tile a row is computed."""

import numpy as np
import pytest
from programs_under_test import kernel

from rnnkit.backends.cpu.kernels.matmul import arrange, pack, packed_width

DTYPES = ("float32", "float64")
FUNCTIONS = {name: kernel("matmul", "define_matmul", name, 11) for name in DTYPES}


def multiply(a, weight):
    """C (outer, inner, padded columns) of A (outer, inner, K) and a weight (K, N); NaN around it stays."""
    (outer, inner, length), columns = a.shape, weight.shape[1]
    packed = pack(weight)
    frame = np.full((outer, inner, packed_width(columns, a.dtype) + 1), np.nan, a.dtype)
    c = frame[:, :, :-1]
    FUNCTIONS[a.dtype.name](
        a.ctypes.data, a.strides[0], outer, a.strides[1], inner, packed.ctypes.data, length, columns,
        c.ctypes.data, c.strides[0], c.strides[1],
    )  # fmt: skip
    assert np.isnan(frame[:, :, -1]).all()
    return c


def chain(a, weight):
    """One multiply-add after the other over k, rounded to float32 each time."""
    total = np.zeros((*a.shape[:-1], weight.shape[1]), np.float32)
    for k in range(a.shape[-1]):
        exact = a[..., k, None].astype(np.float64) * weight[k].astype(np.float64) + total.astype(np.float64)
        total = exact.astype(np.float32)
    return total


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, 15, 16, 17, 64, 100, 260])
@pytest.mark.parametrize("length", [0, 1, 17, 128])
def test_every_tile_gives_the_same_bits(length, columns, dtype):
    rng = np.random.default_rng(length + columns)
    a = rng.normal(size=(1, 20, length)).astype(dtype)
    weight = rng.normal(size=(length, columns)).astype(dtype)
    whole = multiply(a, weight)[0]
    np.testing.assert_allclose(
        whole[:, :columns], a[0].astype("float64") @ weight.astype("float64"), atol=500 * np.finfo(dtype).eps
    )
    np.testing.assert_array_equal(whole[:, columns:], 0)
    for rows in range(1, 20):
        np.testing.assert_array_equal(multiply(a[:, :rows], weight)[0], whole[:rows])
        np.testing.assert_array_equal(multiply(a[:, -rows:], weight)[0], whole[-rows:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outer, inner", [(1, 1), (3, 7), (7, 3), (5, 1), (0, 4), (4, 0)])
def test_rows_stand_at_any_strides(outer, inner, dtype):
    rng = np.random.default_rng(outer + inner)
    weight = rng.normal(size=(9, 70)).astype(dtype)
    rows = rng.normal(size=(outer, inner, 9)).astype(dtype)
    expected = np.zeros((outer, inner, 70), dtype)
    for place in np.ndindex(outer, inner):
        expected[place] = multiply(rows[place][None, None], weight)[0, 0, :70]
    spread = np.zeros((outer, 2 * inner, 12), dtype)[:, ::2, 1:10]
    turned = np.zeros((inner, outer, 9), dtype).swapaxes(0, 1)
    backwards = np.zeros((outer, inner, 9), dtype)[::-1, ::-1]
    for a in (spread, turned, backwards):
        a[:] = rows
        np.testing.assert_array_equal(multiply(a, weight)[:, :, :70], expected)


def test_an_element_is_one_chain_of_multiply_adds():
    rng = np.random.default_rng(8)
    # Few bits, so that every product and sum in float64 is exact and rounding to float32 happens once.
    a = rng.integers(-(2**11), 2**11, (1, 5, 40)).astype("float32")
    weight = (rng.integers(-(2**11), 2**11, (40, 33)) * 2.0 ** rng.integers(0, 9, (40, 33))).astype("float32")
    np.testing.assert_array_equal(multiply(a, weight)[0][:, :33], chain(a[0], weight))


def test_what_is_not_finite_stays_in_its_row_and_column():
    a, weight = np.ones((1, 8, 3), "float32"), np.ones((3, 40), "float32")
    a[0, 2, 1], weight[1, 5] = np.nan, np.inf
    got = multiply(a, weight)[0][:, :40]
    assert np.isnan(got[2]).all()
    assert np.isinf(np.delete(got, 2, axis=0)[:, 5]).all()
    assert np.isfinite(np.delete(np.delete(got, 2, axis=0), 5, axis=1)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_packed_weights_start_at_a_cache_line(dtype):
    for rows, columns in [(3, 5), (8, 64), (0, 3), (33, 100)]:
        packed = pack(np.ones((rows, columns), dtype))
        assert packed.shape == (rows * packed_width(columns, dtype),)
        assert packed.ctypes.data % 64 == 0 or packed.size == 0
        assert packed.sum() == rows * columns


@pytest.mark.parametrize("dtype", DTYPES)
def test_gates_are_arranged_a_vector_of_each_in_turn(dtype):
    lanes = packed_width(1, dtype)
    for rows, units in [(3, 2 * lanes + 1), (2, lanes), (0, 5), (0, 1)]:
        weight = np.arange(rows * 4 * units).reshape(rows, 4 * units).astype(dtype) + 1
        gates, width = (units, 3 * units), packed_width(units, dtype)
        arranged = arrange(weight, gates, units)
        assert arranged.shape == (rows, 2 * width)
        for place, gate in enumerate(gates):
            columns = arranged.reshape(rows, width // lanes, 2, lanes)[:, :, place].reshape(rows, width)
            np.testing.assert_array_equal(columns[:, :units], weight[:, gate : gate + units])
            assert not columns[:, units:].any()
