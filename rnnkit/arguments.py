"""Checks of what users hand in."""

from __future__ import annotations

import math
import numbers
import sys


def is_integer(value) -> bool:
    """Return whether this is an integer, of Python or NumPy; True and False aren't."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def integer(value, what: str) -> int:
    """Return `value` as an int; a ValueError if it is none."""
    if not is_integer(value):
        raise ValueError(f"expected {what} to be an integer, got {shown(value)}")
    return _countable(int(value), what)


def positive_integer(value, what: str) -> int:
    """Return `value` as an int; a ValueError if it isn't a positive integer."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"expected {what} to be a positive integer, got {shown(value)}")
    return _countable(int(value), what)


def whole(value, what: str, least: int) -> int:
    """Return `value` as an int; a ValueError if it isn't an integer of at least `least`."""
    if not is_integer(value) or value < least:
        raise ValueError(f"expected {what} to be a whole number of at least {least}; got {shown(value)}")
    return _countable(int(value), what)


def _countable(value: int, what: str) -> int:
    """Return `value`; a ValueError if Python and NumPy can't count so far."""
    if abs(value) > sys.maxsize:
        raise ValueError(f"expected {what} to be an integer of at most {sys.maxsize}, got {shown(value)}")
    return value


def sizes(value, what: str) -> tuple[int, ...]:
    """Return an integer or several, each 0 or more, as a tuple."""
    several = (value,) if is_integer(value) else value
    if not isinstance(several, (tuple, list)) or not all(is_integer(n) and n >= 0 for n in several):
        raise ValueError(f"expected {what} to be a tuple of sizes such as (3, 4), got {shown(value)}")
    return tuple(_countable(int(n), what) for n in several)


def real_number(value, what: str) -> float:
    """Return `value` as a float, also NaN or infinite; a ValueError if it is no real number."""
    found = _float(value)
    if found is None:
        raise ValueError(f"expected {what} to be a number, got {shown(value)}")
    return found


def number_from_zero(value, what: str) -> float:
    """Return `value` as a float; a ValueError if it isn't a finite number of 0 or more."""
    found = _float(value)
    if found is None or not 0 <= found < float("inf"):
        raise ValueError(f"expected {what} to be a finite number of 0 or more, got {shown(value)}")
    return found


def fraction(value, what: str) -> float:
    """Return `value` as a float; a ValueError if it doesn't lie in [0, 1]."""
    found = _float(value)
    if found is None or not 0 <= found <= 1:
        raise ValueError(f"expected {what} to be a rate between 0 and 1, got {shown(value)}")
    return found


def _float(value) -> float | None:
    """Return `value` as a float, None if it is no real number; an integer beyond all floats is infinite."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if int(value) > 0 else -math.inf  # type: ignore[call-overload]


def shown(value) -> str:
    """Return the text of a value for an error message: one line, cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # of an integer with more digits than Python writes
        text = f"an {type(value).__name__} of {value.bit_length()} bits"
    return text if len(text) <= 120 else f"{text[:100]} …"


def is_own(function_or_class) -> bool:
    """Return whether this is rnnkit's, rather than code of the user's, which may do anything."""
    return (function_or_class.__module__ or "").partition(".")[0] == "rnnkit"
