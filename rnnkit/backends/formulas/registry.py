"""The register of formulas that are functions of compiled code: `formula` registers one for every target."""

import functools
import inspect
from collections.abc import Callable

FORMULAS: dict[str, Callable] = {}


def replaceable(function):
    """Decorator: a target whose values have a function of this name in `Value.own` computes by that instead."""

    @functools.wraps(function)
    def replaced(x, *others):
        own = x.own.get(function.__name__)
        return function(x, *others) if own is None else own(x, *others)

    return replaced


def formula(function):
    """Decorator: compiled code, exported C and ONNX call this function of one or two `Value`s by its name."""
    FORMULAS[function.__name__] = replaceable(function)
    return FORMULAS[function.__name__]


def arity(function) -> int:
    """Return the number of operands of a formula; a parameter with a default is no operand."""
    parameters = inspect.signature(function).parameters.values()
    return sum(parameter.default is parameter.empty for parameter in parameters)
