"""Sums of a least-squares problem over chunks: the same bits for the same chunks, on any threads and workers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnkit.distributed.threads import share


class Sums(NamedTuple):
    """Sums of a chunk: products of ``[1, features]`` with ``[1, features, targets]``, and the number of steps."""

    products: np.ndarray
    steps: int


def of_chunk(features, targets, mask, skipped: int) -> Sums:
    """Return the sums over the used steps of one chunk: where the mask is non-zero and no target is NaN.

    The first `skipped` are left out. Features are ``(B, T, F)``, targets ``(B, T, O)``, the mask ``(B, T)`` or None.
    """
    used = ~np.isnan(targets).any(axis=2)
    used[:, :skipped] = False
    if mask is not None:
        used &= mask != 0
    with share():
        return Sums(products(features[used], targets[used]), int(used.sum()))


def products(features, targets) -> np.ndarray:
    """Return the matrix product, each element one chain of multiply-adds over the rows, unlike BLAS."""
    from rnnkit.backends.cpu.compile import outer_products
    from rnnkit.backends.cpu.kernels.matmul import packed_width
    from rnnkit.backends.cpu.simd.aligned import aligned
    from rnnkit.backends.cpu.weight_sums import OuterSum

    dtype = np.dtype(np.float64)
    count, width = features.shape[1], 1 + features.shape[1] + targets.shape[1]
    space = len(features), packed_width(width, dtype)
    rows = aligned(space[0] * space[1], dtype).reshape(space)
    rows[:, 0], rows[:, 1 : 1 + count], rows[:, 1 + count : width], rows[:, width:] = 1.0, features, targets, 0.0
    sums = OuterSum(outer_products(dtype.name), 1 + count, width)
    starts = rows.strides[0] * np.arange(len(rows))
    sums.add(rows, rows, np.column_stack([starts, starts]))
    return np.array(sums.total)


def added(*parts: Sums) -> Sums:
    """Add several chunks' sums in order."""
    products = parts[0].products.copy()
    for part in parts[1:]:
        products += part.products
    return Sums(products, sum(part.steps for part in parts))
