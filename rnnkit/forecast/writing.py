"""Forecasts on disk."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from rnnkit.forecast.report import ForecastReport
from rnnkit.forecast.series import InputError
from rnnkit.forecast.table import future, time_text
from rnnkit.serialization.atomic_files import replacing


def check_writable(path) -> None:
    """See, before the work, that a file can be written.

    Raises
    ------
    InputError
        If its folder is missing or may not be written to, or if it is a directory.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; expected the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} in")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder {path.parent} can't be written to")


def write_forecasts(path, reports: list[ForecastReport]) -> None:
    """Forecasts and bands as CSV: series, time, lead, forecast, lower, upper, model."""
    with replacing(path) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["series", "time", "lead", "forecast", "lower", "upper", "model"])
        for report in reports:
            for model, (values, lower, upper, _) in report.forecasts.items():
                steps = zip(future(report), values, lower, upper, strict=True)
                for lead, (time, *numbers) in enumerate(steps, start=1):
                    cells = [f"{number:.8g}" if number == number else "" for number in numbers]
                    writer.writerow([report.series.name, time_text(time), lead, *cells, model])
