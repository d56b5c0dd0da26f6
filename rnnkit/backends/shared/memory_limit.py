"""The limit of the memory that a gradient may keep of one call; apart from all modules that need numba."""

from __future__ import annotations

import os

from rnnkit.arguments import is_integer, shown

_limit: int | None = None


def get_memory_limit() -> int:
    """Return how many bytes a gradient may keep of one call.

    Beyond, ``checkpoint="auto"`` stores every √T-th state instead. 1 GiB by default, or ``RNNKIT_MEMORY_LIMIT``.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.get_memory_limit() > 0
    True
    """
    global _limit
    if _limit is None:
        _limit = _default()
    return _limit


def set_memory_limit(limit: int) -> None:
    """Set how many bytes a gradient may keep of one call before ``checkpoint="auto"`` computes steps again.

    Parameters
    ----------
    limit : int
        Bytes, 0 or more.

    Raises
    ------
    ValueError
        If it is negative or no integer.

    Examples
    --------
    >>> import rnnkit as rk
    >>> before = rk.get_memory_limit()
    >>> rk.set_memory_limit(1 << 28)
    >>> rk.get_memory_limit()
    268435456
    >>> rk.set_memory_limit(before)
    """
    global _limit
    if not is_integer(limit) or not 0 <= limit < 1 << 63:
        raise ValueError(f"expected a number of bytes, 0 or more, got {shown(limit)}")
    _limit = int(limit)


def _default() -> int:
    given = os.environ.get("RNNKIT_MEMORY_LIMIT", "").strip()
    if given and not given.isdecimal():
        raise ValueError(f"expected RNNKIT_MEMORY_LIMIT to be a number of bytes, got {given!r}")
    return int(given) if given else 1 << 30
