"""Series in blocks, in memory or on workers, for models that learn from all series together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Blocks:
    """Blocks of series, or results per block, in memory; a subclass has them elsewhere, for picklable functions."""

    def __init__(self, blocks: Sequence[Any]):
        self.blocks = list(blocks)

    def map(self, function: Callable, *arguments: Any) -> list:
        """Return ``function(block, *arguments)`` of every block."""
        return [function(block, *arguments) for block in self.blocks]

    def made(self, function: Callable, *arguments: Any) -> Blocks:
        """Return blocks of ``function(block, *arguments)``, kept where the blocks are."""
        return Blocks(self.map(function, *arguments))

    def some(self, function: Callable, shared: Any, given: Sequence[tuple[int, Any]]) -> list:
        """Return ``function(block, shared, argument)`` for pairs of a block's number and an argument."""
        return [function(self.blocks[number], shared, argument) for number, argument in given]
