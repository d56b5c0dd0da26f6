"""How far a long command has come, shown to people and to nobody else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rnnkit.callbacks.bars import is_watched, open_bar


@contextmanager
def progress_bar(total: int, description: str) -> Iterator[Callable[[], None]]:
    """A bar on standard error that the function given moves on by one; nothing where nobody looks.

    With tqdm where it is installed (extra "progress"), a plain count otherwise.
    """
    if not is_watched():
        yield lambda: None
        return
    bar = open_bar(total, leave=False)
    done = 0

    def advance():
        nonlocal done
        done += 1
        if bar is None:
            print(f"\r{description}: {done} of {total}", end="", file=sys.stderr, flush=True)
        else:
            bar.show(done, description)

    try:
        if bar is not None:
            bar.show(0, description)
        yield advance
    finally:
        if bar is None:
            print(f"\r{' ' * (len(description) + 30)}\r", end="", file=sys.stderr, flush=True)
        else:
            bar.close()
