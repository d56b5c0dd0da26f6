"""How far a long command has come, shown to people and to nobody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Progress:
    """Shows nothing: what there is where nobody watches."""

    def __call__(self) -> None:
        """One more is done."""

    def tell(self, text: str) -> None:
        """Say what is being done."""


class Bar(Progress):
    """A bar of tqdm's."""

    def __init__(self, bar):
        self.bar, self.due = bar, 0.0

    def __call__(self):
        """Move the bar on."""
        self.bar.update()

    def tell(self, text):
        """Put the text before the bar, ten times a second at most."""
        due = perf_counter() >= self.due
        self.bar.set_description_str(text, refresh=due)
        if due:
            self.due = perf_counter() + 0.1


class Count(Progress):
    """A count on one line."""

    def __init__(self, total: int, description: str):
        self.total, self.description, self.done = total, description, 0
        self.width, self.due = 0, 0.0

    def __call__(self):
        """Count one more."""
        self.done += 1
        self._show()

    def tell(self, text):
        """Put the text before the count, ten times a second at most."""
        self.description = text
        if perf_counter() >= self.due:
            self._show()
            self.due = perf_counter() + 0.1

    def _show(self):
        line = f"{self.description}: {self.done} of {self.total}"
        print(f"\r{line:<{self.width}}", end="", file=sys.stderr, flush=True)
        self.width = len(line)

    def close(self) -> None:
        """Wipe the line."""
        print(f"\r{' ' * self.width}\r", end="", file=sys.stderr, flush=True)


@contextmanager
def progress_bar(total: int, description: str) -> Iterator[Progress]:
    """A bar on standard error; nothing where that is not a terminal.

    With tqdm where it is installed (extra "progress"), a plain count otherwise.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield Progress()
        return
    try:
        from tqdm import tqdm
    except ImportError:
        count = Count(total, description)
        try:
            yield count
        finally:
            count.close()
        return
    with tqdm(total=total, desc=description, leave=False, dynamic_ncols=True) as bar:
        yield Bar(bar)
