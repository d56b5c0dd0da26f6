"""The package onnx, and the types of numbers that its format has beside NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

# By ONNX's number for the type; those of 16 bits and fewer, complex numbers and texts are left out.
DTYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 11: "f8", 12: "u4", 13: "u8"}
_NUMBERS = {np.dtype(name): number for number, name in DTYPES.items()}


def onnx_package() -> Any:
    """The package `onnx`.

    Raises
    ------
    ImportError
        If it isn't installed.
    """
    try:
        import onnx  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ImportError("rk.onnx needs onnx; install it with: pip install 'rnnkit[onnx]'") from None
    return onnx


def element_type(dtype) -> int:
    """ONNX's number for a dtype."""
    return _NUMBERS[np.dtype(dtype)]


def dtype_of(number: int | None) -> np.dtype:
    """The dtype that a number of ONNX's stands for.

    Raises
    ------
    ValueError
        For a type that rnnkit has no layers for.
    """
    if number not in DTYPES:
        raise ValueError(f"expected float, double, integers or bool, got ONNX's type {number}")
    return np.dtype(DTYPES[number])
