"""Reports as text, scores and the first forecasts, and on disk, with all of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnkit.cards import columns
from rnnkit.console import printable
from rnnkit.forecast.command.report import Report
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import write_table
from rnnkit.forecast.data.frames import Columns
from rnnkit.forecast.data.timeline import counted, text

SHOWN = 10  # series whose forecasts are printed


def heading(report: Report, name: str = "") -> str:
    """Return a summary of the series and the test, in one line; `name` is that of a file of several series."""
    known = [one[int(np.argmin(np.isnan(one))) :] for one in report.values]  # from the first value on
    least, most = min(map(len, known)), max(map(len, known))
    if len(known) == 1:
        one = report.named(0)
        name, times = one.name, one.timeline.times[-most:]
        steps = f"{most} steps, {text(times[0])} to {text(times[-1])}"
    else:
        assert report.frame is not None
        lengths = most if least == most else f"{least} to {most}"
        steps = f"{len(known)} series of {lengths} steps of {report.frame.timelines.frequency}"
    gaps = sum(int(np.isnan(one).sum()) for one in known)
    season = f"season {report.season}" if report.season > 1 else "no season found"
    return f"{printable(name)}: {steps}, {counted(gaps or 'no', 'gap')}, {season}; {report.done}"


def scores_table(reports: Sequence[Report]) -> str:
    """Return a table of the mean scores per model and report, and its legend."""
    bands = [f"{level:g}" for level in reports[0].levels]
    head = "series", "model", "MAE", "RMSE", "sMAPE", "MASE", "of naive", *(f"in {band} %" for band in bands)
    rows: list[tuple[str, ...]] = [head]
    for report in reports:
        means = report.mean_scores()
        places = decimals(means[next(iter(means))]["mae"])
        for number, (title, found) in enumerate(means.items()):
            held = [found[f"coverage-{band}"] for band in bands]
            absent = "-" if title in report.models else ""
            rows.append(
                (
                    report.named(0).name if number == 0 else "",
                    title,
                    *(number_text(found[name], places) for name in ("mae", "rmse")),
                    number_text(found["smape"], 1),
                    *(number_text(found[name], 2) for name in ("mase", "naive")),
                    *(absent if math.isnan(mean) else f"{mean:.0f} %" for mean in held),
                )
            )
    several = len(reports) > 1
    table = aligned(rows if several else [row[1:] for row in rows], left=1 + several)
    return "\n\n".join(filter(None, [table, _extremes(reports[0]), _notes(reports)]))


def forecast_table(report: Report) -> str:
    """Return a table of the first model's forecasts: the next step of each series, or all steps of a single one."""
    level, several = report.levels[0], len(report.values) > 1
    found = [report.columns[name] for name in report.model._band_names([level])]
    rows: list[tuple[str, ...]] = []
    for place in range(min(len(report.values), SHOWN)):
        one = report.named(place)
        said = [column[place, : 1 if several else report.horizon] for column in found]
        places = decimals(float(np.nan_to_num(said[2][0] - said[1][0])) / 4)
        for lead, (time, *numbers) in enumerate(zip(one.timeline.ahead(len(said[0])), *said, strict=True)):
            rows.append(("" if lead else one.name, text(time), *(number_text(x, places) for x in numbers)))
    head = "series", report.named(0).timeline.name, report.model.name, f"{level:g} % from", "to"
    more = len(report.values) - SHOWN
    left = [] if more <= 0 else [f"and {more} more series; --output writes all steps of all series"]
    return "\n".join([aligned([head, *rows], left=2), *left])


def decimals(error: float) -> int:
    """Return the number of decimals that shows three digits of an error."""
    return int(np.clip(2 - math.floor(math.log10(error)), 0, 8)) if error > 0 else 2


def number_text(value: float, decimals: int) -> str:
    """Format a number; a dash stands for NaN."""
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def aligned(rows, left: int) -> str:
    """Format rows of cells as columns; the first `left` columns are aligned to the left, the others to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    return columns(rows, rows[0][left:], rule=False)


def _extremes(report: Report) -> str:
    """Return the series with the best, the median and the worst MASE, in one line."""
    order, scores = report.from_best_to_worst(), report.scores(report.model.name)
    if len(order) < 2:
        return ""
    by = "mase" if np.isfinite(scores["mase"]).any() else "mae"
    places = 2 if by == "mase" else decimals(float(scores[by][order[-1]]))
    chosen = {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}
    if len(order) == 2:
        del chosen["median"]
    named = [
        f"{word} {number_text(scores[by][place], places)} ({printable(report.named(place).name)})"
        for word, place in chosen.items()
    ]
    return f"{by.upper()} of {report.model.name}: {', '.join(named)}"


def _notes(reports: Sequence[Report]) -> str:
    """Return the legend of the columns of scores, and the series that were too short for a window."""
    report, words = reports[0], dict.fromkeys(model._bands_are for one in reports for model in one.models.values())
    seasonal = "seasonal naive" if any(one.season > 1 for one in reports) else "naive"
    lines = [
        "sMAPE        200 |y - f| / (|y| + |f|)",
        f"MASE         MAE over the mean error of the {seasonal} forecast before the first origin",
        "of naive     MAE over that of the better naive forecast",
        *(f"{f'in {level:g} %':<11}  share of what came that lay in the band" for level in report.levels),
        f"band         {', or '.join(words)}",
    ]
    if len(report.values) > 1:
        lines.insert(0, "MAE to MASE: means over the series of the error over all steps of all windows")
    if left := [report.named(place).name for place in np.flatnonzero(~report.finished.any(axis=0)).tolist()]:
        named = ", ".join(map(printable, left[:3])) + (" and others" if len(left) > 3 else "")
        lines.append(f"{len(left)} series too short for a window: {named}")
    return "\n".join(lines)


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
            steps = [np.array([text(time) for time in one], object) for one in steps]
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
