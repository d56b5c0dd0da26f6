"""Arrays of other kinds, whose calls are left to another package of rnnkit."""

from __future__ import annotations

import functools
import importlib

import numpy as np

# The module that answers calls with an array, by that of the array's class. It is imported at the first such call.
HANDLERS = {"dask.array": "rnnkit.distributed.calls", "dask.delayed": "rnnkit.distributed.calls"}

_PLAIN = (np.ndarray, int, float, bool, str, type(None))


def first_found(nested, find):
    """Return the first that a function finds among the leaves of nested values; None if it is None for all."""
    if isinstance(nested, dict):
        nested = list(nested.values())
    if isinstance(nested, (list, tuple)):
        for one in nested:
            if isinstance(one, (int, float)):
                return None  # a list of numbers, which may be long
            if (found := first_found(one, find)) is not None:
                return found
        return None
    return None if isinstance(nested, _PLAIN) else find(nested)


def handler_of(nested):
    """Return the module whose `answer` takes a call with these arguments; None for all usual arrays."""
    return first_found(nested, _handler)


def _handler(one):
    package = ".".join(type(one).__module__.split(".")[:2])
    return importlib.import_module(HANDLERS[package]) if package in HANDLERS else None


def handled(method):
    """Return a layer's method that leaves calls with arrays of these kinds to their handler."""

    @functools.wraps(method)
    def called(self, *arguments, **keywords):
        if (handler := handler_of((*arguments, *keywords.values()))) is not None:
            return handler.answer(self, method, arguments, keywords)
        return method(self, *arguments, **keywords)

    return called
