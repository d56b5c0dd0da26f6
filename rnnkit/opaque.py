"""Functions whose inside NumPy can't show, left to arrays with an answer of their own, as NumPy leaves its functions.

A class of arrays answers for NumPy's functions by ``__array_function__``; for any other function of arrays, such as one
whose results have shapes that depend on numbers, code of a user's, or what a generator draws, by ``__rnnkit_opaque__``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def opaque(function: Callable, *arguments, draws: bool = False, writes=(), like: Any = None) -> Any:
    """Return the result of a function, as the first array with an answer of its own gives it, `like` or an argument.

    The function gives an array, None, nested lists, tuples or dicts of these, or an object that takes another's numbers
    by ``renew``. It reads the arrays in its arguments alone, and writes to those in `writes`. If it `draws`, it gives
    something else at each call.
    """
    answer = _answer(arguments if like is None else (like,))
    return function(*arguments) if answer is None else answer(function, arguments, draws, writes)


def _answer(several) -> Any:
    for one in several:
        kind, found = type(one), None
        if kind is list or kind is tuple:
            found = _answer(one)
        elif kind is dict:
            found = _answer(one.values())
        elif kind is not np.ndarray:  # which most are
            found = getattr(one, "__rnnkit_opaque__", None)
        if found is not None:
            return found
    return None
