"""Addresses of the data of NumPy's arrays, for many arrays in one call, and calls of a program with other arrays.

NumPy gives one address in most of a microsecond, and a short call of a program takes a dozen. An array's object holds
the address right behind the head that every object of Python has, so compiled code reads it there, with all else that
a call checks: a short program takes less time than Python needs to compare shapes and to make the array of its result.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from rnnkit.backends.cpu.language.function import directing
from rnnkit.backends.cpu.language.machine_code import Loaded, add_object_caller
from rnnkit.backends.cpu.language.programs import kept
from rnnkit.backends.cpu.simd.atomic import atomic_store, call_at, word
from rnnkit.backends.shared.program_cache import find

_HEAD = object.__basicsize__  # bytes
# In words, an array's class, data, axes, shape, dtype, and flags, whose first bit says that it is contiguous.
CLASS, DATA, AXES, SHAPE, DTYPE, FLAGS = ((_HEAD + offset) // 8 for offset in (-8, 0, 8, 16, 40, 48))
_EMPTY = 184  # the place of PyArray_Empty among the functions of NumPy's C API
_KNOWN = 10  # words of a `Called` before its arguments, behind which are place, dtype, axes and shape of each array
call_0, call_1, call_4, call_8 = map(call_at, (0, 1, 4, 8))


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def write_addresses(table: int, places: int, arrays) -> None:
    """Write the addresses of arrays' data, 0 for None, to the places of a table; `table` and `places` are addresses of
    int64.
    """
    _loaded(write)(table, places, id(None), _python("PyLong_FromLongLong"), *arrays)


def address_writer(table: int, program: Called | None, places: Sequence[int]) -> Callable[..., int]:
    """Return a function of arrays that writes their addresses to these places of a table, which is at an address.

    It gives whether any of them isn't contiguous, in C order. It has the places, and the program that reads the table.
    """
    kept = np.array(places, np.int64)
    writer: Any = partial(_loaded(write), table, address(kept), id(None), _python("PyLong_FromLongLong"))
    writer.places, writer.program = kept, program
    return writer


class Called(NamedTuple):
    """Addresses of a program's code and of the word that says that it failed, and its arguments, the table first."""

    code: int
    failed: int
    arguments: tuple[int, ...]

    def caller(self, arrays: Sequence[np.ndarray], places: Sequence[int]) -> Callable[..., np.ndarray | None]:
        """Return a function of arrays that calls the program with them in these places of the table, and gives the
        result, the last of `arrays`, in new memory.

        It gives None for arrays of other dtypes or shapes than its `shapes`, the result's first, or that aren't
        contiguous, and if the program fails.
        """
        arrays, places = [arrays[-1], *arrays[:-1]], [places[-1], *places[:-1]]
        shapes, dtypes = [np.array(one.shape, np.int64) for one in arrays], [one.dtype for one in arrays]
        each = zip(places, map(id, dtypes), map(np.ndim, arrays), map(address, shapes), strict=True)
        known = [self.code, self.failed, len(arrays) - 1, id(None), id(np.ndarray), _empty()]
        known += map(_python, ("PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef", "Py_DecRef"))
        block = np.array([*known, *self.arguments, *chain(*each)], np.int64)
        call: Any = partial(_loaded(call_with), address(block))
        call.shapes, call.kept = shapes, (block, dtypes)  # they live as long as it
        return call


@directing
def write(table, places, nothing, as_number, given, count):
    apart = 0
    for i in range(4, count):
        one, place = word(given, i), table + 8 * word(places, i - 4)
        atomic_store(place, 0)
        if one != nothing:
            atomic_store(place, word(one, DATA))
            apart += 1 - (word(one, FLAGS) & 1)
    return call_1(as_number, apart)


@directing
def call_with(block, given, count):
    arguments, fits = block + 8 * _KNOWN, count == word(block, 2) + 1
    table, result = word(arguments, 0), arguments + 64
    for i in range(1, count):
        if fits:
            one, wanted = word(given, i), result + 32 * i
            fits = word(one, CLASS) == word(block, 4)
            if fits:
                fits = (word(one, DTYPE) == word(wanted, 1)) & (word(one, AXES) & 0xFFFFFFFF == word(wanted, 2))
                fits = fits & (word(one, FLAGS) & 1 == 1)
            if fits:
                for axis in range(word(wanted, 2)):
                    fits = fits & (word(word(one, SHAPE), axis) == word(word(wanted, 3), axis))
                atomic_store(table + 8 * word(wanted, 0), word(one, DATA))
    if fits:
        call_1(word(block, 8), word(result, 1))  # NumPy takes a reference to the dtype
        made = call_4(word(block, 5), word(result, 2), word(result, 3), word(result, 1), 0)
        if made == 0:
            return 0  # without memory
        atomic_store(table + 8 * word(result, 0), word(made, DATA))
        thread = call_0(word(block, 6))
        a, b, c, d = word(arguments, 1), word(arguments, 2), word(arguments, 3), word(arguments, 4)
        call_8(word(block, 0), table, a, b, c, d, word(arguments, 5), word(arguments, 6), word(arguments, 7))
        call_1(word(block, 7), thread)
        if word(word(block, 1), 0) == 0:
            return made
        call_1(word(block, 9), made)
    call_1(word(block, 8), word(block, 3))
    return word(block, 3)


@cache
def _loaded(function) -> Callable[..., Any]:
    name = f"rnnkit_{function.__name__}"

    def modules():
        from rnnkit.backends.cpu.language.translate import translate

        return translate(function, name, len(function.definition.args.args), add_object_caller)

    def make(key):
        return Loaded(kept(key, modules), name).callable_from_python(f"{name}_from_python")

    return find(f"{name} at {_HEAD}", make)


@cache
def _python(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _empty() -> int:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    package = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
    table = pointer(import_module(f"{package}._multiarray_umath")._ARRAY_API, None)
    return ctypes.cast(table, ctypes.POINTER(ctypes.c_int64))[_EMPTY]
