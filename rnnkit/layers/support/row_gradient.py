"""The gradient of a table of which a call read some rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from rnnkit.hints import Array, DType, Shape
from rnnkit.opaque import opaque

# Rows that are added up before their sum is added to others: in one long sum, rounding errors would grow.
_TOGETHER = 128


class RowGradient(NDArrayOperatorsMixin):
    """The gradient of a table of which few rows were read; all others are zero.

    In any NumPy function or operator it is the dense array ``(N, D)``. Code that updates only the rows that were read
    takes `ids` and `rows`.

    Parameters
    ----------
    ids : ndarray of int (K,)
        The rows that were read, each once and in order.
    rows : ndarray (K, D)
        Their gradients.
    shape : tuple
        ``(N, D)``, the table's.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.Embedding(1000, 2, seed=0)
    >>> y, pullback = layer.vjp([[7, 3, 7]])
    >>> gradient = pullback(np.ones_like(y)).weights["embeddings"]
    >>> gradient
    RowGradient(2 of 1000 rows, float32 (1000, 2))
    >>> gradient.ids, gradient.rows
    (array([3, 7]), array([[1., 1.], [2., 2.]], dtype=float32))
    >>> table = np.array(layer.weights["embeddings"])
    >>> table[gradient.ids] -= 0.1 * gradient.rows
    >>> bool((table == layer.weights["embeddings"] - 0.1 * gradient).all())
    True
    """

    rows: Any
    ids: Any
    shape: Any

    def __init__(self, ids: Any, rows: Array, shape: Shape):
        self.ids, self.rows, self.shape = ids, rows, tuple(shape)

    @classmethod
    def sums(cls, ids: Any, rows: Array, shape: Shape) -> RowGradient:
        """Make a gradient of rows ``(n, D)`` for ids ``(n,)`` in any order: rows of one id are added in that order."""
        short = ids.astype(np.uint16) if shape[0] <= 1 << 16 else ids  # a stable sort of 16 bits takes a third
        order = np.argsort(short, kind="stable")
        ordered = ids[order]
        first = np.ones(len(ids) + 1, bool)  # and where the last one ends
        np.not_equal(ordered[1:], ordered[:-1], out=first[1:-1])
        bounds = np.flatnonzero(first)
        return cls(ordered[bounds[:-1]], _added(rows, order, bounds), shape)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the rows."""
        return self.rows.dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the table."""
        return len(self.shape)

    def copy(self) -> RowGradient:
        """Return a copy, with arrays of its own."""
        return RowGradient(self.ids.copy(), self.rows.copy(), self.shape)

    def renew(self, other: RowGradient) -> None:
        """Become the gradient of another call."""
        self.ids, self.rows = other.ids, other.rows

    def to_dense(self) -> np.ndarray:
        """Return the whole array ``(N, D)``, as ``np.asarray`` gives it."""
        dense = np.zeros(self.shape, self.dtype)
        dense[self.ids] = self.rows
        return dense

    def __array__(self, dtype: DType = None, copy: Any = None) -> Any:
        if copy is False:
            raise ValueError("expected copy=None or True: the dense form of a RowGradient is a new array")
        dense = self.to_dense()
        return dense if dtype is None else dense.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **keywords: Any) -> Any:
        dense = (one.to_dense() if isinstance(one, RowGradient) else one for one in inputs)
        return getattr(ufunc, method)(*dense, **keywords)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"RowGradient({len(self.ids)} of {self.shape[0]} rows, {self.dtype} {self.shape})"


def added_up(first, second):
    """Return the sum of two gradients of one weight; a `RowGradient` if both are."""
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return first + second
    return opaque(_sum, first, second, draws=True)


def _sum(first, second):
    if isinstance(first, RowGradient) and isinstance(second, RowGradient):
        ids, rows = np.concatenate([first.ids, second.ids]), np.concatenate([first.rows, second.rows])
        return RowGradient.sums(ids, rows, first.shape)
    return first + second


def _added(rows, order, bounds) -> np.ndarray:
    from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

    count, width = len(bounds) - 1, rows.shape[1]
    given = rows, order, bounds, New((count, width)), count, width, _TOGETHER
    return run_kernel("row_sums.row_sums", rows.dtype, *given)
