"""Ctrl-C while a program is compiled or loaded."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def behind_it() -> Iterator[None]:
    """Hold Ctrl-C back until the end; a second one interrupts at once.

    LLVM calls Python, and an exception raised there is lost. Only Python's own handler in the main thread is replaced.
    """
    mine = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    waiting = False

    def handle(number, frame):
        nonlocal waiting
        if waiting:
            raise KeyboardInterrupt
        waiting = True

    if mine:
        signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if waiting:
        raise KeyboardInterrupt
