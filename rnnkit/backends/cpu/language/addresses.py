"""Addresses of the data of NumPy's arrays, for many arrays in one call.

NumPy gives one address in most of a microsecond, and a short call of a program takes a dozen. An array's object holds
the address right behind the head that every object of Python has, so compiled code reads it there, and its flags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
from llvmlite import ir

from rnnkit.backends.cpu.language.machine_code import I64, POINTER, WORD, Loaded, Module
from rnnkit.backends.cpu.language.programs import kept
from rnnkit.backends.shared.program_cache import find

_HEAD = object.__basicsize__  # bytes
_FLAGS = _HEAD + 48  # bytes before the flags of an array, whose first bit says that it is contiguous in C order


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@cache
def _writer() -> Callable[..., int]:
    name = "rnnkit_addresses"

    def make(key):
        return Loaded(kept(key, lambda: [_module(name)]), name).callable_from_python(name)

    return find(f"addresses and flags at {_HEAD}", make)


def write_addresses(table: int, places: int, arrays) -> None:
    """Write the addresses of arrays' data, 0 for None, to the places of a table; `table` and `places` are addresses of
    int64.
    """
    _writer()(table, places, id(None), *arrays)


def address_writer(table: int, places: Sequence[int]) -> Callable[..., int]:
    """Return a function of arrays that writes their addresses to these places of a table, which is at an address.

    It gives whether any of them isn't contiguous, in C order.
    """
    kept = np.array(places, np.int64)
    write = partial(_writer(), table, address(kept), id(None))
    write.places = kept  # type: ignore[attr-defined]  # lives as long as it
    return write


def _module(name) -> Module:
    module = Module("directing")
    as_number = ir.Function(module, ir.FunctionType(I64, [POINTER]), "PyLong_AsLongLong")
    from_number = ir.Function(module, ir.FunctionType(POINTER, [I64]), "PyLong_FromLongLong")
    function = ir.Function(module, ir.FunctionType(POINTER, [POINTER, POINTER.as_pointer(), WORD]), name)
    entry, loop, done = (function.append_basic_block(block) for block in ("entry", "loop", "done"))
    builder = ir.IRBuilder(entry)
    _, given, count = function.args

    def argument(at):
        return builder.load(builder.gep(given, [at]))

    numbers = [builder.call(as_number, [argument(WORD(i))]) for i in range(3)]
    table, places, nothing = (builder.inttoptr(number, I64.as_pointer()) for number in numbers)
    builder.cbranch(builder.icmp_signed(">", count, WORD(3)), loop, done)
    builder.position_at_end(loop)
    i = builder.phi(WORD)
    i.add_incoming(WORD(3), entry)
    apart = builder.phi(I64)
    apart.add_incoming(I64(0), entry)
    array = builder.bitcast(argument(i), I64.as_pointer())
    there = builder.icmp_unsigned("!=", array, nothing)
    data = builder.load(builder.select(there, builder.gep(array, [WORD(_HEAD // 8)]), table))
    place = builder.load(builder.gep(places, [builder.sub(i, WORD(3))]))
    builder.store(builder.select(there, data, I64(0)), builder.gep(table, [place]))
    flags = builder.load(builder.select(there, builder.gep(array, [WORD(_FLAGS // 8)]), table))
    is_apart = builder.and_(builder.zext(there, I64), builder.not_(flags))
    new_apart = builder.or_(apart, is_apart)
    apart.add_incoming(new_apart, loop)
    following = builder.add(i, WORD(1))
    i.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    builder.position_at_end(done)
    found = builder.phi(I64)
    found.add_incoming(I64(0), entry)
    found.add_incoming(new_apart, loop)
    builder.ret(builder.call(from_number, [found]))
    return module
