"""Reports on one series: season, back-test, forecasts and bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.console import printable
from rnnkit.forecast import saving
from rnnkit.forecast.command.inputs import read_kept
from rnnkit.forecast.command.shown import Shown, Window, counted
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import Series
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.profiles import periods_of
from rnnkit.forecast.fitting.season import find_seasons
from rnnkit.forecast.models.baselines import naive, seasonal_naive
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.forecast.registry import TITLES, forecaster_named, model_name
from rnnkit.forecast.scoring.backtest import LEAST_ORIGINS, BackTest, Model, back_test, first_origin, needed_length

NAIVE, SEASONAL = "naive", "seasonal naive"
ORIGINS = 40
LEVEL = 80.0
LEAST_VALUES = 20  # before the first origin


class Forecast(NamedTuple):
    """The forecast of one model."""

    values: np.ndarray  # (H,)
    lower: np.ndarray  # (H,), of the band
    upper: np.ndarray  # (H,)
    forecaster: Forecaster  # fitted to the whole series


@dataclass(frozen=True)
class ForecastReport:
    """A series with its back-test and its forecasts."""

    series: Series
    season: int | None
    test: BackTest | None  # of the models and of the naive forecasts; None for a saved model
    forecasts: Mapping[str, Forecast]  # beyond the end, by model, in the order asked for
    level: float = LEVEL  # of the bands, in percent

    @property
    def model(self) -> str:
        """The first of the models asked for."""
        return next(iter(self.forecasts))

    @property
    def forecast(self) -> np.ndarray:
        """The forecast of the first model, ``(H,)``."""
        return self.forecasts[self.model].values


class SeriesReport(Shown):
    """The report on one series as the command shows it."""

    def __init__(self, report: ForecastReport):
        self.of, self.frame, test, level = report, None, report.test, report.level
        self.values, self.season, self.horizon = [report.series.values], report.season or 1, len(report.forecast)
        self.levels, self.models = [level], {title: one.forecaster for title, one in report.forecasts.items()}
        self.columns = {}
        tested: dict[str, np.ndarray] = {}
        for title, (values, lower, upper, forecaster) in report.forecasts.items():
            names = forecaster._band_names([level])
            self.columns |= {name: one[None] for name, one in zip(names, (values, lower, upper), strict=True)}
            if test:
                tested |= zip(names, (test.forecasts[title], *test.bands[title]), strict=True)
        self.windows, self.baselines, self.done = [], {}, f"{report.model} from a file"
        if test:
            self.baselines = {name: name for name in (NAIVE, SEASONAL) if name in test.forecasts}
            tested |= {name: test.forecasts[name] for name in self.baselines}
            self.windows = [Window(np.zeros(len(test.origins), int), test.origins, test.actual, tested)]
            self.done = counted(len(test.origins), "origin")
        self.done = f"{self.done}, {counted(self.horizon, 'lead')}"

    def named(self, place: int) -> Series:
        """Return the series."""
        return self.of.series


def check(series: Series, horizon: int, season: Any = None, origins: int | None = None) -> None:
    """Check the length of a series; an InputError gives the length needed, or says that it consists of gaps."""
    length = len(series.values)
    needed = needed_length(horizon, origins or LEAST_ORIGINS)
    while first_origin(needed) < max(2 * horizon + LEAST_VALUES + 20, 2 * periods_of(season)[0]):
        needed += 1
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


def backtest_and_forecast(
    series: Series,
    horizon: int,
    *,
    models: Sequence[str] = ("esn",),
    season: int | Sequence[int] | None = None,
    origins: int | None = None,
    seed: int | None = None,
    units: int | None = None,
    epochs: int | None = None,
    level: float = LEVEL,
    progress: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] | None = None,
) -> ForecastReport:
    """Back-test models on a series, then forecast beyond its end; an InputError as `check` raises it.

    Models, by their names on the command line, are fitted before the first origin, and keep their parameters at later
    ones; but "esn" is fitted anew at each origin, and "gru", "lstm", "rnn" and "linear" are carried on from their
    weights for a few epochs. The season is by default found before the first origin; the default number of origins is
    40. `progress` is called after each origin, `tell` with a text on the model being fitted.
    """
    check(series, horizon, season, origins)
    values = series.values
    seasons = find_seasons(values[: first_origin(len(values))]) if season is None else periods_of(season)
    season = seasons[0] if seasons else None
    settings = {"horizon": horizon, "seed": seed, "units": units, "epochs": epochs, "level": level}
    asked = {}
    for name in models:
        said = None if tell is None else partial(told, tell, f"{TITLES[name]} on {printable(series.name)}")
        forecaster = forecaster_named(name, seasons or None, several=False, **settings)
        asked[TITLES[name]] = partial(forecast_at, forecaster, level, said)
    contest: dict[str, Model] = {**asked, NAIVE: naive}
    if season is not None:
        contest[SEASONAL] = partial(seasonal_naive, season=season)
    try:
        test = back_test(values, contest, horizon, origins or ORIGINS, season=season, progress=progress)
        forecasts = {}
        for title, model in asked.items():
            ahead = model(values, horizon, last=True)
            forecasts[title] = Forecast(ahead[1], ahead[0], ahead[2], model.args[0])
    except (ValueError, FloatingPointError) as error:
        raise InputError(f"{series.name}: {error}") from error
    return ForecastReport(series, season, test, forecasts, level)


def forecast_at(
    forecaster: Forecaster,
    level: float,
    tell: Callable[[str], None] | None,
    history: np.ndarray,
    horizon: int,
    last: bool = False,
) -> np.ndarray:
    """Return lower edge, forecast and upper edge ``(3, horizon)``."""
    forecaster._at_origin(History.of(history), tell, last)
    return _banded(forecaster, horizon, level)


def _banded(forecaster: Forecaster, horizon: int, level: float) -> np.ndarray:
    forecast, lower, upper = forecaster.predict(horizon, level=level).values()
    return np.stack([lower, forecast, upper])


def forecast_from_file(
    series: Series, path: Any, horizon: int | None = None, level: float | None = None
) -> ForecastReport:
    """Forecast beyond the end of a series with a model that `save` wrote, without a fit or a back-test.

    The series is that of the fit, from the same first step; it may be longer now, or end earlier. Horizon and level
    default to those saved. An InputError says that the file can't be used, or that the series is another.
    """
    forecaster, saved = read_kept(path)
    about = saved.series
    if "identity" not in about:
        raise InputError(f"{path} does not say which series its model was fitted to; save it with rnnkit forecast")
    if _identity(series) != about["identity"]:
        raise InputError(
            f"the model in {path} was fitted to {' '.join(about['identity'])}; got {' '.join(_identity(series))}"
        )
    season = periods_of(forecaster.season)[0]  # type: ignore[attr-defined]
    level = level or about.get("level", LEVEL)
    forecaster._history = History.of(series.values)
    lower, values, upper = _banded(forecaster, horizon or about["horizon"], level)
    forecasts = {TITLES[model_name(forecaster)]: Forecast(values, lower, upper, forecaster)}
    return ForecastReport(series, None if season == 1 else season, None, forecasts, level)


def save(path, report: ForecastReport) -> None:
    """Write the report's first model, fitted to the whole series, for `forecast_from_file`."""
    about: dict[str, Any] = {"identity": _identity(report.series), "level": report.level}
    saving.write(path, report.forecasts[report.model].forecaster, about | {"horizon": len(report.forecast)})


def _identity(series) -> list[str]:
    """Return the name and the start of a series, which must match those of a saved model's series."""
    return [series.name, f"from {series.timeline.times[0]} on"]


def told(tell: Callable[[str], None], what: str, text: str) -> None:
    """Report the progress of one item."""
    tell(f"{what}: {text}")
