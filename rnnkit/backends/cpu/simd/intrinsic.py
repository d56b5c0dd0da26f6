"""Functions of programs that are written as LLVM's instructions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from rnnkit.backends.cpu.simd.kinds import Kind


class Emission(NamedTuple):
    """An intrinsic for some kinds of arguments."""

    gives: Kind
    takes: tuple[Kind, ...]  # the kinds that the arguments are converted to
    emit: Callable[..., Any]  # (builder, *values): writes the instructions and returns the value that they compute


class Intrinsic:
    """A function of programs; `typed` gives an `Emission` by the kinds of arguments, or None where it takes no such."""

    def __init__(self, typed: Callable[..., Emission | None], like: Callable):
        self.typed = typed
        self.__name__, self.__doc__ = like.__name__, like.__doc__

    def __call__(self, *arguments) -> Any:
        """Raise a TypeError: functions of programs have no meaning in Python."""
        raise TypeError(f"{self.__name__} can only be called in a program")


def intrinsic(gives: Kind, *takes: Kind) -> Callable[[Callable], Intrinsic]:
    """Decorator: ``function(builder, *values)`` writes the instructions of an intrinsic of these kinds."""

    def decorate(function):
        emission = Emission(gives, takes, function)
        return Intrinsic(lambda *kinds: emission if len(kinds) == len(takes) else None, function)

    return decorate


def overloaded(function: Callable[..., Emission | None]) -> Intrinsic:
    """Decorator: ``function(*kinds)`` returns an intrinsic's `Emission` for some kinds of arguments."""
    count = len(inspect.signature(function).parameters)
    return Intrinsic(lambda *kinds: function(*kinds) if len(kinds) == count else None, function)
