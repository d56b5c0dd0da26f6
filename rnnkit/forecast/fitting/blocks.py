"""Series in blocks, wherever these lie: what a model that learns from all series together asks of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Blocks:
    """Blocks of series, or what was made of them. Functions are of modules, so that they can be sent."""

    def map(self, function: Callable, *arguments: Any) -> list:
        """``function(block, *arguments)`` of every block."""
        raise NotImplementedError

    def made(self, function: Callable, *arguments: Any) -> Blocks:
        """The same, which stays where the blocks are."""
        raise NotImplementedError

    def some(self, function: Callable, shared: Any, given: Sequence[tuple[int, Any]]) -> list:
        """``function(block, shared, argument)`` for pairs of a block's number and an argument."""
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
        """Of every block."""
        return [function(block, *arguments) for block in self.blocks]

    def made(self, function, *arguments):
        """Other blocks."""
        return Here(self.map(function, *arguments))

    def some(self, function, shared, given):
        """Of some blocks."""
        return [function(self.blocks[number], shared, argument) for number, argument in given]
