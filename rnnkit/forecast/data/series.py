"""A series read from a CSV file, with its gaps, and errors of one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.forecast.data.csv_files import InputError, numbers, read_rows
from rnnkit.forecast.data.dates import read_times
from rnnkit.forecast.data.timeline import Timeline, regular

TIME_NAMES = {"date", "time", "datetime", "timestamp", "day", "week", "month", "quarter", "year", "ds"}


@dataclass(frozen=True)
class Series:
    """A series of values in equal steps.

    Attributes
    ----------
    name : str
    values : ndarray (T,) of float64
        NaN in gaps.
    timeline : Timeline
        The times of past and future steps.

    Examples
    --------
    >>> import pathlib, tempfile, rnnkit as rk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sales.csv")
    ...     rk.forecast.write_table(path, {"year": [2001, 2002, 2003], "y": [3.0, 4.0, 5.0]})
    ...     series = rk.forecast.read_series(path)
    >>> series.timeline.times.tolist()
    [2001, 2002, 2003]
    """

    name: str
    values: np.ndarray
    timeline: Timeline


def read_series(path: Any, column: str | None = None, time: str | None = None) -> Series:
    """Read one column of a CSV file.

    The first line names the columns, separated by comma, semicolon, tab or pipe. Empty cells, NA, NaN and
    the like are gaps, and so are rows that are missing from otherwise equal steps of time.

    Parameters
    ----------
    path : str or Path
    column : str, optional
        The column to forecast; not needed where there is only one besides the time.
    time : str, optional
        The column of times, which are numbers or dates and go up; by default the first one called date, time, year
        or the like, and the rows' numbers without any.

    Returns
    -------
    Series

    Raises
    ------
    InputError
        If there is no such file or column, or if a cell can't be read, with its line.

    Examples
    --------
    >>> import pathlib, tempfile, rnnkit as rk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sales.csv")
    ...     rk.forecast.write_table(path, {"year": [2001, 2002, 2003], "y": [3.0, 4.0, 5.0]})
    ...     series = rk.forecast.read_series(path)
    >>> series.name, series.values.tolist()
    ('y', [3.0, 4.0, 5.0])
    """
    names, rows = read_rows(path)
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
    lines, cells = (
        [line for line, _ in rows],
        dict(zip(names, zip(*(row for _, row in rows), strict=True), strict=True)),
    )
    values = numbers(path, lines, {column: list(cells[column])})[column]
    if np.isnan(values).all():
        raise InputError(f"{path} has no value in column {column!r}, only gaps")
    if time is None:
        return Series(column, values, Timeline("step", np.arange(len(values))))
    times = read_times(path, time, lines, cells[time])
    if (back := np.flatnonzero(times[1:] <= times[:-1]) + 1).size:
        row = int(back[0])
        fault = "comes twice" if times[row] == times[row - 1] else "comes after a later one"
        raise InputError(
            f"{path}, line {lines[row]}: expected times that go up in column {time!r}; {cells[time][row]!r} {fault}"
        )
    steps, timeline = regular(time, times)
    spread = np.full(len(timeline.times), np.nan)
    spread[steps] = values
    return Series(column, spread, timeline)
