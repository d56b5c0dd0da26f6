"""Columns of pandas, polars, pyarrow and similar libraries, by narwhals: conversion to arrays and back."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.arrays import of_dask

if TYPE_CHECKING:
    import narwhals as nw
else:

    class _Narwhals:
        """The module, imported when something of it is asked for; an ImportError names the extra."""

        def __getattr__(self, name: str) -> Any:
            try:
                return getattr(importlib.import_module("narwhals"), name)
            except ImportError:
                raise ImportError("tables need narwhals; install it with: pip install 'rnnkit[tables]'") from None

    nw = _Narwhals()

_CHUNK = 1 << 20  # Python objects per chunk of ids


def opened(data, what: str) -> nw.DataFrame:
    """Return a table as narwhals has it; a TypeError if it is none, or is lazy."""
    if of_dask(data):
        raise TypeError(f"expected {what} to be in memory; got a {type(data).__name__} of Dask: compute() it first")
    from_native, to_native = nw.from_native, nw.to_native  # narwhals may be missing
    try:
        found = from_native(to_native(data, pass_through=True))
    except TypeError:
        hint = ": pandas.DataFrame(columns) makes one" if isinstance(data, Mapping) else ""
        raise TypeError(f"expected {what} to be a DataFrame; got {type(data).__name__}{hint}") from None
    except Exception as error:  # libraries differ in the error for repeated names
        raise ValueError(f"expected {what} with a name of its own for each column: {error}") from None
    if isinstance(found, nw.LazyFrame):
        raise TypeError(f"expected {what} to be in memory; got a {type(data).__name__}: collect() it first")
    return found


def indexed(table: nw.DataFrame, names: Sequence[str]) -> nw.DataFrame:
    """Return a table of pandas with those of its index's levels as columns that are lacking among these names."""
    index = nw.maybe_get_index(table)
    unnamed = {None, *table.columns}
    levels = [name for name in getattr(index, "names", ()) if name in names and name not in unnamed]
    return nw.from_native(table.to_native().reset_index(level=levels)) if levels else table


def keyed(table: nw.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, Any, list]:
    """Return each row's index of its series, and the ids by first appearance, as a table and as a list.

    All rows are one series, without a table and of the id None, if one of the columns of ids is lacking.
    """
    if not set(names) <= set(table.columns):
        return np.zeros(len(table), np.int64), None, [None]
    found, first = codes(table, names[0])
    if len(names) == 1:
        return found, first.to_frame(), first.to_list()
    for name in names[1:]:
        more, kinds = codes(table, name)
        found = found * len(kinds) + more
    _, rows, inverse = np.unique(found, return_index=True, return_inverse=True)
    order = np.argsort(rows)
    heads = nw.maybe_reset_index(table.select(*names)[rows[order]])
    return np.argsort(order)[inverse], heads, heads.rows()


def check_columns(table: nw.DataFrame, names: Sequence[str], what: str, otherwise: str = "") -> None:
    """Raise a ValueError that names missing columns."""
    if not set(names) <= set(table.columns):
        raise ValueError(
            f"expected {what} with the columns {', '.join(map(str, names))}; got "
            f"{', '.join(map(str, table.columns)) or 'none'}{otherwise}"
        )


def codes(table: nw.DataFrame, name: str) -> tuple[np.ndarray, nw.Series]:
    """Return the index of each row's id, and the ids in order of first appearance; a ValueError if an id is missing."""
    ids = table[name]
    _check_whole(ids, name)
    if not len(ids):
        return np.zeros(0, np.int64), ids
    changed = np.array((ids != ids.shift(1)).fill_null(True).to_numpy(), bool)
    changed[0] = True
    starts = np.flatnonzero(changed)
    seen: dict[Any, int] = {}
    runs = np.empty(len(starts), np.int64)
    for begin in range(0, len(starts), _CHUNK):
        chunk = ids[starts[begin : begin + _CHUNK]].to_list()
        runs[begin : begin + _CHUNK] = [seen.setdefault(one, len(seen)) for one in chunk]
    first = np.empty(len(seen), np.int64)
    first[runs[::-1]] = starts[::-1]  # for a repeated id, the last write stays
    return np.repeat(runs, np.diff(starts, append=len(ids))), nw.maybe_reset_index(ids[first])


def kinds(column: nw.Series) -> list[str] | None:
    """Return the different texts of a column of text or categories, in order; None for another one."""
    return sorted({one for one in texts(column) if one is not None}) or None if is_text(column) else None


def numbers(table: nw.DataFrame, name: str, codes=None, ids=None, texts: Sequence[str] | None = None) -> np.ndarray:
    """Return a column as float64, NaN where a value is missing, and 0 and 1 for booleans.

    Of a column of text, the places among `texts`, -1 for another one. A ValueError names the first row that holds
    something else, with its series by `codes` ``(rows,)`` among `ids`.
    """
    column = table[name]
    if texts is not None and is_text(column):
        places: dict[Any, float] = {one: place for place, one in enumerate(texts)}
        return np.array([np.nan if _missing(one) else places.get(str(one), -1.0) for one in column.to_list()])
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return column.cast(nw.Float64).to_numpy()
    values = column.to_list()
    if column.dtype in (nw.Object, nw.Unknown):
        try:
            return np.array([np.nan if _missing(one) else _number(one) for one in values], np.float64)
        except TypeError:
            pass
    row, value = next((row, one) for row, one in enumerate([*values, None]) if row == len(values) or not _fine(one))
    if row == len(values):
        return np.full(len(values), np.nan)
    where = f"row {row}" if ids is None or ids == [None] else f"row {row}, of series {ids[codes[row]]!r}"
    raise ValueError(
        f"expected numbers in column {name!r}; got {value!r} in {where}: convert the column or leave it out"
    )


@dataclass(frozen=True)
class TimeColumn:
    """A column of times."""

    column: nw.Series  # template of new columns
    values: np.ndarray  # (rows,), int64 or datetime64, in UTC where there is a time zone
    zone: str | None = None
    freq: int | None = None  # steps per time, for periods

    @classmethod
    def of(cls, table: nw.DataFrame, name: str) -> TimeColumn:
        """Read a column; a ValueError says that a time is missing, or is neither an integer nor a date."""
        column = table[name]
        _check_whole(column, name)
        dtype = column.dtype
        if dtype.is_integer():
            return cls(column, column.cast(nw.Int64).to_numpy())
        if isinstance(dtype, nw.Datetime) or _zone_of(column):
            zone = _zone_of(column)
            return cls(column, _moved(column, "UTC").to_numpy() if zone else column.to_numpy(), zone)
        if dtype == nw.Date:
            return cls(column, np.asarray(column.to_numpy(), "datetime64[D]"))
        if _period(column) is not None:
            # pandas counts a frequency of 3M in single months.
            native = column.to_native()
            return cls(column, native.array.asi8.copy(), freq=native.dtype.freq.n)
        if dtype.is_float() and (column.to_numpy() % 1 == 0).all():
            return cls(column, column.to_numpy().astype(np.int64))
        if dtype == nw.Object and all(type(one) is date for one in column.to_list()):
            return cls(column, np.array(column.to_list(), "datetime64[D]"))
        (value,) = column.head(1).to_list()
        raise ValueError(
            f"expected integers, dates or timestamps in column {name!r}; got {value!r} of {dtype}: convert the column, "
            "with pandas.to_datetime or the like"
        )

    def wall(self) -> np.ndarray:
        """Return the times on the clock of their zone."""
        return _moved(self.column, self.zone).to_numpy()

    def of_other(self, table: nw.DataFrame, name: str, wall: bool) -> np.ndarray:
        """Return the times of another table on the same clock; a ValueError if one lacks a zone, or has numbers."""
        other = TimeColumn.of(table, name)
        kinds = [(one.values.dtype.kind, one.zone is None, str(_period(one.column))) for one in (self, other)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"expected times of {self.column.dtype} in column {name!r}, as in the table of series; got "
                f"{other.column.dtype}"
            )
        return _moved(other.column, self.zone).to_numpy() if wall else other.values

    def described(self) -> dict[str, Any]:
        """Return JSON values from which `of_description` restores the column's type."""
        period, dtype = _period(self.column), self.column.dtype
        said = str(period.freqstr) if period is not None else self.zone if self.zone else None
        kind = "period" if period is not None else "zone" if self.zone else str(dtype)
        return {"kind": kind, "said": said, "freq": self.freq}

    @classmethod
    def of_description(cls, about: Mapping[str, Any], backend: Any) -> TimeColumn:
        """Make an empty column from the result of `described`."""
        kind, said = about["kind"], about["said"]
        dates = np.array([], "datetime64[us]")
        if kind == "period":
            import pandas as pd

            empty = nw.from_native(pd.Series(pd.PeriodIndex([], freq=said)), series_only=True)
        elif kind == "zone":
            empty = nw.new_series("", dates, backend=backend).dt.replace_time_zone("UTC").dt.convert_time_zone(said)
        elif kind == "Object":
            empty = nw.new_series("", [], dtype=nw.Object, backend=backend)
        elif kind == "Date":
            empty = nw.new_series("", dates, backend=backend).cast(nw.Date)
        elif kind.startswith("Datetime"):
            empty = nw.new_series("", dates, backend=backend)
        else:
            empty = nw.new_series("", np.array([], np.int64), backend=backend).cast(getattr(nw, kind))
        values = np.array([], np.int64) if empty.dtype.is_integer() else dates
        return cls(empty, values, said if kind == "zone" else None, about["freq"])

    def without_rows(self) -> TimeColumn:
        """Return the column without its rows, as a template."""
        return replace(self, column=self.column.head(0), values=self.values[:0])

    def like(self, times: np.ndarray, wall: bool) -> nw.Series:
        """Return other times as a column of this type."""
        dtype, backend = self.column.dtype, self.column.implementation
        period = _period(self.column)
        name = self.column.name
        if period is not None:
            import pandas as pd

            return nw.from_native(pd.Series(pd.arrays.PeriodArray(times, dtype=period), name=name), series_only=True)
        if times.dtype.kind != "M":
            found = nw.new_series(name, times, backend=backend)
            bounds = np.iinfo(str(dtype).lower() if dtype.is_integer() else np.int64)
            fits = not len(times) or bounds.min <= times.min() <= times.max() <= bounds.max
            return found.cast(dtype) if fits else found
        if isinstance(dtype, nw.Datetime) or self.zone:
            if self.zone is None:
                return nw.new_series(name, times, backend=backend)
            found = nw.new_series(name, _to_utc(times, self.zone) if wall else times, backend=backend)
            return found.dt.replace_time_zone("UTC").dt.convert_time_zone(self.zone)
        if times.dtype != np.dtype("datetime64[D]"):  # freq has shorter steps than dates
            return nw.new_series(name, times.astype("datetime64[us]"), backend=backend)
        if dtype == nw.Object:
            return nw.new_series(name, times.astype(object), dtype=nw.Object, backend=backend)
        return nw.new_series(name, times.astype("datetime64[ms]"), backend=backend).cast(nw.Date)


def repeated(column: nw.Series, times: int) -> nw.Series:
    """Repeat each row of a column."""
    return nw.maybe_reset_index(column[np.repeat(np.arange(len(column)), times)])


def made(columns: Mapping[str, Any], backend: Any):
    """Make a DataFrame of a library from columns, which are sequences or narwhals' Series."""
    return of_columns(
        [
            column.alias(name) if isinstance(column, nw.Series) else nw.new_series(name, column, backend=backend)
            for name, column in columns.items()
        ]
    ).to_native()


def of_columns(columns: list[nw.Series]) -> nw.DataFrame:
    """Make a table of columns."""
    return columns[0].to_frame().with_columns(*columns[1:])


def is_text(column: nw.Series) -> bool:
    """Return whether a column holds text or categories."""
    return column.dtype in (nw.String, nw.Categorical, nw.Enum) or (
        column.dtype == nw.Object and all(_missing(one) or isinstance(one, str) for one in column.to_list())
    )


def texts(column: nw.Series) -> list[str | None]:
    """Return the cells of a column of text."""
    return [None if _missing(one) else str(one) for one in column.to_list()]


def is_column(data) -> bool:
    """Return whether `data` is a single column of a library."""
    try:
        nw.from_native(nw.to_native(data, pass_through=True), series_only=True)
    except TypeError:
        return False
    return True


def _zone_of(column: nw.Series) -> str | None:
    """Return the name of a column's time zone; narwhals does not recognise all of pandas's."""
    if isinstance(column.dtype, nw.Datetime):
        return column.dtype.time_zone
    zone = getattr(getattr(column.to_native(), "dtype", None), "tz", None)
    return None if zone is None else str(zone)


def _moved(column: nw.Series, zone) -> nw.Series:
    if isinstance(column.dtype, nw.Datetime):
        return column.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return nw.from_native(column.to_native().dt.tz_convert(zone).dt.tz_localize(None), series_only=True)


def _period(column: nw.Series):
    """Return pandas's dtype of periods, or None."""
    dtype = getattr(column.to_native(), "dtype", None)
    return dtype if type(dtype).__name__ == "PeriodDtype" else None


def _check_whole(column: nw.Series, name) -> None:
    missing = column.is_null()
    if column.dtype.is_float():
        missing = missing | column.is_nan()
    if missing.any():
        row = int(np.argmax(np.asarray(missing.to_numpy(), bool)))
        raise ValueError(f"expected a value in each row of column {name!r}; got none in row {row}")


def _missing(one) -> bool:
    return one is None or one != one or type(one).__name__ in ("NAType", "NaTType")


def _number(one) -> float:
    if isinstance(one, (str, bytes, date, timedelta)):
        raise TypeError
    return float(one)


def _fine(one) -> bool:
    """Return whether a cell is a number or missing."""
    try:
        return _missing(one) or _number(one) is not None
    except (TypeError, ValueError):
        return False


def _to_utc(wall, zone) -> np.ndarray:
    """Convert times of a zone's clock to UTC; a time that the clock skips is read as before the change."""
    from zoneinfo import ZoneInfo

    fixed = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d\d):?(\d\d)", zone)
    clock: tzinfo = (
        ZoneInfo(zone)
        if fixed is None
        else timezone(timedelta(hours=int(fixed[1] + fixed[2]), minutes=int(fixed[1] + fixed[3])))
    )
    times, inverse = np.unique(wall, return_inverse=True)
    local = times.astype("datetime64[us]").astype(object)
    offsets = [one.replace(tzinfo=clock).utcoffset() for one in local]
    return (times - np.array(offsets, "timedelta64[s]")).astype(wall.dtype)[inverse]
