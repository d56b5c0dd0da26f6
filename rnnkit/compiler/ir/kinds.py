"""The kinds of a node's elements: the layer's own dtype ("float"), conditions, integers, and float32.

All but the first two are named by NumPy's dtype. A step of a float64 layer may have "float32" beside "float"; in a
float32 layer both are one. Integers wrap as NumPy's do. A backend computes an integer in one of the two kinds that it
has instructions for (`carrier`), and cuts the result down.
"""

from __future__ import annotations

import numpy as np

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
FLOATS = ("float", "float32")
KINDS = ("bool", *INTEGERS, *FLOATS)
_CARRIERS = {kind: "int64" if kind in ("int64", "uint32") else "int32" for kind in INTEGERS}


def dtype_of(kind: str, dtype) -> np.dtype:
    """Return the dtype of arrays of a kind; `dtype` is that of "float"."""
    return np.dtype(dtype if kind == "float" else kind)


def kind_of(dtype) -> str | None:
    """Return the kind of a constant's elements, "float" for any float; None for a dtype without a kind."""
    dtype = np.dtype(dtype)
    return "float" if dtype.kind == "f" else dtype.name if dtype.name in KINDS else None


def carrier(kind: str) -> str:
    """Return the kind that a backend keeps elements in: "float", "int32" or "int64"; conditions are 1.0 and 0.0."""
    return _CARRIERS.get(kind, "float")


def common(kinds) -> str:
    """Return the kind in which operands of these kinds are computed together, by NumPy's promotion."""
    kinds = set(kinds)
    if len(kinds) == 1:
        return kinds.pop()
    if "float" in kinds:
        return "float"
    found = np.result_type(*kinds)
    return "float" if found == np.float64 else kind_of(found) or "float" if found.kind != "f" else found.name


def whole(number) -> np.ndarray:
    """Return floats as int64, cut towards 0; the least int64 for those that don't fit, as processors do."""
    number = np.asanyarray(number)
    inside = (number >= -(2.0**63)) & (number < 2.0**63)
    return np.where(inside, np.where(inside, number, 0).astype(np.int64), np.iinfo(np.int64).min)


def cast(array, kind: str, dtype) -> np.ndarray:
    """Return elements of any kind as those of another, with NumPy's result wherever NumPy defines one."""
    array, wanted = np.asanyarray(array), dtype_of(kind, dtype)
    if array.dtype.kind != "f" or wanted.kind not in "iu":
        return array.astype(wanted)
    if carrier(kind) == "int64":
        return whole(array).astype(wanted)
    limit = np.iinfo(np.int32)
    inside = (array > limit.min - 1.0) & (array < limit.max + 1.0)
    return np.where(inside, whole(array), limit.min).astype(wanted)
