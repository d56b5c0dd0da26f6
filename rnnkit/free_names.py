"""Names that nothing else has."""

from __future__ import annotations

from collections.abc import Iterable


class FreeNames:
    """Gives each name once: one that is taken gets a number behind it.

    >>> names = FreeNames(["x_1"])
    >>> names.take("x"), names.take("x"), names.take("x")
    ('x', 'x_2', 'x_3')
    """

    def __init__(self, taken: Iterable[str] = ()):
        self._next = dict.fromkeys(taken, 1)  # by the names that are taken, the number to try next

    def take(self, name: str) -> str:
        """This name, or with a number behind it."""
        free = name
        while free in self._next:
            free = f"{name}_{self._next[name]}"
            self._next[name] += 1
        self._next[free] = 1
        return free
