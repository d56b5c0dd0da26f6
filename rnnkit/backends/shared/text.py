"""Lines of generated text."""

from __future__ import annotations


def indented(lines) -> list[str]:
    """The lines of a block."""
    return ["    " + line for line in lines]
