"""Numbers of rows brought to lanes and back: every size and stride, and no byte beside them."""

from functools import cache

import numpy as np
import pytest

from rnnkit.backends.cpu.codegen.row_source import TRANSPOSES
from rnnkit.backends.cpu.language import programs
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.threads import shared_functions

UNTOUCHED = -99.0


@cache
def transposes(dtype, lanes):
    return programs.load(TRANSPOSES.format(dtype=dtype, lanes=lanes), shared_functions.ARGUMENTS).function


def padded(rows, numbers, extra, dtype):
    """An array of rows that lie further apart than they are long, among numbers that nobody may touch."""
    whole = np.full((rows + 2, numbers + extra + 1), UNTOUCHED, dtype)
    return whole, whole[1 : rows + 1, 1 : numbers + 1]


@pytest.mark.parametrize("vectors", [1, 2, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_go_to_the_lanes_and_back(dtype, vectors):
    side = LANES[dtype]
    lanes = vectors * side
    run = transposes(dtype, lanes)
    rng = np.random.default_rng(0)
    for rows in sorted({1, 2, side - 1, side, side + 1, lanes - 1, lanes} & set(range(1, lanes + 1))):
        for numbers in sorted({0, 1, 2, side - 1, side, side + 1, 2 * side, 3 * side + 2}):
            extra = (0, 3, 17)[(rows + numbers) % 3]
            _, source = padded(rows, numbers, extra, dtype)
            source[...] = rng.standard_normal(source.shape)
            in_lanes = np.full((numbers + 2, lanes), UNTOUCHED, dtype)
            target = in_lanes[1:-1]
            at = in_lanes.ctypes.data + in_lanes.strides[0]
            address = source.ctypes.data if numbers else in_lanes.ctypes.data
            run(0, address, source.strides[0], numbers, rows, at, 0, 0, 0)
            np.testing.assert_array_equal(target, source[np.minimum(np.arange(lanes), rows - 1)].T)
            assert (in_lanes[[0, -1]] == UNTOUCHED).all()
            whole, back = padded(rows, numbers, extra, dtype)
            run(1, at, back.ctypes.data if numbers else at, back.strides[0], numbers, rows, 0, 0, 0)
            np.testing.assert_array_equal(back, source)
            back[...] = UNTOUCHED
            assert (whole == UNTOUCHED).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_may_go_backwards_or_be_one(dtype):
    side = LANES[dtype]
    run, source = transposes(dtype, side), np.arange(side * (side + 3), dtype=dtype).reshape(side, side + 3)
    for rows in (source[::-1], np.broadcast_to(source[0], source.shape)):
        found = np.full((side + 3, side), UNTOUCHED, dtype)
        run(0, rows.ctypes.data, rows.strides[0], side + 3, side, found.ctypes.data, 0, 0, 0)
        np.testing.assert_array_equal(found, rows.T)
