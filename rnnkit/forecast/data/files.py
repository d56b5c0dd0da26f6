"""Series in files: CSV, CSV in gzip, and Parquet."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.forecast.data.csv_files import GAPS, InputError, numbers, parsed, read_rows
from rnnkit.forecast.data.dates import looks_dated, read_times
from rnnkit.forecast.data.frames import Columns, FileTable, SeriesFrame, assemble, is_frame, label, read
from rnnkit.forecast.data.timeline import Timeline, regular
from rnnkit.sequences import tables
from rnnkit.serialization.atomic_files import replacing

ID_NAMES = {"unique_id", "id", "series", "series_id", "item_id", "item"}
TIME_NAMES = {"date", "time", "datetime", "timestamp", "day", "week", "month", "quarter", "year", "ds"}
TARGET_NAMES = {"y", "value", "target"}
PARQUET = {".parquet", ".pq"}
_WORKBOOKS = {".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"}


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
    >>> from rnnkit.datasets import FOLDER
    >>> read_series(FOLDER / "sunspots.csv").timeline.ahead(2).tolist()
    [2009, 2010]
    """

    name: str
    values: np.ndarray
    timeline: Timeline


def read_table(
    path: Any,
    id: str | None = None,
    time: str | None = None,
    target: str | None = None,
    freq: Any = None,
    dayfirst: bool | None = None,
    decimal: str | None = None,
) -> SeriesFrame:
    """Read the series of a file.

    A long table has a row for each series and time, with a column of ids; without one it is a single series. A wide
    table has no ids, and a column for each series.

    Parameters
    ----------
    path : str or Path
        CSV, or Parquet where the name ends with .parquet or .pq. The first line of CSV names the columns; comma,
        semicolon, tab and pipe separate them. A name that ends with .gz is CSV in gzip.
    id, time, target : str, optional
        The columns of ids, times and values. By default the first ones called unique_id, id, series, item_id or the
        like, or the only one of text if times repeat; ds, date, time, year or the like, or with a date in its first
        cell; and y, value or target, or the only remaining one. If several remain without a column of ids, each one is
        a series.
    freq : int, str or timedelta, optional
        The step of time in the notation of pandas or polars; by default inferred from the times.
    dayfirst : bool, optional
        Whether 1/2/2001 is in February; by default inferred from the column.
    decimal : {".", ","}, optional
        By default inferred from the numbers.

    Returns
    -------
    SeriesFrame
        The series, for ``fit``. Their forecasts are tables of pandas if pandas and narwhals are
        installed, as dicts of columns otherwise; those of Parquet are tables of pyarrow. `write_table` takes them all.

    Raises
    ------
    InputError
        If the file can't be used: one sentence with the line. For Parquet without pyarrow.

    Examples
    --------
    >>> import pathlib, tempfile, rnnkit as rk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sales.csv")
    ...     rk.forecast.write_table(path, {"id": ["a", "a", "b", "b"], "ds": [1, 2, 1, 2], "y": [3.0, 4.0, 5.0, 6.0]})
    ...     table = rk.forecast.read_table(path)
    >>> [str(one) for one in table.ids]
    ['a', 'b']
    """
    if decimal not in (None, ".", ","):
        raise ValueError(f"expected decimal as '.' or ','; got {decimal!r}")
    if Path(path).suffix in PARQUET:
        return _from_parquet(path, (id, time, target), freq)
    header, lines, cells = _cells(path)
    dated = [name for name in header if looks_dated(cells[name][0]) and not cells[name][0].isdigit()]
    texts = [name for name in header if name not in dated and all(map(_is_text, cells[name]))]
    repeats = lambda name: len(set(cells[name])) < len(lines)
    names, wide = _roles(path, header, dated, (id, time, target), texts, repeats)
    steps = None if names.time is None else read_times(path, names.time, lines, cells.pop(names.time), dayfirst)
    ids: list[Any] = [None]
    codes = np.zeros(len(lines), np.int64)
    if names.id is not None:
        seen: dict[str, int] = {}
        column = cells.pop(names.id)
        if "" in column:
            line = lines[column.index("")]
            raise InputError(f"{path}, line {line}: expected a value in each row of column {names.id!r}; got none")
        codes = np.array([seen.setdefault(one, len(seen)) for one in column])
        ids = list(seen)
    values = numbers(path, lines, cells, decimal)
    if steps is None:
        steps = _places(codes, len(ids))
    if wide:
        ids, count = list(values), len(values)
        codes, steps = np.repeat(np.arange(count), len(lines)), np.tile(steps, count)
        lines = lines * count
        values = {Columns().target: np.concatenate(list(values.values()))}
    called = "step" if names.time is None else names.time or Columns().time
    chosen = Columns(names.id or Columns().id, called, names.target)

    def fault(row: int, series: int, said: str) -> InputError:
        where = f"{path}, line {lines[row]}"
        return InputError(f"{where}: {said}" if ids == [None] else f"{where}, {label(ids, series)}: {said}")

    try:
        return assemble(chosen, ids, codes, steps, values, freq, FileTable(ids), fault)
    except InputError:
        raise
    except ValueError as error:  # an invalid freq
        raise InputError(f"{path}: {error}") from None


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
    >>> from rnnkit.datasets import FOLDER
    >>> series = read_series(FOLDER / "sunspots.csv")
    >>> series.name, series.values[:3].tolist()
    ('sunspots', [5.0, 11.0, 16.0])
    """
    header, lines, cells = _cells(path)
    _check_names(path, header, (time, column))
    if time is None:
        time = next((name for name in header if name.strip().lower() in TIME_NAMES and name != column), None)
    if column is None:
        others = [name for name in header if name != time]
        if len(others) != 1:
            raise InputError(f"{path} has the columns {', '.join(header)}; say with --column which one to forecast")
        (column,) = others
    values = numbers(path, lines, {column: cells[column]})[column]
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


def check_suffix(path: Any) -> None:
    """Check that a table can be written to a file of this name: no workbook, and Parquet only with pyarrow."""
    if Path(path).suffix.lower() in _WORKBOOKS:
        raise InputError(
            f"expected a name that ends in .csv, .csv.gz or .parquet; got {Path(path).name}: spreadsheets read CSV, "
            "and pandas' to_excel writes workbooks"
        )
    if Path(path).suffix in PARQUET:
        require_pyarrow()


def write_table(path: Any, table: Any) -> None:
    """Write a table as CSV, CSV in gzip or Parquet, as the name ends.

    Parameters
    ----------
    path : str or Path
        Replaced once the file is complete.
    table : mapping of str to sequence, or DataFrame
        Columns of the same length. A NaN is an empty cell in CSV, and a time of a time zone is written in UTC.

    Raises
    ------
    ValueError
        If columns have different lengths.
    InputError
        For the name of a workbook, and for Parquet without pyarrow.

    Examples
    --------
    >>> import pathlib, tempfile, rnnkit as rk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sales.csv")
    ...     rk.forecast.write_table(path, {"ds": [1, 2], "y": [3.5, 4.0]})
    ...     print(path.read_text(), end="")
    ds,y
    1,3.5
    2,4.0
    """
    check_suffix(path)
    suffix = Path(path).suffix
    if is_frame(table):
        frame = tables.opened(table, "the table")
        table = frame.to_arrow() if suffix in PARQUET else {name: frame[name].to_numpy() for name in frame.columns}
    elif suffix in PARQUET:
        table = require_pyarrow()[0].table({name: _plain(column) for name, column in _checked(table).items()})
    if suffix in PARQUET:
        with replacing(path) as beside:
            require_pyarrow()[1].write_table(table, beside)
        return
    columns = {name: _texts(column) for name, column in _checked(table).items()}
    opening: Any = gzip.open if suffix == ".gz" else open
    with replacing(path) as beside, opening(beside, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(chain([columns], zip(*columns.values(), strict=True)))


def _cells(path) -> tuple[list[str], list[int], dict[str, list[str]]]:
    """Return the names of a file's columns, the rows' line numbers, and the cells of each column."""
    header, rows = read_rows(path)
    cells = dict(zip(header, map(list, zip(*(cells for _, cells in rows), strict=True)), strict=True))
    return header, [line for line, _ in rows], cells


def _check_names(path, header, named) -> None:
    for name in named:
        if name is not None and name not in header:
            raise InputError(f"{path} has no column {name!r}; its columns are {', '.join(header)}")


def _roles(path, header, dated, given, texts, repeats) -> tuple[Any, bool]:
    """Return the columns of ids, times and values, and whether each of the other columns is a series."""
    _check_names(path, header, given)
    id, time, target = given

    def called(names) -> str | None:
        return next((name for name in header if name.lower() in names and name not in given), None)

    if id is None:
        id = called(ID_NAMES)
    if time is None:
        time = called(TIME_NAMES) or next((name for name in dated if name not in given and name != id), None)
    if target is None:
        target = called(TARGET_NAMES)
    texts = [name for name in texts if name not in (time, target)]
    if id is None and len(texts) == 1 and time is not None and repeats(time):
        id = texts[0]  # several series, as times repeat
    left = [name for name in header if name not in (id, time)]
    if not left:
        raise InputError(f"{path} has the columns {', '.join(header)}; expected one of values besides")
    if target is not None or len(left) == 1:
        return Columns(id, time, target or left[0]), False
    if id is not None:
        raise InputError(f"{path} has the columns {', '.join(header)}; say which one to forecast (target=)")
    return Columns(None, time, Columns().target), True


def _is_text(cell: str) -> bool:
    """Return whether a cell is a name, rather than a number, a date or a gap."""
    return cell[:1].isalpha() and cell.lower() not in GAPS and parsed(cell) is None and not looks_dated(cell)


def _places(codes, count) -> np.ndarray:
    """Return the index of each row within its series."""
    order = np.argsort(codes, kind="stable")
    rows = np.bincount(codes, minlength=count)
    places = np.empty(len(codes), np.int64)
    places[order] = np.arange(len(codes)) - np.repeat(np.cumsum(rows) - rows, rows)
    return places


def column_names(path) -> list[str]:
    """Return the names of a file's columns."""
    return _in_parquet(path, "read_schema").names if Path(path).suffix in PARQUET else read_rows(path)[0]


def _in_parquet(path, function: str) -> Any:
    """Call a function of pyarrow.parquet on a file; an InputError if it can't be read."""
    arrow, parquet = require_pyarrow()
    try:
        return getattr(parquet, function)(path)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (OSError, arrow.ArrowException) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} can't be read as Parquet: {first}") from None


def _from_parquet(path, given, freq) -> SeriesFrame:
    table, types = _in_parquet(path, "read_table"), require_pyarrow()[0].types
    dated = [field.name for field in table.schema if types.is_temporal(field.type)]
    texts = [field.name for field in table.schema if types.is_string(field.type)]
    repeats = lambda name: len(table.column(name).unique()) < len(table)
    names, _ = _roles(path, table.column_names, dated, given, texts, repeats)
    if names.time is None:
        raise InputError(f"{path} has no column of times among {', '.join(table.column_names)} (time=)")
    try:
        return read(table, (names.id or Columns().id, names.time, names.target), freq)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {error}") from None


def require_pyarrow() -> tuple[Any, Any]:
    """Import pyarrow and pyarrow.parquet; an InputError if they, or narwhals, are missing."""
    try:
        import narwhals  # noqa: F401  (checked here, used on reading)
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f"Parquet needs {error.name}; install it with: pip install 'rnnkit[parquet]'") from None
    return pyarrow, pyarrow.parquet


def _checked(columns: Mapping[str, Sequence]) -> Mapping[str, Sequence]:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected columns of one length; got {', '.join(f'{n}: {k}' for n, k in lengths.items())}")
    return columns


def _plain(column) -> Any:
    """Convert a column to types that pyarrow takes; NumPy's days are not among them."""
    return column.astype(object) if getattr(column, "dtype", None) == np.dtype("datetime64[D]") else column


def _texts(column) -> list[str]:
    array = column if isinstance(column, np.ndarray) else np.array(column, dtype=object)
    if array.dtype.kind == "f":
        return ["" if one != one else repr(one) for one in array.astype(np.float64).tolist()]
    if array.dtype.kind == "M":
        days = array.astype("datetime64[D]")
        if (days == array).all():
            return np.datetime_as_string(days).tolist()
        seconds = array.astype("datetime64[s]")
        return np.datetime_as_string(seconds if (seconds == array).all() else array).tolist()
    return ["" if one is None or one != one else str(one) for one in array.tolist()]
