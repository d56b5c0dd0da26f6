"""How numba compiles jitted steps: LLVM's passes for bodies only, and numba is left as it was."""

import gc

import numba
from numba.core import codegen
from numba.core.registry import cpu_target

from rnnkit.backends.jit.numba_compiling import compiling


def compiled():
    @numba.njit
    def part(a):
        return a + 41

    @numba.njit
    def run(a):
        return part(a) + 1

    with compiling():
        run.compile("int64(int64)")
    return run


def test_passes_are_built_for_what_has_a_body(monkeypatch):
    """llvmlite never frees all that a pass builder takes."""
    bodies, built = [], []
    optimize, make = codegen.CPUCodeLibrary._optimize_functions, codegen.JITCPUCodegen._function_pass_manager

    def counted(library, module):
        bodies.extend(function.is_declaration for function in module.functions)
        return optimize(library, module)

    def made(self):
        built.append(self)
        return make(self)

    monkeypatch.setattr(codegen.CPUCodeLibrary, "_optimize_functions", counted)
    monkeypatch.setattr(codegen.JITCPUCodegen, "_function_pass_manager", made)
    assert compiled()(1) == 43
    assert len(built) == bodies.count(False) > 0 and bodies.count(True) > 0


def test_numba_is_left_as_it_was():
    parts = cpu_target.target_context.codegen(), cpu_target.typing_context
    before, threshold = [dict(vars(part)) for part in parts], gc.get_threshold()
    compiled()
    assert [vars(part).keys() for part in parts] == [part.keys() for part in before]
    assert gc.get_threshold() == threshold
