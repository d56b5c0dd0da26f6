"""Whole numbers that users give."""

from __future__ import annotations

from numbers import Integral


def whole(value, name, least) -> int:
    """`value` as an int, if it is a whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"expected {name} to be a whole number of at least {least}; got {value!r}")
    return int(value)
