"""Options that the overloads for jitted steps share, and arguments that must be known while a step is compiled."""

from __future__ import annotations

import numba
from numba.core import errors, types
from numba.extending import overload

OPTIONS = {"error_model": "numpy"}


def constant(value, what):
    """Return a literal type's Python value; shapes must be known while the step is compiled."""
    if isinstance(value, types.Omitted):
        return value.value
    if isinstance(value, (types.BaseTuple,)):
        return tuple(constant(item, what) for item in value)
    if isinstance(value, types.NoneType):
        return None
    if isinstance(value, types.Literal):
        return value.literal_value
    if not isinstance(value, types.Type):
        return value
    raise errors.TypingError(f"{what} has to be a constant")


def in_steps(**options):
    """Return a decorator that turns an overload into its function, for jitted steps alone."""

    def made(implementation):
        def function(*_, **__):
            raise NotImplementedError("only inside a jitted step")

        function.__name__ = function.__qualname__ = implementation.__name__
        overload(function, **({"jit_options": OPTIONS} | options))(implementation)
        return function

    return made


@numba.njit
def size_of(shape, first, behind):
    """Return the number of elements of the axes from `first` up to `behind`."""
    size = 1
    for i in range(first, behind):
        size *= shape[i]
    return size
