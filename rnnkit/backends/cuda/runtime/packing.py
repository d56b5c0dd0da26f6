"""Weights as a GPU's kernels read them."""

from __future__ import annotations

import numpy as np

from rnnkit.backends.cuda.codegen.product import WIDE
from rnnkit.backends.shared.prepack import Layout


def pack(weight: np.ndarray, gates, units: int) -> np.ndarray:
    """Lay out a weight ``(K, N)`` for products: `WIDE` bytes of each column, column after column; then the next rows.

    With `gates`, the columns are ``g … g + units - 1`` for each of these, gate after gate. The result is ``(groups of
    rows, N, rows of a group)``. Rows beyond K are 0, and one group more is read.
    """
    if gates:
        weight = np.concatenate([weight[:, gate : gate + units] for gate in gates], axis=1)
    rows, columns = weight.shape
    lanes = WIDE // weight.itemsize
    groups = -(-rows // lanes) + 1
    padded = np.zeros((groups * lanes, columns), weight.dtype)
    padded[:rows] = weight
    return np.ascontiguousarray(padded.reshape(groups, lanes, columns).swapaxes(1, 2))


def pack_sparse(weight: np.ndarray) -> dict[str, np.ndarray]:
    """Return the nonzeros of each column from the top down, side by side with its neighbours'.

    ``values`` and ``indices`` (int64) are ``(most nonzeros of a column, N)``, ``counts`` (int64) is ``(N,)``.
    """
    columns, rows = np.nonzero(weight.T)
    counts = np.bincount(columns, minlength=weight.shape[1])
    places = np.arange(len(columns)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = max(1, int(counts.max(initial=0))), weight.shape[1]
    values, indices = np.zeros(shape, weight.dtype), np.zeros(shape, np.int64)
    values[places, columns], indices[places, columns] = weight[rows, columns], rows
    return {"values": values, "indices": indices, "counts": counts.astype(np.int64)}


LAYOUT = Layout(lambda array: array, pack, pack_sparse)
