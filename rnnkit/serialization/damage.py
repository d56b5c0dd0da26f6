"""Errors for damaged files, and strict reading of JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

FORMAT = 1
_WIDEST = 32  # bytes of an entry; texts of empty arrays may not be wider


class Damaged(ValueError):
    """An error for a damaged file; the message follows "it"."""


def read_json(text: str | bytes) -> Any:
    """Read a JSON text without duplicate keys or NaN; a ValueError for other texts, or too deep nesting."""
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_refused)
    except RecursionError:
        raise Damaged("nests its values too deeply") from None


def _each_once(pairs):
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Damaged(f"names {name!r} twice")
        found[name] = value
    return found


def _refused(number):
    raise Damaged(f"holds {number} where JSON has none")


def checked_format(said) -> dict[str, Any]:
    """Return the information that a file holds on itself, if its format is known."""
    if not isinstance(said, dict) or not isinstance(said.get("format"), int):
        raise Damaged("says nothing of itself that is known here")
    if said["format"] > FORMAT:
        raise Damaged(f"is of format {said['format']}, which a later rnnkit wrote; known here is {FORMAT}")
    if not isinstance(said.get("about"), dict) or not isinstance(said.get("arrays"), (list, dict)):
        raise Damaged("says of itself what no file of this format says")
    return said


def checked_size(name: str, dtype: np.dtype, shape, size: int) -> None:
    """Check that an array of this dtype and shape has `size` bytes."""
    if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) * dtype.itemsize != size:
        raise Damaged(f"declares {name!r} as {dtype} {tuple(shape)} and has {size} bytes of it")
    if not size and dtype.itemsize > _WIDEST:  # NumPy allocates one entry for empty arrays
        raise Damaged(f"declares {name!r}, which is empty, with entries of {dtype.itemsize} bytes")
