"""Figures as tables, in Markdown and as the numbers that these show; other pages are checked against these."""

import pathlib
import re
import statistics
from collections.abc import Callable, Iterable

import plots
from measuring import Figures, Section

OURS = "rnnkit"
DIGITS = 6  # of a number that is kept
MEANS = re.compile(r"Geometric means? of the ratios: (.+)\.")
CONDITIONS = re.compile(r"(.+, \d+ threads); (.+); (\d{4}-\d\d-\d\d.*)\.")
MACHINES = "Machines and versions"
Ratio = tuple[float, ...]  # by minimum and by median, or nothing


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


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table, as one of a section's lines: the first column to the left, numbers to the right."""
    header, rows = list(header), [list(row) for row in rows]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    found = Table("\n".join(f"| {' | '.join(line)} |" for line in lines))
    found.rows = {
        first: {name: getattr(cell, "numbers", cell) for name, cell in zip(header[1:], cells, strict=True) if cell}
        for first, *cells in rows
    }
    return [found]


def both(numbers: list[float], scale: float) -> Pair:
    return Pair(scale * kind(numbers) for kind in (min, statistics.median))


def ratios(above: list[list[float]], below: list[float]) -> Ratio:
    """Return the least of what is `above` over what is `below`; nothing if nothing is above."""
    return tuple(min(map(kind, above)) / kind(below) for kind in (min, statistics.median)) if above else ()


def mean(pairs: list[Ratio]) -> str:
    """Return geometric means of the ratios by minimum and of those by median; empty for fewer than two rows."""
    known = [pair for pair in pairs if pair]
    kinds = zip(*known, strict=True) if len(known) > 1 else ()
    return " / ".join(f"{statistics.geometric_mean(kind):.2f}" for kind in kinds)


def rows_of(first: str, cells: dict[str, Callable[[str, dict], str]]) -> Callable[[Figures], list[str]]:
    """Return a writer of a table whose cells are functions of a row's name and its figures."""
    return lambda figures: table(
        [first, *cells], [[row, *(cell(row, found) for cell in cells.values())] for row, found in figures.items()]
    )


def columns(figures: Figures) -> list[str]:
    return list(dict.fromkeys(label for row in figures.values() for label in row))


def with_ratios(first: str, scale: float, wanted: dict[str, Callable[[dict], Ratio]]) -> Callable:
    """Return a writer of a table of minimum / median, the `wanted` ratios of each row, and their geometric means."""

    def write(figures: Figures) -> list[str]:
        labels = columns(figures)
        found = {name: [ratio(times) for times in figures.values()] for name, ratio in wanted.items()}
        lines = []
        for (row, times), *pairs in zip(figures.items(), *found.values(), strict=True):
            shown = (both(times[label], scale) if label in times else "" for label in labels)
            lines.append([row, *shown, *(Pair(pair, ".2f") for pair in pairs)])
        means = {name: mean(pairs) for name, pairs in found.items()}
        told = ", ".join(f"{one}{f' ({name})' if len(found) > 1 else ''}" for name, one in means.items() if one)
        page = table([first, *labels, *wanted], lines)
        return [*page, "", f"Geometric mean of the ratios: {told}."] if told else page

    return write


def ahead(times: dict[str, list[float]]) -> Ratio:
    return ratios([t for label, t in times.items() if not label.startswith(OURS)], times[OURS])


def beside_others(first: str = "size", scale: float = 1e3) -> Callable[[Figures], list[str]]:
    return with_ratios(first, scale, {"ratio": ahead})


def of(above: str, *below: str) -> dict[str, Callable[[dict], Ratio]]:
    """Return the ratios of a column's times to those of others, for `with_ratios`."""
    return {f"{above} / {one}": lambda times, one=one: ratios([times[above]], times[one]) for one in below}


def of_section(section: Section, record: dict, told: str = "", output: pathlib.Path | None = None) -> list[str]:
    """Return a section's lines: its text, what is told of its conditions, what was found, and notes."""
    written = section.write(record["figures"]) if record["figures"] else []
    lines = [f"## {section.title}"]
    for part in filter(None, [section.text, told]):
        lines += ["", part]
    lines += ["", *with_plots(section.title, written, output)] if written else []
    return lines + [line for note in record["notes"] for line in ("", note)]


def numbers(lines: list[str], conditions: str) -> dict:
    return {
        "conditions": conditions,
        "tables": [line.rows for line in lines if isinstance(line, Table)],
        "means": [told[1] for line in lines if (told := MEANS.fullmatch(line))],
    }


def with_plots(title: str, lines: list[str], output: pathlib.Path | None) -> list[str]:
    """Return the lines of a section with a plot above each table, drawn beside the page if it is written."""
    if output is None or any(line.startswith("![") for line in lines):  # it has a picture of its own
        return lines
    folder, found, tables = output.with_suffix(""), [], 0
    for line in lines:
        if isinstance(line, Table):
            tables += 1
            name = re.sub(r"\W+", "-", title.lower()).strip("-") + (f"-{tables}" if tables > 1 else "") + ".svg"
            if plots.draw(line.rows, folder / name):
                found += [f"![{title}]({folder.name}/{name})", ""]
        found.append(line)
    return found


def shortened(conditions: list[str]) -> tuple[list[str], list[str]]:
    """Return what each section says of its conditions, and the lines of the list of versions that they refer to."""
    letters: dict[str, str] = {}
    short = []
    for told in conditions:
        if parts := CONDITIONS.fullmatch(told):
            machine, versions, day = parts.groups()
            letter = letters.setdefault(versions, chr(ord("A") + len(letters)))
            told = f"{machine}; {day}; [versions {letter}](#{MACHINES.lower().replace(' ', '-')})."
        short.append(told)
    listed = [f"- **{letter}**: {versions}" for versions, letter in letters.items()]
    return short, ["", f"## {MACHINES}", "", *listed] if listed else []
