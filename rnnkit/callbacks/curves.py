"""Curves of losses over the epochs as a small SVG, which takes its colours from the card around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT, _EDGE = 300.0, 72.0, 5.0  # pixels
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
    drawn = "".join(_line(name, values, scaled, low, high) for name, values in lines.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" '
        f'viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}"><title>loss and val_loss by epoch</title>{drawn}</svg>'
    )


def _line(name, values, scaled, low, high) -> str:
    """A line, with gaps where numbers are not finite; a dot where it has one point."""
    across, tall = (_WIDTH - 2 * _EDGE) / max(len(values) - 1, 1), _HEIGHT - 2 * _EDGE
    path, pen = [], "M"
    for i, value in enumerate(values):
        if not math.isfinite(value):
            pen = "M"
            continue
        part = (high - scaled(value)) / (high - low) if high > low else 0.5
        x, y = _EDGE + i * across, _EDGE + part * tall
        path.append(f"{pen}{x:.1f} {y:.1f}" + ("h0" if pen == "M" else ""))
        pen = "L"
    style = f'fill="none" stroke-width="1.8" stroke-linecap="round" style="stroke:{_COLOURS[name]}"'
    return f'<path d="{"".join(path)}" {style}/>' if path else ""
