"""Progress bars and lines in a terminal or in Jupyter."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any, Protocol

from rnnkit.console import in_jupyter

_FORMAT = "{desc} |{bar:10}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_FORMAT_WITHOUT_TOTAL = "{desc}: {n_fmt} [{elapsed}{postfix}]"


class Bar(Protocol):
    """A bar on the screen; `total` is settable, None if unknown."""

    total: int | None

    def show(self, done: int, description: str, notes: str = "") -> None:
        """Redraw the bar."""

    def close(self) -> None:
        """Leave the bar on the screen."""


def open_bar(total: int | None, leave: bool = True) -> Bar | None:
    """Return a bar in the terminal or the notebook; None without tqdm (extra "progress")."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return _NotebookBar(tqdm, total, leave) if in_jupyter() else _TerminalBar(tqdm, total, leave)


class _TerminalBar:
    def __init__(self, tqdm, total, leave):
        self.total = total
        self._bar = tqdm(total=total, file=sys.stderr, leave=leave, dynamic_ncols=True, bar_format=_format(total))

    def show(self, done, description, notes=""):
        bar = self._bar
        bar.total, bar.n, bar.bar_format = _total(self.total, done), done, _format(self.total)
        bar.set_description_str(description, refresh=False)
        bar.set_postfix_str(notes, refresh=False)
        bar.refresh()

    def close(self):
        self._bar.close()


class _NotebookBar:
    """Text in a cell's output, redrawn in place; it needs no widgets, and its last state is saved."""

    def __init__(self, tqdm, total, leave):
        self.total = total
        self._tqdm, self._leave = tqdm, leave
        self._begun = perf_counter()
        self._handle: Any = None

    def show(self, done, description, notes=""):
        text = self._tqdm.format_meter(
            done,
            _total(self.total, done),
            perf_counter() - self._begun,
            prefix=description,
            postfix=notes,
            bar_format=_format(self.total),
        )
        self._put(text)

    def close(self):
        if not self._leave:
            self._put("")

    def _put(self, text):
        from IPython.display import display

        if self._handle is None:
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)


def _total(total, done) -> int | None:
    return total and max(total, done)  # never more than 100 %


def _format(total) -> str:
    return _FORMAT if total else _FORMAT_WITHOUT_TOTAL
