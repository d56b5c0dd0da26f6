"""Declared shapes of sizes and names, as numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

from rnnkit.arguments import is_integer, shown


def numbers_of(shape, keywords: Mapping[str, int], feature_shape) -> tuple[int, ...]:
    """Return a declared shape as numbers; a ValueError for a name that isn't among the keywords, or no size."""
    known = dict(keywords) | {"features": feature_shape[-1] if feature_shape else 1}

    def number(size):
        if is_integer(size) and size >= 0:
            return int(size)
        factors = [factor.strip() for factor in size.split("*")] if isinstance(size, str) else [""]
        if not all(factor.isdecimal() or factor in known for factor in factors):
            raise ValueError(f"expected a size: a positive integer, or one of {', '.join(known)}; got {shown(size)}")
        return math.prod(int(factor) if factor.isdecimal() else known[factor] for factor in factors)

    return tuple(number(size) for size in (shape if isinstance(shape, (tuple, list)) else (shape,)))


def names_in(shape) -> list[str]:
    """Return the keywords that a declared shape names."""
    names = []
    for size in shape if isinstance(shape, (tuple, list)) else (shape,):
        if is_integer(size) and 0 < size <= sys.maxsize:
            continue
        factors = [factor.strip() for factor in size.split("*")] if isinstance(size, str) else [""]
        if not all(factor.isidentifier() or factor.isdecimal() for factor in factors):
            raise ValueError(
                f"expected a size: a positive integer, a name or a product such as '4*units'; got {shown(size)}"
            )
        names += [f for f in factors if f.isidentifier() and f != "features"]
    return names
