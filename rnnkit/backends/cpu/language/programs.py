"""Programs by their text: translated and compiled once per machine, then loaded from disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from rnnkit.backends.cpu.language import machine_code
from rnnkit.backends.cpu.language.machine_code import Module, callable_from_python, load_object, object_code
from rnnkit.backends.cpu.simd.bounds_check import CHECKED
from rnnkit.backends.cpu.simd.registers import FEATURES
from rnnkit.backends.shared.notice import telling
from rnnkit.backends.shared.program_cache import entry, find


class Code(NamedTuple):
    """The machine code of a program.

    Attributes
    ----------
    function : callable
        Calls it from Python, with ints, without the interpreter's lock.
    address : int
        Where its machine code begins: a C function of int64.
    """

    function: Callable[..., int]
    address: int


def load(text: str, arguments: int, what: str = "what all programs share") -> Code:
    """The function ``run``, of so many int64, of a module in the language of programs; `what` says it to people."""

    def make(key):
        if CHECKED:
            _define_access()
        symbol = f"rnnkit_{key}"
        with telling(what):
            data = kept(key, lambda: _translated(text, symbol, arguments))
        return _in_memory(data, symbol)

    return find(text + FEATURES, make)


def kept(key: str, modules: Callable[[], list[Module]]) -> bytes:
    """The object files of a key on disk; of the modules, and then kept there, where there are none or damaged ones."""
    return entry(key, lambda: object_code(modules()))


def assembly(text: str, arguments: int) -> str:
    """The machine code of a text, to be read."""
    return machine_code.assembly(_translated(text, "run", arguments))


def _in_memory(data, symbol) -> Code:
    address, caller = load_object(data, symbol, f"{symbol}_from_python")
    return Code(callable_from_python(caller), address)


@cache
def _define_access() -> None:
    from rnnkit.backends.cpu.language import access
    from rnnkit.backends.cpu.language.translate import translate

    def load_function(function, arguments):
        symbol = f"rnnkit_checks_{function.__name__}"
        return _in_memory(object_code(translate(function, symbol, arguments)), symbol)

    access.define(load_function)


def _translated(text, symbol, arguments):
    # Not needed where all programs are on disk.
    from rnnkit.backends.cpu.language.function import read
    from rnnkit.backends.cpu.language.translate import translate

    return translate(read(text), symbol, arguments)
