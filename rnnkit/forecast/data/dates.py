"""Parsing of columns of times: numbers, and dates in the usual notations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rnnkit.forecast.data.csv_files import cell_error, parsed
from rnnkit.forecast.data.timeline import UnequalSteps, on_steps

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMES = "|".join(
    ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
     "december", "sept", *_MONTHS)
)  # fmt: skip
_CLOCK = r"(?:[ T]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?)?"
_YEAR = r"(?P<year>\d{4}|\d\d)"
_WORDS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<year>\d{4})[ -/]?Q(?P<quarter>[1-4])",
        r"Q(?P<quarter>[1-4])[ -/]?(?P<year>\d{4})",
        r"(?P<year>\d{4})M(?P<month>\d{1,2})",
        rf"(?P<name>{_NAMES})\.?[ -/]{_YEAR}",
        rf"(?P<day>\d{{1,2}})\.?[ -/](?P<name>{_NAMES})\.?[ -/]{_YEAR}{_CLOCK}",
        rf"(?P<name>{_NAMES})\.? (?P<day>\d{{1,2}}),? {_YEAR}{_CLOCK}",
        r"(?P<month>\d{1,2})[/-](?P<year>\d{4})",
    )
]
_POINTED = re.compile(r"(?P<month>0?[1-9]|1[0-2])\.(?P<year>(?:19|20)\d\d)")  # a number, unless all cells match
_FIGURES = re.compile(rf"(?P<one>\d{{1,2}})(?P<mark>[./-])(?P<two>\d{{1,2}})(?P=mark){_YEAR}{_CLOCK}")


def iso_date(cell: str) -> datetime | None:
    """Parse an ISO date or time, a month as 2001-12, or a day as 2001/12/29."""
    cell = cell.replace("/", "-")
    if re.fullmatch(r"\d{4}-\d{2}", cell):
        cell += "-01"
    elif re.fullmatch(r"\d{1,7}|\d{9,}", cell):
        return None
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def as_array(times: Sequence[Any]) -> np.ndarray:
    """Convert dates to days, or to microseconds if one has a time of day."""
    midnights = all(time == time.replace(hour=0, minute=0, second=0, microsecond=0) for time in times)
    return np.array(times, dtype="datetime64[D]" if midnights else "datetime64[us]")


def read_times(path, name: str, lines: Sequence[int], cells: Sequence[str], dayfirst: bool | None = None) -> np.ndarray:
    """Return a column of times, as int64, float64, datetime64[D] or datetime64[us] ``(rows,)``.

    All cells are numbers, or all are dates in one notation: ISO dates and times, months (2001-12, Jan 2001, Jan-01,
    12/2001, 12.2001), quarters (2001Q3, Q3 2001), days with the month's English name, or three numbers such as
    31/12/2001. ISO times with different offsets from UTC are converted to UTC; a common offset is left out. `dayfirst`
    says whether 1/2/2001 is in February; by default the whole column decides, by figures above 12 or as only one
    reading has equal steps. An InputError names a cell that can't be read, or in two ways; `lines` are the cells' line
    numbers.
    """
    first: dict[str, int] = {}
    codes = [first.setdefault(cell, len(first)) for cell in cells]
    rows = np.unique(codes, return_index=True)[1]  # each distinct text is parsed once
    return _read(path, name, [lines[row] for row in rows], list(first), dayfirst)[codes]


def _read(path, name, lines, cells, dayfirst) -> np.ndarray:
    """Parse the distinct cells of `read_times`."""
    if all(_POINTED.fullmatch(cell) for cell in cells):
        return as_array([_date(_POINTED.fullmatch(cell)) for cell in cells])
    if not looks_dated(cells[0]):
        expected = "a number or a date such as 2001-12-29"
        numbers = np.array(_checked(path, name, lines, cells, map(parsed, cells), expected), float)
        whole = (numbers == np.round(numbers)).all() and (abs(numbers) < 2**53).all()
        return numbers.astype(np.int64) if whole else numbers
    if iso_date(cells[0]):
        return _in_iso(path, name, lines, cells)
    if _FIGURES.fullmatch(cells[0]):
        return _in_figures(path, name, lines, cells, dayfirst)
    pattern = next(pattern for pattern in _WORDS if pattern.fullmatch(cells[0]))
    times = [_date(pattern.fullmatch(cell)) for cell in cells]
    return as_array(_checked(path, name, lines, cells, times, f"a time written as {cells[0]!r}"))


def looks_dated(cell: str) -> bool:
    """Return whether a cell is a date in a known notation."""
    return any((iso_date(cell), _FIGURES.fullmatch(cell), *(pattern.fullmatch(cell) for pattern in _WORDS)))


def _in_iso(path, name, lines, cells) -> np.ndarray:
    found = _checked(path, name, lines, cells, map(iso_date, cells), "a date such as 2001-12-29")
    if len({time.utcoffset() for time in found}) > 1:
        aware = [time.tzinfo is not None for time in found]
        if not all(aware):
            odd = aware.index(not aware[0])
            expected = "a time zone in every cell of {column}, or in none"
            raise cell_error(path, lines[odd], name, cells[odd], expected)
        found = [time.astimezone(UTC) for time in found]
    return as_array([time.replace(tzinfo=None) for time in found])


def _in_figures(path, name, lines, cells, dayfirst) -> np.ndarray:
    expected = f"a date written as {cells[0]!r}"
    matches = _checked(path, name, lines, cells, map(_FIGURES.fullmatch, cells), expected)
    if dayfirst is None and any(match["mark"] == "." for match in matches):
        dayfirst = True
    orders = [True, False] if dayfirst is None else [dayfirst]
    read = {first: [_date(match, ("one", "two") if first else ("two", "one")) for match in matches] for first in orders}
    whole = [first for first in orders if None not in read[first]]
    if not whole:
        most = max(orders, key=lambda first: next(row for row, time in enumerate(read[first]) if time is None))
        _checked(path, name, lines, cells, read[most], f"a date with the {'day' if most else 'month'} first")
    if len(whole) > 1 and read[True] != read[False]:
        equal = [first for first in whole if _in_equal_steps(read[first])]
        whole = equal if len(equal) == 1 else whole
    if len(whole) > 1 and read[True] != read[False]:
        row = next(row for row in range(len(cells)) if read[True][row] != read[False][row])
        said = ": say dayfirst=True or dayfirst=False, or write 2001-12-29"
        raise cell_error(path, lines[row], name, cells[row], "dates in {column} that tell days from months", said)
    return as_array(read[whole[0]])


def _in_equal_steps(times) -> bool:
    """Return whether different times, of three or more, lie in equal steps."""
    try:
        on_steps("", np.sort(as_array(times)), np.array([len(times)]))
    except UnequalSteps:
        return False
    return len(times) > 2


def _date(match: re.Match | None, figures: tuple[str, str] | None = None) -> datetime | None:
    """Return the time of a match, or None."""
    if match is None:
        return None
    said: dict[str, Any] = match.groupdict()
    year = int(said["year"])
    if len(said["year"]) == 2:
        year += 1900 if year >= 69 else 2000  # as POSIX has it
    if figures:
        day, month = (int(said[figure]) for figure in figures)
    else:
        day = int(said.get("day") or 1)
        name, quarter = said.get("name"), said.get("quarter")
        month = _MONTHS.index(name[:3].lower()) + 1 if name else 3 * int(quarter) - 2 if quarter else int(said["month"])
    hour, minute, second = (int(said.get(part) or 0) for part in ("hour", "minute", "second"))
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _checked(path, name, lines, cells, found, expected) -> list[Any]:
    """Return what was parsed; an InputError names the first cell that could not be."""
    found = list(found)
    if None in found:
        row = found.index(None)
        raise cell_error(path, lines[row], name, cells[row], f"{expected} in {{column}}")
    return found
