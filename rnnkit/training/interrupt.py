"""Ctrl-C between two batches rather than in the middle of one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def after_the_batch() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back; the function given says whether it was pressed. A second one interrupts at once.

    Only Python's own handler is replaced, and only in the main thread: whoever set another one has plans for it.
    """
    pressed = False

    def handle(number, frame):
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    mine = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if mine:
        signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: pressed
    finally:
        if mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)
