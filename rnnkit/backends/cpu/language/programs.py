"""Programs by their text: translated and compiled once per machine, then loaded from disk."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from rnnkit.backends.cpu.language import machine_code
from rnnkit.backends.cpu.language.machine_code import Loaded, Module, object_code, object_codes
from rnnkit.backends.cpu.simd.bounds_check import CHECKED
from rnnkit.backends.cpu.simd.registers import FEATURES
from rnnkit.backends.shared.notice import telling
from rnnkit.backends.shared.program_cache import entries, entry, find_all


class Code(NamedTuple):
    """The machine code of a program."""

    function: Callable[..., int]  # calls the program with ints, without the GIL; it keeps the code in memory
    address: int  # of the machine code, a C function of int64


class Wanted(NamedTuple):
    """A program as text."""

    text: str  # a module in the language of programs
    arguments: int  # how many int64 its function `run` takes


def kernel(name: str, *arguments) -> str:
    """Return the text of a kernel by itself: "moves.finite" is what `define_finite` in `kernels.moves` gives."""
    module, _, own = name.partition(".")
    lines = f"from rnnkit.backends.cpu.kernels.{module} import define_{own}", f"run = define_{own}{arguments!r}"
    return "\n\n".join([f'"""The kernel {name} of {arguments}."""', *lines, ""])


def load(text: str, arguments: int, what: str = "what all programs share") -> Code:
    """Return the function ``run``, of so many int64, of a module in the language of programs; `what` is its title."""
    return load_all([Wanted(text, arguments)], what)[0]


def load_all(wanted: Sequence[Wanted], what: str) -> list[Code]:
    """As `load`, of several programs: those that are not on disk are compiled together, side by side."""
    by_text = {one.text + FEATURES: one for one in wanted}

    def make(missing):
        if CHECKED:
            _define_access()

        def compiled(keys):
            return object_codes(_translated(by_text[missing[key]], f"rnnkit_{key}") for key in keys)

        with telling(what), _uncollected():
            found = entries(list(missing), compiled)
        return [_in_memory(data, f"rnnkit_{key}") for key, data in zip(missing, found, strict=True)]

    functions = find_all([one.text + FEATURES for one in wanted], make)
    return [Code(function, function.__self__.item().address) for function in functions]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Stop Python's garbage collection meanwhile: many objects are made, and hardly any in cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def kept(key: str, modules: Callable[[], list[Module]]) -> bytes:
    """Return the object files of a key on disk; where missing or damaged, compile the modules and keep the result."""
    return entry(key, lambda: object_code(modules()))


def assembly(text: str, arguments: int) -> str:
    return machine_code.assembly(_translated(Wanted(text, arguments), "run"))


def _in_memory(data, symbol):
    return Loaded(data, symbol).callable_from_python(f"{symbol}_from_python")


@cache
def _define_access() -> list:
    from rnnkit.backends.cpu.language import access
    from rnnkit.backends.cpu.language.translate import translate

    def load_function(function, arguments):
        symbol = f"rnnkit_checks_{function.__name__}"
        return _in_memory(object_code(translate(function, symbol, arguments)), symbol)

    return access.define(load_function)  # kept: others call them by name


def _translated(wanted, symbol):
    # Imported here: not needed where all programs are on disk.
    from rnnkit.backends.cpu.language.function import read
    from rnnkit.backends.cpu.language.translate import translate

    return translate(read(wanted.text), symbol, wanted.arguments)
