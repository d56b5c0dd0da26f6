"""Tables in partitions: each series whole in one of them, all of one frequency, checked in one pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.distributed.graphs import dask
from rnnkit.forecast.data import frames
from rnnkit.forecast.data.frames import Columns, SeriesFrame
from rnnkit.forecast.data.timeline import MOST, Frequency


class Reading(NamedTuple):
    """Settings for reading a partition."""

    names: Columns
    freq: Any  # the step between two times
    covariates: tuple[str, ...] = ()

    def read(self, table) -> SeriesFrame:
        found = frames.read(table, self.names, self.freq, covariates=self.covariates)
        if found.texts:
            raise ValueError(f"expected numbers in column {min(found.texts)!r} of series in partitions; got text")
        return found


class Table(NamedTuple):
    """A table whose series each lie in one partition."""

    frame: Any  # a dask DataFrame of the columns of ids, times, values and covariates
    reading: Reading
    head: Any  # empty columns of ids and times, as results have them
    measured: list  # the values of `measure`, per partition with rows
    filled: list[int]  # indices of the partitions with rows

    def mapped(self, function: Callable, columns, *arguments):
        """Return the dask DataFrame of ``function(partition, head, *arguments)``; `columns` follow the head's."""
        head = self._head_with(columns)
        whole = partial(_unless_empty, function, head, arguments)
        return self.frame.map_partitions(whole, meta=head, enforce_metadata=False)

    def beside(self, function: Callable, columns, given, *arguments):
        """Return the DataFrame of ``function(partition, head, own, *arguments)``; `given` are the own ones."""
        head, delayed = self._head_with(columns), dask("delayed").delayed
        own = dict(zip(self.filled, given, strict=True))
        shared, call = delayed((function, head, arguments), traverse=False), delayed(_beside, pure=False)
        parts = [
            call(table, delayed(own.get(place), traverse=False), shared)
            for place, table in enumerate(self.frame.to_delayed())
        ]
        return dask("dataframe").from_delayed(parts, meta=head, verify_meta=False)

    def _head_with(self, columns):
        head = self.head.copy()
        for name in columns:
            head[name] = np.zeros(0)
        return head


class _Seen(NamedTuple):
    """Results of the check of a partition."""

    hashes: np.ndarray  # of ids
    decides: bool  # whether a series has three times or more, and so a frequency
    freq: Frequency | None = None
    head: Any = None
    measured: Any = None
    fault: Exception | None = None


def gathered(y, reading: Reading, measure: Callable[[SeriesFrame], Any] = len) -> Table:
    """Read series in partitions once to check them; shuffle them by ids if some lie in several partitions.

    `y` is a dask DataFrame, or a list of tables of pandas or of delayed ones. The step of `reading` is None if it is to
    be inferred; `measure` is a function of the series of each partition. Errors are those of `frames.read`, and
    ValueErrors for partitions of different frequencies, and if there is no row.
    """
    names = reading.names
    frame = _columns_of(_frame(y), names, reading.covariates)
    seen = _seen(frame, reading, measure)
    hashes = np.concatenate([one.hashes for one in seen])
    if len(np.unique(hashes)) < len(hashes):
        warnings.warn(
            f"some series lie in several partitions: the table is shuffled by {names.id!r}, which moves every row "
            f"between workers; a table that is written in partitions by {names.id!r} avoids it",
            dask().PerformanceWarning,
            stacklevel=5,
        )
        frame = frame.shuffle(on=names.id)
        seen = _seen(frame, reading, measure)
    return _checked(frame, reading, measure, seen)


def _checked(frame, reading: Reading, measure, seen: list[_Seen]) -> Table:
    """Return the table, of one frequency, or raise the first error of a partition."""
    if not any(len(one.hashes) for one in seen):
        raise ValueError("expected a table with rows; got only empty partitions")
    deciding = [one for one in seen if one.decides] or [one for one in seen if len(one.hashes)]
    for one in deciding:
        if one.fault is not None:
            raise one.fault
    if inferred := reading.freq is None:
        freq = deciding[0].freq
        reading = reading._replace(freq=freq)
        if other := next((one.freq for one in deciding if one.freq != freq), None):
            raise ValueError(
                f"expected partitions of one frequency, or freq=; got steps of {freq} in one and of {other} in another"
            )
    short = [i for i, one in enumerate(seen) if len(one.hashes) and not one.decides]
    again = _seen(frame.partitions[short], reading, measure, inferred) if short else []
    for i, one in zip(short, again, strict=True):
        if one.fault is not None:
            raise one.fault
        seen[i] = one
    filled = [place for place, one in enumerate(seen) if len(one.hashes)]
    return Table(frame, reading, deciding[0].head, [seen[place].measured for place in filled], filled)


def _seen(frame, reading: Reading, measure, inferred=False) -> list[_Seen]:
    """Check each partition; `inferred` says that the frequency is that of other partitions."""
    delayed, compute = dask("delayed").delayed, dask("base").compute
    look = delayed(_look, pure=False)
    return list(compute(*[look(part, reading, measure, inferred) for part in frame.to_delayed()]))


def _look(table, reading: Reading, measure, inferred) -> _Seen:
    import pandas as pd

    if not len(table):
        return _Seen(np.zeros(0, np.uint64), False)
    counts = table.groupby(reading.names.id, sort=False, observed=True, dropna=False).size()
    hashes = pd.util.hash_array(counts.index.to_numpy())
    decides = bool((counts > 2).any())
    try:
        found = reading.read(table)
    except (ValueError, TypeError) as error:
        return _Seen(hashes, decides, fault=error)
    if inferred and (holes := found.timelines.lengths - 1 >= MOST * counts.to_numpy()).any():
        said = "expected times that leave out a third of the steps at most, or a frequency (freq=)"
        return _Seen(hashes, decides, fault=ValueError(f"{found.label(int(np.argmax(holes)))}: {said}"))
    head = found.ahead(1, {}).iloc[:0]
    return _Seen(hashes, decides, found.timelines.frequency, head, measure(found))


def _unless_empty(function, head, arguments, table):
    return function(table, head, *arguments) if len(table) else head


def _beside(table, own, shared):
    function, head, arguments = shared
    return _unless_empty(function, head, (own, *arguments), table)


def _frame(y):
    """Convert a user's partitions to a dask DataFrame."""
    dataframe = dask("dataframe")
    delayed = dask("delayed")
    if isinstance(y, dataframe.DataFrame):
        return y
    parts = [y] if isinstance(y, delayed.Delayed) else y
    if not isinstance(parts, (list, tuple)):
        raise TypeError(f"expected a dask DataFrame, or a list of partitions of it; got {type(y).__name__}")
    parts = [one if isinstance(one, delayed.Delayed) else delayed.delayed(one, traverse=False) for one in parts]
    return dataframe.from_delayed(parts, meta=delayed.delayed(_head)(parts[0]).compute(), verify_meta=False)


def _head(table):
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"expected partitions that are DataFrames of pandas; got {type(table).__name__}")
    return table.iloc[:0]


def _columns_of(frame, names: Columns, covariates: Sequence[str]):
    """Select the columns to read; ids may be the index."""
    if not isinstance(names.id, str):
        raise ValueError(f"expected one column of ids of series in partitions; got id={names.id!r}")
    if names.id not in frame.columns and frame.index.name == names.id:
        frame = frame.reset_index()
    wanted = [*names, *covariates]
    if lacking := [name for name in wanted if name not in frame.columns]:
        raise ValueError(
            f"expected a table of series with the columns {', '.join(wanted)}; got no {lacking[0]!r} among "
            f"{', '.join(map(str, frame.columns))}"
        )
    return frame[wanted]
