"""Kernels that check every address before they use it: for tests, with ``RNNKIT_CHECK=1`` set before the import.

The same variable turns on `rnnkit.compiler.ir.verify`.

A table holds the ranges of memory that a call may read and write. Programs compiled while checking note the arrays
that they place in scratch memory there, with gaps between, and every access outside of all ranges is counted.
"""

import os
import threading
from collections.abc import Callable

import numpy as np
from llvmlite import ir

from rnnkit.backends.cpu.simd.intrinsic import intrinsic
from rnnkit.backends.cpu.simd.kinds import INT, VOID
from rnnkit.backends.formulas.value import call_intrinsic, external

CHECKED = os.environ.get("RNNKIT_CHECK") == "1"
GAP = 128  # bytes between two buffers, while checking
MOST = 4096
FIRST = 8  # words of the table before the ranges: how many there are, wrong accesses, the last one's address and size
ACCESS, ALLOW = "rnnkit_access", "rnnkit_allow"

_table = np.zeros(FIRST + 3 * MOST, np.int64)
TABLE = _table.ctypes.data
_calls = threading.Lock()
_allow: list[Callable] = []  # set once `rnnkit.backends.cpu.language.access` has compiled the function


@intrinsic(VOID, INT, INT)
def put(builder, index, number):
    place = builder.add(INT.llvm(TABLE), builder.mul(index, INT.llvm(8)))
    builder.store(number, builder.inttoptr(place, INT.llvm.as_pointer()))


def _call(builder, name, *arguments):
    builder.call(external(builder, name, INT.llvm, [INT.llvm] * len(arguments)), arguments)


def check(builder, address, size, write=False):
    """Emit a check of an access of `size` bytes, a number or a value; nothing unless checking."""
    if CHECKED:
        size = INT.llvm(size) if isinstance(size, int) else size
        _call(builder, ACCESS, address, size, INT.llvm(int(write)))


def check_lanes(builder, address, mask, size, write=False):
    """As `check`, for neighbouring lanes of `size` bytes up to the last one that is set in `mask`."""
    if CHECKED:
        lanes = mask.type.count
        bits = builder.zext(builder.bitcast(mask, ir.IntType(lanes)), INT.llvm)
        zeros = call_intrinsic(builder, "llvm.ctlz.i64", INT.llvm, [bits, ir.Constant(ir.IntType(1), 0)])
        check(builder, address, builder.mul(builder.sub(INT.llvm(64), zeros), INT.llvm(size)), write)


def check_each(builder, addresses, mask, size, write=False):
    """As `check`, for each lane of `size` bytes that is set in `mask`, at addresses of their own."""
    if CHECKED:
        for lane in range(mask.type.count):
            index = ir.Constant(ir.IntType(32), lane)
            used = builder.zext(builder.extract_element(mask, index), INT.llvm)
            check(builder, builder.extract_element(addresses, index), builder.mul(used, INT.llvm(size)), write)


@intrinsic(VOID, INT, INT, INT)
def allow(builder, address, readable, writable):
    """Let kernels read and write so many bytes from an address on."""
    _call(builder, ALLOW, address, readable, writable)


@intrinsic(VOID)
def refuse(builder):
    """Count a wrong access: scratch memory is too small for what a program places there."""
    check(builder, INT.llvm(1), 1)


def allow_by(function: Callable) -> None:
    """Use a compiled function for the ranges that Python allows."""
    _allow[:] = [function]


class Checked:
    """A context in which kernels may touch only the arrays in `things`, nested tuples, lists, dicts and objects with
    slots, and those they place in scratch memory; an AssertionError at the end if another address was used.
    """

    def __init__(self, *things):
        self.things = things

    def __enter__(self):
        _calls.acquire()
        _table[:FIRST] = 0
        for array in _arrays(self.things) if _allow else ():
            _allow[0](array.ctypes.data - _below(array), _reach(array), _reach(array))

    def __exit__(self, kind, error, trace):
        count, wrong, address, size = _table[:4].tolist()
        ranges = _table[FIRST : FIRST + 3 * count].reshape(-1, 3).tolist()
        _calls.release()
        if count > MOST:
            raise AssertionError(f"more than {MOST} ranges in one call: too many to check")
        if wrong and error is None:
            last = f"the last to {size} bytes at {address}"
            raise AssertionError(f"{wrong} accesses outside all arrays, {last}: {ranges}")


def checked(run: Callable, *things) -> Callable:
    """Return a function that runs while `things` may be touched, one such call at a time."""
    if not CHECKED:
        return run

    def looked_at(*arguments):
        with Checked(*things):
            return run(*arguments)

    return looked_at


def _below(array) -> int:
    """Return the bytes that an array has before its first element: negative strides."""
    return -sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s < 0 and n)


def _reach(array) -> int:
    """Return the bytes from an array's lowest element to its end."""
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_calls._at_fork_reinit)  # type: ignore[attr-defined]
