"""Complex numbers as pairs: real parts, then imaginary parts, along an axis of two in front of an array's own axes.

Steps and users see complex arrays. Programs, training and files have the pairs, which are real.
"""

from __future__ import annotations

from typing import Any

import numpy as np

KINDS = ("float", "complex")  # of a state's or weight's numbers, in the layer's precision


def is_complex(value) -> bool:
    """Return whether this is a complex number, or an array or a symbol of them.

    >>> is_complex(1j), is_complex(np.zeros(2, "complex64")), is_complex(1.0)
    (True, True, False)
    """
    return isinstance(value, complex) or getattr(getattr(value, "dtype", None), "kind", "") == "c"


def says_complex(dtype, what: str) -> bool:
    """Return whether a declared dtype is "complex"; a ValueError for anything but "float" and "complex"."""
    if dtype not in KINDS:
        raise ValueError(f"expected the dtype of {what} as 'float' or 'complex', got {dtype!r}")
    return dtype == "complex"


def to_pairs(value, axis: int, dtype=None) -> Any:
    """Return the pairs of complex or real numbers, along a new axis.

    >>> to_pairs(np.array([[1 + 2j, 3]]), 1).tolist()
    [[[1.0, 3.0], [2.0, 0.0]]]
    """
    if not isinstance(value, np.ndarray):
        return np.stack([value.real, value.imag], axis)
    shape = *value.shape[:axis], 2, *value.shape[axis:]
    found = np.empty_like(value, dtype or value.real.dtype, order="C", shape=shape)
    here: Any = (slice(None),) * axis
    found[(*here, 0)], found[(*here, 1)] = value.real, value.imag
    return found


def to_complex(pairs, axis: int) -> Any:
    """Return the complex numbers whose pairs stand along an axis.

    >>> to_complex(np.array([[[1.0, 3.0], [2.0, 0.0]]]), 1)
    array([[1.+2.j, 3.+0.j]])
    """
    here = (slice(None),) * axis
    real, imag = pairs[(*here, 0)], pairs[(*here, 1)]
    if not isinstance(pairs, np.ndarray):
        return real.with_imag(imag)  # a symbol
    found = np.empty_like(real, np.result_type(pairs.dtype, np.complex64), order="C")
    found.real[...], found.imag[...] = real, imag
    return found
