"""Kernels that look at every address before they use it: for tests, with ``RNNKIT_CHECK=1`` set before the import.

The same variable turns on `rnnkit.compiler.ir.verify`.

A table holds the ranges of memory that a call may read and write. Programs compiled while checking note there what
they place in scratch memory, with gaps between, and every access outside of all ranges is counted.
"""

import os
import threading

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic

from rnnkit.backends.cpu.simd.atomic import atomic_add, word

CHECKED = os.environ.get("RNNKIT_CHECK") == "1"
GAP = 128  # bytes between two buffers, while checking
_MOST = 4096
_FIRST = 8  # words of the table before the ranges: how many there are, wrong accesses, the last one's address and size
_I64 = ir.IntType(64)
_ACCESS, _ALLOW = "rnnkit_access", "rnnkit_allow"

_table = np.zeros(_FIRST + 3 * _MOST, np.int64)
_at = _table.ctypes.data
_calls = threading.Lock()
_functions: list = []


@intrinsic
def _put(typingctx, index, number):
    """Write a word of the table."""

    def generate(context, builder, signature, arguments):
        place = builder.add(ir.Constant(_I64, _at), builder.mul(arguments[0], ir.Constant(_I64, 8)))
        builder.store(arguments[1], builder.inttoptr(place, _I64.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _define():
    """Compile what kernels call, and let them find it by name."""
    at, most, first = _at, _MOST, _FIRST

    @cfunc(types.void(types.int64, types.int64, types.int64))
    def access(address, size, write):
        if size == 0:
            return
        for i in range(min(word(at, 0), most)):
            place = first + 3 * i
            if word(at, place) <= address and address + size <= word(at, place + 1 + write):
                return
        atomic_add(at + 8, 1)
        _put(2, address)
        _put(3, size)

    @cfunc(types.void(types.int64, types.int64, types.int64))
    def allow(address, readable, writable):
        i = atomic_add(at, 1)
        if i < most:
            place = first + 3 * i
            _put(place + 2, address + writable)
            _put(place + 1, address + readable)
            _put(place, address)

    _functions.extend([access, allow])
    llvm.add_symbol(_ACCESS, access.address)
    llvm.add_symbol(_ALLOW, allow.address)
    return allow.ctypes


def check(builder, address, size, write=False):
    """Emit a look at an access of `size` bytes, a number or a value; nothing unless checking."""
    if CHECKED:
        size = ir.Constant(_I64, size) if isinstance(size, int) else size
        kind = ir.FunctionType(ir.VoidType(), [_I64] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, _ACCESS)
        builder.call(function, [address, size, ir.Constant(_I64, int(write))])


def check_lanes(builder, address, mask, size, write=False):
    """As `check`, for neighbouring lanes of `size` bytes up to the last one that is set in `mask`."""
    if CHECKED:
        lanes = mask.type.count
        bits = builder.zext(builder.bitcast(mask, ir.IntType(lanes)), _I64)
        zeros = builder.ctlz(bits, ir.Constant(ir.IntType(1), 0))
        used = builder.sub(ir.Constant(_I64, 64), zeros)
        check(builder, address, builder.mul(used, ir.Constant(_I64, size)), write)


def check_each(builder, addresses, mask, size, write=False):
    """As `check`, for each lane of `size` bytes that is set in `mask`, at addresses of their own."""
    if CHECKED:
        for lane in range(mask.type.count):
            index = ir.Constant(ir.IntType(32), lane)
            used = builder.zext(builder.extract_element(mask, index), _I64)
            address = builder.extract_element(addresses, index)
            check(builder, address, builder.mul(used, ir.Constant(_I64, size)), write)


@intrinsic
def allow(typingctx, address, readable, writable):
    """Let kernels read and write so many bytes from an address on."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [_I64] * 3)
        builder.call(cgutils.get_or_insert_function(builder.module, kind, _ALLOW), arguments)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def refuse(typingctx):
    """Count a wrong access: scratch memory is too small for what a program places there."""

    def generate(context, builder, signature, arguments):
        check(builder, ir.Constant(_I64, 1), 1)
        return context.get_dummy_value()

    return types.void(), generate


class Checked:
    """A context in which kernels may touch the given arrays, and what they place in scratch memory, only.

    Parameters
    ----------
    things : nested tuples, lists, dicts and objects with slots
        Whatever holds the arrays of a call.

    Raises
    ------
    AssertionError
        At the end, if another address was used.
    """

    def __init__(self, *things):
        self.things = things

    def __enter__(self):
        _calls.acquire()
        _table[:_FIRST] = 0
        for array in _arrays(self.things):
            _allow(array.ctypes.data - _below(array), _reach(array), _reach(array))

    def __exit__(self, kind, error, trace):
        count, wrong, address, size = _table[:4].tolist()
        ranges = _table[_FIRST : _FIRST + 3 * count].reshape(-1, 3).tolist()
        _calls.release()
        if count > _MOST:
            raise AssertionError(f"more than {_MOST} ranges in one call: too many to check")
        if wrong and error is None:
            raise AssertionError(
                f"{wrong} accesses outside all arrays, the last to {size} bytes at {address}: {ranges}"
            )


def _below(array) -> int:
    """Bytes that an array has before its first element: negative strides."""
    return -sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s < 0 and n)


def _reach(array) -> int:
    """Bytes from an array's lowest element to its end."""
    return sum((n - 1) * abs(s) for n, s in zip(array.shape, array.strides, strict=True)) + array.itemsize


def _arrays(things):
    if isinstance(things, np.ndarray):
        if things.size:
            yield things
    elif isinstance(things, dict):
        yield from _arrays(list(things.values()))
    elif isinstance(things, (tuple, list)):
        for thing in things:
            yield from _arrays(thing)
    elif hasattr(things, "__slots__"):
        yield from _arrays([getattr(things, name) for name in things.__slots__])


_allow = _define() if CHECKED else lambda address, readable, writable: None
if CHECKED and hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_calls._at_fork_reinit)  # type: ignore[attr-defined]
