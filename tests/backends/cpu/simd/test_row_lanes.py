"""Values whose lanes are rows, of any number of lanes."""

from functools import cache

import numpy as np
import pytest

from rnnkit.backends.cpu.language import programs
from rnnkit.backends.cpu.simd.registers import LANES

TEXT = """
from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd.integers import to_int64
from rnnkit.backends.cpu.simd.row_lanes import define_lanes
from rnnkit.backends.cpu.simd.vector import select

lanes = define_lanes("{dtype}", {lanes})
fill, number, splat, load, store = lanes.fill, lanes.number, lanes.splat, lanes.load, lanes.store
look_up, look, put, some, mask = lanes.look_up, lanes.look, lanes.put, lanes.some, lanes.mask
load_mask, to_lanes, fill_int64, store_int64 = lanes.load_mask, lanes.to_lanes, lanes.fill_int64, lanes.store_int64


@compiled
def run(values, places, bits, table, slot, out):
    a = load(values)
    index = to_int64(fill(load(places)))
    used = load_mask(bits)
    row = {row}
    store(out, a + splat(table))
    store(out + row, look_up(table, index, {item}))
    store(out + 2 * row, look(slot, index, row))
    put(slot, index, row, a, used)
    store(out + 3 * row, to_lanes(used))
    store(out + 4 * row, select(used, a, fill(number(2.5))))
    store(out + 5 * row, fill(1.0) if some(used) else fill(0.0))
    store(out + 6 * row, fill(1.0) if some(used & ~used) else fill(0.0))
    store(out + 7 * row, select(mask(True), a, fill(0.0)))
    store_int64(out + 8 * row, index + fill_int64(3))
"""


@cache
def compiled(dtype, lanes):
    item = np.dtype(dtype).itemsize
    return programs.load(TEXT.format(dtype=dtype, lanes=lanes, item=item, row=item * lanes), 6).function


@pytest.mark.parametrize("vectors", [0, 1, 2, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lanes_read_write_and_decide_by_row(dtype, vectors):
    lanes = max(1, vectors * LANES[dtype])
    rng = np.random.default_rng(lanes)
    values, table = rng.standard_normal(lanes).astype(dtype), rng.standard_normal(7).astype(dtype)
    slot = rng.standard_normal((7, lanes)).astype(dtype)
    for bits in (np.ones(lanes, bool), np.zeros(lanes, bool), rng.random(lanes) < 0.5):
        places, before = rng.integers(0, 7, lanes), slot.copy()
        out = np.zeros((8 + 8 // table.itemsize, lanes), dtype)
        given = values, places.astype(dtype), bits, table, slot, out
        compiled(dtype, lanes)(*(array.ctypes.data for array in given))
        every = np.arange(lanes)
        expected = [
            values + table[0], table[places], before[places, every], bits, np.where(bits, values, 2.5),
            np.full(lanes, bits.any()), np.zeros(lanes), values,
        ]  # fmt: skip
        np.testing.assert_array_equal(out[:8], np.array(expected, dtype))
        np.testing.assert_array_equal(out[8:].reshape(-1).view(np.int64), places + 3)
        before[places[bits], every[bits]] = values[bits]
        np.testing.assert_array_equal(slot, before)
