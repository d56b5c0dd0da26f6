"""Atomic int64 operations (acquire, release, seq_cst) and spin-wait hints."""

import ctypes
import platform
import sys

from llvmlite import ir

from rnnkit.backends.cpu.simd.intrinsic import intrinsic
from rnnkit.backends.cpu.simd.kinds import BOOL, INT, VOID
from rnnkit.backends.formulas.value import call_intrinsic

_I64 = INT.llvm


def _pointer(builder, address):
    return builder.inttoptr(address, _I64.as_pointer())


@intrinsic(INT, INT, INT)
def word(builder, address, index):
    """Load the int64 at index `index` from an address by a plain load: no other thread may write it."""
    return builder.load(_pointer(builder, builder.add(address, builder.mul(index, _I64(8)))))


@intrinsic(INT, INT)
def atomic_load(builder, address):
    """Load an int64 with acquire order."""
    return builder.load_atomic(_pointer(builder, address), "acquire", 8)


@intrinsic(VOID, INT, INT)
def atomic_store(builder, address, number):
    """Store an int64 with release order."""
    builder.store_atomic(number, _pointer(builder, address), "release", 8)


@intrinsic(INT, INT, INT)
def atomic_add(builder, address, number):
    """Add to an int64 and return its value before."""
    return builder.atomic_rmw("add", _pointer(builder, address), number, "seq_cst")


@intrinsic(BOOL, INT, INT, INT)
def compare_exchange(builder, address, expected, number):
    """Store `number` if the int64 is `expected`; return whether it was."""
    return builder.extract_value(builder.cmpxchg(_pointer(builder, address), expected, number, "seq_cst", "seq_cst"), 1)


_MACHINE = platform.machine().lower()


@intrinsic(VOID)
def pause(builder):
    """Give the processor's spin-wait hint."""
    if _MACHINE in ("x86_64", "amd64"):
        call_intrinsic(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
    elif _MACHINE in ("aarch64", "arm64"):
        call_intrinsic(builder, "llvm.aarch64.hint", ir.VoidType(), [ir.IntType(32)(1)])


def yield_address():
    """Return the address of the operating system's yield function; 0 if there is none."""
    try:
        if sys.platform == "win32":
            function = ctypes.WinDLL("kernel32").SwitchToThread
        else:
            function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value


@intrinsic(VOID, INT)
def yield_thread(builder, function):
    """Let another thread run on this processor, by the function at `yield_address()`; do nothing if that is 0."""
    with builder.if_then(builder.icmp_unsigned("!=", function, _I64(0))):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(function, kind.as_pointer()), [])


def call_at(count: int):
    """Return an intrinsic of an address and `count` int64 that calls the program there and returns its result."""

    @intrinsic(INT, *[INT] * (1 + count))
    def call(builder, address, *arguments):
        kind = ir.FunctionType(_I64, [_I64] * count)
        return builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)

    return call
