"""Matrices as integers of a byte: each column has a scale, and its largest entry is 127 of them."""

from __future__ import annotations

import numpy as np


def columns_in_int8(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers ``(K, N)`` from -127 to 127 and scales ``(N,)``, of which the products are near a matrix.

    Raises
    ------
    ValueError
        If a weight is infinite or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> integers, scale = columns_in_int8(np.array([[1.0, 0.0], [-0.5, 0.0]]))
    >>> integers.tolist(), (integers * scale).round(3).tolist()
    ([[127, 0], [-64, 0]], [[1.0, 0.0], [-0.504, 0.0]])
    """
    if not np.isfinite(matrix).all():
        raise ValueError("expected finite weights to round to int8, got infinity or NaN")
    largest = np.abs(matrix).max(axis=0, initial=0)
    scale = (largest / 127).astype(matrix.dtype)
    divisor = np.where(scale > 0, scale, 1)
    return np.clip(np.rint(matrix / divisor), -127, 127).astype(np.int8), scale
