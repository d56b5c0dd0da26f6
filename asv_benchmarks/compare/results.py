"""What the page about performance says, as numbers: docs/performance.json, and a plot of each section's times.

    python asv_benchmarks/compare/results.py

Reads the page's tables, which ``asv_benchmarks/compare`` writes, and does what that command does at its end. Other
pages that state a measurement are checked against this file, see tests/project/test_measurements.py.
"""

import json
import pathlib
import re

import plots

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "performance.md"
PAIR = re.compile(r"([\d.e+]+) / ([\d.e+]+)")
CONDITIONS = re.compile(r"^.+, \d+ threads; .+\.$", re.MULTILINE)
PARTS = re.compile(r"(.+, \d+ threads); (.+); (\d{4}-\d\d-\d\d.*)\.")
OWN_PICTURE = "Time against units"
MACHINES = "Machines and versions"


def sections(page: str) -> dict[str, dict]:
    """By title: the conditions, the tables, and the geometric means of the ratios.

    A table is a dict of rows by their first cell, each a dict of cells by column. Of a cell ``minimum / median`` it has
    both as numbers, of any other one the text.
    """
    found = {}
    for part in page.split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        conditions = CONDITIONS.search(text)
        means = re.findall(r"^Geometric means? of the ratios: (.+)\.$", text, re.MULTILINE)
        found[title] = {
            "conditions": conditions.group() if conditions else "",
            "tables": [table(lines) for lines in re.findall(r"^\|.*(?:\n\|.*)+$", text, re.MULTILINE)],
            "means": means,
        }
    return found


def table(text: str) -> dict[str, dict]:
    """The rows of a table in Markdown."""
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n")]
    read = str if "/" in header[0] else numbers  # pairs of other things than minimum and median
    return {row[0]: {name: read(cell) for name, cell in zip(header[1:], row[1:], strict=True) if cell} for row in rows}


def numbers(cell: str) -> str | list[float]:
    """The minimum and the median of a cell, or its text."""
    pair = PAIR.fullmatch(cell)
    return [float(pair.group(1)), float(pair.group(2))] if pair else cell


def shortened(conditions: list[str]) -> tuple[list[str], list[str]]:
    """What each section says of its conditions, and the lines of the list of versions that they refer to."""
    letters: dict[str, str] = {}
    short = []
    for told in conditions:
        parts = PARTS.fullmatch(told)
        if parts is None:
            short.append(told)
            continue
        machine, versions, day = parts.groups()
        letter = letters.setdefault(versions, chr(ord("A") + len(letters)))
        short.append(f"{machine}; {day}; [versions {letter}](#{MACHINES.lower().replace(' ', '-')}).")
    listed = [f"- **{letter}**: {versions}" for versions, letter in letters.items()]
    return short, ["", f"## {MACHINES}", "", *listed] if listed else []


def finish(page: pathlib.Path) -> None:
    """Write the numbers and the plots beside a page, and show each plot above its table."""
    text = page.read_text(encoding="utf-8")
    found = sections(text)
    page.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    folder = page.with_suffix("")
    for title, section in found.items():
        for k, rows in enumerate(section["tables"] if title != OWN_PICTURE else []):
            name = re.sub(r"\W+", "-", title.lower()).strip("-") + (f"-{k + 1}" if k else "")
            if plots.draw(rows, folder / f"{name}.svg"):
                text = shown(text, title, rows, f"![{title}]({folder.name}/{name}.svg)")
    page.write_text(text, encoding="utf-8")


def shown(text: str, title: str, rows: dict, picture: str) -> str:
    """The page with a picture above the table that has these rows."""
    start = text.index(f"\n## {title}\n")
    last = text.index(f"\n| {next(iter(rows))} |", start)
    top = text.rindex("\n\n|", start, last)
    return text if picture in text[start:top] else f"{text[:top]}\n\n{picture}{text[top:]}"


if __name__ == "__main__":
    finish(PAGE)
