"""The register of formulas that are functions of compiled code: `formula` registers one for every target."""

import inspect
from collections.abc import Callable

FORMULAS: dict[str, Callable] = {}


def formula(function):
    """Decorator: compiled code calls this function of one or two `Value`s by its name, on the CPU and on a GPU."""
    FORMULAS[function.__name__] = function
    return function


def arity(function) -> int:
    """Return the number of operands of a formula; a parameter with a default is no operand."""
    parameters = inspect.signature(function).parameters.values()
    return sum(parameter.default is parameter.empty for parameter in parameters)
