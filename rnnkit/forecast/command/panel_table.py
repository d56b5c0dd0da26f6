"""Reports on panels as text: scores per model, the series of the best and worst ones, and the first forecasts."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.console import printable
from rnnkit.forecast.command.inputs import series_name
from rnnkit.forecast.command.panels import BASELINE, PanelReport
from rnnkit.forecast.command.table import aligned, counted, decimals, number_text, time_text
from rnnkit.forecast.models.known import TITLES

SHOWN = 10  # series whose forecasts are printed


def panel_heading(report: PanelReport, name: str) -> str:
    """What was looked at, in one line."""
    frame = report.frame
    known = [one[int(np.argmin(np.isnan(one))) :] for one in frame.series]  # from the first value on
    least, most = min(map(len, known)), max(map(len, known))
    gaps = sum(int(np.isnan(one).sum()) for one in known)
    if report.asked:
        done = "" if len(report.windows) == report.asked else f"{len(report.windows)} of "
        tested = f"{done}{counted(report.asked, 'window')} of {counted(report.horizon, 'step')}"
    else:
        tested = f"{counted(report.horizon, 'step')} ahead"
    return (
        f"{printable(name)}: {len(frame)} series of {most if least == most else f'{least} to {most}'} steps of "
        f"{frame.timelines.frequency}, {counted(gaps, 'gap')}, "
        f"{f'season {report.season}' if report.season > 1 else 'no season found'}; {tested}"
    )


def panel_scores(report: PanelReport) -> str:
    """A line for each model, means over the series, and the series that were foreseen best and worst."""
    columns = {TITLES[name]: model.name for name, model in report.models.items()}
    columns["seasonal naive" if report.season > 1 else "naive"] = BASELINE
    bands = [f"{level:g}" for level in report.levels]
    rows: list[tuple[str, ...]] = [("model", "MAE", "RMSE", "sMAPE", "MASE", *(f"in {band} %" for band in bands))]
    places = None
    for title, column in columns.items():
        means = {name: _known_mean(each) for name, each in report.scores(column).items()}
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
    """What the first model says of the next step of each series, or of all steps of a single one."""
    model, frame, level = report.model.name, report.frame, report.levels[0]
    said = [report.columns[name] for name in (model, f"{model}-lo-{level:g}", f"{model}-hi-{level:g}")]
    times = frame.timelines.ahead(report.horizon)
    leads = report.horizon if len(frame) == 1 else 1
    rows: list[tuple[str, ...]] = [("series", frame.names.time, model, f"{level:g} % from", "to")]
    for place in range(min(len(frame), SHOWN)):
        places = decimals(float(said[2][place, 0] - said[1][place, 0]) / 4)
        for lead in range(leads):
            numbers = (number_text(one[place, lead], places) for one in said)
            rows.append(("" if lead else series_name(frame, place), time_text(times[place, lead]), *numbers))
    more = len(frame) - SHOWN
    left = [] if more <= 0 else [f"and {more} more series; --output writes all steps of all series"]
    return "\n".join([aligned(rows, left=2), *left])


def _extremes(report) -> str:
    """The series with the best, the median and the worst MASE."""
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
    """What the columns of the scores mean, and which series they leave out."""
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


def _known_mean(values) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
