"""A line about a long compilation, written where somebody is watching."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from rnnkit.console import is_watched, say

AFTER = 2.0  # seconds
_told = threading.local()


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    """Say that `what` is compiled, if it takes long; its parts, compiled meanwhile, are not announced."""
    if not is_watched() or getattr(_told, "what", None):
        yield
        return
    timer = threading.Timer(AFTER, say, (f"rnnkit: compiling {what}, once on this machine",))
    timer.daemon = True
    timer.start()
    _told.what = what
    try:
        yield
    finally:
        _told.what = None
        timer.cancel()
