"""Sizes that move with open ones: a function is tried at two lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_LENGTHS = ((12, 24), (60, 120), (1, 2))  # pairs of sizes that stand in for open ones, until a function takes a pair


def at_two_lengths(
    shapes: Sequence[tuple], at: Callable[[int], Any], attempt: Callable[[], AbstractContextManager] = nullcontext
) -> list[Any]:
    """Return the results of `at` with two sizes in place of those that shapes leave open behind the batch axis."""
    failure = None
    for lengths in _LENGTHS:
        try:
            with attempt():
                return [at(length) for length in lengths]
        except Exception as error:
            failure = failure or error
            if not any(None in one[1:] for one in shapes):
                break
    assert failure is not None, "a pair was tried"
    raise failure


def same_sizes(first: Sequence, second: Sequence) -> tuple:
    """Return the sizes of a shape at two lengths, None for those that differ."""
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
