"""Keys by a jitted step's content: steps of the same content share compiled code."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterator

import numpy as np

from rnnkit.backends.jit import replacements
from rnnkit.backends.jit.step import NOT_JITTED, Live, library_of
from rnnkit.identity import Same


def content(function, known) -> tuple:
    """Return code, constants and all that a function reaches by name, as of now; `known` as for `Jit.function`."""
    return _Reader().function(function, known)


class _Reader:
    """One walk over functions; `seen` ends it where they call each other."""

    def __init__(self):
        self.seen: dict = {}

    def function(self, function, known=None):
        known = known or {}
        key = (function, *((name, id(value)) for name, value in known.items()))
        if key in self.seen:
            return ("again", self.seen[key])
        self.seen[key] = len(self.seen)
        code = function.__code__
        names = sorted(set(_names(code)))
        reached = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
        reached += zip(code.co_freevars, (cell.cell_contents for cell in function.__closure__ or ()), strict=True)
        reached += [("default", value) for value in function.__defaults__ or ()]
        reached += (function.__kwdefaults__ or {}).items()
        return (code, *((name, self.value(value, names)) for name, value in (*reached, *known.items())))

    def value(self, value, names):
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
            return (type(value), repr(value))
        if type(value) in (list, tuple):
            return (type(value), *(self.value(item, names) for item in value))
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            return (value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).data).hexdigest())
        if isinstance(value, functools.partial) and isinstance(value.func, types.FunctionType):
            return ("partial", self.function(value.func, value.keywords))
        if isinstance(value, types.FunctionType) and replacements.replacement_for(value) is None:
            return Same(value) if library_of(value) in NOT_JITTED else self.function(value)
        if isinstance(value, Live):
            return (Same(value.made), self.attributes(value, value.thing, names))
        if isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] not in NOT_JITTED:
            return (Same(value), self.attributes(value, value, names))
        return Same(value)  # other values that numba takes don't change

    def attributes(self, owner, thing, names):
        """Return the content of the names that a function may read of a module or a live object."""
        key = (id(thing), tuple(names))
        if key in self.seen:
            return ("again", self.seen[key])
        self.seen[key] = len(self.seen)
        parts = []
        for name in names:
            value = getattr(thing, name, None)
            part = owner.parts.get(name) if isinstance(owner, Live) else None
            if part is not None:
                parts.append((name, self.argument(part, names)))
            elif isinstance(value, types.MethodType) and isinstance(owner, Live):
                parts.append((name, self.function(value.__func__, {value.__func__.__code__.co_varnames[0]: owner})))
            else:
                parts.append((name, self.value(value, names)))
        return tuple(parts)

    def argument(self, part, names):
        """Return an argument's content: of a cell in the cell its constants, of an array only that it is one."""
        if isinstance(part, list):
            return tuple(self.argument(item, names) for item in part)
        return self.value(part, names) if isinstance(part, Live) else part


def _names(code) -> Iterator[str]:
    """Yield names of globals and attributes in a function and the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
