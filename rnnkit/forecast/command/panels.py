"""Reports of the command on a panel: forecasts of many series, and the cross-validation of their last steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from rnnkit.callbacks.stages import Progress
from rnnkit.forecast import saving
from rnnkit.forecast.command.inputs import series_name
from rnnkit.forecast.command.report import NAIVE, SEASONAL, told
from rnnkit.forecast.command.shown import Shown, Window, counted
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import Series
from rnnkit.forecast.data.frames import SeriesFrame
from rnnkit.forecast.data.history import History
from rnnkit.forecast.data.timeline import text
from rnnkit.forecast.fitting.profiles import periods_of
from rnnkit.forecast.fitting.season import common_seasons
from rnnkit.forecast.models.baselines import seasonal_naive
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.forecast.registry import TITLES, forecaster_named, model_name
from rnnkit.forecast.scoring.validation import Origins, refitting, windows


@dataclass(frozen=True)
class PanelReport(Shown):
    """Forecasts and cross-validation of several series."""

    frame: SeriesFrame
    season: int
    horizon: int
    levels: list[float]
    models: dict[str, Forecaster]
    asked: int  # number of windows asked for
    windows: list[Window]  # finished windows
    columns: dict[str, np.ndarray]
    future: dict[str, np.ndarray] = field(default_factory=dict)  # (B, H), covariates that are known ahead

    @property
    def values(self) -> list[np.ndarray]:  # type: ignore[override]
        """The values of each series."""
        return self.frame.series

    @property
    def baselines(self) -> dict[str, str]:  # type: ignore[override]
        """The column of the naive forecast."""
        return {SEASONAL if self.season > 1 else NAIVE: "SeasonalNaive"}

    @property
    def done(self) -> str:  # type: ignore[override]
        """A summary of the cross-validation."""
        if not self.asked:
            return f"{counted(self.horizon, 'step')} ahead"
        part = "" if len(self.windows) == self.asked else f"{len(self.windows)} of "
        return f"{part}{counted(self.asked, 'window')} of {counted(self.horizon, 'step')}"

    def named(self, place: int) -> Series:
        """Return a series with its name and times."""
        return Series(series_name(self.frame, place), self.frame.series[place], self.frame.timelines[place])


def check_panel(frame: SeriesFrame, path, horizon: int, windows: int | None) -> None:
    """Check that the longest series is long enough, or all with `windows`; an InputError names a short one."""
    lengths = frame.timelines.lengths - [int(np.argmin(np.isnan(one))) for one in frame.series]  # from the first value
    longest = int(np.argmax(lengths))
    if horizon >= lengths[longest]:
        raise InputError(
            f"{path}: a horizon of {horizon} needs a series of more than {horizon} steps; the longest, "
            f"{frame.label(longest)}, has {lengths[longest]}"
        )
    needed = horizon * (windows or 0)
    if needed and (lengths <= needed).any():
        place = int(np.argmax(lengths <= needed))
        raise InputError(
            f"{path}: --cross-validate {windows} with a horizon of {horizon} needs more than {needed} steps of "
            f"{frame.label(place)}; it has {lengths[place]}"
        )


def begun(
    frame: SeriesFrame,
    names: Sequence[str],
    horizon: int,
    *,
    windows: int,
    season: int | Sequence[int] | None,
    levels: Sequence[float],
    future: Mapping[str, np.ndarray],
    **settings: Any,
) -> PanelReport:
    """Return a report without results, which `cross_validated` and `forecast` fill in.

    The default season is that of the times, or that of most series before the first origin.
    """
    history = History.of_frame(frame)
    origins = history.lengths - windows * horizon
    if season is None:
        ends = np.where(origins > np.argmax(~np.isnan(history.values), axis=1), origins, history.lengths)
        season = history.seasons or common_seasons(history.until(np.arange(len(frame)), ends).values, ends)
    settings |= {"horizon": horizon, "future_covariates": list(future), "level": levels[0]}
    models = {TITLES[name]: forecaster_named(name, season, **settings) for name in names}
    return PanelReport(frame, periods_of(season)[0], horizon, list(levels), models, windows, [], {}, dict(future))


def cross_validated(report: PanelReport, progress: Progress) -> Iterator[Window]:
    """Yield the windows of all models in turn, the earliest first; models are fitted at the first origin only."""
    if not report.asked:
        return
    history, h, models = History.of_frame(report.frame), report.horizon, list(report.models.values())
    origins = Origins.of(history, h, report.asked, None)
    fit = refitting(progress.tell, report.asked)
    each = windows(models, history, origins, origins.changed, fit, level=report.levels, done=progress.step)
    for window, rows, columns in each:
        ends = origins.ends[window, rows]
        past = [values[:end] for values, end in zip(history.values[rows], ends, strict=True)]
        columns["SeasonalNaive"] = np.array([seasonal_naive(one, h, report.season) for one in past])
        actual = np.take_along_axis(history.values[rows], ends[:, None] + np.arange(h), axis=1)
        yield Window(rows, ends, actual, columns)


def forecast(report: PanelReport, progress: Progress) -> dict[str, np.ndarray]:
    """Fit the models to the whole series, and forecast beyond their ends: the report's `columns`."""
    history = History.of_frame(report.frame)
    columns: dict[str, np.ndarray] = {}
    for model in report.models.values():
        what = f"{model.name}, all steps"
        progress.tell(what)
        model._refit(model._beside(history), partial(told, progress.tell, what))
        ahead = model._looking_ahead(report.horizon, report.future if model.future_covariates else None)
        columns |= model._columns(ahead, report.horizon, report.levels)
        progress()
    return columns


def forecast_kept(
    frame: SeriesFrame,
    path,
    forecaster: Forecaster,
    saved: saving.Saved,
    horizon: int | None = None,
    levels: Sequence[float] | None = None,
    read_future: Callable[[int], dict[str, np.ndarray]] | None = None,
) -> PanelReport:
    """Forecast beyond the ends of series with a forecaster of the file `path`, without a fit.

    The series must be those of the fit, from the same first steps, in any order; they may be longer now. An InputError
    says that they differ. Horizon and levels default to those saved. `read_future` gives the covariates of a number of
    steps ahead.
    """
    kept = forecaster._fitted_history().frame
    assert kept is not None
    places = {one: place for place, one in enumerate(kept.ids)}
    if lacking := [one for one in frame.ids if one not in places]:
        raise InputError(f"the model in {path} was fitted without a series {lacking[0]!r}")
    if lacking := [one for one in kept.ids if one not in set(frame.ids)]:
        raise InputError(f"the model in {path} was fitted to a series {lacking[0]!r}, which is not in the file")
    order = np.array([places[one] for one in frame.ids])
    for place, (now, then) in enumerate(zip(frame.timelines.first, kept.timelines.first[order], strict=True)):
        if now != then:
            raise InputError(
                f"the model in {path} was fitted to {frame.label(place)} from {text(then)} on; got it from {text(now)}"
            )
    if frame.timelines.frequency != kept.timelines.frequency:
        raise InputError(
            f"the model in {path} was fitted to steps of {kept.timelines.frequency}; got {frame.timelines.frequency}"
        )
    forecaster._model = {part: array[order] for part, array in forecaster._model.items()}
    history, covariates = History.of_frame(frame), forecaster._fitted_history().covariates
    season = forecaster._panel.get("season", forecaster.season)  # type: ignore[attr-defined]
    chosen = list(levels or saved.series.get("levels") or forecaster.level)
    h = horizon or saved.series.get("horizon", 1)
    future = None if read_future is None else read_future(h)
    try:
        if covariates is not None:
            history = forecaster._with_covariates(history, covariates.static[order], covariates.names)
        forecaster._history = history
        columns = forecaster._columns(forecaster._looking_ahead(h, future), h, chosen)
    except ValueError as error:
        raise InputError(f"the model in {path}: {error}".replace("future=, a table", "--future, a file")) from None
    return PanelReport(
        frame, periods_of(season)[0], h, chosen, {TITLES[model_name(forecaster)]: forecaster}, 0, [], columns
    )


def keep(path, report: PanelReport) -> None:
    """Write the first model, fitted to the whole series, for `forecast_kept`."""
    try:
        saving.write(path, report.model, {"horizon": report.horizon, "levels": report.levels})
    except ValueError as error:  # ids that can't be written
        raise InputError(str(error)) from None
