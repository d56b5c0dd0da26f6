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
_INTEGERS = {np.int32: ctypes.c_int32, np.int64: ctypes.c_int64}
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


def _numbers(dtype, kind):
    """Return functions that read and write a number of one dtype."""

    def load(address):
        return dtype(kind.from_address(int(address)).value)

    def store(address, value):
        kind.from_address(int(address)).value = value.item() if isinstance(value, np.generic) else value

    return load, store


def _memory(dtype):
    """Return functions that read and write one dtype of floats, by numbers and by 16 bytes."""
    size = np.dtype(dtype).itemsize
    load, store = _numbers(dtype, _FLOATS[dtype])

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
    """Return one of the CPU's functions jitted for numbers; it returns a float of Python, whatever the precision."""
    space, arguments = {"function": function}, ", ".join("abc"[:operands])
    exec(f"def call({arguments}):\n    return function({arguments})", space)
    compiled = njit(error_model="numpy")(space["call"])

    def function_of_numbers(*given):
        return type(given[-1])(compiled(*given))

    function_of_numbers.__name__ = function_of_numbers.__qualname__ = name
    return function_of_numbers


def _of_integers(name, function, of_floats):
    """Return a function that is NumPy's for integers, and another one for floats."""

    def of_numbers(*given):
        return (function if isinstance(given[-1], (int, np.integer)) else of_floats)(*given)

    of_numbers.__name__ = of_numbers.__qualname__ = name
    return of_numbers


globals().update(_memory(np.float32) | _memory(np.float64))
for _dtype, _kind in _INTEGERS.items():
    _load, _store = _numbers(_dtype, _kind)
    _name = _dtype.__name__
    globals().update({f"load_{_name}": _load, f"fixed_{_name}": _load, f"store_{_name}": _store})
globals().update({name: _jitted(name, FUNCTIONS[name], arity(formula)) for name, formula in FORMULAS.items()})
for _function in (np.maximum, np.minimum, np.sign, np.square):
    _name = _function.__name__
    globals()[_name] = _of_integers(_name, _function, globals()[_name])
fma = _jitted("fma", numba_fma, 3)

# NumPy's numbers compute all operations that are rounded once, or not at all, with the same bits; and integers wrap.
_EXACT = "add subtract multiply divide negative greater greater_equal less less_equal equal not_equal "
_EXACT += "logical_and logical_or logical_xor logical_not "
_EXACT += "bitwise_and bitwise_or bitwise_xor invert left_shift right_shift"
globals().update({name: getattr(np, name) for name in _EXACT.split()})
globals().update({f"integer_{name}": getattr(np, name) for name in ("absolute", "floor_divide", "remainder", "fmod")})
from_integer_float32, from_integer_float64 = np.float32, np.float64


def _to_integer(dtype):
    least = np.iinfo(dtype).min

    def to_integer(x):
        if isinstance(x, (int, np.integer)):
            return np.int64(x).astype(dtype)
        return dtype(int(x) if float(least) < x < -float(least) else least)

    return to_integer


to_int32, to_int64 = _to_integer(np.int32), _to_integer(np.int64)


def round_float32(x):
    return np.float64(np.float32(x))


def _wrap(dtype):
    return lambda x: x.astype(dtype).astype(x.dtype)


globals().update({f"wrap_{kind}": _wrap(kind) for kind in ("int8", "int16", "uint8", "uint16", "uint32")})


def where(condition, a, b):
    return a if condition else b


def to_bool(x):
    return x != 0
