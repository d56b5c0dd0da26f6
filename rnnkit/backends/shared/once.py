"""Attributes that are computed at their first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")


class once(Generic[Found]):
    """Decorator: a property computed once for each object, without the lock that `cached_property` holds in Python 3.11
    for all objects of a class: calls would wait for each other, and a fork's child for a thread that it doesn't have.
    """

    def __init__(self, make: Callable[[Any], Found]):
        self._make, self.__doc__ = make, make.__doc__

    def __get__(self, instance: Any, owner: type) -> Found:
        found = instance.__dict__[self._make.__name__] = self._make(instance)
        return found
