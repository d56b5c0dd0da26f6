"""Memory that starts at a cache line."""

import numpy as np


def aligned(size, dtype):
    """An empty array (size,) that starts at a cache line."""
    dtype = np.dtype(dtype)
    line = 64 // dtype.itemsize
    memory = np.empty(size + line, dtype)
    start = -(memory.__array_interface__["data"][0] // dtype.itemsize) % line
    return memory[start : start + size]
