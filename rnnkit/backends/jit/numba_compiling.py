"""numba's compilation of jitted steps: each call typed once, few collections of garbage, LLVM's passes for bodies only.

numba resolves the type of every single ``a + b`` anew, and builds LLVM's passes over functions for every declaration,
too. Both, and the collections in between, take a tenth of the time that a jitted step needs, and memory. Loops are
vectorized but not unrolled: a step compiles in two thirds of the time then, and runs 2 % longer (of four; one 8 %).
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
from numba.core import config
from numba.core.registry import cpu_target

_COLLECTIONS = 100_000  # new containers between two of them; Python's own number is some hundreds
_MOST = 50_000  # signatures that are kept: a hundred times what all built-in cells need

_resolved: dict[tuple, Any] = {}


class _Passes:
    """LLVM's passes over functions with a body: numba builds them for declarations, too, and llvmlite leaks each."""

    def __init__(self, make):
        self._make = make

    def run(self, function, _):
        if not function.is_declaration:
            passes, builder = self._make()
            passes.run(function, builder)


def _pass_builder(machine, opt=3, loop_vectorize=True, slp_vectorize=False):
    """Return LLVM's list of passes for a level, as numba asks for it, without unrolled loops."""
    options = llvm.create_pipeline_tuning_options(int(opt))
    options.loop_vectorization, options.slp_vectorization = bool(loop_vectorize), bool(slp_vectorize)
    options.loop_unrolling = options.loop_interleaving = False
    return llvm.create_pass_builder(machine, options)


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Let numba keep resolved signatures, build passes for bodies only, unroll no loop, and seldom collect garbage."""
    context = cpu_target.typing_context
    resolve = type(context).resolve_function_type

    def resolve_once(function, arguments, keywords):
        if keywords:
            return resolve(context, function, arguments, keywords)
        try:
            key = (function, tuple(arguments))
            found = _resolved.get(key)
        except TypeError:  # some types have no hash
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
    numbas = {"opt": config.OPT, "loop_vectorize": config.LOOP_VECTORIZE, "slp_vectorize": config.SLP_VECTORIZE}
    codegen._pass_builder = lambda **given: _pass_builder(codegen._tm, **(numbas | given))
    if not config.LLVM_PASS_TIMINGS:
        passes = _Passes(type(codegen)._function_pass_manager.__get__(codegen))
        codegen._function_pass_manager = lambda: (passes, None)
    try:
        yield
    finally:
        context.__dict__.pop("resolve_function_type", None)
        codegen.__dict__.pop("_function_pass_manager", None)
        codegen.__dict__.pop("_pass_builder", None)
        if gc.get_threshold() == seldom:  # unchanged by others
            gc.set_threshold(*before)
