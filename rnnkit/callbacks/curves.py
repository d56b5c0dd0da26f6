"""Curves of losses over the epochs as a small SVG, with the colours of the surrounding card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT, _EDGE = 380.0, 108.0, 8.0  # pixels
_LEFT, _RIGHT, _BELOW = 66.0, 64.0, 18.0  # pixels for numbers, for names at the lines' ends, and for epochs
_FLOOR = _HEIGHT - _BELOW  # height of the axis of epochs
_COLOURS = {"loss": "var(--mark)", "val_loss": "var(--second)"}


def curves(lines: Mapping[str, Sequence[float]], first: int = 1) -> str:
    """Return the SVG of a line for each name over epochs; an empty text for fewer than two finite numbers.

    The axis is logarithmic if all numbers are positive and the largest exceeds 50 times the smallest.
    """
    finite = [value for values in lines.values() for value in values if math.isfinite(value)]
    if len(finite) < 2 or max(map(len, lines.values())) < 2:
        return ""
    scaled = math.log if min(finite) > 0 and max(finite) > 50 * min(finite) else float
    low, high = scaled(min(finite)), scaled(max(finite))
    share = lambda value: (high - scaled(value)) / (high - low) if high > low else 0.5
    place = lambda value: _EDGE + (_FLOOR - 2 * _EDGE) * share(value)
    middle = min(finite) / 2 + max(finite) / 2 if scaled is float else math.exp(low / 2 + high / 2)
    drawn = _axes(
        {place(value): value for value in (max(finite), middle, min(finite))}, first, max(map(len, lines.values()))
    )
    drawn += "".join(_line(name, [place(v) if math.isfinite(v) else None for v in lines[name]]) for name in lines)
    named = {name: place(last[-1]) for name in lines if (last := [v for v in lines[name] if math.isfinite(v)])}
    drawn += _names(named)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" '
        f'viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}"><title>loss and val_loss by epoch</title>{drawn}</svg>'
    )


def _axes(numbers: Mapping[float, float], first: int, epochs: int) -> str:
    """Return the SVG of tick labels with grid lines, and of the first and the last epoch below."""
    end = _WIDTH - _RIGHT - _EDGE
    style = 'style="stroke:var(--line)"'
    drawn = "".join(f'<path d="M{_LEFT} {y:.1f}H{end}" {style}/>' for y in numbers)
    told = [(_LEFT - 5, y + 4, "end", f"{value:.3g}") for y, value in numbers.items()]
    told += [(_LEFT, _HEIGHT - 4, "start", f"epoch {first}"), (end, _HEIGHT - 4, "end", f"{first + epochs - 1}")]
    return drawn + "".join(
        f'<text x="{x:.0f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" style="fill:var(--soft)">{text}</text>'
        for x, y, anchor, text in told
    )


def _line(name: str, heights: Sequence[float | None]) -> str:
    """Return the SVG of a line with gaps at missing numbers; single points are dots."""
    across = (_WIDTH - _LEFT - _RIGHT - _EDGE) / max(len(heights) - 1, 1)
    path, pen = "", "M"
    for i, y in enumerate(heights):
        if y is not None:
            path += f"{pen}{_LEFT + i * across:.1f} {y:.1f}{'h0' if pen == 'M' else ''}"
        pen = "M" if y is None else "L"
    style = f'fill="none" stroke-width="1.8" stroke-linecap="round" style="stroke:{_COLOURS[name]}"'
    return f'<path d="{path}" {style}/>' if path else ""


def _names(heights: Mapping[str, float]) -> str:
    """Return the SVG of the lines' names at their ends, at least a text line apart."""
    texts, lowest = [], -math.inf
    most = _FLOOR - 4 - 13 * (len(heights) - 1)
    for name, y in sorted(heights.items(), key=lambda one: one[1]):
        lowest, most = max(min(y + 4, most), lowest + 13), most + 13
        style = f'font-size="11" style="fill:{_COLOURS[name]}"'
        texts.append(f'<text x="{_WIDTH - _RIGHT:.0f}" y="{lowest:.1f}" {style}>{name}</text>')
    return "".join(texts)
