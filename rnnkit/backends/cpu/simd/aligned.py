"""Memory that starts at a cache line."""

import numpy as np

LINE = 64  # bytes of a cache line


def aligned(size, dtype):
    """Return an empty array (size,) that starts at a cache line."""
    dtype = np.dtype(dtype)
    line = LINE // dtype.itemsize
    memory = np.empty(size + line, dtype)
    start = -(memory.__array_interface__["data"][0] // dtype.itemsize) % line
    return memory[start : start + size]
