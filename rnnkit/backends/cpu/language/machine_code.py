"""From LLVM's IR to machine code in memory, by way of object files that can be kept, and calls of it from Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from rnnkit.backends.shared import processor
from rnnkit.backends.shared.thread_pool import get_num_threads

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
# The IR is in SSA form and vectorized as it is written, and a block computes no value twice, so little is left
# to do. LLVM's own list for -O3 takes ten times as long; LSTM and GRU are no faster with it, forwards or backwards, nor
# with loops unrolled. Functions that direct others are not optimized: their registers alone would take half of the
# time to compile an LSTM. Loops inside a step look at arrays in memory, and read some elements twice in a round. A jump
# by a condition that is chosen by a jump itself is made on either way of that one. Short steps of one row that jump are
# half as fast again where several follow each other in the code: each has a history of its own in the processor.
_USUAL = ("instruction_combine", "simplify_cfg")
_IN_MEMORY = ("new_gvn", "simplify_cfg")
_UNROLLED = ("loop_simplify", "lcssa", "loop_unroll", "sinking", "dead_store_elimination")
_PASSES = {
    "directing": (),
    "compiled": _USUAL,
    "looping": (*_USUAL, *_IN_MEMORY),
    "deciding": (*_USUAL, "jump_threading", *_USUAL, *_IN_MEMORY, *_UNROLLED),
}
_FASTCALL = 0x80  # METH_FASTCALL: the function takes an array of its arguments


class _Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = [("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


class Module(ir.Module):
    """A module for this machine."""

    def __init__(self, decorator: str = "compiled"):
        super().__init__("rnnkit")
        self.triple, self.data_layout = processor.TRIPLE, _data_layout()
        self.decorator, self.size = decorator, 0  # of its functions; their instructions so far
        self.directs = decorator == "directing"  # they mostly call others, and so are not optimized


def declared(module: Module, code: ir.Function) -> ir.Function:
    """Return a function as a module calls it: as it is, or declared where it stands in another one."""
    if code.module is module:
        return code
    found = module.globals.get(code.name)
    return ir.Function(module, code.function_type, code.name) if found is None else found


def object_code(modules: Sequence[Module]) -> bytes:
    """Return the optimized modules as object files, each behind its length."""
    return object_codes([modules])[0]


def object_codes(programs: Iterable[Sequence[Module]]) -> list[bytes]:
    """As `object_code`, of several programs; other threads compile each while the next ones are translated."""
    threads = get_num_threads()
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        pending = [[_started(pool, _Unit(module)) for module in modules] for modules in programs]
        finished = [[unit() for unit in units] for units in pending]
    return [b"".join(len(data).to_bytes(8, "little") + data for data in units) for units in finished]


def _started(pool: ThreadPoolExecutor | None, unit: _Unit) -> Callable[[], bytes]:
    """Return a function that gives a unit's object file, which another thread compiles meanwhile if that takes long."""
    if pool is not None and not unit.directs:
        try:
            return pool.submit(unit.object_file).result
        except RuntimeError:  # the interpreter is about to end
            pass
    data = unit.object_file()
    return lambda: data


def assembly(modules: Sequence[Module]) -> str:
    return "\n".join(_Unit(module).assembly() for module in modules)


class _Unit:
    """A module with all that LLVM needs to compile it.

    Nothing is shared between units, so threads may compile them side by side, by functions that don't take llvmlite's
    lock. What takes no time is done at the beginning: a thread that is back from LLVM waits for Python's lock.
    """

    def __init__(self, module: Module):
        self.directs = module.directs
        self.parsed = llvm.parse_assembly(str(module), llvm.create_context())
        self.machine = _make_machine(0 if module.directs else 3)
        if not module.directs:
            self.builder = llvm.create_pass_builder(self.machine, llvm.create_pipeline_tuning_options())
            self.passes = llvm.create_new_module_pass_manager()
            for name in _PASSES[module.decorator]:
                getattr(self.passes, f"add_{name}_pass")()

    def object_file(self) -> bytes:
        self._optimise()
        with llvm.ffi.OutputString() as message:
            memory = _without_lock("LLVMPY_TargetMachineEmitToMemory")(self.machine, self.parsed, 1, message)
            if not memory:
                raise RuntimeError(str(message))
        library = llvm.ffi.lib
        try:
            return ctypes.string_at(library.LLVMPY_GetBufferStart(memory), library.LLVMPY_GetBufferSize(memory))
        finally:
            library.LLVMPY_DisposeMemoryBuffer(memory)

    def assembly(self) -> str:
        self._optimise()
        return self.machine.emit_assembly(self.parsed)

    def _optimise(self):
        if not self.directs:
            _without_lock("LLVMPY_RunNewModulePassManager")(self.passes, self.parsed, self.builder)


@cache
def _without_lock(name: str) -> Callable:
    """Return a function of llvmlite's library, without the lock that llvmlite takes for all of them."""
    locked = getattr(llvm.ffi.lib, name)
    function = getattr(ctypes.CDLL(llvm.ffi.lib._name), name)
    function.argtypes, function.restype = locked.argtypes, locked.restype
    return function


class Loaded:
    """Code of `object_code` in memory, for as long as this object or a function of `callable_from_python` lives;
    `address` is that of the function of this name.
    """

    def __init__(self, data: bytes, name: str):
        empty, at = llvm.parse_assembly(str(Module()), llvm.create_context()), 0
        self._engine = llvm.create_mcjit_compiler(empty, _make_machine())
        while at < len(data):
            start, at = at + 8, at + 8 + int.from_bytes(data[at : at + 8], "little")
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(data[start:at]))
        self._engine.finalize_object()
        self.address = self._engine.get_function_address(name)

    def callable_from_python(self, caller: str) -> Callable[..., int]:
        """Return a Python function of the code that `add_caller` added; its ``__self__`` keeps this object alive.

        Python's search for garbage doesn't look into arrays: all that is freed with it may call the code to its end.
        """
        holder = np.empty((), object)
        holder[()] = self
        # Python reads the definition as long as the function lives.
        self._method = _Method(b"run", self._engine.get_function_address(caller), _FASTCALL, b"A compiled program.")
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
        return make(ctypes.addressof(self._method), holder, None)


def _make_machine(level: int = 3):
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(processor.TRIPLE).create_target_machine(
        cpu=processor.NAME,
        features=processor.FEATURES,
        opt=level,
        reloc="static" if processor.TRIPLE.startswith(("x86_64", "i386", "i686")) else "default",
        codemodel="jitdefault",
        jit=True,
    )


@cache
def _data_layout():
    return str(_make_machine().target_data)


def add_caller(module: Module, code: ir.Function, name: str) -> None:
    """Add to a module a function for METH_FASTCALL, which calls another one without the interpreter's lock."""
    functions, builder, (_, given, present) = _begun(module, name)
    with builder.if_then(builder.icmp_signed("!=", present, WORD(len(code.args))), likely=False):
        builder.call(functions["PyErr_BadArgument"], [])
        builder.ret(POINTER(None))
    places = [builder.gep(given, [ir.IntType(32)(i)]) for i in range(len(code.args))]
    numbers = [builder.call(functions["PyLong_AsLongLong"], [builder.load(place)]) for place in places]
    error = builder.call(functions["PyErr_Occurred"], [])
    with builder.if_then(builder.icmp_unsigned("!=", error, POINTER(None)), likely=False):
        builder.ret(POINTER(None))
    thread = builder.call(functions["PyEval_SaveThread"], [])
    result = builder.call(declared(module, code), numbers)
    builder.call(functions["PyEval_RestoreThread"], [thread])
    builder.ret(builder.call(functions["PyLong_FromLongLong"], [result]))


def add_object_caller(module: Module, code: ir.Function, name: str) -> None:
    """As `add_caller`, for code of numbers, the address of all arguments and their count, which gives an object."""
    functions, builder, (_, given, present) = _begun(module, name)
    places = [builder.gep(given, [ir.IntType(32)(i)]) for i in range(len(code.args) - 2)]
    numbers = [builder.call(functions["PyLong_AsLongLong"], [builder.load(place)]) for place in places]
    result = builder.call(declared(module, code), [*numbers, builder.ptrtoint(given, I64), present])
    builder.ret(builder.inttoptr(result, POINTER))


def _begun(module: Module, name: str) -> tuple:
    """Return Python's functions in a module, and the builder and the arguments of a new function for METH_FASTCALL."""
    functions = {key: ir.Function(module, ir.FunctionType(*kind), key) for key, kind in _PYTHON.items()}
    caller = ir.Function(module, ir.FunctionType(POINTER, [POINTER, POINTER.as_pointer(), WORD]), name)
    return functions, ir.IRBuilder(caller.append_basic_block("entry")), caller.args


# Object files find Python's functions, also where they are not among the process's own symbols.
for _python in _PYTHON:
    llvm.add_symbol(_python, ctypes.cast(getattr(ctypes.pythonapi, _python), ctypes.c_void_p).value)
