"""Kernels as an NVIDIA GPU would see them, on a machine without one: PTX from numba-cuda, resources from ptxas."""

import functools
import inspect
import re
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import processes

ARCHITECTURES = {(8, 0): "sm_80", (9, 0): "sm_90"}


class Resources(NamedTuple):
    """What one kernel takes: registers and bytes of each thread, bytes of shared memory of each block."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int


def function_of(text: str) -> Callable:
    """The last function that a module's text defines."""
    namespace: dict = {}
    exec(compile(text, "<kernel>", "exec"), namespace)
    function = namespace[re.findall(r"^def (\w+)", text, re.MULTILINE)[-1]]
    return getattr(function, "py_func", function)


def ptx(kernel: str | Callable, signature=None, cc: tuple[int, int] = (9, 0), threads: int | None = None) -> str:
    """A kernel, as a function or as the text that ends with one, in PTX for a compute capability.

    All its arguments are int64 where no numba `signature` says otherwise; `threads`, the most that a block will have,
    bounds its registers.
    """
    from numba import cuda, types

    function = function_of(kernel) if isinstance(kernel, str) else kernel
    if signature is None:
        signature = types.void(*[types.int64] * len(inspect.signature(function).parameters))
    code, _ = cuda.compile_ptx(function, signature, cc=cc, launch_bounds=threads)
    return code


def instructions(code: str) -> list[str]:
    """The instructions of PTX, one a line, by their names and operands alone."""
    lines = (line.split("//")[0].strip() for line in code[code.index("{") :].splitlines())
    return [re.sub(r"^@!?%p\d+\s+", "", line) for line in lines if line and not line.startswith((".", "{", "}", "$"))]


def names(code: str) -> set[str]:
    """What instructions PTX has: ``mul.rn.f32``, ``ld.global.nc.f32`` …"""
    return {line.split()[0].rstrip(";") for line in instructions(code)}


@functools.cache
def ptxas() -> str | None:
    """The path of NVIDIA's assembler in the wheels that numba-cuda asks for, None where it isn't there."""
    try:
        from cuda.pathfinder import find_nvidia_binary_utility
    except ImportError:
        return None
    return find_nvidia_binary_utility("ptxas")


def resources(code: str, arch: str) -> Resources:
    """What the one kernel of some PTX takes on an architecture such as "sm_90"."""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(code)
        file.flush()
        command = [ptxas(), f"-arch={arch}", "-v", "-o", "/dev/null", file.name]
        log = processes.run(command, check=True).stderr

    def count(pattern):
        found = re.search(pattern, log)
        return int(found[1]) if found else 0

    patterns = (
        r"Used (\d+) registers",
        r"(\d+) bytes stack",
        r"(\d+) bytes spill stores",
        r"(\d+) bytes spill loads",
        r"(\d+) bytes smem",
    )
    return Resources(*map(count, patterns))
