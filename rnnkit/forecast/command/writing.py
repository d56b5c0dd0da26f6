"""Forecasts on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnkit.forecast.command.report import Report
from rnnkit.forecast.command.table import time_text
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import write_table
from rnnkit.forecast.data.frames import Columns


def check_writable(path) -> None:
    """Check before the work that a file can be written; an InputError gives the reason otherwise."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; expected the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} in")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder {path.parent} can't be written to")


def write_forecasts(path, reports: Sequence[Report]) -> None:
    """Write forecasts and bands as a table with the input's names of the columns of ids and times."""
    frame, horizon = reports[0].frame, reports[0].horizon
    found = [{name: _rounded(column) for name, column in one.columns.items()} for one in reports]
    if frame is not None:
        try:
            table = frame.ahead(horizon, found[0])
        except ValueError as error:  # a column of the file with the name of a forecast's
            raise InputError(str(error)) from None
    else:
        series = [one.named(0) for one in reports]
        steps = [one.timeline.ahead(report.horizon) for one, report in zip(series, reports, strict=True)]
        if len(reports) > 1:
            steps = [np.array([time_text(time) for time in one], object) for one in steps]
        names = {one.timeline.name for one in series}
        table = {
            Columns().id: [one.name for one, times in zip(series, steps, strict=True) for _ in times],
            names.pop() if len(names) == 1 else "time": np.concatenate(steps),
        }
        table |= {name: np.concatenate([one[name][0] for one in found]) for name in found[0]}
    write_table(path, table)


def _rounded(column: np.ndarray) -> np.ndarray:
    """Round floats to ten digits, more than a forecast's precision."""
    return np.array([float(f"{one:.10g}") for one in column.ravel().tolist()]).reshape(column.shape)
