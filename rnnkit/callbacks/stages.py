"""How far a long fit or command has come, shown to people and to nobody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from rnnkit.callbacks.bars import open_bar
from rnnkit.callbacks.progress import ProgressBar
from rnnkit.console import is_watched


class Progress:
    """Shows nothing: what there is where nobody watches."""

    def __call__(self) -> None:
        """One more is done."""

    def tell(self, text: str) -> None:
        """Say what is being done."""

    def step(self, text: str) -> None:
        """Count one more, and say what."""


class Shown(Progress):
    """A bar, or a count on one line where there is no tqdm (extra "progress")."""

    def __init__(self, total: int, description: str):
        self.bar = open_bar(total, leave=False)
        self.total, self.description, self.done = total, description, 0
        self.width, self.due = 0, 0.0
        self._show()

    def __call__(self):
        """Count one more."""
        self.done += 1
        self._show()

    def tell(self, text):
        """Put the text before the bar, ten times a second at most."""
        self.description = text
        if perf_counter() >= self.due:
            self._show()
            self.due = perf_counter() + 0.1

    def step(self, text):
        """As `tell`, of one more that is done."""
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
        """Wipe the line."""
        if self.bar is not None:
            self.bar.close()
        else:
            print(f"\r{' ' * self.width}\r", end="", file=sys.stderr, flush=True)


@contextmanager
def progress_bar(total: int, description: str, verbose="auto") -> Iterator[Progress]:
    """A bar on standard error, which goes away at the end; nothing where nobody watches, and of a single stage."""
    if not (ProgressBar(verbose).wanted and is_watched() and total > 1):
        yield Progress()
        return
    shown = Shown(total, description)
    try:
        yield shown
    finally:
        shown.close()
