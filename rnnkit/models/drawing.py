"""A graph of boxes and arrows as an SVG, from the top to the bottom."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_LETTER, _LINE, _PAD, _GAP, _DROP = 6.6, 15, 9, 26, 46  # pixels: a letter's width, a line's height, margins
_FILLS = {"input": "#eef1f5", "recurrent": "#dbe8fb", "merge": "#dff2e1", "other": "#faf3df", "model": "#efe4f8"}
_INK, _LINES = "#1f2733", "#8792a2"  # both can be read on white and on dark


@dataclass(frozen=True)
class Box:
    """Content of one box: a title, more lines, and a kind, which chooses the colour."""

    title: str
    lines: tuple[str, ...]
    kind: str = "other"

    @property
    def width(self) -> float:
        """The width in pixels."""
        return max(84.0, max(len(self.title) * 1.08, *map(len, self.lines)) * _LETTER + 2 * _PAD)


@dataclass(frozen=True)
class Arrow:
    """Arrow from one box to another, by their places; with a label it is dashed, for inputs other than the first."""

    start: int
    end: int
    label: str = ""


def drawing(boxes: Sequence[Box], arrows: Sequence[Arrow], title: str) -> str:
    """Return the SVG; every arrow goes from a box to a later one."""
    levels = _levels(len(boxes), arrows)
    widths = [box.width for box in boxes]
    edges: list[tuple[int, int]] = []  # of neighbours; an arrow over several levels has a point on each
    routes = []
    for arrow in arrows:
        route = [arrow.start]
        for level in range(levels[arrow.start] + 1, levels[arrow.end]):
            route.append(len(widths))
            widths.append(10.0)
            levels.append(level)
        route.append(arrow.end)
        routes.append(route)
        edges += pairwise(route)
    rows = _ordered(levels, edges)
    centres = _centres(rows, edges, widths)
    height = (1 + max((len(box.lines) for box in boxes), default=0)) * _LINE + _PAD
    left = min((centres[i] - widths[i] / 2 for i in range(len(widths))), default=0.0) - 8
    right = max((centres[i] + widths[i] / 2 for i in range(len(widths))), default=0.0) + 8
    tops = [8 + level * (height + _DROP) for level in levels]
    total = max(tops, default=0.0) + height + 8
    parts = [_line(arrow, route, routes, centres, tops, height) for arrow, route in zip(arrows, routes, strict=True)]
    parts += [_boxed(box, centres[i], tops[i], height) for i, box in enumerate(boxes)]
    width = right - left
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" height="{total:.0f}" '
        f'viewBox="{left:.1f} 0 {width:.1f} {total:.1f}" style="max-width:100%;height:auto" '
        f'font-family="ui-sans-serif,system-ui,Helvetica,Arial,sans-serif" font-size="12">'
        f"<title>{html.escape(title)}</title>"
        f'<defs><marker id="rnnkit-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0.5 8 4 0 7.5z" fill="{_LINES}"/></marker></defs>{"".join(parts)}</svg>'
    )


def _levels(count, arrows) -> list[int]:
    """Return the level of each box: below all that it reads; an input just above its first reader."""
    levels = [0] * count
    for arrow in sorted(arrows, key=lambda arrow: arrow.end):
        levels[arrow.end] = max(levels[arrow.end], levels[arrow.start] + 1)
    read = {arrow.end for arrow in arrows}
    for i in range(count):
        below = [levels[arrow.end] for arrow in arrows if arrow.start == i]
        if i not in read and below:
            levels[i] = min(below) - 1
    return levels


def _ordered(levels, edges) -> list[list[int]]:
    """Return the boxes of each level from left to right, each near the middle of its neighbours: few lines cross."""
    rows: list[list[int]] = [[] for _ in range(max(levels, default=-1) + 1)]
    for i, level in enumerate(levels):
        rows[level].append(i)
    best, least = [list(row) for row in rows], _crossings(rows, edges)
    for turn in range(8):
        place = {i: k for row in rows for k, i in enumerate(row)}
        for row in rows if turn % 2 == 0 else rows[::-1]:
            row.sort(key=lambda i: _middle(i, place, edges, turn % 2 == 0))
            place.update({i: k for k, i in enumerate(row)})
        if (crossings := _crossings(rows, edges)) < least:
            best, least = [list(row) for row in rows], crossings
    return best


def _middle(i, place, edges, above) -> float:
    near = [place[a] if above else place[b] for a, b in edges if (b if above else a) == i]
    return sum(near) / len(near) if near else place[i]


def _crossings(rows, edges) -> int:
    place = {i: k for row in rows for k, i in enumerate(row)}
    level = {i: n for n, row in enumerate(rows) for i in row}
    return sum(
        level[a] == level[c] and (place[a] - place[c]) * (place[b] - place[d]) < 0
        for k, (a, b) in enumerate(edges)
        for c, d in edges[:k]
    )


def _centres(rows, edges, widths) -> list[float]:
    """Return the horizontal centre of each box: as near to its neighbours' middle as the row allows."""
    centres = [0.0] * len(widths)
    for row in rows:
        _spread(row, dict.fromkeys(row, 0.0), widths, centres)
    for turn in range(40):
        for row in rows if turn % 2 == 0 else rows[::-1]:
            wanted = {}
            for i in row:
                near = [centres[a] for a, b in edges if b == i] + [centres[b] for a, b in edges if a == i]
                wanted[i] = sum(near) / len(near) if near else centres[i]
            _spread(row, wanted, widths, centres)
    return centres


def _spread(row, wanted, widths, centres) -> None:
    """Place boxes side by side, in this order, with the least sum of squared distances to the wanted centres."""
    offsets = [0.0]
    for i, j in pairwise(row):
        offsets.append(offsets[-1] + (widths[i] + widths[j]) / 2 + _GAP)
    blocks: list[tuple[float, int]] = []  # boxes that touch share a shift; blocks that would overlap become one
    for i, offset in zip(row, offsets, strict=True):
        blocks.append((wanted[i] - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2], blocks[-1]
            blocks[-2:] = [((a * m + b * n) / (m + n), m + n)]
    shifts = [shift for shift, count in blocks for _ in range(count)]
    for i, shift, offset in zip(row, shifts, offsets, strict=True):
        centres[i] = shift + offset


def _line(arrow, route, routes, centres, tops, height) -> str:
    """Return an arrow along its route; several into one box end side by side."""
    first, *between, last = route
    into = sorted((other for other in routes if other[-1] == last), key=lambda other: centres[other[-2]])
    from_one = sorted((other for other in routes if other[0] == first), key=lambda other: centres[other[1]])
    x = centres[first] + 14 * (_place(route, from_one) - (len(from_one) - 1) / 2)
    y = tops[first] + height
    path = [f"M{x:.1f} {y:.1f}"]
    end = centres[last] + 18 * (_place(route, into) - (len(into) - 1) / 2)
    stops = [(centres[i], tops[i], tops[i] + height) for i in between] + [(end, tops[last] - 2, tops[last])]
    for x_next, y_next, onwards in stops:
        bend = (y + y_next) / 2
        path.append(f"C{x:.1f} {bend:.1f} {x_next:.1f} {bend:.1f} {x_next:.1f} {y_next:.1f}")
        if onwards > y_next + 2:
            path.append(f"V{onwards:.1f}")
        x, y = x_next, onwards
    dashed = ' stroke-dasharray="5 4"' if arrow.label else ""
    line = f'<path d="{"".join(path)}" fill="none" stroke="{_LINES}" stroke-width="1.4"{dashed} '
    line += 'marker-end="url(#rnnkit-arrow)"/>'
    if not arrow.label:
        return line
    right = centres[first if not between else between[-1]] >= centres[last]
    place, anchor = (end + 14, "start") if right else (end - 14, "end")
    text = f'<text x="{place:.1f}" y="{tops[last] - 3.5:.1f}" font-size="10" text-anchor="{anchor}" fill="{_LINES}">'
    return f"{line}{text}{html.escape(arrow.label)}</text>"


def _place(route, routes) -> int:
    return next(k for k, other in enumerate(routes) if other is route)


def _boxed(box, centre, top, height) -> str:
    x, fill = centre - box.width / 2, _FILLS.get(box.kind, _FILLS["other"])
    lines = [
        f'<rect x="{x:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{height:.1f}" rx="6" '
        f'fill="{fill}" stroke="{_LINES}"/>'
    ]
    rows = [box.title, *box.lines]
    first = top + (height - len(rows) * _LINE) / 2 + 11.5
    for k, text in enumerate(rows):
        look = f'font-weight="600" fill="{_INK}"' if k == 0 else f'fill="{_INK}" fill-opacity="0.72" font-size="11"'
        lines.append(
            f'<text x="{centre:.1f}" y="{first + k * _LINE:.1f}" text-anchor="middle" {look}>{html.escape(text)}</text>'
        )
    return "".join(lines)
