"""Ctrl-C between two batches rather than in the middle of one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class _Presses:
    """Signal handler that remembers the first Ctrl-C, and interrupts at the second."""

    def __init__(self):
        self.any = False

    def __call__(self, number, frame):
        if self.any:
            raise KeyboardInterrupt
        self.any = True


@contextlib.contextmanager
def after_the_batch() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back; the function given says whether it was pressed. A second one interrupts at once.

    Only Python's own handler is replaced, and only in the main thread: another one was set on purpose. A fit within a
    fit ends with that.
    """
    presses = _Presses()
    mine = False
    if threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGINT)
        mine = before is signal.default_int_handler
        if isinstance(before, _Presses):
            presses = before
    if mine:
        signal.signal(signal.SIGINT, presses)
    try:
        yield lambda: presses.any
    finally:
        if mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)
