"""Functions that kernels call while their accesses are checked, see `rnnkit.backends.cpu.simd.bounds_check`."""

from __future__ import annotations

import llvmlite.binding as llvm

from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import bounds_check
from rnnkit.backends.cpu.simd.atomic import atomic_add, word
from rnnkit.backends.cpu.simd.bounds_check import FIRST, MOST, TABLE, put


@compiled
def access(address, size, write):
    """Count an access outside of all ranges."""
    if size == 0:
        return
    for i in range(min(word(TABLE, 0), MOST)):
        place = FIRST + 3 * i
        if word(TABLE, place) <= address and address + size <= word(TABLE, place + 1 + write):
            return
    atomic_add(TABLE + 8, 1)
    put(2, address)
    put(3, size)


@compiled
def allow(address, readable, writable):
    i = atomic_add(TABLE, 1)
    if i < MOST:
        place = FIRST + 3 * i
        put(place + 2, address + writable)
        put(place + 1, address + readable)
        put(place, address)


def define(load_function) -> list:
    """Let kernels find both by name; ``load_function(function, arguments)`` compiles one, in this process alone."""
    functions = [load_function(function, 3) for function in (access, allow)]
    for name, function in zip((bounds_check.ACCESS, bounds_check.ALLOW), functions, strict=True):
        llvm.add_symbol(name, function.__self__.item().address)
    bounds_check.allow_by(functions[1])
    return functions
