"""Reports as text: scores of models on a series or on several, and the forecasts with their bands."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from rnnkit.console import printable
from rnnkit.forecast.command.inputs import series_name
from rnnkit.forecast.command.panels import BASELINE, PanelReport
from rnnkit.forecast.command.report import ForecastReport
from rnnkit.forecast.registry import TITLES

NOTES = """\
MASE      MAE over the mean error of the naive forecast (seasonal, where there is a season) before the first origin
of naive  MAE over that of the better naive forecast
in band   share of what came that lay in the {level:g} % band, """
SHOWN = 10  # series whose forecasts are printed
FROM_ERRORS = "drawn at its origin from the earlier errors at that lead"


def notes(reports: list[ForecastReport]) -> str:
    """Return the legend of the columns of scores."""
    words: dict[str, None] = {}  # each once, in order
    for report in reports:
        for model, forecast in report.forecasts.items():
            own = report.test and model in report.test.bands
            words[forecast.forecaster._bands_are if own else FROM_ERRORS] = None
    return NOTES.format(level=reports[0].level) + ",\n          or ".join(words)


def heading(report: ForecastReport) -> str:
    """Return a summary of the series and the back-test, in one line."""
    series, test, times = report.series, report.test, report.series.timeline.times
    steps = f"{len(series.values)} steps, {time_text(times[0])} to {time_text(times[-1])}"
    done = f"{report.model} from a file" if test is None else counted(len(test.origins), "origin")
    done = f"{done}, {counted(len(report.forecast), 'lead')}"
    return _heading(series.name, steps, np.isnan(series.values).sum(), report.season, done)


def _heading(name: str, steps: str, gaps: int, season: int | None, done: str) -> str:
    found = f"season {season}" if season and season > 1 else "no season found"
    return f"{printable(name)}: {steps}, {counted(gaps, 'gap')}, {found}; {done}"


def scores_table(reports: list[ForecastReport]) -> str:
    """Return a table of MAE, RMSE and MASE per model and series, and of the band's coverage."""
    rows: list[tuple[str, ...]] = [("series", "model", "MAE", "RMSE", "MASE", "of naive", "in band")]
    for report in reports:
        test = report.test
        assert test is not None
        for model in test.forecasts:
            scores, asked = test.scores(model), model in report.forecasts
            coverage = test.coverage(model, report.level / 100) if asked else math.nan
            rows.append(
                (
                    report.series.name if model == report.model else "",
                    model,
                    *(number_text(scores[name], _decimals(report)) for name in ("MAE", "RMSE")),
                    number_text(scores["MASE"], 2),
                    number_text(report.share_of_naive(model), 2),
                    f"{100 * coverage:.0f} %" if not math.isnan(coverage) else ("-" if asked else ""),
                )
            )
    return aligned(rows, left=2)


def forecast_table(report: ForecastReport) -> str:
    """Return a table of the first model's forecast of each future step, with its band."""
    series, name = report.series, report.forecasts[report.model].forecaster.name
    said = future(report), report.forecast, report.lower, report.upper
    return _forecasts(series.timeline.name, name, report.level, [(series.name, said, _decimals(report))])


def _forecasts(time: str, model: str, level: float, series: Iterable[tuple]) -> str:
    """Return a table of forecasts and bands, from names of series, times with forecasts and edges, and decimals."""
    rows: list[tuple[str, ...]] = [("series", time, model, f"{level:g} % from", "to")]
    for name, said, places in series:
        for lead, (step, *numbers) in enumerate(zip(*said, strict=True)):
            rows.append(("" if lead else name, time_text(step), *(number_text(one, places) for one in numbers)))
    return aligned(rows, left=2)


def future(report: ForecastReport) -> np.ndarray:
    """Return the times of the forecast."""
    return report.series.timeline.ahead(len(report.forecast))


def time_text(time) -> str:
    """Format a time for a table."""
    return f"{time:.10g}" if isinstance(time, np.floating) else str(time)


def _decimals(report) -> int:
    """Return the number of decimals that shows three digits of the error, or of the band without a back-test."""
    if report.test is None:
        return decimals(float(np.nan_to_num(report.upper - report.lower).mean()) / 4)
    return decimals(report.test.scores(report.model)["MAE"])


def decimals(error: float) -> int:
    """Return the number of decimals that shows three digits of an error."""
    return int(np.clip(2 - math.floor(math.log10(error)), 0, 8)) if error > 0 else 2


def counted(number, what: str) -> str:
    """Format a count with its noun; "no" stands for 0."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def number_text(value: float, decimals: int) -> str:
    """Format a number; a dash stands for NaN."""
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def aligned(rows, left: int) -> str:
    """Format rows of cells as columns; the first `left` columns are aligned to the left, the others to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def panel_heading(report: PanelReport, name: str) -> str:
    """Return a summary of the panel and its cross-validation, in one line."""
    frame = report.frame
    known = [one[int(np.argmin(np.isnan(one))) :] for one in frame.series]  # from the first value on
    least, most = min(map(len, known)), max(map(len, known))
    gaps = sum(int(np.isnan(one).sum()) for one in known)
    if report.asked:
        done = "" if len(report.windows) == report.asked else f"{len(report.windows)} of "
        done = f"{done}{counted(report.asked, 'window')} of {counted(report.horizon, 'step')}"
    else:
        done = f"{counted(report.horizon, 'step')} ahead"
    steps = f"{len(frame)} series of {most if least == most else f'{least} to {most}'} steps"
    return _heading(name, f"{steps} of {frame.timelines.frequency}", gaps, report.season, done)


def panel_scores(report: PanelReport) -> str:
    """Return a table of mean scores over the series per model, and the best and the worst series."""
    columns = {TITLES[name]: model.name for name, model in report.models.items()}
    columns["seasonal naive" if report.season > 1 else "naive"] = BASELINE
    bands = [f"{level:g}" for level in report.levels]
    rows: list[tuple[str, ...]] = [("model", "MAE", "RMSE", "sMAPE", "MASE", *(f"in {band} %" for band in bands))]
    places = None
    for title, column in columns.items():
        scored = report.scores(column).items()
        means = {name: float(np.nanmean(each)) if not np.isnan(each).all() else math.nan for name, each in scored}
        places = decimals(means["mae"]) if places is None else places
        held = [f"{mean:.0f} %" if not math.isnan(mean := means[f"coverage-{band}"]) else "" for band in bands]
        rows.append(
            (
                title,
                *(number_text(means[name], places) for name in ("mae", "rmse")),
                number_text(means["smape"], 1),
                number_text(means["mase"], 2),
                *held,
            )
        )
    return "\n\n".join(filter(None, [aligned(rows, left=1), _extremes(report), _notes(report)]))


def panel_forecasts(report: PanelReport) -> str:
    """Return a table of the first model's forecasts: the next step of each series, or all steps of a single one."""
    frame, level = report.frame, report.levels[0]
    columns = [report.columns[name] for name in report.model._band_names([level])]
    times = frame.timelines.ahead(report.horizon)
    leads, shown = slice(report.horizon if len(frame) == 1 else 1), []
    for place in range(min(len(frame), SHOWN)):
        said = [one[place, leads] for one in (times, *columns)]
        shown.append((series_name(frame, place), said, decimals(float(said[3][0] - said[2][0]) / 4)))
    table, more = _forecasts(frame.names.time, report.model.name, level, shown), len(frame) - SHOWN
    return table if more <= 0 else f"{table}\nand {more} more series; --output writes all steps of all series"


def _extremes(report) -> str:
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
        f"{word} {number_text(scores[by][place], places)} ({printable(series_name(report.frame, place))})"
        for word, place in chosen.items()
    ]
    return f"{by.upper()} of {report.model.name}: {', '.join(named)}"


def _notes(report) -> str:
    """Return the legend of the columns of scores, and the series that were too short for a window."""
    seasonal = "seasonal naive" if report.season > 1 else "naive"
    lines = [
        "MAE to MASE: means over the series of the error over all steps of all windows",
        "sMAPE        200 |y - f| / (|y| + |f|)",
        f"MASE         MAE over the mean error of the {seasonal} forecast before the first window",
        *(f"{f'in {level:g} %':<11}  share of what came that lay in the band" for level in report.levels),
    ]
    tested = {int(place) for window in report.windows for place in window.series}
    if left := [series_name(report.frame, place) for place in range(len(report.frame)) if place not in tested]:
        named = ", ".join(map(printable, left[:3])) + (" and others" if len(left) > 3 else "")
        lines.append(f"{len(left)} series too short for a window: {named}")
    return "\n".join(lines)
