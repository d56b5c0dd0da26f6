"""Products of rows with a sparse weight: the dense product's bits, in whatever tile, window or vector width."""

import os
import sys
from itertools import pairwise

import numpy as np
import processes
import pytest
from programs_under_test import kernel

from rnnkit.backends.cpu.kernels import matmul, sparse_matmul

DTYPES = ("float32", "float64")
DENSE = {dtype: kernel("matmul", "define_matmul", dtype, 11) for dtype in DTYPES}
SPARSE = {dtype: kernel("sparse_matmul", "define_sparse_matmul", dtype, 11) for dtype in DTYPES}


def multiply(a, weight, part=None):
    """C (outer, inner, N) of A (outer, inner, K) and a weight (K, N); NaN around it, and in other columns, stays."""
    (outer, inner, _), columns = a.shape, weight.shape[1]
    packed = sparse_matmul.pack_sparse(weight)
    first, last = (0, columns) if part is None else part
    frame = np.full((outer, inner, matmul.packed_width(columns, a.dtype) + 1), np.nan, a.dtype)
    c = frame[:, :, :-1]
    SPARSE[a.dtype.name](
        a.ctypes.data, a.strides[0], outer, a.strides[1], inner, packed.ctypes.data, first, last,
        c.ctypes.data, c.strides[0], c.strides[1],
    )  # fmt: skip
    assert np.isnan(frame[:, :, -1]).all()
    if part is None:
        np.testing.assert_array_equal(c[:, :, columns:], 0)
    return c[:, :, :columns]


def multiply_dense(a, weight):
    (outer, inner, length), columns = a.shape, weight.shape[1]
    c = np.empty((outer, inner, matmul.packed_width(columns, a.dtype)), a.dtype)
    packed = matmul.pack(weight)
    DENSE[a.dtype.name](
        a.ctypes.data, a.strides[0], outer, a.strides[1], inner, packed.ctypes.data, length, columns,
        c.ctypes.data, c.strides[0], c.strides[1],
    )  # fmt: skip
    return c[:, :, :columns]


def scattered(rng, shape, density, dtype):
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("length", [0, 1, 2, 30, 31, 32, 62, 63, 64, 127, 128, 129, 300])
def test_the_bits_of_the_dense_product(length, density, dtype):
    rng = np.random.default_rng([length, round(100 * density)])
    for columns in (0, 1, 7, 8, 9, 16, 17, 31, 33, 64, 65, 200):
        a, weight = rng.standard_normal((1, 5, length)).astype(dtype), scattered(rng, (length, columns), density, dtype)
        np.testing.assert_array_equal(multiply(a, weight), multiply_dense(a, weight))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [20, 150])
def test_a_row_alone_is_the_row_in_any_batch(length, dtype):
    rng = np.random.default_rng(length)
    a, weight = rng.standard_normal((1, 9, length)).astype(dtype), scattered(rng, (length, 70), 0.2, dtype)
    whole = multiply(a, weight)[0]
    np.testing.assert_allclose(whole, a[0].astype("float64") @ weight, atol=100 * np.finfo(dtype).eps)
    for rows in range(1, 9):
        np.testing.assert_array_equal(multiply(a[:, :rows], weight)[0], whole[:rows])
        np.testing.assert_array_equal(multiply(a[:, -rows:], weight)[0], whole[-rows:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outer, inner", [(1, 1), (3, 7), (7, 3), (5, 1), (0, 4), (4, 0)])
@pytest.mark.parametrize("length", [9, 80])
def test_rows_stand_at_any_strides(length, outer, inner, dtype):
    rng = np.random.default_rng(outer + inner)
    weight, rows = scattered(rng, (length, 70), 0.2, dtype), rng.normal(size=(outer, inner, length)).astype(dtype)
    expected = np.zeros((outer, inner, 70), dtype)
    for place in np.ndindex(outer, inner):
        expected[place] = multiply(rows[place][None, None], weight)[0, 0]
    spread = np.zeros((outer, 2 * inner, length + 3), dtype)[:, ::2, 1 : length + 1]
    turned = np.zeros((inner, outer, length), dtype).swapaxes(0, 1)
    backwards = np.zeros((outer, inner, length), dtype)[::-1, ::-1]
    for a in (spread, turned, backwards):
        a[:] = rows
        np.testing.assert_array_equal(multiply(a, weight), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_can_be_computed_apart_wherever_they_are_cut(dtype):
    rng = np.random.default_rng(5)
    a, weight = rng.standard_normal((1, 3, 100)).astype(dtype), scattered(rng, (100, 300), 0.1, dtype)
    whole, group = multiply(a, weight), sparse_matmul.group_columns(dtype)
    for cuts in [(group, 2 * group), (group - 3, group + 5), (1, 2), (group, group), (299, 300)]:
        places = [0, *cuts, 300]
        parts = [multiply(a, weight, part) for part in pairwise(places)]
        assert (sum(~np.isnan(part) for part in parts) == 1).all()
        np.testing.assert_array_equal(sum(np.nan_to_num(part) for part in parts), whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [40, 400])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_only_the_columns_that_have_its_row(bad, length, dtype):
    rng = np.random.default_rng(length)
    weight = scattered(rng, (length, 90), 0.1, dtype)
    clean = rng.standard_normal((1, 3, length)).astype(dtype)
    expected = multiply(clean, weight)[0]
    for row in range(0, length, 3):
        a = clean.copy()
        a[0, 1, row] = bad
        got = multiply(a, weight)[0]
        reached = weight[row] != 0
        assert (~np.isfinite(got[1, reached])).all()
        expected_here = np.where(reached, got[1], expected[1])
        np.testing.assert_array_equal(got, [expected[0], expected_here, expected[2]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nonzeros_in_few_rows_or_columns(dtype):
    rng = np.random.default_rng(2)
    a = rng.standard_normal((1, 4, 500)).astype(dtype)
    for rows, columns in [([0], range(90)), ([499], range(90)), (range(500), [89]), ([0, 499], [0, 89]), ([250], [40])]:
        weight = np.zeros((500, 90), dtype)
        weight[np.ix_(rows, columns)] = rng.standard_normal((len(rows), len(columns)))
        np.testing.assert_array_equal(multiply(a, weight), multiply_dense(a, weight))


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_is_that_of_the_nonzeros(dtype):
    rng = np.random.default_rng(3)
    weight = scattered(rng, (1000, 1000), 0.1, dtype)
    assert sparse_matmul.pack_sparse(weight).nbytes < 0.25 * weight.nbytes


WIDTHS = """
import hashlib, numpy as np
from rnnkit.backends.cpu.simd.registers import FEATURE_SET
from test_sparse_matmul import multiply, scattered
digest = hashlib.sha256()
for dtype in ("float32", "float64"):
    for length, columns in [(1, 1), (30, 20), (63, 65), (129, 100), (300, 70)]:
        rng = np.random.default_rng(length)
        a, weight = rng.standard_normal((1, 3, length)).astype(dtype), scattered(rng, (length, columns), 0.1, dtype)
        a[0, 1, -1] = np.inf
        digest.update(np.ascontiguousarray(multiply(a, weight)).tobytes())
print(FEATURE_SET, digest.hexdigest())
"""


def test_the_width_of_a_vector_changes_no_bit():
    answers = []
    for features in ("avx512", "avx2", "generic"):
        environment = {
            **os.environ,
            "RNNKIT_VECTOR": features,
            "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
        }
        run = [sys.executable, "-c", WIDTHS]
        answers.append(processes.run(run, env=environment, check=True).stdout.split())
    assert [name for name, _ in answers] == ["avx512", "avx2", "generic"]
    assert len({digest for _, digest in answers}) == 1
