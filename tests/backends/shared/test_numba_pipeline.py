"""How numba compiles what rnnkit writes: what a program keeps in memory, and that numba is left as it was."""

import sys

import pytest
from numba.core import codegen
from numba.core.registry import cpu_target

from rnnkit.backends.shared import program_cache

TEXT = """
from rnnkit.backends.shared.numba_pipeline import compiled, linked

@linked
def part(a):
    return a + 41

@compiled
def run(a):
    return part(a) + 1
"""


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    """The program, compiled or as a new process would load it."""
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(tmp_path / "cache"))

    def load():
        monkeypatch.setattr(program_cache, "_programs", {})
        return program_cache.load(TEXT, "int64(int64)")

    return load


def test_a_program_keeps_no_part_that_was_linked_into_it(loaded):
    for _ in ("compiled", "from disk"):
        run = loaded()
        assert run(1) == 43
        (found,) = run.overloads.values()
        assert not hasattr(sys.modules[run.__module__], "part")
        assert not found.library._linking_libraries and found.library._shared_module is None


def test_passes_are_built_for_what_has_a_body(loaded, monkeypatch):
    """llvmlite never frees all that a pass builder takes."""
    if not hasattr(codegen.JITCPUCodegen, "_pass_builder"):
        pytest.skip("numba has pass builders from 0.62 on")
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
    assert loaded()(1) == 43
    assert len(built) == bodies.count(False) > 0 and bodies.count(True) > 0


def test_numba_is_left_as_it_was(loaded):
    context = cpu_target.target_context.codegen(), cpu_target.typing_context
    before = [dict(vars(one)) for one in context]
    loaded()
    assert [vars(one).keys() for one in context] == [one.keys() for one in before]
