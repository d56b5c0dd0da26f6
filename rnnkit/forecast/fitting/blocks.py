"""Series in blocks, in memory or on workers, for models that learn from all series together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Blocks:
    """Blocks of series, or results per block; functions must be picklable."""

    def map(self, function: Callable, *arguments: Any) -> list:
        """Return ``function(block, *arguments)`` of every block."""
        raise NotImplementedError

    def made(self, function: Callable, *arguments: Any) -> Blocks:
        """Return blocks of ``function(block, *arguments)``, kept where the blocks are."""
        raise NotImplementedError

    def some(self, function: Callable, shared: Any, given: Sequence[tuple[int, Any]]) -> list:
        """Return ``function(block, shared, argument)`` for pairs of a block's number and an argument."""
        raise NotImplementedError


class Here(Blocks):
    """Blocks in memory.

    Examples
    --------
    >>> blocks = Here([[1, 2], [3]]).made(sorted)
    >>> blocks.map(len)
    [2, 1]
    """

    def __init__(self, blocks: Sequence[Any]):
        self.blocks = list(blocks)

    def map(self, function, *arguments):
        """Return the function's value for every block."""
        return [function(block, *arguments) for block in self.blocks]

    def made(self, function, *arguments):
        """Return blocks of the function's values."""
        return Here(self.map(function, *arguments))

    def some(self, function, shared, given):
        """Return the function's value for some blocks."""
        return [function(self.blocks[number], shared, argument) for number, argument in given]
