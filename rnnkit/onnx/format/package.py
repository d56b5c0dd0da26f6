"""Import of the package onnx, and ONNX's types of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

# By ONNX's number for the type; without those of at most 16 bits, complex numbers and texts.
DTYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 11: "f8", 12: "u4", 13: "u8"}
_NUMBERS = {np.dtype(name): number for number, name in DTYPES.items()}


def onnx_package() -> Any:
    """Import the package `onnx`; an ImportError if it is missing."""
    try:
        import onnx  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ImportError("rk.onnx needs onnx; install it with: pip install 'rnnkit[onnx]'") from None
    return onnx


def element_type(dtype) -> int:
    """Return ONNX's number for a dtype."""
    return _NUMBERS[np.dtype(dtype)]


def dtype_of(number: int | None) -> np.dtype:
    """Return the dtype for ONNX's number of a type; a ValueError for a type without layers in rnnkit."""
    if number not in DTYPES:
        raise ValueError(f"expected float, double, integers or bool, got ONNX's type {number}")
    return np.dtype(DTYPES[number])
