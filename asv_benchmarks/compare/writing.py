"""Figures as tables in Markdown."""

import statistics
from collections.abc import Callable, Iterable

from timing import Figures

OURS = "rnnkit"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table: the first column to the left, numbers to the right."""
    header = list(header)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def both(numbers: list[float], scale: float) -> str:
    """Minimum / median."""
    return " / ".join(f"{scale * kind(numbers):.3g}" for kind in (min, statistics.median))


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
        lines.append([row, *shown, *(" / ".join(f"{r:.2f}" for r in pairs[k]) for pairs in found.values())])
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
