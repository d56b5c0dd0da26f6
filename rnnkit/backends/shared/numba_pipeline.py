"""How numba compiles what rnnkit writes: only the passes that it needs, each call typed once, and few collections.

A program is flat text over integers and SIMD values, without closures, lists or literals to unroll. numba's own
pipeline looks for these again and again, and resolves the type of every single ``a + b`` anew. Both, and the
collections of garbage in between, took a third of the time that a program needs: of an LSTM's 1.1 s forwards, and of
the 3.8 s of its gradient.

A variable of a program, and of the kernels that it calls, keeps one type, and no value is counted. So numba's SSA form,
which splits variables, and its deletions, which free values, are left out: a fifth of what was left (6.4 and 5.2 s for
an LSTM and its gradient in a new process, which then take the same time and give the same bits).
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

from numba import njit
from numba.core import config, typed_passes, untyped_passes
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target

_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    typed_passes.NopythonTypeInference,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)
_COLLECTIONS = 100_000  # new containers between two of them; Python's own number is some hundreds
_MOST = 50_000  # signatures that are kept: a hundred times what all built-in cells need

_resolved: dict[tuple, Any] = {}


class Pipeline(CompilerBase):
    """numba's passes from text to machine code, without those that rewrite what no program holds."""

    def define_pipelines(self):
        """One list of passes."""
        manager = PassManager("rnnkit")
        manager._ENFORCING = False  # checks and analyses of the whole function after each pass
        for one in _PASSES:
            manager.add_pass(one, one.__name__)
        manager.finalize()
        return [manager]


compiled = njit(nogil=True, error_model="numpy", pipeline_class=Pipeline, no_cfunc_wrapper=True)
# For functions that only compiled ones call. The wrapper by which Python calls a function takes LLVM about as long as a
# short function does.
linked = njit(nogil=True, error_model="numpy", pipeline_class=Pipeline, no_cfunc_wrapper=True, no_cpython_wrapper=True)


class _Passes:
    """LLVM's passes over single functions, built only for those that have a body.

    numba builds them for every declaration too, about a hundred in a program, and llvmlite leaks 16 KB of every pass
    builder.
    """

    def __init__(self, make):
        self._make = make

    def run(self, function, _):
        if not function.is_declaration:
            passes, builder = self._make()
            passes.run(function, builder)


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """While it lasts, numba keeps the signature that a function has for some types, and Python seldom collects.

    Passes are built for no declaration.
    """
    context = cpu_target.typing_context
    resolve = type(context).resolve_function_type

    def resolve_once(function, arguments, keywords):
        if keywords:
            return resolve(context, function, arguments, keywords)
        try:
            key = (function, tuple(arguments))
            found = _resolved.get(key)
        except TypeError:  # what has no hash
            return resolve(context, function, arguments, keywords)
        if found is None:
            found = resolve(context, function, arguments, keywords)
            if len(_resolved) >= _MOST:
                _resolved.clear()
            if found is not None:
                _resolved[key] = found
        return found

    before = gc.get_threshold()
    seldom = (_COLLECTIONS, *before[1:]) if 0 < before[0] < _COLLECTIONS else before
    gc.set_threshold(*seldom)
    context.resolve_function_type = resolve_once
    codegen = cpu_target.target_context.codegen()
    if hasattr(codegen, "_pass_builder") and not config.LLVM_PASS_TIMINGS:  # as since numba 0.62
        passes = _Passes(type(codegen)._function_pass_manager.__get__(codegen))
        codegen._function_pass_manager = lambda: (passes, None)
    try:
        yield
    finally:
        context.__dict__.pop("resolve_function_type", None)
        codegen.__dict__.pop("_function_pass_manager", None)
        if gc.get_threshold() == seldom:  # nobody else has set it
            gc.set_threshold(*before)
