"""A kernel's words under numba's CUDA simulator, where a thread of a block is a thread of Python.

Memory is the host's, so addresses are what they seem. Functions are the formulas of the CPU's programs, jitted for one
number, and so give the bits that the CPU gives.
"""

import ctypes
import threading
import time
from collections.abc import Callable

import numpy as np
from numba import njit

from rnnkit.backends.formulas.numba_functions import FUNCTIONS
from rnnkit.backends.formulas.numba_functions import fma as numba_fma
from rnnkit.backends.formulas.table import FORMULAS, arity

_FLOATS = {np.float32: ctypes.c_float, np.float64: ctypes.c_double}
_arriving = threading.Lock()


def word(address, i):
    return ctypes.c_int64.from_address(address + 8 * i).value


def byte(address):
    return ctypes.c_uint8.from_address(address).value != 0


def shared_start(array):
    return array.__array_interface__["data"][0]


def arrive(address):
    with _arriving:
        cell = ctypes.c_int64.from_address(address)
        cell.value += 1
        return cell.value - 1


def seen(address):
    time.sleep(0)  # others are to arrive
    if threading.current_thread().block.barrier.broken:  # type: ignore[attr-defined]  # a thread of `grid`
        raise threading.BrokenBarrierError  # one of them never will
    return ctypes.c_int64.from_address(address).value


def _memory(dtype):
    """What reads and writes one dtype."""
    kind, size = _FLOATS[dtype], np.dtype(dtype).itemsize

    def load(address):
        return dtype(kind.from_address(address).value)

    def store(address, value):
        kind.from_address(address).value = value

    def load_wide(address):
        if address % 16:
            raise ValueError(f"a wide load at {address:#x}: a device takes multiples of 16")
        return tuple(load(address + lane * size) for lane in range(16 // size))

    def store_wide(address, values):
        if address % 16:
            raise ValueError(f"a wide store at {address:#x}: a device takes multiples of 16")
        for lane, value in enumerate(values):
            store(address + lane * size, value)

    words: dict[str, Callable[..., object]] = dict.fromkeys(("load", "fixed", "shared_load"), load)
    words |= dict.fromkeys(("load_wide", "fixed_wide", "shared_load_wide"), load_wide)
    words |= dict.fromkeys(("store_wide", "shared_store_wide"), store_wide)
    words |= dict.fromkeys(("store", "shared_store"), store) | {"to_float": dtype}
    return {f"{word}_{dtype.__name__}": function for word, function in words.items()}


def _jitted(name, function, operands):
    """One of the CPU's functions, of numbers: jitted code gives a float of Python, whatever its precision."""
    space, arguments = {"function": function}, ", ".join("abc"[:operands])
    exec(f"def call({arguments}):\n    return function({arguments})", space)
    compiled = njit(error_model="numpy")(space["call"])

    def function_of_numbers(*given):
        return type(given[-1])(compiled(*given))

    function_of_numbers.__name__ = function_of_numbers.__qualname__ = name
    return function_of_numbers


globals().update(_memory(np.float32) | _memory(np.float64))
globals().update({name: _jitted(name, FUNCTIONS[name], arity(formula)) for name, formula in FORMULAS.items()})
fma = _jitted("fma", numba_fma, 3)

# What is rounded once, or not at all, NumPy's numbers do as any other.
add, subtract, multiply, divide, negative = np.add, np.subtract, np.multiply, np.divide, np.negative
greater, greater_equal, less, less_equal = np.greater, np.greater_equal, np.less, np.less_equal
equal, not_equal = np.equal, np.not_equal
logical_and, logical_or, logical_xor, logical_not = np.logical_and, np.logical_or, np.logical_xor, np.logical_not


def where(condition, a, b):
    return a if condition else b


def to_bool(x):
    return x != 0
