"""Compiled kernels by the hash of their text: in memory, and on disk between processes, for each kind of GPU.

An entry is the kernel's name and a GPU's own code, which no later driver refuses.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache

from rnnkit.backends.cuda.memory.availability import driver, simulated
from rnnkit.backends.cuda.runtime.cost_model import THREADS
from rnnkit.backends.cuda.runtime.launch import Function, gpu_kind
from rnnkit.backends.shared import program_cache
from rnnkit.backends.shared.interrupts import behind_it

_functions: dict[tuple, Function] = {}


def load(text: str) -> Function:
    """Return the kernel ``run`` of a text on the current GPU, compiled once for its kind."""
    key = text, driver().current_device()
    function = _functions.get(key)
    if function is None:
        with program_cache.lock:
            function = _functions.get(key)
            if function is None:
                with behind_it():
                    function = _functions[key] = _function(text)
    return function


def _function(text) -> Function:
    if simulated():
        return Function(run_of(text))
    name, code = kept(text, gpu_kind())
    return Function(code, name)


def kept(text: str, kind: tuple[int, int]) -> tuple[str, bytes]:
    """Return a kernel's name and its code for a compute capability, from disk if compiled before; needs no GPU."""
    key = hashlib.sha256(repr((text, kind, _surroundings())).encode()).hexdigest()[:32]

    def make():
        name, code = compiled(text, kind)
        return name.encode() + b"\n" + code

    first, _, code = program_cache.entry(key, make).partition(b"\n")
    return first.decode(), code


def run_of(text: str):
    """Return the text's function, not compiled."""
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    return program_cache.module_of(text, f"rnnkit_kernel_{key}").run


def ptx_of(text: str, kind: tuple[int, int]) -> str:
    """Return a kernel's text as PTX for a compute capability; needs no GPU."""
    from numba import cuda

    program_cache.number_functions_apart()
    code, _ = cuda.compile_ptx(run_of(text), cuda.types.void(cuda.types.int64), cc=kind, launch_bounds=(THREADS, 1))
    return code


def compiled(text: str, kind: tuple[int, int]) -> tuple[str, bytes]:
    """As `kept`, compiled now."""
    from cuda.bindings import nvjitlink

    ptx = ptx_of(text, kind)
    options = [f"-arch=sm_{kind[0]}{kind[1]}"]
    linker = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, ptx.encode(), len(ptx), "kernel")
        nvjitlink.complete(linker)
        code = bytearray(nvjitlink.get_linked_cubin_size(linker))
        nvjitlink.get_linked_cubin(linker, code)
    finally:
        nvjitlink.destroy(linker)
    (name,) = re.findall(r"\.entry\s+([\w$]+)", ptx)[:1]
    return name, bytes(code)


@cache
def _surroundings() -> str:
    """Return all that a kernel depends on besides its text and the GPU."""
    from importlib.metadata import version

    return repr((program_cache.surroundings(), version("numba"), version("numba-cuda"), THREADS))
