"""Output for people who may be watching: in a notebook or a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable


def in_jupyter() -> bool:
    """Return whether this runs in a notebook, which shows printed text."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def is_watched() -> bool:
    """Return whether somebody may be watching: in Jupyter, or where standard error is a terminal."""
    return in_jupyter() or (sys.stderr is not None and sys.stderr.isatty())


def printable(text: str, kept: str = "") -> str:
    r"""Return a text without effects on a terminal: unprintable characters are escaped as in Python.

    >>> printable("a\x1b[2J")
    'a\\x1b[2J'
    """
    return "".join(one if one.isprintable() or one in kept else repr(one)[1:-1] for one in text)


log: list[Callable[[str], None]] = []  # at most one function, that takes what `say` would print


def say(text: str) -> None:
    """Print a line, above a bar if there is one: on standard error, or in the notebook."""
    if log:
        log[0](text)
        return
    stream = sys.stdout if in_jupyter() else sys.stderr
    if stream is None:
        return
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(text, file=stream, flush=True)
    else:
        tqdm.tqdm.write(text, file=stream)
