"""Addresses of arrays' data as compiled code reads them: those that NumPy gives, whatever the array."""

import numpy as np
import pytest

from rnnkit.backends.cpu.language.addresses import address, write_addresses


def written(arrays, size=None):
    count = len(arrays)
    table, places = np.full(size or count, -1, np.int64), np.arange(count, dtype=np.int64)[::-1].copy()
    write_addresses(address(table), address(places), arrays)
    return table.tolist()[:count][::-1]


def test_any_array_and_none(tmp_path):
    base = np.zeros((4, 6, 5), "float32")
    mapped = np.memmap(tmp_path / "array", "float64", "w+", shape=(3, 2))
    arrays = [base, base[1:, ::-1, 2], base[:0], np.array(3.0), None, mapped, base.T, np.ma.array([1.0]), base[::-1]]
    assert written(arrays) == [0 if a is None else a.__array_interface__["data"][0] for a in arrays]


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_as_many_as_there_are(count):
    arrays = [np.empty(1 + i) for i in range(count)]
    assert written(arrays, count + 3) == [a.ctypes.data for a in arrays]


def test_several_arrays_may_have_one_place():
    """Behind the end of what a program reads: the last one stays."""
    table, places, arrays = np.zeros(2, np.int64), np.array([0, 1, 1]), [np.empty(2) for _ in range(3)]
    write_addresses(address(table), address(places), arrays)
    assert table.tolist() == [arrays[0].ctypes.data, arrays[2].ctypes.data]
