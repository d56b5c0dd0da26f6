"""Reports on one series or several: forecasts, and the test of the models on the series' past."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.callbacks.stages import Progress
from rnnkit.forecast import saving
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import Series
from rnnkit.forecast.data.frames import SeriesFrame
from rnnkit.forecast.data.history import History
from rnnkit.forecast.data.timeline import counted, text
from rnnkit.forecast.fitting.profiles import periods_of
from rnnkit.forecast.fitting.season import common_seasons
from rnnkit.forecast.models.baselines import seasonal_naive
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.forecast.registry import TITLES, forecaster_named, model_name
from rnnkit.forecast.scoring.evaluation import naive_scales, scored
from rnnkit.forecast.scoring.validation import Origins, refitting, telling, windows

NAIVE, SEASONAL = "naive", "seasonal naive"
SHARE = 0.3  # of a series, at its end, that the origins of a back-test are spread over
LEAST_ORIGINS, ORIGINS = 20, 40
LEAST_VALUES = 20  # before the first origin
LEVEL = 80.0


@dataclass
class Report:
    """Forecasts of series, and the test of the models; a single series is a panel of one."""

    data: Series | SeriesFrame
    season: int  # 1 for none
    horizon: int
    levels: list[float]  # of the bands, in percent
    models: dict[str, Forecaster]  # by title, in the order asked for
    origins: Origins | None = None  # of the test
    future: Mapping[str, np.ndarray] = field(default_factory=dict)  # (B, H), covariates that are known ahead
    tested: dict[str, np.ndarray] = field(default_factory=dict)  # (W, B, H), as `columns`; NaN if not finished
    columns: dict[str, np.ndarray] = field(default_factory=dict)  # (B, H), forecasts and edges beyond the end

    @property
    def frame(self) -> SeriesFrame | None:
        """The table of the series; None for a single series."""
        return self.data if isinstance(self.data, SeriesFrame) else None

    @property
    def values(self) -> list[np.ndarray]:
        """The values of each series ``(T,)``."""
        return self.data.series if isinstance(self.data, SeriesFrame) else [self.data.values]

    @property
    def history(self) -> History:
        """The series as forecasters take them."""
        return History.of(self.data if isinstance(self.data, SeriesFrame) else self.data.values)

    @property
    def model(self) -> Forecaster:
        """The first of the models asked for."""
        return next(iter(self.models.values()))

    @property
    def finished(self) -> np.ndarray:
        """A mask ``(W, B)`` of the forecasts of the test that are there."""
        forecasts = self.tested.get(self.model.name, np.zeros((0, len(self.values), 1)))
        return ~np.isnan(forecasts).all(axis=2)

    @property
    def baselines(self) -> dict[str, int]:
        """The lags of the naive forecasts, by title."""
        seasonal = {SEASONAL: self.season} if self.season > 1 else {}
        return seasonal if seasonal and self.frame is not None else {NAIVE: 1} | seasonal

    @property
    def done(self) -> str:
        """A summary of the test."""
        asked = 0 if self.origins is None else len(self.origins.ends)
        if self.frame is None:
            test = counted(asked, "origin") if asked else f"{next(iter(self.models))} from a file"
            return f"{test}, {counted(self.horizon, 'lead')}"
        if not asked:
            return f"{counted(self.horizon, 'step')} ahead"
        finished = int(self.finished.any(axis=1).sum())
        part = "" if finished == asked else f"{finished} of "
        return f"{part}{counted(asked, 'window')} of {counted(self.horizon, 'step')}"

    def named(self, place: int) -> Series:
        """Return a series with its name and times."""
        if not isinstance(self.data, SeriesFrame):
            return self.data
        return Series(series_name(self.data, place), self.data.series[place], self.data.timelines[place])

    def scores(self, column: str) -> dict[str, np.ndarray]:
        """Return each metric of `evaluate` per series ``(B,)``, over all windows; NaN for a series without a window."""
        assert self.origins is not None
        finished = self.finished
        found = {name: array[finished].ravel() for name, array in self.tested.items()}
        actual = np.take_along_axis(self.history.values[None], self.origins.steps, axis=2)[finished].ravel()
        codes = np.repeat(np.nonzero(finished)[1], self.horizon)
        first = np.where(finished, self.origins.ends, [len(one) for one in self.values]).min(axis=0)
        scales = naive_scales([values[:end] for values, end in zip(self.values, first, strict=True)], self.season)
        return scored(codes, len(self.values), actual, found, column, [f"{one:g}" for one in self.levels], scales)

    def mean_scores(self) -> dict[str, dict[str, float]]:
        """Return the means of all metrics over the series by title, and ``naive``, the MAE over a naive forecast's."""
        columns = {title: model.name for title, model in self.models.items()} | {one: one for one in self.baselines}
        found = {}
        for title, column in columns.items():
            each = self.scores(column).items()
            found[title] = {name: float(np.nanmean(one)) if not np.isnan(one).all() else math.nan for name, one in each}
        better = min(found[title]["mae"] for title in self.baselines)
        for one in found.values():
            one["naive"] = one["mae"] / better if better > 0 else math.nan
        return found

    def from_best_to_worst(self) -> np.ndarray:
        """Return the indices of the tested series, by the first model's MASE, or by MAE if no series has a MASE."""
        scores = self.scores(self.model.name)
        by = scores["mase"] if np.isfinite(scores["mase"]).any() else scores["mae"]
        order = np.argsort(by, kind="stable")
        return order[np.isfinite(by[order])]


def series_name(frame: SeriesFrame, place: int) -> str:
    """The id of a series, or the column of a single one."""
    return frame.names.target if frame.ids == [None] else str(frame.ids[place])


def first_origin(length: int) -> int:
    """Return the number of steps before the last 30 %, where season and scale of the errors are found."""
    return int(np.ceil((1 - SHARE) * length))


def rolling_origins(length: int, horizon: int, count: int) -> np.ndarray:
    """Return up to `count` origins, evenly spread over the last 30 % of a series, as numbers of known steps."""
    first, last = first_origin(length), length - horizon
    return np.unique(np.linspace(first, last, min(count, max(last - first + 1, 0))).round().astype(int))


def needed_length(horizon: int, origins: int = LEAST_ORIGINS) -> int:
    """Return the shortest length of a series with `origins` origins in its last 30 %."""
    return next(n for n in itertools.count(horizon + origins) if n - horizon - first_origin(n) + 1 >= origins)


def check(series: Series, horizon: int, season: Any = None, origins: int | None = None) -> None:
    """Check the length of a series; an InputError gives the length needed, or says that it consists of gaps."""
    length = len(series.values)
    least = max(2 * horizon + LEAST_VALUES + 20, 2 * periods_of(season)[0])
    needed = next(
        n for n in itertools.count(needed_length(horizon, origins or LEAST_ORIGINS)) if first_origin(n) >= least
    )
    if length < needed:
        raise InputError(
            f"{series.name} has {length} values; a horizon of {horizon} with {origins or LEAST_ORIGINS} origins"
            f"{f' and a season of {periods_of(season)[0]}' if season else ''} needs {needed} (--cross-validate 1 needs "
            "fewer)"
        )
    known = ~np.isnan(series.values)
    first = first_origin(length)
    if known[:first].sum() < LEAST_VALUES or not known[first:].any():
        raise InputError(
            f"{series.name} has {known[:first].sum()} values in its first {first} steps and {known[first:].sum()} "
            f"after them, and gaps otherwise; a back-test needs {LEAST_VALUES} and 1"
        )


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
    data: Series | SeriesFrame,
    names: Sequence[str],
    horizon: int,
    count: int,
    *,
    season: int | Sequence[int] | None = None,
    levels: Sequence[float] = (LEVEL,),
    future: Mapping[str, np.ndarray] | None = None,
    **settings: Any,
) -> Report:
    """Return a report without results, which `back_test` and `forecast` fill in.

    `count` is the number of windows at the ends of several series, or of origins in the last 30 % of a single one. The
    default season is that of the times, or that of most series before the first origin.
    """
    future, single = future or {}, isinstance(data, Series)
    report = Report(data, 1, horizon, list(levels), {}, future=future)
    history = report.history
    if single:
        ends = rolling_origins(len(history.values[0]), horizon, count)[:, None]
        last = history.lengths[0] - ends[:, 0]
        report.origins = Origins(ends, np.ones(ends.shape, bool), last, int(history.lengths[0]), horizon)
    elif count:
        report.origins = Origins.of(history, horizon, count, None)
    if season is None:
        origins = history.lengths if report.origins is None else report.origins.ends[0]
        ends = np.where(origins > np.argmax(~np.isnan(history.values), axis=1), origins, history.lengths)
        season = history.seasons or common_seasons(history.until(np.arange(len(ends)), ends).values, ends)
    settings |= {"horizon": horizon, "future_covariates": list(future), "level": levels[0]}
    report.season = periods_of(season)[0]
    report.models = {TITLES[one]: forecaster_named(one, season, several=not single, **settings) for one in names}
    return report


def back_test(report: Report, progress: Progress) -> None:
    """Add the windows of all models, fitted at the first origin, or for one series as ``_at_origin`` does it."""
    if (origins := report.origins) is None:
        return
    history, count = report.history, len(origins.ends)
    fit, refits = refitting(progress.tell, count), origins.changed
    if report.frame is None:
        what = lambda model, window: f"{model.name}, origin {window + 1} of {count}"
        fit = lambda model, known, window: model._at_origin(known, telling(progress.tell, what(model, window)))
        refits = np.ones(count, bool)
    models = list(report.models.values())
    each = windows(models, history, origins, refits, fit, level=report.levels, done=progress.step)
    for window, rows, columns in each:
        ends = origins.ends[window, rows]
        past = [values[:end] for values, end in zip(history.values[rows], ends, strict=True)]
        for title, lag in report.baselines.items():
            columns[title] = np.array([seasonal_naive(one, report.horizon, lag) for one in past])
        for name, array in columns.items():
            report.tested.setdefault(name, np.full(origins.steps.shape, np.nan))[window, rows] = array


def forecast(report: Report, progress: Progress) -> None:
    """Fit the models to the whole series, and add the forecasts beyond their ends to the report."""
    history = report.history
    for model in report.models.values():
        tell = telling(progress.tell, f"{model.name}, all steps")
        model._at_origin(model._beside(history), tell, last=True)
        ahead = model._looking_ahead(report.horizon, report.future if model.future_covariates else None)
        report.columns |= model._columns(ahead, report.horizon, report.levels)
        progress()


def forecast_kept(
    data: Series | SeriesFrame,
    path,
    forecaster: Forecaster,
    saved: saving.Saved,
    horizon: int | None = None,
    levels: Sequence[float] | None = None,
    read_future: Callable[[int], dict[str, np.ndarray]] | None = None,
) -> Report:
    """Forecast the series of a fit, which may be longer or in another order now, with a forecaster of the file `path`.

    An InputError says that they differ. Horizon and levels default to those saved.
    """
    about = saved.series
    given = levels or about.get("levels") or [about.get("level", forecaster.level[0])]
    report = Report(
        data, 1, horizon or about.get("horizon", 1), list(given), {TITLES[model_name(forecaster)]: forecaster}
    )
    history, covariates = report.history, forecaster._fitted_history().covariates
    future = None if read_future is None else read_future(report.horizon)
    if isinstance(data, SeriesFrame):
        order = _places_in_fit(data, path, forecaster)
        forecaster._model = {part: array[order] for part, array in forecaster._model.items()}
    elif "identity" not in about:
        raise InputError(f"{path} does not say which series its model was fitted to; save it with rnnkit forecast")
    elif _identity(data) != about["identity"]:
        raise _differs(path, f"to {' '.join(about['identity'])}; got {' '.join(_identity(data))}")
    report.season = forecaster._periods[0]
    try:
        if report.frame is not None and covariates is not None:
            history = forecaster._with_covariates(history, covariates.static[order], covariates.names)
        forecaster._history = history
        report.columns = forecaster._columns(
            forecaster._looking_ahead(report.horizon, future), report.horizon, report.levels
        )
    except ValueError as error:
        raise InputError(f"the model in {path}: {error}".replace("future=, a table", "--future, a file")) from None
    return report


def _places_in_fit(frame: SeriesFrame, path, forecaster: Forecaster) -> np.ndarray:
    """Return the index of each series among those of the fit; an InputError says that they differ."""
    kept = forecaster._fitted_history().frame
    assert kept is not None
    places = {one: place for place, one in enumerate(kept.ids)}
    if lacking := [one for one in frame.ids if one not in places]:
        raise _differs(path, f"without a series {lacking[0]!r}")
    if lacking := [one for one in kept.ids if one not in set(frame.ids)]:
        raise _differs(path, f"to a series {lacking[0]!r}, which is not in the file")
    order = np.array([places[one] for one in frame.ids])
    for place, (now, then) in enumerate(zip(frame.timelines.first, kept.timelines.first[order], strict=True)):
        if now != then:
            raise _differs(path, f"to {frame.label(place)} from {text(then)} on; got it from {text(now)}")
    if frame.timelines.frequency != kept.timelines.frequency:
        raise _differs(path, f"to steps of {kept.timelines.frequency}; got {frame.timelines.frequency}")
    return order


def _differs(path, said: str) -> InputError:
    return InputError(f"the model in {path} was fitted {said}")


def keep(path, report: Report) -> None:
    """Write the first model, fitted to the whole series, for `forecast_kept`."""
    about: dict[str, Any] = {"horizon": report.horizon, "levels": report.levels}
    if isinstance(report.data, Series):
        about["identity"] = _identity(report.data)
    try:
        saving.write(path, report.model, about)
    except ValueError as error:  # ids that can't be written
        raise InputError(str(error)) from None


def _identity(series: Series) -> list[str]:
    """Return the name and the start of a series, which must match those of a saved model's series."""
    return [series.name, f"from {series.timeline.times[0]} on"]
