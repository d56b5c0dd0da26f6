"""Refusal of arrays that no machine can hold, before anything of their size is allocated, drawn or computed.

Without this, NumPy raises an error of its own for some of them, and none for others: an operating system may lend more
memory than there is, and end the process when it is used.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from rnnkit.circumstances import circumstances, within

_LEAST, _TIMES = 1 << 26, 16  # bytes that any file may ask for, and the multiple of its size that a large one may
MANY_ROWS = 1 << 20  # the states of smaller batches aren't checked, which would slow short calls down


@cache
def physical_memory() -> int | None:
    """Return the bytes of memory of this machine; None where the system doesn't say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # of Windows, and of systems without the name
        return None


def check(what: str, shape, dtype=np.float64) -> None:
    """Refuse an array beyond this machine's memory by a MemoryError, beyond the limit of `limited` by a ValueError."""
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if wanted > sys.maxsize or max(shape, default=0) > sys.maxsize:
        raise ValueError(
            f"expected {what} of a size that can be addressed, got shape {tuple(shape)}, {in_bytes(wanted)}"
        )
    limit = circumstances().limit
    if limit is not None and wanted > limit.left:
        raise ValueError(
            f"expected {what} to take at most {in_bytes(limit.left)}, what is left of the {in_bytes(limit.size)} that "
            f"{limit.whose} may ask for; got shape {tuple(shape)}, {in_bytes(wanted)}"
        )
    there = physical_memory()
    if there is not None and wanted > there:
        raise MemoryError(
            f"expected {what} to fit in memory, {in_bytes(there)} on this machine, got shape {tuple(shape)}, "
            f"{in_bytes(wanted)}"
        )


def expect(size: int) -> None:
    """Let the C library keep so many bytes for the next arrays when they are freed, which it decides by what was freed.

    glibc returns all that is free above twice the largest block, up to 32 MB, that was freed before, and each page that
    is asked for again costs as much as some thousand numbers.
    """
    global _expected
    size = min(size, _MOST_KEPT)
    if size > _expected:
        _expected = size
        np.empty(size, np.uint8)  # freed at once, and never written to


_expected, _MOST_KEPT = 0, (1 << 25) - (1 << 16)


def keep(what: str, shape, dtype) -> None:
    """Check an array that stays in memory, and count it towards the limit of `limited`."""
    check(what, shape, dtype)
    if (limit := circumstances().limit) is not None:
        limit.left -= math.prod(shape) * np.dtype(dtype).itemsize


@dataclass
class _Limit:
    size: int
    left: int
    whose: str


def limited(file_size: int) -> contextlib.AbstractContextManager:
    """Limit, inside the ``with``, the arrays that a file may ask for: kept ones by their sum, each other one alone."""
    size = max(_LEAST, _TIMES * file_size)
    return within(limit=_Limit(size, size, f"a file of {in_bytes(file_size)}"))


def check_weights(name: str, shapes: Mapping[str, tuple[int, ...]], dtype) -> None:
    """Refuse a cell's weights that don't fit in memory, each as it is drawn, in float64, and all together."""
    for weight, shape in shapes.items():
        check(f"the weight {weight!r} of {name!r}", shape)
    check(f"the weights of {name!r}", (sum(map(math.prod, shapes.values())),), dtype)


def retold(error: MemoryError, what: str) -> MemoryError:
    """Return NumPy's error with a text that says what the memory was for; another error with a text as it is."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if shape is not None and dtype is not None:
        wanted = in_bytes(math.prod(shape) * dtype.itemsize)
        return MemoryError(f"expected memory for {what}, got none for {wanted}, {dtype} of shape {tuple(shape)}")
    return error if str(error) else MemoryError(f"expected memory for {what}, got none")


@contextlib.contextmanager
def named(what: str):
    """Raise NumPy's errors inside in the words of `retold`; a short call has a ``try`` of its own, which costs less."""
    try:
        yield
    except MemoryError as error:
        raise retold(error, what) from None


def in_bytes(count: int) -> str:
    """Return a number of bytes as rounded text.

    >>> in_bytes(8 * 10**15)
    '8 PB'
    """
    for power, unit in enumerate(("bytes", "kB", "MB", "GB", "TB", "PB", "EB")):
        if count < 1000 ** (power + 1):
            return f"{count / 1000**power:.3g} {unit}"
    return f"10^{math.floor(math.log10(count))} bytes"
