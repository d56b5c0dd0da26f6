"""Lines of generated text."""

from __future__ import annotations


def indented(lines) -> list[str]:
    return ["    " + line for line in lines]
