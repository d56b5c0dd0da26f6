"""Calls on dask arrays against the same calls on whole NumPy arrays."""

import numpy as np
import pytest
from matrix import flat

dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")

SCHEDULERS = ("sync", "threads")


def cuts(size, rng, most=4):
    """Sizes of chunks that add up to `size`; some may be empty."""
    between = np.sort(rng.integers(0, size + 1, rng.integers(0, most)))
    return tuple(int(n) for n in np.diff([0, *between, size]))


def chunked(array, rng, axes=2):
    """An array in random chunks along its first axes."""
    sizes = [cuts(size, rng) if axis < axes else (size,) for axis, size in enumerate(array.shape)]
    return da.from_array(array, chunks=tuple(sizes))


def leaves(tree):
    """The arrays of nested lists or tuples, in order."""
    if isinstance(tree, (list, tuple)):
        return [leaf for one in tree for leaf in leaves(one)]
    return [] if tree is None else [tree]


def same_as_whole(lazy, whole, scheduler="sync"):
    """Every array comes lazily, and has the shape, the dtype and the bits of its counterpart."""
    lazy, whole = leaves(lazy), flat(leaves(whole))
    assert len(lazy) == len(whole)
    assert all(isinstance(one, da.Array) for one in lazy)
    for got, one, expected in zip(lazy, dask.compute(*lazy, scheduler=scheduler), whole, strict=True):
        assert got.shape == one.shape == expected.shape
        assert got.dtype == one.dtype == expected.dtype
        for sizes, index in zip(got.chunks, range(got.ndim), strict=True):
            assert sum(sizes) == expected.shape[index]
        assert one.tobytes() == np.ascontiguousarray(expected).tobytes()
