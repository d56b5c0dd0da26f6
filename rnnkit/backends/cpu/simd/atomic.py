"""Atomic int64 operations (acquire, release, seq_cst) and spin-wait hints."""

import ctypes
import platform
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_I64 = ir.IntType(64)


def _pointer(builder, address):
    return builder.inttoptr(address, _I64.as_pointer())


@intrinsic
def word(typingctx, address, index):
    """The int64 at index `index` from an address, by a plain load: no other thread may write it."""

    def generate(context, builder, signature, arguments):
        place = builder.add(arguments[0], builder.mul(arguments[1], ir.Constant(_I64, 8)))
        return builder.load(_pointer(builder, place))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def atomic_load(typingctx, address):
    """Load an int64 with acquire order."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_pointer(builder, arguments[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def atomic_store(typingctx, address, number):
    """Store an int64 with release order."""

    def generate(context, builder, signature, arguments):
        builder.store_atomic(arguments[1], _pointer(builder, arguments[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def atomic_add(typingctx, address, number):
    """Add to an int64; returns its value before."""

    def generate(context, builder, signature, arguments):
        return builder.atomic_rmw("add", _pointer(builder, arguments[0]), arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def compare_exchange(typingctx, address, expected, number):
    """Store `number` if the int64 is `expected`; returns whether it was."""

    def generate(context, builder, signature, arguments):
        place = _pointer(builder, arguments[0])
        return builder.extract_value(builder.cmpxchg(place, arguments[1], arguments[2], "seq_cst", "seq_cst"), 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


_MACHINE = platform.machine().lower()


@intrinsic
def pause(typingctx):
    """The processor's spin-wait hint."""

    def generate(context, builder, signature, arguments):
        if _MACHINE in ("x86_64", "amd64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        elif _MACHINE in ("aarch64", "arm64"):
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint")
            builder.call(hint, [ir.IntType(32)(1)])
        return context.get_dummy_value()

    return types.void(), generate


def yield_address():
    """Address of the operating system's yield function; 0 if there is none."""
    try:
        if sys.platform == "win32":
            function = ctypes.WinDLL("kernel32").SwitchToThread
        else:
            function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value


@intrinsic
def yield_thread(typingctx, function):
    """Let another thread run on this processor, by the function at `yield_address()`; nothing if that is 0."""

    def generate(context, builder, signature, arguments):
        there = builder.icmp_unsigned("!=", arguments[0], ir.Constant(_I64, 0))
        with builder.if_then(there):
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.int64), generate


def define_call(count):
    """An intrinsic's definition: call a compiled function of `count` int64 arguments by its address."""
    i64, pointer = ir.IntType(64), ir.IntType(8).as_pointer()

    def generate(context, builder, signature, arguments):
        # numba's own convention: a status, and before the arguments where to put a result and an exception.
        kind = ir.FunctionType(ir.IntType(32), [pointer, pointer, *[i64] * count])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        places = [builder.bitcast(cgutils.alloca_once(builder, pointer), pointer) for _ in range(2)]
        builder.call(function, places + list(arguments[1:]))
        return context.get_dummy_value()

    return types.void(*[types.int64] * (count + 1)), generate
