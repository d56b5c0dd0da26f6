"""Arguments as dask arrays with aligned chunks."""

from __future__ import annotations

import math
import warnings

import numpy as np

from rnnkit.arrays import REAL
from rnnkit.distributed.graphs import dask
from rnnkit.layers.support import validation


def is_chunked(value) -> bool:
    return isinstance(value, dask().Array)


def checked(value, what: str):
    """Check that a dask array has real numbers and a known size; return other values unchanged."""
    if not is_chunked(value):
        return value
    if any(math.isnan(size) for sizes in value.chunks for size in sizes):
        raise ValueError(
            f"expected {what} with chunks of known size, got the shape {value.shape}; {what}.compute_chunk_sizes() "
            "finds the sizes, which computes the array once"
        )
    if value.dtype.kind not in REAL:
        validation.array(np.empty(0, value.dtype), what)  # raises the usual error
    return value


def chunked(value, what: str, rows, steps=None):
    """Return an argument in chunks of these rows, and of these steps if it has an axis of time; other axes whole.

    `rows` and `steps` are tuples of sizes, of steps None for one chunk; `what` names the argument in errors.
    """
    value = checked(value, what) if is_chunked(value) else validation.array(value, what)
    wanted = {0: rows} | ({} if steps is None else {1: steps})
    sizes = tuple(wanted.get(axis, (size,)) for axis, size in enumerate(value.shape))
    if not is_chunked(value):
        return dask().from_array(value, chunks=sizes)
    if sizes == value.chunks:
        return value
    if (apart := [axis for axis in range(2, value.ndim) if len(value.chunks[axis]) > 1]) and what == "x":
        count = math.prod(len(value.chunks[axis]) for axis in apart)
        warnings.warn(
            f"x has {count} chunks along its features, which are merged: every chunk of {value.nbytes:,} bytes in all "
            f"is copied, and moved between workers; x.rechunk({dict.fromkeys(apart, -1)}) where x is made avoids it",
            dask().PerformanceWarning,
            stacklevel=2,
        )
    return value.rechunk(sizes)


def mask_in_chunks(mask, x):
    """Return a mask (B, T) in the chunks of x, from one (B, T) or (B, T, 1); a ValueError for any other shape."""
    if mask is None:
        return None
    mask = checked(mask, "mask") if is_chunked(mask) else validation.array(mask, "mask")
    if mask.shape == (*x.shape[:2], 1):
        mask = mask[:, :, 0]
    if mask.shape != x.shape[:2]:
        raise ValueError(f"expected mask of shape {x.shape[:2]}, one value per step; got {mask.shape}")
    return chunked(mask, "mask", *x.chunks[:2])


def turned(mask):
    """Reverse a mask along time; `mask[:, ::-1]` loses the only step beside several empty chunks."""
    return mask.blocks[:, ::-1].map_blocks(lambda chunk: chunk[:, ::-1], dtype=mask.dtype, meta=mask._meta)
