"""Reading of the command's input files: one series, or several."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnkit.forecast import registry, saving
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import PARQUET, Series, column_names, read_series, read_table
from rnnkit.forecast.data.frames import FileTable, SeriesFrame
from rnnkit.forecast.models.forecaster import Forecaster

# Names of arguments in errors of `read_table`, and of the command's options: "(time=)" becomes "(--time)".
_OPTIONS = {
    "dayfirst=True or dayfirst=False": "--day-first or --month-first",
    'decimal="," or decimal="."': "--decimal , or --decimal .",
    "expected freq ": "expected --freq ",
}


def read_input(
    path,
    column: str | None = None,
    id: str | None = None,
    time: str | None = None,
    target: str | None = None,
    freq: int | str | None = None,
    dayfirst: bool | None = None,
    decimal: str | None = None,
    framed: bool = False,
) -> Series | SeriesFrame:
    """Return a `Series` if the file has one or `column` chooses one; otherwise, or if `framed`, a `SeriesFrame`.

    Without the last three arguments of `read_table`, unequal steps of a single series count as one step each.
    """
    plain = not framed and (freq, dayfirst, decimal) == (None, None, None) and Path(path).suffix not in PARQUET
    if column is not None and plain:
        return read_series(path, column, time)
    try:
        frame = read_table(path, id, time, target, freq, dayfirst, decimal)
    except InputError as error:
        if plain and id is None:
            with contextlib.suppress(InputError):
                return read_series(path, target, time)
        said = str(error)
        for argument, option in _OPTIONS.items():
            said = said.replace(argument, option)
        raise InputError(re.sub(r"\((\w+)=\)", r"(--\1)", said)) from None
    if column is not None:
        names = [series_name(frame, place) for place in range(len(frame))]
        if column not in names:
            raise InputError(f"{path} has no column {column!r}; its series are {', '.join(names[:10])}")
        place = names.index(column)
        own, timelines = frame.series[place], frame.timelines[place : place + 1]
        columns, kind = {frame.names.target: own[None]}, FileTable([frame.ids[place]])
        frame = SeriesFrame(frame.names, kind.names, columns, timelines, kind, frame.wall)
    if framed or len(frame) > 1:
        return frame
    return Series(series_name(frame, 0), frame.series[0], frame.timelines[0])


def read_future(
    path,
    frame: SeriesFrame,
    horizon: int,
    dayfirst: bool | None = None,
    decimal: str | None = None,
    needed: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Read covariates of the `horizon` steps after the series' ends: columns ``(B, H)`` by name, by default all."""
    header = column_names(path)
    if needed is not None and (lacking := [name for name in needed if name not in header]):
        raise InputError(
            f"{path} has the columns {', '.join(header)}; expected {lacking[0]!r} too, which the model reads"
        )
    names = [name for name in frame.covariates if name in header] if needed is None else list(needed)
    if not names:
        others = ", ".join(frame.covariates) or "none besides the values"
        raise InputError(f"{path} has the columns {', '.join(header)}; expected some that the series have: {others}")
    called, freq = frame.names, frame.timelines.frequency
    id, time = (name if name in header else None for name in (called.id, called.time))
    known = read_table(path, id, time, names[0], freq, dayfirst, decimal)
    try:
        return frame.future(known, horizon, names)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def read_kept(path) -> tuple[Forecaster, saving.Saved]:
    """Read a fitted forecaster and the contents of its file; an InputError if it can't be used."""
    try:
        saved = saving.read(path)
        return registry.restored(path, saved), saved
    except (ValueError, ImportError) as error:
        raise InputError(f"{error}") from error


def series_name(frame: SeriesFrame, place: int) -> str:
    """The id of a series, or the column of a single one."""
    return frame.names.target if frame.ids == [None] else str(frame.ids[place])
