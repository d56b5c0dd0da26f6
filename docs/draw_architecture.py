"""Draws docs/design.svg: the packages of rnnkit, and which imports which, read from the import statements.

Run ``python docs/draw_architecture.py`` when a package is added or the imports between packages change.

A package stands on a higher floor than all that it imports. An arrow that follows from others is left out; a dashed
arrow is an import by a single file, from which no other arrow follows.
"""

import ast
import functools
import html
import itertools
import math
import pathlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

PICTURE = pathlib.Path(__file__).with_name("design.svg")
PACKAGE = pathlib.Path(__file__).parent.parent / "rnnkit"
OUTWARD = {"rnnkit", "rnnkit.__main__"}  # the public names and the command import everything

# The line under each box's name. The files beside the packages are one box, except those with a line here.
LINES = {
    "loading": "models from files",
    "information": "reports of faults",
    "sktime": "a forecaster for sktime",
    "keras": "the names of Keras 3",
    "keras.optimizers": "names of update rules",
    "keras.preprocessing": "padding, windows",
    "sklearn": "classifiers, regressors",
    "distributed": "layers on chunked arrays",
    "forecast": "forecasts of one series or thousands",
    "forecast.command": "reports, tables, pictures",
    "forecast.models": "Theta, ETS, ESN, networks …",
    "forecast.scoring": "errors, back-tests",
    "forecast.fitting": "seasons, scales, readouts",
    "forecast.data": "files, tables, times, gaps",
    "interop": "Keras, PyTorch",
    "datasets": "two series",
    "sequences": "unequal lengths, windows, tables",
    "onnx": "models in ONNX's format",
    "onnx.exporting": "layers as operators and loops",
    "models": "Sequential, Model",
    "training": "batches, losses, fit",
    "callbacks": "hooks, history, progress",
    "metrics": "accuracy, areas, shares, errors",
    "optimizers": "update rules, schedules",
    "analysis": "gradcheck, Jacobians",
    "c_code": "layers and models as C99",
    "layers": "RNN, LSTM, Bidirectional, Dense …",
    "layers.support": "checks, files, devices",
    "cells": "LSTM, GRU … in NumPy",
    "execution": "chooses what runs a step",
    "cuda": "lists the GPUs",
    "backends": "run a step over sequences",
    "backends.cuda": "kernels for a GPU",
    "backends.python": "eager loop, custom vjp",
    "backends.cpu": "compiled programs, SIMD, threads",
    "backends.jit": "steps that can't be traced",
    "backends.shared": "calls, program cache, thread pool",
    "backends.formulas": "exp, tanh … for every target",
    "compiler": "from a step to plans; knows no backend",
    "compiler.autodiff": "graph → adjoint graph",
    "compiler.tracing": "NumPy step → graph",
    "compiler.planning": "graph → plan",
    "compiler.ir": "graph, operations, plan",
    "steps": "cell, states, shapes",
    "root": "activations, losses, arguments …",
    "serialization": "configurations, files",
}
# Fill, border, and fill of the boxes inside, by package; the last is for all others.
COLOURS = {
    "backends": ("#fff4e6", "#d08432", "#ffe4c4"),
    "execution": ("#ffe4c4", "#d08432", ""),
    "compiler": ("#effaf2", "#3f9c64", "#d3f0dd"),
    "steps": ("#e9ecf0", "#808b99", ""),
    "root": ("#e9ecf0", "#808b99", ""),
    "serialization": ("#e9ecf0", "#808b99", ""),
    "": ("#dfeafc", "#4f83cc", "#f6f9ff"),
}
ARROW = "#7f8a97"  # seen as well on a white page as on a black one
BOX, FLOOR, ASIDE, MARGIN = 44, 34, 22, 12  # a box's height; gaps between floors, between boxes, and around

Pair = tuple[str, str]


# What imports what


def modules() -> dict[str, pathlib.Path]:
    """All modules of the package, with their files."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {".".join(f.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements inside one, in functions too, but not those that only a type checker reads."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.If) and isinstance(inner.test, ast.Name) and inner.test.id == "TYPE_CHECKING":
            continue
        if isinstance(inner, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield inner
            yield from statements(inner)


def imported(file: pathlib.Path, known: Iterable[str]) -> set[str]:
    """The known modules that a file imports."""
    found = set()
    for node in statements(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in known:
                name = name.rpartition(".")[0]
            found.add(name)
    return found & set(known)


def box_of(module: str) -> str:
    """The innermost box that a module belongs to."""
    parts = module.split(".")[1:]
    for depth in (2, 1):
        name = ".".join(parts[:depth])
        if name in LINES:
            return name
        if PACKAGE.joinpath(*parts[:depth]).is_dir():
            raise ValueError(f"expected a line for {name!r} in LINES of docs/draw_architecture.py")
    return "root"


@functools.cache
def imports() -> dict[Pair, set[str]]:
    """Which box imports which other, by which modules: packages, and boxes inside the same package."""
    known, found = modules(), defaultdict(set)
    for module in known.keys() - OUTWARD:
        for other in imported(known[module], known) - OUTWARD:
            here, there = box_of(module), box_of(other)
            if package(here) != package(there):
                found[package(here), package(there)].add(module)
            elif here != there and "." in here and "." in there:
                found[here, there].add(module)
    return dict(found)


def package(box: str) -> str:
    """The outer box."""
    return box.split(".")[0]


def drawn(found: dict[Pair, set[str]]) -> dict[Pair, bool]:
    """The arrows that don't follow from others, and whether each is dashed."""
    dashed = {pair: len(by) == 1 for pair, by in found.items()}
    solid = defaultdict(set)
    for (here, there), single in dashed.items():
        if not single:
            solid[here].add(there)

    def reached(box: str) -> set[str]:
        return solid[box].union(*map(reached, solid[box]))

    return {
        (here, there): single
        for (here, there), single in dashed.items()
        if not any(there in reached(other) for other in solid[here] - {there})
    }


# Where boxes and arrows go


@dataclass
class Box:
    """A box, or without a width the place where an arrow passes a floor; x is its middle, y its top."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    floor: tuple[float, float] = (0.0, 0.0)  # the top and the bottom of its floor


@dataclass
class Layout:
    """Boxes on floors, and the boxes that each arrow passes on its way, its ends among them."""

    boxes: dict[str, Box]
    ways: dict[Pair, list[str]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def laid_out(boxes: dict[str, Box], arrows: Iterable[Pair]) -> Layout:
    """Place boxes on floors so that arrows point down, are short, and seldom cross."""
    arrows = sorted(arrows)
    layout, floor = Layout(dict(boxes)), floors(sorted(boxes), arrows)
    rows: dict[int, list[str]] = defaultdict(list)
    for name, level in floor.items():
        rows[level].append(name)
    links: list[Pair] = []
    for here, there in arrows:
        way = [here]
        for level in range(floor[here] - 1, floor[there], -1):
            way.append(f"{here} {there} {level}")
            rows[level].append(way[-1])
            layout.boxes[way[-1]] = Box(0, 0)
        layout.ways[here, there] = [*way, there]
        links += itertools.pairwise(layout.ways[here, there])
    order = ordered([rows[level] for level in sorted(rows, reverse=True)], links)
    straighten(layout.boxes, order, links)
    for row in order:
        height = max(layout.boxes[name].height for name in row)
        for name in row:
            box, bottom = layout.boxes[name], layout.height + height
            box.y, box.floor = (layout.height + bottom - box.height) / 2, (layout.height, bottom)
        layout.height += height + FLOOR
    layout.height -= FLOOR
    left = min(box.x - box.width / 2 for box in layout.boxes.values())
    for box in layout.boxes.values():
        box.x -= left
    layout.width = max(box.x + box.width / 2 for box in layout.boxes.values())
    return layout


def floors(names: list[str], arrows: list[Pair]) -> dict[str, int]:
    """The floor of each box: above all that it points to, and then where its arrows are shortest."""
    below, above = defaultdict(set), defaultdict(set)
    for here, there in arrows:
        below[here].add(there)
        above[there].add(here)
    floor: dict[str, int] = {}

    def lowest(name: str) -> int:
        floor[name] = floor.get(name, 1 + max(map(lowest, below[name]), default=-1))
        return floor[name]

    for name in names:
        lowest(name)
    for _ in names:
        for name in names:
            if above[name] and len(above[name]) >= len(below[name]):
                floor[name] = min(floor[other] for other in above[name]) - 1
    return floor


def ordered(rows: list[list[str]], links: list[Pair]) -> list[list[str]]:
    """Each floor's boxes from left to right, with few crossings: any two of a floor are swapped where that helps."""
    rows = [sorted(row) for row in rows]
    least, better = cost(rows, links), True
    while better:
        better = False
        for row in rows:
            for i, j in itertools.combinations(range(len(row)), 2):
                row[i], row[j] = row[j], row[i]
                now = cost(rows, links)
                if now < least:
                    least, better = now, True
                else:
                    row[i], row[j] = row[j], row[i]
    return rows


def cost(rows: list[list[str]], links: list[Pair]) -> tuple[int, float]:
    """How many arrows cross, and how far they go aside."""
    place = {name: (level, i) for level, row in enumerate(rows) for i, name in enumerate(row)}
    by_floor = defaultdict(list)
    for here, there in links:
        by_floor[place[here][0]].append((place[here][1], place[there][1]))
    crossings = sum(
        (a - c) * (b - d) < 0 for pairs in by_floor.values() for (a, b), (c, d) in itertools.combinations(pairs, 2)
    )
    middle = {name: (i + 0.5) / len(row) for row in rows for i, name in enumerate(row)}
    return crossings, math.fsum(abs(middle[here] - middle[there]) for here, there in links)


def straighten(boxes: dict[str, Box], rows: list[list[str]], links: list[Pair]) -> None:
    """Bring each box near the middle of those that it has arrows with, in its floor's order and without overlaps."""
    beside = defaultdict(list)
    for here, there in links:
        weight = 8 ** ((not boxes[here].width) + (not boxes[there].width))  # arrows go straight where they pass floors
        beside[here] += [there] * weight
        beside[there] += [here] * weight
    offsets: dict[str, float] = {}
    for row in rows:
        at = 0.0
        for i, name in enumerate(row):
            at += (boxes[row[i - 1]].width + boxes[name].width) / 2 + ASIDE if i else 0
            offsets[name] = at
        for name in row:
            boxes[name].x = offsets[name] - at / 2
    for _ in range(1000):
        for row in (*reversed(rows), *rows):
            wanted = []
            for name in row:
                x = mean([boxes[other].x for other in beside[name]] or [boxes[name].x])
                wanted.append(x - offsets[name])
            for name, x in zip(row, not_falling(wanted), strict=True):
                boxes[name].x = x + offsets[name]


def not_falling(wanted: list[float]) -> list[float]:
    """The numbers nearest to those wanted of which none is less than the one before it."""
    groups: list[list[float]] = []
    for number in wanted:
        groups.append([number])
        while len(groups) > 1 and mean(groups[-2]) > mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [mean(group) for group in groups for _ in group]


def mean(numbers: list[float]) -> float:
    """Their mean."""
    return math.fsum(numbers) / len(numbers)  # the same in every version of Python


# The picture


def small(name: str) -> Box:
    """A box with nothing but its two lines of text inside."""
    return Box(max(8.4 * len(label_of(name)), 6.6 * len(LINES[name])) + 16, BOX)


def label_of(name: str) -> str:
    """The name in a box: a package's own, without those around it, or a file's."""
    return f"{name}.py" if (PACKAGE / f"{name}.py").exists() else name.split(".")[-1]


def picture() -> str:
    """The text of docs/design.svg."""
    arrows = drawn(imports())
    outer = {name: small(name) for name in LINES if "." not in name}
    inside = {}
    for name, box in outer.items():
        inner = {other: small(other) for other in LINES if other.startswith(f"{name}.")}
        if inner:
            inside[name] = laid_out(inner, [pair for pair in arrows if pair[0] in inner])
            box.width = max(box.width, inside[name].width + 2 * MARGIN)
            box.height = BOX + inside[name].height + MARGIN
    whole = laid_out(outer, [pair for pair in arrows if pair[0] in outer])
    shapes: list[str] = []
    for name in outer:
        box, (fill, border, within) = whole.boxes[name], COLOURS.get(name, COLOURS[""])
        shapes += shown(name, box, fill, border)
        if name in inside:
            left, top = box.x - inside[name].width / 2, box.y + BOX
            shapes += [f'<g transform="translate({left:.1f} {top:.1f})">', *lines(inside[name], arrows)]
            for other in sorted(inside[name].boxes.keys() & LINES):
                shapes += shown(other, inside[name].boxes[other], within, border)
            shapes.append("</g>")
    width, height = math.ceil(whole.width + 2 * MARGIN), math.ceil(whole.height + 2 * MARGIN)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif" '
            'text-anchor="middle">',
            "<title>The packages of rnnkit, and which imports which</title>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0 0.5 8 4 0 7.5z" fill="{ARROW}"/></marker></defs>',
            f'<g transform="translate({MARGIN} {MARGIN})">',
            *lines(whole, arrows),
            *shapes,
            "</g>",
            "</svg>",
            "",
        ]
    )


def shown(name: str, box: Box, fill: str, border: str) -> list[str]:
    """A box with its name and line."""
    label, line = html.escape(label_of(name)), html.escape(LINES[name])
    return [
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="6" fill="{fill}" stroke="{border}"/>',
        f'<text x="{box.x:.1f}" y="{box.y + 18:.1f}" font-size="13" font-weight="bold" fill="#1c2733">{label}</text>',
        f'<text x="{box.x:.1f}" y="{box.y + 34:.1f}" font-size="11" fill="#46525f">{line}</text>',
    ]


def lines(layout: Layout, arrows: dict[Pair, bool]) -> list[str]:
    """The arrows of a layout, spread along the edges of the boxes where they end."""
    ends = ports(layout)
    paths = []
    for pair, way in layout.ways.items():
        start, end = layout.boxes[way[0]], layout.boxes[way[-1]]
        steps = [f"M{ends[pair, True]:.1f} {start.y + start.height:.1f}"]
        at = [ends[pair, True], *(layout.boxes[name].x for name in way[1:-1]), ends[pair, False]]
        for (x, to), names in zip(itertools.pairwise(at), itertools.pairwise(way), strict=True):
            bottom, top = layout.boxes[names[0]].floor[1], layout.boxes[names[1]].floor[0]
            half = (bottom + top) / 2
            steps.append(f"V{bottom:.1f} C{x:.1f} {half:.1f} {to:.1f} {half:.1f} {to:.1f} {top:.1f}")
        steps.append(f"V{end.y:.1f}")
        dashes = ' stroke-dasharray="5 4"' if arrows[pair] else ""
        paths.append(
            f'<path d="{" ".join(steps)}" fill="none" stroke="{ARROW}" stroke-width="1.4"{dashes} '
            'marker-end="url(#head)"/>'
        )
    return paths


def ports(layout: Layout) -> dict[tuple[Pair, bool], float]:
    """Where each arrow leaves its first box (True) and reaches its last one (False)."""
    found = {}
    for first in (True, False):
        of_box = defaultdict(list)
        for pair, way in layout.ways.items():
            name, other = (way[0], way[1]) if first else (way[-1], way[-2])
            of_box[name].append((layout.boxes[other].x, pair))
        for name, several in of_box.items():
            box = layout.boxes[name]
            gap = min(26.0, (box.width - 24) / len(several))
            for i, (_, pair) in enumerate(sorted(several)):
                found[pair, first] = box.x + gap * (i - (len(several) - 1) / 2)
    return found


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8", newline="\n")
