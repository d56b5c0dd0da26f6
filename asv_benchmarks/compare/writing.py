"""Figures as tables, in Markdown and as the numbers that these show."""

import re
import statistics
from collections.abc import Callable, Iterable

from timing import Figures

OURS = "rnnkit"
DIGITS = 6  # of a number that is kept
MEANS = re.compile(r"Geometric means? of the ratios: (.+)\.")


class Pair(str):
    """Two numbers of a cell, by minima and by medians."""

    numbers: list[float]

    def __new__(cls, numbers: Iterable[float], form: str = ".3g"):
        kept = list(numbers)
        pair = super().__new__(cls, " / ".join(format(number, form) for number in kept))
        pair.numbers = [float(f"{number:.{DIGITS}g}") for number in kept]
        return pair


class Table(str):
    """A table as text; its rows by their first cell, each a dict of cells by column: a `Pair`'s numbers, or a text."""

    rows: dict[str, dict[str, str | list[float]]]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[Table]:
    """A table, as one of a section's lines: the first column to the left, numbers to the right."""
    header, rows = list(header), [list(row) for row in rows]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    found = Table("\n".join(f"| {' | '.join(line)} |" for line in lines))
    found.rows = {
        first: {name: getattr(cell, "numbers", cell) for name, cell in zip(header[1:], cells, strict=True) if cell}
        for first, *cells in rows
    }
    return [found]


def both(numbers: list[float], scale: float) -> Pair:
    """Minimum / median."""
    return Pair(scale * kind(numbers) for kind in (min, statistics.median))


def ratios(above: list[list[float]], below: list[float]) -> tuple[float, ...]:
    """The least of what is `above` over what is `below`: by minimum and by median; empty if nothing is above."""
    return tuple(min(map(kind, above)) / kind(below) for kind in (min, statistics.median)) if above else ()


def mean(pairs: list[tuple[float, ...]]) -> str:
    """Geometric means of the ratios by minimum and of those by median; empty for fewer than two rows."""
    known = [pair for pair in pairs if pair]
    kinds = zip(*known, strict=True) if len(known) > 1 else ()
    return " / ".join(f"{statistics.geometric_mean(kind):.2f}" for kind in kinds)


def columns(figures: Figures) -> list[str]:
    """The columns that any of the rows has."""
    return list(dict.fromkeys(label for row in figures.values() for label in row))


def with_ratios(
    figures: Figures, first: str, scale: float, wanted: dict[str, Callable[[dict], tuple[float, ...]]]
) -> list[str]:
    """A table of minimum / median, then the `wanted` ratios of each row, and below it their geometric means."""
    labels = columns(figures)
    found = {name: [ratio(times) for times in figures.values()] for name, ratio in wanted.items()}
    lines = []
    for k, (row, times) in enumerate(figures.items()):
        shown = [both(times[label], scale) if label in times else "" for label in labels]
        lines.append([row, *shown, *(Pair(pairs[k], ".2f") for pairs in found.values())])
    page = table([first, *labels, *wanted], lines)
    means = [f"{mean(pairs)}{f' ({name})' if len(found) > 1 else ''}" for name, pairs in found.items() if mean(pairs)]
    return [*page, *(["", f"Geometric mean of the ratios: {', '.join(means)}."] if means else [])]


def beside_others(first: str = "size", scale: float = 1e3) -> Callable[[Figures], list[str]]:
    """A writer of tables whose ratio is that of the fastest other library's time to ours."""

    def ahead(times):
        return ratios([t for label, t in times.items() if not label.startswith(OURS)], times[OURS])

    return lambda figures: with_ratios(figures, first, scale, {"ratio": ahead})


def of(above: str, below: str) -> Callable[[dict], tuple[float, ...]]:
    """The ratio of one column to another."""
    return lambda times: ratios([times[above]], times[below])
