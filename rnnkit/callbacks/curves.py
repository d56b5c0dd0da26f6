"""Curves of losses over the epochs as a small SVG, which takes its colours from the card around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT, _EDGE, _NAMES = 360.0, 84.0, 8.0, 64.0  # pixels; names stand at the lines' ends
_COLOURS = {"loss": "var(--mark)", "val_loss": "var(--second)"}


def curves(lines: Mapping[str, Sequence[float]]) -> str:
    """Return the SVG of one line for each name; nothing of fewer than two finite numbers.

    The axis is logarithmic where all numbers are positive and the largest is more than 50 times the smallest.
    """
    finite = [value for values in lines.values() for value in values if math.isfinite(value)]
    if len(finite) < 2 or max(map(len, lines.values())) < 2:
        return ""
    scaled = math.log if min(finite) > 0 and max(finite) > 50 * min(finite) else float
    low, high = scaled(min(finite)), scaled(max(finite))
    place = lambda value: _EDGE + (_HEIGHT - 2 * _EDGE) * ((high - scaled(value)) / (high - low) if high > low else 0.5)
    drawn = "".join(_line(name, [place(v) if math.isfinite(v) else None for v in lines[name]]) for name in lines)
    named = {name: place(last[-1]) for name in lines if (last := [v for v in lines[name] if math.isfinite(v)])}
    drawn += _names(named)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" '
        f'viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}"><title>loss and val_loss by epoch</title>{drawn}</svg>'
    )


def _line(name: str, heights: Sequence[float | None]) -> str:
    """A line, with gaps where there is no number; a dot where one stands alone."""
    across = (_WIDTH - _NAMES - 2 * _EDGE) / max(len(heights) - 1, 1)
    path, pen = "", "M"
    for i, y in enumerate(heights):
        if y is not None:
            path += f"{pen}{_EDGE + i * across:.1f} {y:.1f}{'h0' if pen == 'M' else ''}"
        pen = "M" if y is None else "L"
    style = f'fill="none" stroke-width="1.8" stroke-linecap="round" style="stroke:{_COLOURS[name]}"'
    return f'<path d="{path}" {style}/>' if path else ""


def _names(heights: Mapping[str, float]) -> str:
    """The names of the lines where these end, a line of text apart at least."""
    texts, lowest = [], -math.inf
    most = _HEIGHT - 4 - 13 * (len(heights) - 1)
    for name, y in sorted(heights.items(), key=lambda one: one[1]):
        lowest, most = max(min(y + 4, most), lowest + 13), most + 13
        style = f'font-size="11" style="fill:{_COLOURS[name]}"'
        texts.append(f'<text x="{_WIDTH - _NAMES:.0f}" y="{lowest:.1f}" {style}>{name}</text>')
    return "".join(texts)
