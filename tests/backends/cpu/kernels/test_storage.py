"""Products with weights in fewer bits: those of the rounded weights, in whatever tile a row is computed."""

import numpy as np
import pytest
from programs_under_test import kernel

from rnnkit.backends.cpu.kernels import matmul, sparse_matmul
from rnnkit.backends.cpu.kernels.storage import STORAGES
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.stored_weights import KINDS, bfloat16_bits, from_bfloat16, to_int8

DENSE = {kind: kernel("matmul", "define_matmul", "float32", 11, kind) for kind in ("", *KINDS)}
SPARSE = {kind: kernel("sparse_matmul", "define_sparse_matmul", "float32", 11, kind) for kind in ("", *KINDS)}


def called(function, a, packed, K, N, width):
    """C (outer, inner, N) of A (outer, inner, K)."""
    outer, inner, _ = a.shape
    c = np.full((outer, inner, width), np.nan, np.float32)
    function(
        a.ctypes.data, a.strides[0], outer, a.strides[1], inner, packed, K, N,
        c.ctypes.data, c.strides[0], c.strides[1],
    )  # fmt: skip
    return c[:, :, :N]


def dense(kind, a, weight):
    storage, (K, N) = STORAGES[kind], weight.shape
    packed = matmul.pack(weight, kind)
    at, width = packed.ctypes.data * storage.share, matmul.packed_width(N, np.float32)
    found = called(DENSE[kind], a, at, K + storage.rows, N, width)
    del packed
    return found


def sparse(kind, a, weight):
    packed = sparse_matmul.pack_sparse(weight, kind)
    width = matmul.packed_width(weight.shape[1], np.float32)
    found = called(SPARSE[kind], a, packed.ctypes.data, 0, weight.shape[1], width)
    del packed
    return found


def expected(kind, a, weight):
    """By the kernel of floats: of bfloat16 the same bits, of int8 the sum of integers times the scale."""
    if kind == "bfloat16":
        return dense("", a, from_bfloat16(bfloat16_bits(weight)))
    numbers, scale = to_int8(weight)
    return dense("", a, numbers.astype(np.float32)) * scale


@pytest.mark.parametrize("product, density", [(dense, 1.0), (sparse, 0.2)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [0, 1, 17, 130])
def test_every_tile_gives_the_bits_of_the_rounded_weight(kind, length, product, density):
    for columns in (1, 15, 16, 17, 31, 33, 64, 65, 100, 260):
        rng = np.random.default_rng([length, columns])
        a = rng.normal(size=(1, 20, length)).astype(np.float32)
        weight = rng.normal(size=(length, columns)) * (rng.random((length, columns)) < density)
        weight = weight.astype(np.float32)
        whole = expected(kind, a, weight)
        for rows in (1, 2, 5, 6, 7, 13, 20):
            np.testing.assert_array_equal(product(kind, a[:, :rows], weight), whole[:, :rows])
            np.testing.assert_array_equal(product(kind, a[:, :rows].swapaxes(0, 1), weight)[:, 0], whole[0, :rows])


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_weight_takes_a_half_or_a_quarter(kind):
    weight, lanes = np.ones((64, 64), np.float32), LANES["float32"]
    share = {"bfloat16": 2, "int8": 4}[kind]
    scales = 4 * 64 if kind == "int8" else 0
    assert 64 % (4 * lanes) == 0 and matmul.pack(weight, kind).nbytes == weight.nbytes // share + scales


@pytest.mark.parametrize("kind", KINDS)
def test_any_range_of_panels_begins_where_sizes_say(kind):
    """Programs add to the address what they would add for floats, times the share."""
    storage, rng = STORAGES[kind], np.random.default_rng(4)
    a, weight = rng.normal(size=(1, 3, 9)).astype(np.float32), rng.normal(size=(9, 250)).astype(np.float32)
    packed, whole = matmul.pack(weight, kind), dense(kind, a, weight)
    K, lanes = 9 + storage.rows, LANES["float32"]
    panel = matmul.PANEL_VECTORS * lanes
    for first in range(0, 250, panel):
        columns = 250 - first
        at = packed.ctypes.data * storage.share + first * K * 4
        found = called(DENSE[kind], a, at, K, columns, matmul.packed_width(columns, np.float32))
        np.testing.assert_array_equal(found, whole[:, :, first:])
