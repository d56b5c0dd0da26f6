"""Unique names, and the names that Keras makes of classes."""

from __future__ import annotations

import re
from collections.abc import Iterable


class FreeNames:
    """Names that are each given once: one that is taken gets a number behind it.

    >>> names = FreeNames(["x_1"])
    >>> names.take("x"), names.take("x"), names.take("x")
    ('x', 'x_2', 'x_3')
    """

    def __init__(self, taken: Iterable[str] = ()):
        self._next = dict.fromkeys(taken, 1)  # by the names that are taken, the number to try next

    def take(self, name: str) -> str:
        """Return this name, with a number behind it if it is taken."""
        free = name
        while free in self._next:
            free = f"{name}_{self._next[name]}"
            self._next[name] += 1
        self._next[free] = 1
        return free


def snake_case(class_name: str) -> str:
    """Return a class's name in lower case, as Keras has it in the names of objects.

    >>> snake_case("SimpleRNN"), snake_case("GlobalAveragePooling1D")
    ('simple_rnn', 'global_average_pooling1d')
    """
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
