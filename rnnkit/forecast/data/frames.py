"""Tables of many series, a row per series and time: conversion to arrays and back."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from rnnkit import allocation
from rnnkit.arguments import whole
from rnnkit.forecast.data import frequencies, native_tables
from rnnkit.forecast.data.timeline import DAY, Frequency, Timelines, UnequalSteps, infer, on_steps, text
from rnnkit.sequences import tables

EDGE = re.compile(r"(.+)-(lo|hi)-(\d+(?:\.\d+)?)")  # the column of a band's edge
_LIBRARIES = {"pandas", "polars", "pyarrow", "modin", "cudf", "narwhals"}
_CLASSES = {"DataFrame", "LazyFrame", "Series", "Table", "ChunkedArray"}
_OTHER_NAMES = (
    "; id=, time= and target= give other names; a table with a column of numbers per series has its times besides"
)


class Columns(NamedTuple):
    """Names of a table's columns of ids, times and values; ids may have several columns."""

    id: Any = "unique_id"
    time: str = "ds"
    target: str = "y"

    @property
    def ids(self) -> list[str]:
        """The names of the columns of ids."""
        return list(self.id) if isinstance(self.id, (list, tuple)) else [self.id]


@dataclass(frozen=True)
class FileTable:
    """Maker of tables as dicts of columns, for series with these ids."""

    names: list

    def ids(self, series: np.ndarray) -> list[Any]:
        """Return the columns of ids of rows."""
        return [[self.names[one] for one in series.tolist()]]

    def times(self, times: np.ndarray, wall: bool) -> np.ndarray:
        """Return the time of each row."""
        return times

    def times_of(self, table, name: str, wall: bool) -> np.ndarray:
        """Return the times of another table."""
        return tables.TimeColumn.of(table, name).values

    def table(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns as a dict."""
        return dict(columns)

    def described(self) -> None:
        """Return None, as the frame holds all names."""


@dataclass(frozen=True, eq=False)
class SeriesFrame:
    """The series of a table.

    Times of a table with a time zone are in UTC or, where days or more lie between steps, on the zone's own clock.
    """

    names: Columns
    ids: list[Any]  # in order of first appearance; [None] without such a column
    columns: dict[str, np.ndarray]  # (B, T), the values and every other column; NaN where a cell or a row is missing
    timelines: Timelines
    kind: Any  # maker of tables like the input: a `FileTable` or a `NativeTable`
    wall: bool = False  # whether the times are on a zone's own clock
    texts: dict[str, list[str]] = field(default_factory=dict)  # of covariates of text, whose values are places in these

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def series(self) -> list[np.ndarray]:
        """The values of each series ``(T,)``."""
        return self._by_series(self.names.target)

    @property
    def covariates(self) -> dict[str, list[np.ndarray]]:
        """The other columns of each series ``(T,)``, by name."""
        return {name: self._by_series(name) for name in self.columns if name != self.names.target}

    def _by_series(self, name: str) -> list[np.ndarray]:
        return [row[:length] for row, length in zip(self.columns[name], self.timelines.lengths, strict=True)]

    def __repr__(self) -> str:
        steps = [int(self.timelines.lengths.min()), int(self.timelines.lengths.max())]
        lengths = " to ".join(map(str, sorted(set(steps))))
        gaps = int(sum(np.isnan(one).sum() for one in self.series))
        more = f", {gaps:,} gap{'' if gaps == 1 else 's'}" if gaps else ""
        more += f", with {', '.join(self.covariates)}" if self.covariates else ""
        return f"<{len(self)} series of {lengths} steps of {self.timelines.frequency}{more}>"

    def label(self, series: int) -> str:
        """Return the name of a series for errors: "series 'a'", or "the series" for a single one without an id."""
        return label(self.ids, series)

    def alone(self, place: int) -> SeriesFrame:
        """Return one series of a file, without covariates."""
        columns = {self.names.target: self.series[place][None]}
        ids, timelines = [self.ids[place]], self.timelines[place : place + 1]
        return SeriesFrame(self.names, ids, columns, timelines, FileTable(ids), self.wall)

    def ahead(self, horizon: int, columns: Mapping[str, np.ndarray]) -> Any:
        """Make a table of the input's library of the `horizon` steps after each series, from columns ``(B, H)``."""
        count, horizon = len(self), whole(horizon, "horizon", 1)
        return self._table(
            np.repeat(np.arange(count), horizon),
            self.timelines.ahead(horizon).ravel(),
            {name: _flat(name, values, (count, horizon)) for name, values in columns.items()},
        )

    def paths(self, name: str, values: np.ndarray) -> Any:
        """Make a table of sample paths ``(n, B, H)`` of the steps ahead: id, time, path, and the values by name."""
        n, count, h = values.shape
        series, path = np.repeat(np.arange(count), n * h), np.tile(np.repeat(np.arange(n), h), count)
        times = np.repeat(self.timelines.ahead(h)[:, None], n, axis=1).ravel()
        return self._table(series, times, {"path": path, name: values.swapaxes(0, 1).ravel()})

    def by_series(self, columns: Mapping[str, Any], each: int = 1) -> Any:
        """Make a table with `each` rows for each series: id, and the columns."""
        return self.kind.table({**self._heads(np.repeat(np.arange(len(self)), each)), **columns})

    def rows(self, series: Any, steps: Any, columns: Mapping[str, np.ndarray], cutoffs: Any = None) -> Any:
        """Make a table of the input's library of R steps: id, time, cutoff if given, target (or NaN), and columns.

        `series` are places in `ids`; `steps` and `cutoffs`, the last steps known to a forecast, count from 0 at each
        series' beginning.
        """
        series, steps = np.asarray(series), np.asarray(steps)
        lengths = self.timelines.lengths
        inside = (steps >= 0) & (steps < lengths[series])
        observed = np.where(inside, self.columns[self.names.target][series, np.where(inside, steps, 0)], np.nan)
        found: dict[str, Any] = {}
        if cutoffs is not None:
            found["cutoff"] = self.kind.times(self.timelines.at(series, cutoffs), self.wall)
        found[self.names.target] = observed
        self._check_names(columns, found)
        found |= {name: _flat(name, values, (len(series),)) for name, values in columns.items()}
        return self._table(series, self.timelines.at(series, steps), found)

    def future(self, data: Any, horizon: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Read the future covariates ``(B, H)``, by name, from a DataFrame or SeriesFrame; other rows are ignored."""
        horizon, what = whole(horizon, "horizon", 1), "the table of the future"
        counts, found = self._after(data, what, horizon, names)
        if not counts.all():
            raise ValueError(
                f"expected a row for each of {horizon} steps ahead of each series in {what}; got "
                f"{self._first(counts == 0)} not at all"
            )
        for name, values in found.items():
            if not np.isfinite(values).all():
                raise ValueError(
                    f"expected a finite value of {name!r} at each step ahead; got none at "
                    f"{self._first(~np.isfinite(values))}"
                )
        return found

    def came(self, data: Any, horizon: int) -> np.ndarray:
        """Read the actual values of the steps after each series' end ``(B, H)``, NaN where the table has none."""
        return self._after(data, "the table of what came", horizon, [self.names.target])[1][self.names.target]

    def _after(self, data, what: str, horizon: int, names) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the numbers of rows of another table at the steps ahead ``(B, H)``, and these columns of it."""
        if isinstance(data, SeriesFrame):
            if lacking := [name for name in names if name not in data.columns]:
                raise ValueError(f"expected the columns {', '.join(names)} in {what}; got no {lacking[0]!r}")
            series, steps = data._every_step
            columns = {name: data.columns[name][series, steps] for name in names}
            for name in set(names) & set(data.texts):
                ours = {one: place for place, one in enumerate(self.texts.get(name, []))}
                places = np.array([*(ours.get(one, -1) for one in data.texts[name]), np.nan, -1.0])
                columns[name] = places[np.nan_to_num(columns[name], nan=len(places) - 2).astype(np.int64)]
            known_ids = {str(one): place for place, one in enumerate(self.ids)}  # ids may be numbers in one file alone
            codes = np.array([known_ids.get(str(one), -1) for one in data.ids])[series]
            leads = self._leads_at(codes, data.timelines.at(series, steps), "")
        else:
            table = self._arranged(data, names, what)
            codes, leads, _ = self._leads(table, what)
            columns = {name: self._numbers(table, name) for name in names}
        rows = np.flatnonzero((codes >= 0) & (leads >= 0) & (leads < horizon))
        places, shape = codes[rows] * horizon + leads[rows], (len(self), horizon)
        counts = np.bincount(places, minlength=len(self) * horizon).reshape(shape)
        if (counts > 1).any():
            raise ValueError(f"expected one row for each step ahead in {what}; got {self._first(counts > 1)} twice")
        found = {name: np.full(len(self) * horizon, np.nan) for name in names}
        for name, values in found.items():
            values[places] = columns[name][rows]
        return counts, {name: values.reshape(shape) for name, values in found.items()}

    def _leads_at(self, codes, times, where: str) -> np.ndarray:
        """Return the number of steps from each series' last one to the given times; negative if not in the future."""
        if (times.dtype.kind == "M") != (self.timelines.first.dtype.kind == "M"):
            raise ValueError(f"expected times{where} such as {text(self.timelines.first[0])}; got {text(times[0])}")
        leads, ours = np.full(len(codes), -1), codes >= 0
        steps = self.timelines.steps(codes[ours], times[ours])
        leads[ours] = np.where(steps < 0, -1, steps - self.timelines.lengths[codes[ours]])
        return leads

    @property
    def _every_step(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the series and the step of every row."""
        lengths = self.timelines.lengths
        series = np.repeat(np.arange(len(self)), lengths)
        return series, np.arange(len(series)) - (np.cumsum(lengths) - lengths)[series]

    def _first(self, mask: np.ndarray) -> str:
        """Return time and series of the first true entry of a mask of steps ahead ``(B, H)``."""
        series, lead = divmod(int(np.argmax(mask)), mask.shape[1])
        time = self.timelines.at(np.array([series]), self.timelines.lengths[series] + lead)[0]
        return f"{text(time)} of {self.label(series)}"

    def appended(self, data: Any) -> SeriesFrame:
        """Return the series with the rows of a DataFrame appended; a ValueError names a row that does not fit."""
        what = "the table of new values"
        table = self._arranged(data, list(self.columns), what)
        if not len(table):
            return self
        codes, leads, times = self._leads(table, what)
        if (codes < 0).any():
            one = table.select(self.names.ids).row(int(np.argmin(codes)))
            raise ValueError(f"expected rows of the series that are known; got one of {', '.join(map(repr, one))}")
        if (leads < 0).any():
            row = int(np.argmin(leads))
            last = self.timelines.at(codes[row : row + 1], self.timelines.lengths[codes[row]] - 1)[0]
            raise ValueError(
                f"{self.label(codes[row])}: expected times after the last one, {text(last)}, in steps of "
                f"{self.timelines.frequency}; got {text(times[row])}"
            )
        lengths, steps = self.timelines.lengths.copy(), self.timelines.lengths[codes] + leads
        np.maximum.at(lengths, codes, steps + 1)
        rows = np.zeros((len(self), int(lengths.max())), np.int64)
        np.add.at(rows, (codes, steps), 1)
        if (rows > 1).any():
            row = int(np.argmax(rows[codes, steps] > 1))
            raise ValueError(f"{self.label(codes[row])}: expected one row for each time; got {text(times[row])} twice")
        found = {}
        for name, known in self.columns.items():
            new = self._numbers(table, name, codes, self.ids)
            if np.isinf(new).any():
                row = int(np.argmax(np.isinf(new)))
                raise ValueError(f"{self.label(codes[row])}: expected finite values in column {name!r}")
            found[name] = np.pad(known, ((0, 0), (0, rows.shape[1] - known.shape[1])), constant_values=np.nan)
            found[name][codes, steps] = new
        return replace(self, columns=found, timelines=replace(self.timelines, lengths=lengths))

    def to_save(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays and JSON values for `of_saved`; a ValueError if ids are neither strings nor integers."""
        parts = [part for one in self.ids for part in (one if isinstance(one, tuple) else (one,))]
        if not all(type(one) in (str, int, type(None)) for one in parts):
            kind = next(type(one).__name__ for one in parts if type(one) not in (str, int))
            raise ValueError(f"expected ids that are strings or integers, to be written to a file; got {kind}")
        lines, step = self.timelines, self.timelines.frequency.count
        count = (
            [int(step.astype(np.int64)), np.datetime_data(step.dtype)[0]] if isinstance(step, np.timedelta64) else step
        )
        dated = lines.first.dtype.kind == "M"
        arrays = {"first": lines.first.astype(np.int64) if dated else lines.first, "days": lines.days}
        arrays |= {f"column {place}": self.columns[name] for place, name in enumerate(self.covariates)}
        about = {
            "names": list(self.names),
            "ids": self.ids,
            "wall": self.wall,
            "columns": list(self.covariates),
            "texts": self.texts,
            "kind": self.kind.described(),
            "unit": np.datetime_data(lines.first.dtype)[0] if dated else None,
            "frequency": [lines.frequency.unit, count, lines.frequency.day, lines.frequency.anchor],
        }
        return arrays, about

    @classmethod
    def of_saved(cls, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], values, lengths) -> SeriesFrame:
        """Restore a frame from the results of `to_save` and values; an ImportError if its library is missing."""
        names, (unit, count, day, anchor) = Columns(*about["names"]), about["frequency"]
        ids = [tuple(one) if isinstance(one, list) else one for one in about["ids"]]
        if isinstance(count, list):
            count = np.timedelta64(*count)
        first = arrays["first"] if about["unit"] is None else arrays["first"].astype(f"datetime64[{about['unit']}]")
        lines = Timelines(names.time, first, arrays["days"], lengths, Frequency(unit, count, day, anchor))
        native = about["kind"] is not None
        kind = native_tables.NativeTable.of_description(about["kind"], ids) if native else FileTable(ids)
        besides = about.get("columns", ())  # which files of before lack
        columns = {names.target: values} | {name: arrays[f"column {place}"] for place, name in enumerate(besides)}
        return cls(names, ids, columns, lines, kind, about["wall"], about["texts"])

    def _leads(self, table, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each row's series, lead and time in another table; -1 for other series, negative for past times."""
        codes, times = self._places(table), self.kind.times_of(table, self.names.time, self.wall)
        where = f" in column {self.names.time!r} of {what} as in the table of series,"
        return codes, self._leads_at(codes, times, where), times

    @property
    def _has_ids(self) -> bool:
        return self.ids != [None]

    def _places(self, table) -> np.ndarray:
        """Return the index in `ids` of each row's series; -1 for an unknown series."""
        if not self._has_ids:
            return np.zeros(len(table), np.int64)
        codes, _, ids = tables.keyed(table, self.names.ids)
        known = {one: place for place, one in enumerate(self.ids)}
        return np.array([known.get(one, -1) for one in ids], np.int64)[codes]

    def _numbers(self, table, name: str, codes=None, ids=None) -> np.ndarray:
        """Return a column of another table as numbers; a text that was not there in this one is -1."""
        return tables.numbers(table, name, codes, ids, self.texts.get(name))

    def expanded(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return values of a covariate ``(…, K)``: as they are, or zeros and ones for each text; NaN where missing."""
        if name not in self.texts:
            return values[..., None]
        found = values[..., None] == np.arange(len(self.texts[name]))
        return np.where(np.isnan(values)[..., None], np.nan, found)

    def _arranged(self, data, names, what: str):
        """Return another table with the columns of ids and times, and the columns `names`."""
        covariates = [name for name in names if name != self.names.target]
        table = native_tables.arranged(tables.opened(data, what), self.names, covariates, self.ids)
        tables.check_columns(table, [*(self.names.ids if self._has_ids else []), self.names.time, *names], what)
        return table

    def _heads(self, series) -> dict[str, Any]:
        """Return the columns of ids of rows."""
        return dict(zip(self.names.ids, self.kind.ids(series), strict=True)) if self._has_ids else {}

    def _check_names(self, columns, taken) -> None:
        if clash := taken.keys() & columns.keys():
            raise ValueError(f"expected other names of columns than those of the table; got {min(clash)!r}")

    def _table(self, series, times, columns):
        head = {**self._heads(series), self.names.time: self.kind.times(times, self.wall)}
        self._check_names(columns, head)
        return self.kind.table({**head, **columns})


def handed_out(table: Any) -> Any:
    """Return a table for the user: a dict of columns becomes a DataFrame if pandas and narwhals are installed."""
    if not isinstance(table, dict):
        return table
    try:
        import narwhals  # noqa: F401  (required by all functions that take the table)
        import pandas
    except ImportError:
        return table
    return pandas.DataFrame(table)


def is_frame(data) -> bool:
    """Return whether `data` is a table, or a column of one, of pandas, polars or the like, without importing any."""
    if hasattr(data, "__narwhals_dataframe__") or hasattr(data, "__narwhals_series__"):
        return True
    return any(
        kind.__name__ in _CLASSES and (root := kind.__module__.partition(".")[0]) in _LIBRARIES and root in sys.modules
        for kind in type(data).__mro__
    )


def read(data, names: Sequence[str] = Columns(), freq=None, covariates: Sequence[str] | None = None) -> SeriesFrame:
    """Read a table of series: a DataFrame or Series of pandas, polars, pyarrow, or another library of narwhals.

    The table has a row per series and time, in any order; missing rows are gaps. Without a column of ids it is one
    series; without one of values too, each other column is a series if all are numbers. Ids and times may be an index
    of pandas. A column by itself has its times in the index, or is numbered from 0. By default all other columns are
    covariates. A ValueError names what can't be read.
    """
    if not is_frame(data):
        raise TypeError(f"expected a DataFrame or a Series; got {type(data).__name__}")
    table, freq = native_tables.framed(data, chosen := Columns(*names), freq, covariates or ())
    tables.check_columns(table, [chosen.time, chosen.target], "a table of series", _OTHER_NAMES)
    if not len(table):
        raise ValueError("expected a table with rows; got an empty one")
    if chosen.id != Columns().id and not tables.is_column(data):
        tables.check_columns(table, [*chosen.ids, chosen.time, chosen.target], "a table of series")
    codes, heads, ids = tables.keyed(table, chosen.ids)
    time = tables.TimeColumn.of(table, chosen.time)

    def fault(row: int, series: int, said: str) -> Exception:
        return ValueError(said if ids == [None] else f"{label(ids, series)}: {said}")

    if covariates is None:
        covariates = [name for name in table.columns if name not in (*chosen.ids, *chosen[1:])]
    tables.check_columns(table, covariates, "a table of series")
    kinds = {name: tables.kinds(table[name]) for name in covariates}
    found = {name: tables.numbers(table, name, codes, ids, kinds.get(name)) for name in (chosen.target, *covariates)}
    frame = assemble(
        chosen,
        ids,
        codes,
        time.values,
        found,
        freq=freq if time.freq is None else time.freq,
        kind=native_tables.NativeTable(time.without_rows(), heads),
        fault=fault,
        wall=time.wall if time.zone else None,
    )
    return replace(frame, texts={name: texts for name, texts in kinds.items() if texts is not None})


def read_static(static, frame: SeriesFrame, known: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Read static covariates: the names of S numbers, and their values ``(B, S)``.

    A column of text becomes one of zeros and ones for each text, named ``column=text``; of the `known` names of a fit.
    """
    what = "the static table"
    table = tables.opened(static, what)
    id_columns = frame.names.ids if frame._has_ids else []
    table = tables.indexed(table, id_columns)
    tables.check_columns(table, id_columns, what)
    codes = frame._places(table)
    counts = np.bincount(codes[codes >= 0], minlength=len(frame))
    if (counts != 1).any():
        series = int(np.argmax(counts != 1))
        raise ValueError(
            f"expected a row for each series in the static table; got {counts[series] or 'none'} for "
            f"{frame.label(series)}"
        )
    order = np.empty(len(frame), np.int64)
    order[codes[codes >= 0]] = np.flatnonzero(codes >= 0)
    found: dict[str, np.ndarray] = {}
    table = table[order]
    for name in table.columns:
        if name not in id_columns:
            kinds = tables.kinds(table[name])
            values = tables.numbers(table, name, texts=kinds)
            columns = values == np.arange(len(kinds))[:, None] if kinds else values[None]
            named = [f"{name}={kind}" for kind in kinds] if kinds else [name]
            found |= dict(zip(named, np.where(np.isnan(values), np.nan, columns), strict=True))
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"expected a finite value in each column of the static table; got none of "
                f"{name.partition('=')[0]!r} for {frame.label(int(np.argmin(np.isfinite(values))))}"
            )
    if known is not None:
        columns = {name.partition("=")[0]: "=" in name for name in known}
        tables.check_columns(table, list(columns), what)
        for name, is_text in columns.items():
            if tables.is_text(table[name]) != is_text:
                raise ValueError(f"expected {'text' if is_text else 'numbers'} in column {name!r} of {what}, as in fit")
        found = {name: found.get(name, np.zeros(len(frame))) for name in known}
    return list(found), np.stack(list(found.values()), axis=1) if found else np.zeros((len(frame), 0))


def label(ids: list, series: int) -> str:
    """Return the name of a series for errors."""
    return "the series" if ids == [None] else f"series {ids[series]!r}"


def assemble(
    names: Columns,
    ids: list,
    codes: np.ndarray,
    times: np.ndarray,
    columns: Mapping[str, np.ndarray],
    freq,
    kind: Any,
    fault: Callable[[int, int, str], Exception],
    wall: Callable[[], np.ndarray] | None = None,
) -> SeriesFrame:
    """Make a frame of rows in any order; `codes` are the indices of their ids, `columns` the values and covariates.

    `fault` makes an error from a row, a series and a description; `wall` gives the times on the clock of a time zone.
    """
    given = None if freq is None else frequencies.frequency(freq, times.dtype.kind == "M")
    order = _order(codes, times)
    codes, times = codes[order], times[order]
    found = {name: column[order] for name, column in columns.items()}
    rows = np.bincount(codes, minlength=len(ids))
    starts = np.cumsum(rows) - rows

    def check(wrong, said: str) -> None:
        if wrong.any():
            place = int(np.argmax(wrong))
            raise fault(int(order[place]), codes[place], said.replace("{time}", text(times[place])))

    hint = "" if ids != [None] else f"; several series need a column of ids, such as {names.id!r}"
    twice = (times[1:] == times[:-1]) & (codes[1:] == codes[:-1])
    check(np.append(False, twice), f"expected one row for each time; got {{time}} twice{hint}")
    for name, column in found.items():
        check(np.isinf(column), f"expected finite values in column {name!r}; got an infinite one at {{time}}")
    none = np.logical_and.reduceat(np.isnan(found[names.target]), starts)
    check(none[codes], f"expected a value in column {names.target!r} at one time at least; got only gaps")
    try:
        on_wall, steps, timelines = _on_clock(names.time, times, wall, order, rows, given)
    except UnequalSteps as error:
        raise fault(int(order[error.row]), error.series, str(error)) from None
    check(timelines.lengths[codes] < 1, "expected times less than 2**63 steps apart")
    shape = len(ids), int(timelines.lengths.max())
    allocation.check("the series with their gaps", (len(found), *shape))
    for name, column in found.items():
        found[name] = np.full(shape, np.nan)
        found[name][codes, steps] = column
    return SeriesFrame(names, ids, found, timelines, kind, on_wall)


def _order(codes, times) -> np.ndarray:
    """Return the order of rows by series and time."""
    later, same = codes[1:] > codes[:-1], codes[1:] == codes[:-1]
    ordered = (later | same & (times[1:] >= times[:-1])).all()
    return np.arange(len(codes)) if ordered else np.lexsort((times, codes))


def _on_clock(name, times, wall, order, rows, given: Frequency | None) -> tuple[bool, np.ndarray, Timelines]:
    """Return whether steps are equal on the zone's clock rather than in UTC, and the results of `on_steps`.

    Steps shorter than a day are equal in UTC; a day, a month or a half of a day may be longer where clocks change.
    """
    if wall is None or (given is not None and _short(given)):
        return False, *on_steps(name, times, rows, given)
    in_utc = None
    with contextlib.suppress(UnequalSteps):
        if given is None and infer(times, rows).unit == "time":
            in_utc = on_steps(name, times, rows)
    if in_utc is not None and _short(in_utc[1].frequency):
        return False, *in_utc
    try:
        return True, *on_steps(name, wall()[order], rows, given)
    except UnequalSteps:
        if in_utc is None:
            raise
        return False, *in_utc


def _short(frequency) -> bool:
    return frequency.unit == "time" and frequency.count < DAY


def padded(series: Sequence[np.ndarray]) -> np.ndarray:
    """Return series of any lengths as rows of one array, NaN after their ends."""
    found = np.full((len(series), max(map(len, series)), *series[0].shape[1:]), np.nan)
    for row, one in zip(found, series, strict=True):
        row[: len(one)] = one
    return found


def _flat(name, values, shape) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != shape:
        raise ValueError(f"expected column {name!r} of shape {shape}; got {values.shape}")
    return values.ravel()
