"""What many series will do, and how well their last steps were foreseen: the command's report on a panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.callbacks.stages import Progress
from rnnkit.forecast import saving
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.frames import SeriesFrame
from rnnkit.forecast.data.history import History
from rnnkit.forecast.data.timeline import text
from rnnkit.forecast.fitting.season import common_season
from rnnkit.forecast.models.baselines import seasonal_naive
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.forecast.models.registry import forecaster_named, model_name
from rnnkit.forecast.scoring.evaluation import naive_scales, scored
from rnnkit.forecast.scoring.validation import Origins, windows

BASELINE = "SeasonalNaive"


class Window(NamedTuple):
    """One origin of each series: what came after it, and what was said of that before."""

    series: np.ndarray  # (R,), which ones are long enough
    origins: np.ndarray  # (R,), steps known
    actual: np.ndarray  # (R, H), NaN in gaps
    columns: dict[str, np.ndarray]  # (R, H), forecasts and edges by the names of a table's columns


@dataclass(frozen=True)
class PanelReport:
    """Several series, looked at.

    Attributes
    ----------
    frame : SeriesFrame
    season : int
        1 for none.
    horizon : int
        H
    levels : list of float
        Of the bands, in percent.
    models : dict of str to Forecaster
        By name on the command line, the one first that was asked for first.
    asked : int
        Windows of the cross-validation that were asked for.
    windows : list of Window
        Those that are done, the earliest first.
    columns : dict of str to ndarray (B, H)
        Forecasts beyond the end and the edges of their bands, by the names of a table's columns; empty before there
        are any.
    future : dict of str to ndarray (B, H)
        Covariates that are known ahead.
    """

    frame: SeriesFrame
    season: int
    horizon: int
    levels: list[float]
    models: dict[str, Forecaster]
    asked: int
    windows: list[Window]
    columns: dict[str, np.ndarray]
    future: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def model(self) -> Forecaster:
        """The one that was asked for first."""
        return next(iter(self.models.values()))

    def scores(self, column: str) -> dict[str, np.ndarray]:
        """Each metric of `evaluate` for each series ``(B,)``, over all windows; NaN for a series that is in none."""
        found = {
            name: np.concatenate([w.columns[name].ravel() for w in self.windows]) for name in self.windows[0].columns
        }
        actual = np.concatenate([one.actual.ravel() for one in self.windows])
        codes = np.concatenate([np.repeat(one.series, self.horizon) for one in self.windows])
        first = self.frame.timelines.lengths.copy()
        for window in self.windows[::-1]:
            first[window.series] = window.origins
        scales = naive_scales([values[:end] for values, end in zip(self.frame.series, first, strict=True)], self.season)
        return scored(codes, len(self.frame), actual, found, column, [f"{one:g}" for one in self.levels], scales)

    def from_best_to_worst(self) -> np.ndarray:
        """Places of the series that were tested, by the first model's MASE, or MAE where no series has a MASE."""
        scores = self.scores(self.model.name)
        by = scores["mase"] if np.isfinite(scores["mase"]).any() else scores["mae"]
        order = np.argsort(by, kind="stable")
        return order[np.isfinite(by[order])]


def check_panel(frame: SeriesFrame, path, horizon: int, windows: int | None) -> None:
    """See that series are long enough.

    Parameters
    ----------
    windows : int, optional
        Of the cross-validation. By default one, of the series that are long enough.

    Raises
    ------
    InputError
        With the series that is too short.
    """
    lengths = frame.timelines.lengths - [int(np.argmin(np.isnan(one))) for one in frame.series]  # from the first value
    longest = int(np.argmax(lengths))
    if horizon >= lengths[longest]:
        raise InputError(
            f"{path}: a horizon of {horizon} needs a series of more than {horizon} steps; the longest, "
            f"{frame.label(longest)}, has {lengths[longest]}"
        )
    if windows:
        needed = horizon * windows
        if (lengths <= needed).any():
            place = int(np.argmax(lengths <= needed))
            raise InputError(
                f"{path}: --cross-validate {windows} with a horizon of {horizon} needs more than {needed} steps "
                f"of {frame.label(place)}; it has {lengths[place]}"
            )


def begun(
    frame: SeriesFrame,
    names: Sequence[str],
    horizon: int,
    *,
    windows: int = 1,
    season: int | None = None,
    levels: Sequence[float] = (80.0,),
    seed: int | None = None,
    units: int | None = None,
    epochs: int | None = None,
    future: Mapping[str, np.ndarray] | None = None,
) -> PanelReport:
    """A report without anything yet; `cross_validated` and `forecast` fill it.

    Parameters
    ----------
    names : sequence of str
        Keys of `KNOWN` that take several series.
    season : int, optional
        By default what the times say, or what most of the series show before the first origin.
    units, epochs : int, optional
        Of networks.
    future : mapping of str to ndarray (B, H), optional
        Covariates that are known ahead.
    """
    history = History.of_frame(frame)
    origins = history.lengths - windows * horizon
    able = origins > _first(history)
    if season is None:
        ends = np.where(able, origins, history.lengths)
        season = history.season or common_season(history.until(np.arange(len(frame)), ends).values, ends)
    future = dict(future or {})
    settings: dict[str, Any] = {"seed": seed, "units": units, "epochs": epochs, "future_covariates": list(future)}
    models = {name: forecaster_named(name, season, **settings) for name in names}
    return PanelReport(frame, season or 1, horizon, list(levels), models, windows, [], {}, future)


def cross_validated(report: PanelReport, progress: Progress) -> Iterator[Window]:
    """One window of all models after the other, the earliest first.

    A model is fitted at the first origin, and reads on from there with what it found.
    """
    if not report.asked:
        return
    history, h, models = History.of_frame(report.frame), report.horizon, list(report.models.values())
    origins = Origins.of(history, h, report.asked, None)

    def fit(model: Forecaster, known: History, window: int) -> Forecaster:
        what = f"{model.name}, window {window + 1} of {report.asked}"
        progress.tell(what)
        return model.copy()._refit(known, partial(_tell, progress, what))

    each = windows(models, history, origins, origins.changed, fit, level=report.levels, done=progress.step)
    for window, rows, columns in each:
        ends = origins.ends[window, rows]
        past = [values[:end] for values, end in zip(history.values[rows], ends, strict=True)]
        columns[BASELINE] = np.array([seasonal_naive(one, h, report.season) for one in past])
        actual = np.take_along_axis(history.values[rows], ends[:, None] + np.arange(h), axis=1)
        yield Window(rows, ends, actual, columns)


def forecast(report: PanelReport, progress: Progress) -> dict[str, np.ndarray]:
    """Fit the models to the whole series, and forecast beyond their ends: the report's `columns`."""
    history = History.of_frame(report.frame)
    columns: dict[str, np.ndarray] = {}
    for model in report.models.values():
        progress.tell(f"{model.name}, all steps")
        known = model._beside(history)
        ahead = looking_ahead(known, model, report.future)
        said = partial(_tell, progress, f"{model.name}, all steps")
        columns |= model._refit(known, said)._columns(ahead, report.horizon, report.levels)
        progress()
    return columns


def _tell(progress: Progress, what: str, more: str) -> None:
    progress.tell(f"{what}: {more}")


def looking_ahead(history: History, model: Forecaster, future: Mapping[str, np.ndarray]) -> History:
    """A history with what is known of the steps after it, as a model reads that."""
    if history.covariates is None or not future:
        return history
    ahead = np.stack([future[name] for name in model.future_covariates], axis=2)
    return history._replace(covariates=history.covariates.with_future(history.lengths, ahead))


def forecast_kept(
    frame: SeriesFrame,
    path,
    forecaster: Forecaster,
    saved: saving.Saved,
    horizon: int | None = None,
    levels: Sequence[float] | None = None,
    read_future: Callable[[int], dict[str, np.ndarray]] | None = None,
) -> PanelReport:
    """Forecast beyond the ends of series with a forecaster that was fitted to them, without a fit.

    Parameters
    ----------
    frame : SeriesFrame
        The same series from the same first steps, in any order; they may have gone on since.
    path : str or Path
        Of the forecaster's file, for errors.
    forecaster : Forecaster
        Of the file.
    saved : Saved
        The rest of the file.
    horizon, levels : optional
        By default as they were when it was saved.
    read_future : callable, optional
        Gives what is known of so many steps ahead.

    Raises
    ------
    InputError
        If the series are others.
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
    if covariates is not None:
        try:
            history = forecaster._with_covariates(history, covariates.static[order], covariates.names)
        except ValueError as error:
            raise InputError(f"the model in {path}: {error}") from None
    season = forecaster._panel.get("season", forecaster.season)  # type: ignore[attr-defined]
    chosen = list(levels or saved.series.get("levels") or forecaster.level)
    h = horizon or saved.series.get("horizon", 1)
    future = {} if read_future is None else read_future(h)
    history = looking_ahead(history, forecaster, future)
    try:
        forecaster._check_known_ahead(history, h)
        columns = forecaster._columns(history, h, chosen)
    except ValueError as error:
        raise InputError(f"{error}".replace("future=, a table", "--future, a file")) from None
    return PanelReport(frame, int(season or 1), h, chosen, {model_name(forecaster): forecaster}, 0, [], columns)


def keep(path, report: PanelReport) -> None:
    """Write the first model, fitted to the whole series, for `forecast_kept`."""
    try:
        saving.write(path, report.model, {"horizon": report.horizon, "levels": report.levels})
    except ValueError as error:  # of ids that can't be written
        raise InputError(str(error)) from None


def _first(history: History) -> np.ndarray:
    """The step of each series' first value ``(B,)``."""
    return np.argmax(~np.isnan(history.values), axis=1)
