"""What a series will do, and how well that was foreseen so far: season, back-test, forecasts and their bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from rnnkit.forecast import saving
from rnnkit.forecast.backtest import LEAST_ORIGINS, BackTest, Model, back_test, first_origin, needed_length
from rnnkit.forecast.baselines import naive, seasonal_naive
from rnnkit.forecast.echo_state import ESN
from rnnkit.forecast.registry import find_model, restored, title
from rnnkit.forecast.season import find_season
from rnnkit.forecast.series import InputError, Series
from rnnkit.forecast.titles import TITLES
from rnnkit.forecast.trained import TrainedForecaster

NETWORK, NAIVE, SEASONAL = TITLES["esn"], "naive", "seasonal naive"
ORIGINS = 40
LEAST_VALUES = 20  # before the first origin


class Forecast(NamedTuple):
    """What one model says of the steps to come."""

    values: np.ndarray  # (H,)
    lower: np.ndarray  # (H,), of the 80 % band; NaN where there is none
    upper: np.ndarray  # (H,)
    forecaster: ESN | TrainedForecaster  # fitted to the whole series


@dataclass(frozen=True)
class ForecastReport:
    """One series, looked at.

    Attributes
    ----------
    series : Series
    season : int or None
    test : BackTest or None
        Of the models and of the naive forecasts; None where a saved model was asked without one.
    forecasts : dict of str to Forecast
        Beyond the end, by model, the one first that was asked for first.
    """

    series: Series
    season: int | None
    test: BackTest | None
    forecasts: Mapping[str, Forecast]

    @property
    def model(self) -> str:
        """The model asked for first."""
        return next(iter(self.forecasts))

    @property
    def forecast(self) -> np.ndarray:
        """What it says of the steps to come, ``(H,)``."""
        return self.forecasts[self.model].values

    @property
    def lower(self) -> np.ndarray:
        """The lower edge of the 80 % band around that, ``(H,)``."""
        return self.forecasts[self.model].lower

    @property
    def upper(self) -> np.ndarray:
        """The upper edge, ``(H,)``."""
        return self.forecasts[self.model].upper

    def share_of_naive(self, model: str) -> float:
        """The model's mean absolute error as a share of the better naive forecast's."""
        if self.test is None:
            return float("nan")
        better = min(self.test.scores(name)["MAE"] for name in (NAIVE, SEASONAL) if name in self.test.forecasts)
        return self.test.scores(model)["MAE"] / better if better > 0 else float("nan")


def check(series: Series, horizon: int, season: int | None = None, origins: int | None = None) -> None:
    """See that a series is long enough.

    Raises
    ------
    InputError
        With the length that is needed, or if what there is consists of gaps.
    """
    length = len(series.values)
    needed = needed_length(horizon, origins or LEAST_ORIGINS)
    while first_origin(needed) < max(2 * horizon + LEAST_VALUES + 20, 2 * (season or 1)):
        needed += 1
    if length < needed:
        raise InputError(
            f"{series.name} has {length} values; a horizon of {horizon} with {origins or LEAST_ORIGINS} origins"
            f"{f' and a season of {season}' if season else ''} needs {needed}"
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
    season: int | None = None,
    origins: int | None = None,
    seed: int | None = None,
    units: int | None = None,
    epochs: int | None = None,
    progress: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] | None = None,
) -> ForecastReport:
    """Back-test models on a series, then forecast beyond its end.

    Parameters
    ----------
    series : Series
    horizon : int
    models : sequence of str
        Of "esn", "gru", "lstm", "rnn" and "linear". An echo state network is fitted anew at each origin; the others
        are trained before the first one, and carried on from their weights for a few epochs at each of the later ones.
    season : int, optional
        By default what the autocorrelation before the first origin shows (`find_season`).
    origins : int, optional
        Of the back-test, in the last 30 % of the series; by default 40, or as many as there are.
    seed : int, optional
        Of the models.
    units, epochs : int, optional
        Of the recurrent layers and of training; by default as each model has them.
    progress : callable
        Called after each origin.
    tell : callable, optional
        Called with a text that says what is being trained.

    Raises
    ------
    InputError
        As `check` does.
    """
    check(series, horizon, season, origins)
    values = series.values
    if season is None:
        season = find_season(values[: first_origin(len(values))])
    asked = {}
    for name in models:
        told = None if tell is None else partial(_told, tell, f"{TITLES[name]} on {series.name}")
        asked[TITLES[name]] = find_model(name, horizon, season=season, seed=seed, units=units, epochs=epochs, tell=told)
    contest: dict[str, Model] = {**asked, NAIVE: naive}
    if season is not None:
        contest[SEASONAL] = partial(seasonal_naive, season=season)
    try:
        test = back_test(values, contest, horizon, origins or ORIGINS, season=season, progress=progress)
        forecasts = {name: _forecast(model(values, horizon), test, name, model) for name, model in asked.items()}
    except (ValueError, FloatingPointError) as error:
        raise InputError(f"{series.name}: {error}") from error
    return ForecastReport(series, season, test, forecasts)


def forecast_from_file(series: Series, path) -> ForecastReport:
    """Forecast beyond the end of a series with a model that `save` wrote, without a fit or a back-test.

    Parameters
    ----------
    series : Series
        The one that the model was fitted to, from the same first step; it may have gone on since, or end before.
    path : str or os.PathLike

    Raises
    ------
    InputError
        If the file can't be used, or the series is another.
    """
    try:
        saved = saving.read(path)
        forecaster = restored(saved)
    except (ValueError, KeyError, TypeError) as error:
        said = f"{path} lacks {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{said}") from error
    about = saved.series
    if not about:
        raise InputError(f"{path} does not say which series its model was fitted to; save it with rnnkit forecast")
    if _identity(series) != about["identity"]:
        raise InputError(
            f"the model in {path} was fitted to {' '.join(about['identity'])}; got {' '.join(_identity(series))}"
        )
    if isinstance(forecaster, ESN):
        values, half = forecaster.forecast(series.values), saved.half_width
        lower, upper = (values - half, values + half) if half is not None else (values * np.nan, values * np.nan)
    else:
        lower, values, upper = forecaster.forecast_quantiles(series.values)
    forecasts = {title(forecaster): Forecast(values, lower, upper, forecaster)}
    return ForecastReport(series, forecaster.season, None, forecasts)


def save(path, report: ForecastReport) -> None:
    """Write the model asked for first, as it was fitted to the whole series, for `forecast_from_file`."""
    forecaster = report.forecasts[report.model].forecaster
    half = None if isinstance(forecaster, TrainedForecaster) else (report.upper - report.lower) / 2
    saving.write(path, forecaster, {"identity": _identity(report.series)}, half)


def _identity(series) -> list[str]:
    """What has to be the same in a series that a saved model is to go on with."""
    return [series.name, f"from {series.timeline.times[0]} on"]


def _told(tell, what, text) -> None:
    tell(f"{what}: {text}")


def _forecast(said, test, name, model) -> Forecast:
    if said.ndim == 2:
        lower, values, upper = said
        return Forecast(values, lower, upper, model.forecaster)
    half = test.half_widths(name)
    return Forecast(said, said - half, said + half, model.forecaster)
