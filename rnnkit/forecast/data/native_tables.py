"""Tables of series of pandas, polars, pyarrow and similar libraries: their forms, and makers of tables like them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.forecast.data import frequencies
from rnnkit.sequences import tables
from rnnkit.sequences.tables import TimeColumn, nw


def framed(data, names, freq, covariates: Sequence[str] = ()) -> tuple[nw.DataFrame, Any]:
    """Return a table, or a single column with its times, and the frequency, which an index may have."""
    if not tables.is_column(data):
        return arranged(tables.opened(data, "a table of series"), names, covariates), freq
    column = nw.from_native(nw.to_native(data, pass_through=True), series_only=True)
    index = nw.maybe_get_index(column)
    if index is None:
        times = nw.new_series(names.time, np.arange(len(column)), backend=column.implementation)
    else:
        native = index.to_series().reset_index(drop=True)  # of pandas or a similar library
        times = nw.from_native(native, series_only=True)
        offset = getattr(index, "freqstr", None)
        if freq is None and offset is not None and times.dtype != nw.Unknown:
            with contextlib.suppress(ValueError):  # a name that is not known
                freq = frequencies.frequency(offset, True)
        column = nw.maybe_reset_index(column)
    return tables.of_columns([times.alias(names.time), column.alias(names.target)]), freq


def arranged(table: nw.DataFrame, names, covariates: Sequence[str], known: Sequence | None = None) -> nw.DataFrame:
    """Return a table with the columns of ids, times and values, by their `names`, if it has them in another form.

    Times and ids may be in an index. Without columns of ids and of values, each other column of numbers is a series, of
    `known` names where these are given, besides `covariates`, which all series share.
    """
    table = tables.indexed(table, [*names.ids, names.time])
    if names.time not in table.columns and getattr(nw.maybe_get_index(table), "names", ()) == [None]:
        index = nw.maybe_get_index(table)
        if type(index).__name__ in ("DatetimeIndex", "PeriodIndex"):
            table = nw.from_native(table.to_native().rename_axis(names.time).reset_index())
    head = [names.time, *covariates]
    others = [name for name in table.columns if name not in head]
    if not set(head) <= set(table.columns) or {*names.ids, names.target} & set(table.columns) or len(names.ids) > 1:
        return table
    if not others or (known is not None and not set(others) <= set(known)):
        return table
    if not all(table[name].dtype.is_numeric() for name in others) or table[names.time].is_duplicated().any():
        return table
    return table.unpivot(others, index=head, variable_name=names.id, value_name=names.target)


@dataclass(frozen=True)
class NativeTable:
    """Maker of tables of the input's library."""

    time: TimeColumn
    heads: nw.DataFrame | None  # the id of each series

    def ids(self, series: np.ndarray) -> list[nw.Series]:
        """Return the columns of ids of rows."""
        return [] if self.heads is None else [nw.maybe_reset_index(one[series]) for one in self.heads.iter_columns()]

    def times(self, times: np.ndarray, wall: bool) -> nw.Series:
        """Return the time of each row."""
        return self.time.like(times, wall)

    def times_of(self, table: nw.DataFrame, name: str, wall: bool) -> np.ndarray:
        """Return the times of another table on the same clock."""
        return self.time.of_other(table, name, wall)

    def table(self, columns: Mapping[str, Any]):
        """Make a DataFrame of columns, which are arrays or narwhals' Series."""
        return tables.made(columns, self.time.column.implementation)

    def described(self) -> dict[str, Any]:
        """Return JSON values from which `of_description` restores the maker."""
        heads = None if self.heads is None else [str(one.dtype) for one in self.heads.iter_columns()]
        return {"library": str(self.time.column.implementation.value), "time": self.time.described(), "ids": heads}

    @classmethod
    def of_description(cls, about: Mapping[str, Any], ids: list) -> NativeTable:
        """Make a maker from the result of `described`; an ImportError if its library is missing."""
        backend: Any = nw.Implementation.from_backend(about["library"])
        try:
            time = TimeColumn.of_description(about["time"], backend)
        except ImportError as error:
            raise ImportError(f"the file holds series of a table of {about['library']}: {error}") from None
        if about["ids"] is None:
            return cls(time, None)
        parts = zip(*(one if isinstance(one, tuple) else (one,) for one in ids), strict=True)
        heads = [nw.new_series(str(place), part, backend=backend) for place, part in enumerate(parts)]
        pairs = zip(heads, about["ids"], strict=True)
        typed = [one.cast(getattr(nw, kind)) if one.dtype.is_integer() else one for one, kind in pairs]
        return cls(time, tables.of_columns(typed))
