"""A series out of a CSV file, with its gaps, and one sentence for whatever is wrong with the file."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.forecast.timeline import Timeline, regular

GAPS = {"", "na", "nan", "n/a", "null", "none", "?", "."}
TIME_NAMES = {"date", "time", "datetime", "timestamp", "day", "week", "month", "quarter", "year", "ds"}


class InputError(ValueError):
    """What a user gave can't be used; the message is one sentence for the command line."""


@dataclass(frozen=True)
class Series:
    """Values in equal steps.

    Attributes
    ----------
    name : str
    values : ndarray (T,) of float64
        NaN in gaps.
    timeline : Timeline
        The time of each step, and of the steps to come.
    """

    name: str
    values: np.ndarray
    timeline: Timeline


def read_series(path, column: str | None = None, time: str | None = None) -> Series:
    """Read one column of a CSV file.

    Comma, semicolon and tab are told apart by the first line, which names the columns. Empty cells, NA, NaN and the
    like are gaps, and so are rows that are missing from otherwise equal steps of time.

    Parameters
    ----------
    path : str or Path
    column : str, optional
        The column to forecast; not needed where there is only one besides the time.
    time : str, optional
        The column of times, which are numbers or ISO dates and go up; by default the first one called date, time, year
        or the like, and the rows' numbers without any.

    Raises
    ------
    InputError
        If there is no such file or column, or if a cell can't be read, with its line.
    """
    names, rows = _table(path)
    if time is None:
        time = next((name for name in names if name.strip().lower() in TIME_NAMES and name != column), None)
    elif time not in names:
        raise InputError(f"{path} has no column {time!r}; its columns are {', '.join(names)}")
    if column is None:
        candidates = [name for name in names if name != time]
        if len(candidates) != 1:
            raise InputError(f"{path} has the columns {', '.join(names)}; say with --column which one to forecast")
        column = candidates[0]
    elif column not in names:
        raise InputError(f"{path} has no column {column!r}; its columns are {', '.join(names)}")
    place = names.index(column)
    values = np.array([_number(path, line, column, cells[place]) for line, cells in rows])
    if np.isnan(values).all():
        raise InputError(f"{path} has no value in column {column!r}, only gaps")
    if time is None:
        return Series(column, values, Timeline("step", np.arange(len(values))))
    times = _times(path, time, [(line, cells[names.index(time)]) for line, cells in rows])
    steps, timeline = regular(time, times)
    spread = np.full(len(timeline.times), np.nan)
    spread[steps] = values
    return Series(column, spread, timeline)


def _table(path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the rows with the lines they end on."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except IsADirectoryError:
        raise InputError(f"{path} is a directory; expected a CSV file") from None
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8; expected CSV") from None
    if "\0" in text:
        raise InputError(f"{path} is not a text file; expected CSV")
    header = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), skipinitialspace=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None
    if not rows:
        raise InputError(f"{path} is empty; expected a line with the names of the columns, and values below it")
    (_, names), *rows = rows
    if all(_parsed(name) is not None for name in names):
        raise InputError(f"{path} starts with numbers; expected a first line with the names of the columns")
    if len(set(names)) < len(names):
        raise InputError(f"{path} has several columns of the same name among {', '.join(names)}")
    if not rows:
        raise InputError(f"{path} has no values below the names of the columns")
    for line, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{path}, line {line}: expected {len(names)} cells as in the first; got {len(cells)}")
    return names, rows


def _parsed(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def _number(path, line, column, cell) -> float:
    if cell.lower() in GAPS:
        return math.nan
    number = _parsed(cell)
    if number is None:
        raise InputError(
            f"{path}, line {line}: expected a number in column {column!r}, or nothing for a gap; got {cell!r}"
        )
    return number


def _times(path, name, cells) -> np.ndarray:
    """The column of times as numbers, or as dates if its first cell is one; going up."""
    dates = _date(cells[0][1]) is not None
    times: list[Any] = []
    for line, cell in cells:
        time: Any = _date(cell) if dates else _parsed(cell)
        if time is None:
            kind = "a date such as 2001-12-29" if dates else "a number or a date such as 2001-12-29"
            raise InputError(f"{path}, line {line}: expected {kind} in column {name!r}; got {cell!r}")
        if times and time <= times[-1]:
            fault = "comes twice" if time == times[-1] else "comes after a later one"
            raise InputError(f"{path}, line {line}: expected times that go up in column {name!r}; {cell!r} {fault}")
        times.append(time)
    if dates:
        midnights = all(time == time.replace(hour=0, minute=0, second=0, microsecond=0) for time in times)
        return np.array(times, dtype="datetime64[D]" if midnights else "datetime64[us]")
    numbers = np.array(times)
    whole = (numbers == np.round(numbers)).all() and (abs(numbers) < 2**53).all()
    return numbers.astype(np.int64) if whole else numbers


def _date(cell: str) -> datetime | None:
    """An ISO date or time, a month as 2001-12 or a day as 2001/12/29; a time zone is left out."""
    cell = cell.replace("/", "-")
    if re.fullmatch(r"\d{4}-\d{2}", cell):
        cell += "-01"
    elif re.fullmatch(r"\d{1,7}|\d{9,}", cell):
        return None
    try:
        return datetime.fromisoformat(cell).replace(tzinfo=None)
    except ValueError:
        return None
