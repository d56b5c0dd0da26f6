"""How far a long command has come, shown to people and to nobody else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, description: str) -> Iterator[Callable[[], None]]:
    """A bar on standard error that the function given moves on by one; nothing where that is not a terminal.

    With tqdm where it is installed (extra "progress"), a plain count otherwise.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        done = 0

        def count():
            nonlocal done
            done += 1
            print(f"\r{description}: {done} of {total}", end="", file=sys.stderr, flush=True)

        try:
            yield count
        finally:
            print(f"\r{' ' * (len(description) + 30)}\r", end="", file=sys.stderr, flush=True)
        return
    with tqdm(total=total, desc=description, leave=False) as bar:
        yield lambda: bar.update() and None
