"""Reports as text: scores per series and model, and the forecasts with their bands."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.console import printable
from rnnkit.forecast.command.report import ForecastReport
from rnnkit.forecast.models.trained import TrainedForecaster

NOTES = """\
MASE      MAE over the mean error of the naive forecast (seasonal, where there is a season) before the first origin
of naive  MAE over that of the better naive forecast
in band   share of what came that lay in the {level:g} % band, """
FROM_ERRORS = "drawn at its origin from the earlier errors at that lead"
FROM_QUANTILES = "between the quantiles that the model has learned"
FROM_SPREAD = "drawn from the errors that the model expects"


def notes(reports: list[ForecastReport]) -> str:
    """What the columns of the scores mean."""
    words: dict[str, None] = {}  # each once, in order
    for report in reports:
        for model, forecast in report.forecasts.items():
            own = FROM_QUANTILES if isinstance(forecast.forecaster, TrainedForecaster) else FROM_SPREAD
            words[own if report.test and model in report.test.bands else FROM_ERRORS] = None
    return NOTES.format(level=reports[0].level) + ",\n          or ".join(words)


def heading(report: ForecastReport) -> str:
    """What was looked at, in one line."""
    series, test = report.series, report.test
    return (
        f"{printable(series.name)}: {len(series.values)} steps, {time_text(series.timeline.times[0])} to "
        f"{time_text(series.timeline.times[-1])}, {counted(np.isnan(series.values).sum(), 'gap')}, "
        f"{f'season {report.season}' if report.season else 'no season found'}; "
        f"{f'{report.model} from a file' if test is None else counted(len(test.origins), 'origin')}, "
        f"{counted(len(report.forecast), 'lead')}"
    )


def scores_table(reports: list[ForecastReport]) -> str:
    """MAE, RMSE and MASE of each model on each series, and how far its band held."""
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
    """What the model asked for first says of each step to come, with its band."""
    places = _decimals(report)
    name = report.series.name if len(report.forecasts) == 1 else f"{report.series.name}, {report.model}"
    rows: list[tuple[str, ...]] = [(report.series.timeline.name, name, f"{report.level:g} % from", "to")]
    for time, *numbers in zip(future(report), report.forecast, report.lower, report.upper, strict=True):
        rows.append((time_text(time), *(number_text(number, places) for number in numbers)))
    return aligned(rows, left=1)


def future(report: ForecastReport) -> np.ndarray:
    """The times of the forecast."""
    return report.series.timeline.ahead(len(report.forecast))


def time_text(time) -> str:
    """A time as a table shows it."""
    return f"{time:.10g}" if isinstance(time, np.floating) else str(time)


def _decimals(report) -> int:
    """As many as show three digits of the error, or of the band where there is none."""
    if report.test is None:
        return decimals(float(np.nan_to_num(report.upper - report.lower).mean()) / 4)
    return decimals(report.test.scores(report.model)["MAE"])


def decimals(error: float) -> int:
    """As many as show three digits of an error."""
    return int(np.clip(2 - math.floor(math.log10(error)), 0, 8)) if error > 0 else 2


def counted(number, what: str) -> str:
    """A number of things, or none."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def number_text(value: float, decimals: int) -> str:
    """A number, or a dash for none."""
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def aligned(rows, left: int) -> str:
    """Rows of cells in columns; the first `left` ones begin at their left edge."""
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
