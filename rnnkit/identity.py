"""Objects that equal themselves alone, in keys and in what is compared."""

from __future__ import annotations

from typing import Any


class Same:
    """Wrapper of an object that equals another one with the same object, which it keeps alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self):
        return id(self.value)
