"""What the page about performance says: its parts, as text and as numbers, and a plot of each table's times.

Other pages that state a measurement are checked against the numbers, see tests/project/test_measurements.py.
"""

import pathlib
import re

import plots
from writing import MEANS, Table

PARTS = re.compile(r"(.+, \d+ threads); (.+); (\d{4}-\d\d-\d\d.*)\.")
OWN_PICTURE = "Time against units"
MACHINES = "Machines and versions"


def numbers(lines: list[str], conditions: str = "") -> dict:
    """The conditions, the tables and the geometric means of the ratios of a section's lines."""
    return {
        "conditions": conditions,
        "tables": [line.rows for line in lines if isinstance(line, Table)],
        "means": [told[1] for line in lines if (told := MEANS.fullmatch(line))],
    }


def with_plots(title: str, lines: list[str], output: pathlib.Path | None) -> list[str]:
    """The lines of a section with a plot above each table, drawn beside the page if it is written."""
    if output is None or title == OWN_PICTURE:
        return lines
    folder, found = output.with_suffix(""), []
    for line in lines:
        if isinstance(line, Table):
            k = sum(isinstance(one, Table) for one in found)
            name = re.sub(r"\W+", "-", title.lower()).strip("-") + (f"-{k + 1}" if k else "")
            if plots.draw(line.rows, folder / f"{name}.svg"):
                found += [f"![{title}]({folder.name}/{name}.svg)", ""]
        found.append(line)
    return found


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
