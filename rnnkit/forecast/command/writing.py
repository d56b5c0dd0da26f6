"""Forecasts on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from rnnkit.forecast.command.panels import PanelReport
from rnnkit.forecast.command.report import ForecastReport, columns
from rnnkit.forecast.command.table import future, time_text
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


def write_forecasts(path, reports: list[ForecastReport]) -> None:
    """Write forecasts and bands as a table: the series, the time, and ``Model``, ``Model-lo-80``, ``Model-hi-80``."""
    steps = [future(report) for report in reports]
    if len(reports) > 1:
        steps = [np.array([time_text(time) for time in one], object) for one in steps]
    names = {report.series.timeline.name for report in reports}
    table: dict = {
        Columns().id: [report.series.name for report, one in zip(reports, steps, strict=True) for _ in one],
        names.pop() if len(names) == 1 else "time": np.concatenate(steps),
    }
    found = [columns(report) for report in reports]
    table |= {name: _rounded(np.concatenate([one[name] for one in found])) for name in found[0]}
    write_table(path, table)


def write_panel(path, report: PanelReport) -> None:
    """Write forecasts and bands of several series, with the columns of ids and times of the input file."""
    rounded = {name: _rounded(column) for name, column in report.columns.items()}
    try:
        table = report.frame.ahead(report.horizon, rounded)
    except ValueError as error:  # a column of the file with the name of a forecast's
        raise InputError(str(error)) from None
    write_table(path, table)


def _rounded(column: np.ndarray) -> np.ndarray:
    """Round floats to ten digits, more than a forecast's precision."""
    return np.array([float(f"{one:.10g}") for one in column.ravel().tolist()]).reshape(column.shape)
