"""What kernels call while their accesses are checked, see `rnnkit.backends.cpu.simd.bounds_check`."""

from __future__ import annotations

import llvmlite.binding as llvm

from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import bounds_check
from rnnkit.backends.cpu.simd.atomic import atomic_add, word
from rnnkit.backends.cpu.simd.bounds_check import FIRST, MOST, TABLE, put


@compiled
def access(address, size, write):
    """Count an access that is in no range."""
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
    """Add a range."""
    i = atomic_add(TABLE, 1)
    if i < MOST:
        place = FIRST + 3 * i
        put(place + 2, address + writable)
        put(place + 1, address + readable)
        put(place, address)


def define(load_function) -> None:
    """Let kernels find both by name; ``load_function(function, arguments)`` compiles one, in this process alone."""
    for name, function in ((bounds_check.ACCESS, access), (bounds_check.ALLOW, allow)):
        code = load_function(function, 3)
        llvm.add_symbol(name, code.address)
    bounds_check.allow_by(code.function)
