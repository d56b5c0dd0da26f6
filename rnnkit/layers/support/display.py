"""How layers show themselves to people: lines, shapes, a table for the notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np


class Text(str):
    """A string that shows its lines, not its quotes, where a session echoes it."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


def show_shape(shape) -> str:
    """A shape, or several, for people: a dash for open sizes."""
    if isinstance(shape, (list, tuple)) and shape and all(size is None or isinstance(size, int) for size in shape):
        return "(" + ", ".join("–" if size is None else str(size) for size in shape) + ")"
    return ", ".join(show_shape(part) for part in shape)


def columns(rows, right: set[str]) -> str:
    """Lines of text in columns under their heads, a rule below these; the columns named by `right` end together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{text:>{width}}" if head in right else f"{text:<{width}}"
            for text, width, head in zip(row, widths, rows[0], strict=True)
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "─" * max(map(len, lines)))
    return "\n".join(lines)


def table_of(name: str, code: str, facts: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """An HTML table: a title, the facts that aren't empty, and a row for every array."""
    lines = "".join(f"<tr><th>{k}</th><td colspan=2>{html.escape(v)}</td></tr>" for k, v in facts.items() if v)
    rows = "".join(
        f"<tr><td>{html.escape(key)}</td><td>{array.shape}</td><td>{array.dtype}</td></tr>"
        for key, array in arrays.items()
    )
    head = "<tr><th>weight</th><th>shape</th><th>dtype</th></tr>" if rows else ""
    title = f"<strong>{html.escape(name)}</strong> <code>{html.escape(code)}</code>"
    return f"<div>{title}<table>{lines}{head}{rows}</table></div>"
