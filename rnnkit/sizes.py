"""Declared sizes such as ``"4*units"`` in numbers, and numbers in their ranges."""

from __future__ import annotations

import numbers
from collections.abc import Mapping


def numbers_of(shape, keywords: Mapping[str, int], feature_shape) -> tuple[int, ...]:
    """A declared shape in numbers."""
    features = feature_shape[-1] if feature_shape else 1

    def number(size):
        if isinstance(size, numbers.Integral) and not isinstance(size, bool):
            return int(size)
        value = 1
        for factor in size.split("*"):
            factor = factor.strip()
            value *= int(factor) if factor.isdigit() else features if factor == "features" else keywords[factor]
        return value

    return tuple(number(size) for size in ((shape,) if isinstance(shape, (str, numbers.Integral)) else shape))


def names_in(shape) -> list[str]:
    """The keywords that a declared shape names."""
    names = []
    for size in (shape,) if isinstance(shape, (str, numbers.Integral)) else shape:
        if isinstance(size, numbers.Integral) and not isinstance(size, bool) and int(size) > 0:
            continue
        factors = [factor.strip() for factor in size.split("*")] if isinstance(size, str) else [""]
        if not all(factor.isidentifier() or factor.isdigit() for factor in factors):
            raise ValueError(
                f"expected a size: a positive integer, a name or a product such as '4*units'; got {size!r}"
            )
        names += [f for f in factors if f.isidentifier() and f != "features"]
    return names


def positive_integer(value, what: str) -> int:
    """`value` as an int, if it is one and positive."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"expected {what} to be a positive integer, got {value!r}")
    return int(value)


def whole(value, what: str, least: int) -> int:
    """`value` as an int, if it is one and not below `least`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"expected {what} to be a whole number of at least {least}; got {value!r}")
    return int(value)


def number_from_zero(value, what: str) -> float:
    """`value` as a float, if it is a finite number of 0 or more."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= float(value) < float("inf"):
        raise ValueError(f"expected {what} to be a finite number of 0 or more, got {value!r}")
    return float(value)
