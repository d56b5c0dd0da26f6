"""From LLVM's IR to machine code in memory, by way of an object file that can be kept, and calls of it from Python."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from rnnkit.backends.shared import processor

POINTER, I64 = ir.IntType(8).as_pointer(), ir.IntType(64)
WORD = ir.IntType(8 * ctypes.sizeof(ctypes.c_void_p))
_PYTHON = {
    "PyLong_AsLongLong": (I64, [POINTER]),
    "PyLong_FromLongLong": (POINTER, [I64]),
    "PyEval_SaveThread": (POINTER, []),
    "PyEval_RestoreThread": (ir.VoidType(), [POINTER]),
    "PyErr_Occurred": (POINTER, []),
    "PyErr_BadArgument": (ir.IntType(32), []),
}
# The IR is in SSA form and vectorized as it is written, so little is left to do. LLVM's own list for -O3 takes six
# times as long; LSTM and GRU are no faster with it, forwards or backwards, nor with loops unrolled.
_PASSES = ("simplify_cfg", "instruction_combine", "loop_rotate", "new_gvn", "aggressive_dce", "simplify_cfg")
_FASTCALL = 0x80  # METH_FASTCALL: the function gets an array of its arguments


class _Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("code", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


def empty_module() -> ir.Module:
    """A module for this machine."""
    module = ir.Module("rnnkit")
    module.triple = processor.TRIPLE
    module.data_layout = str(_machine().target_data)
    return module


def object_code(module: ir.Module) -> bytes:
    """The optimized module as an object file."""
    return _machine().emit_object(_optimised(module))


def assembly(module: ir.Module) -> str:
    """What `object_code` holds, as text."""
    return _machine().emit_assembly(_optimised(module))


def _optimised(module):
    parsed = llvm.parse_assembly(str(module))
    passes = llvm.create_new_module_pass_manager()
    for name in _PASSES:
        getattr(passes, f"add_{name}_pass")()
    passes.run(parsed, _pass_builder())
    return parsed


def load_object(data: bytes, *names: str) -> list[int]:
    """Load an object file and give the addresses of some of its functions."""
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(data))
    engine.finalize_object()
    return [engine.get_function_address(name) for name in names]


def _make_machine():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(processor.TRIPLE).create_target_machine(
        cpu=processor.NAME,
        features=processor.FEATURES,
        opt=3,
        reloc="static" if processor.TRIPLE.startswith(("x86_64", "i386", "i686")) else "default",
        codemodel="jitdefault",
        jit=True,
    )


_machine = cache(_make_machine)  # what compiles; the engine has one of its own


@cache
def _engine():
    return llvm.create_mcjit_compiler(llvm.parse_assembly(str(empty_module())), _make_machine())


@cache
def _pass_builder():
    return llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options())


# Calls from Python


def add_caller(code: ir.Function, name: str) -> None:
    """Add to a function's module one for METH_FASTCALL, which calls it without the interpreter's lock."""
    module = code.module
    functions = {
        key: ir.Function(module, ir.FunctionType(result, arguments), key)
        for key, (result, arguments) in _PYTHON.items()
    }
    caller = ir.Function(module, ir.FunctionType(POINTER, [POINTER, POINTER.as_pointer(), WORD]), name)
    builder = ir.IRBuilder(caller.append_basic_block("entry"))
    _, given, present = caller.args
    with builder.if_then(builder.icmp_signed("!=", present, WORD(len(code.args))), likely=False):
        builder.call(functions["PyErr_BadArgument"], [])
        builder.ret(POINTER(None))
    places = [builder.gep(given, [ir.IntType(32)(i)]) for i in range(len(code.args))]
    numbers = [builder.call(functions["PyLong_AsLongLong"], [builder.load(place)]) for place in places]
    error = builder.call(functions["PyErr_Occurred"], [])
    with builder.if_then(builder.icmp_unsigned("!=", error, POINTER(None)), likely=False):
        builder.ret(POINTER(None))
    thread = builder.call(functions["PyEval_SaveThread"], [])
    result = builder.call(code, numbers)
    builder.call(functions["PyEval_RestoreThread"], [thread])
    builder.ret(builder.call(functions["PyLong_FromLongLong"], [result]))


def callable_from_python(caller: int) -> Callable[..., int]:
    """A Python function of the code that `add_caller` added."""
    method = _Method(b"run", caller, _FASTCALL, b"A compiled program.")
    # The function points to it as long as it lives, which may be longer than any module of Python does.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(method))
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    return make(ctypes.addressof(method), None, None)


def _name_python() -> None:
    """Let object files find Python's functions, also where they are not among the process's own symbols."""
    for name in _PYTHON:
        llvm.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)


def _after_fork() -> None:
    """A child has llvmlite's lock as another thread held it, which was in LLVM, and which the child doesn't have."""
    held: Any = getattr(getattr(llvm.ffi.lib, "_lock", None), "_lock", None)
    if hasattr(held, "_at_fork_reinit"):
        held._at_fork_reinit()


_name_python()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
