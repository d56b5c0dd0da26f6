"""Progress of long fits or commands, shown only to people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from rnnkit.callbacks.bars import open_bar
from rnnkit.callbacks.progress import ProgressBar
from rnnkit.console import is_watched


class Progress:
    """Progress that is not shown, for runs without a terminal or notebook."""

    def __call__(self) -> None:
        """Count one more stage."""

    def tell(self, text: str) -> None:
        """Set a text on the current work."""

    def step(self, text: str) -> None:
        """Count one more stage, and set a text."""


class Shown(Progress):
    """A bar, or a count on one line without tqdm (extra "progress")."""

    def __init__(self, total: int, description: str):
        self.bar = open_bar(total, leave=False)
        self.total, self.description, self.done = total, description, 0
        self.width, self.due = 0, 0.0
        self._show()

    def __call__(self):
        """Count one more stage."""
        self.done += 1
        self._show()

    def tell(self, text):
        """Put the text before the bar, at most ten times a second."""
        self.description = text
        if perf_counter() >= self.due:
            self._show()
            self.due = perf_counter() + 0.1

    def step(self, text):
        """Count one more stage, and set a text as `tell`."""
        self.done += 1
        self.tell(text)

    def _show(self):
        if self.bar is not None:
            self.bar.show(self.done, self.description)
            return
        line = f"{self.description}: {self.done} of {self.total}"
        print(f"\r{line:<{self.width}}", end="", file=sys.stderr, flush=True)
        self.width = len(line)

    def close(self) -> None:
        """Erase the line."""
        if self.bar is not None:
            self.bar.close()
        else:
            print(f"\r{' ' * self.width}\r", end="", file=sys.stderr, flush=True)


@contextmanager
def progress_bar(total: int, description: str, verbose="auto") -> Iterator[Progress]:
    """Yield a temporary bar on standard error; a silent object if nobody watches, or for a single stage."""
    if not (ProgressBar(verbose).wanted and is_watched() and total > 1):
        yield Progress()
        return
    shown = Shown(total, description)
    try:
        yield shown
    finally:
        shown.close()
