"""Memory that is lent: nobody else has it before the last view is gone, and it doesn't pile up."""

import gc
import threading

import numpy as np
import pytest

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.threads import buffer_pool


@pytest.fixture(autouse=True)
def nothing_waits():
    gc.collect()
    buffer_pool._returned.clear()
    buffer_pool._free.clear()
    buffer_pool._held = 0


def test_memory_comes_back_with_the_last_view():
    array = buffer_pool.borrow(1000, np.float32)
    view = array[10:20].reshape(2, 5)
    address = array.ctypes.data
    del array
    other = buffer_pool.borrow(1000, np.float32)
    assert other.ctypes.data != address
    del view
    again = buffer_pool.borrow(1000, np.float32)
    assert again.ctypes.data == address


def test_an_array_has_its_size_dtype_and_line():
    for size, dtype in ((0, np.float32), (1, np.float64), (12345, np.float32), (3, np.uint8)):
        array = buffer_pool.borrow(size, dtype)
        assert array.shape == (size,) and array.dtype == dtype
        assert not size or array.ctypes.data % 64 == 0
        array[...] = 1


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(tuning, "POOL_KEPT", 10_000)
    arrays = [buffer_pool.borrow(1000, np.float64) for _ in range(5)]
    del arrays
    held = sum(size * len(several) for size, several in buffer_pool._free.items())
    assert held == buffer_pool._held <= 10_000
    assert not buffer_pool._returned


def test_memory_given_back_in_the_middle_of_a_look_is_found_by_the_next(monkeypatch):
    first, second = buffer_pool.borrow(1000, np.uint8), buffer_pool.borrow(1000, np.uint8)
    places = {first.ctypes.data, second.ctypes.data}
    with buffer_pool._lock:
        del first, second  # as by the garbage collector
        assert len(buffer_pool._returned) == 2 and not buffer_pool._free
    assert {buffer_pool.borrow(1000, np.uint8).ctypes.data} <= places


def test_threads_never_share_memory():
    wrong = []

    def work(number):
        for i in range(300):
            array = buffer_pool.borrow(2000 + i, np.int64)
            array[...] = number
            view = array[::2]
            del array
            if not (view == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
