"""What a series will do, and how well that was foreseen so far: season, back-test, forecast and its band."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from rnnkit.forecast.backtest import LEAST_ORIGINS, BackTest, Model, back_test, first_origin, needed_length
from rnnkit.forecast.baselines import naive, seasonal_naive
from rnnkit.forecast.echo_state import ESN
from rnnkit.forecast.season import find_season
from rnnkit.forecast.series import InputError, Series

NETWORK, NAIVE, SEASONAL = "echo state network", "naive", "seasonal naive"
ORIGINS = 40
LEAST_VALUES = 20  # before the first origin


@dataclass(frozen=True)
class Outlook:
    """One series, looked at.

    Attributes
    ----------
    series : Series
    season : int or None
    test : BackTest
        Of the network and of the naive forecasts.
    forecast : ndarray (H,) of float64
        Beyond the end, from a fit to the whole series.
    half_width : ndarray (H,) of float64
        Of the 80 % band around it.
    """

    series: Series
    season: int | None
    test: BackTest
    forecast: np.ndarray
    half_width: np.ndarray

    def share_of_naive(self, model: str) -> float:
        """The model's mean absolute error as a share of the better naive forecast's."""
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


def look_ahead(
    series: Series,
    horizon: int,
    *,
    season: int | None = None,
    origins: int | None = None,
    seed: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Outlook:
    """Back-test an echo state network on a series, then forecast beyond its end.

    Parameters
    ----------
    series : Series
    horizon : int
    season : int, optional
        By default what the autocorrelation before the first origin shows (`find_season`).
    origins : int, optional
        Of the back-test, in the last 30 % of the series; by default 40, or as many as there are.
    seed : int, optional
        Of the network.
    progress : callable
        Called after each origin.

    Raises
    ------
    InputError
        As `check` does.
    """
    check(series, horizon, season, origins)
    values = series.values
    if season is None:
        season = find_season(values[: first_origin(len(values))])
    network = ESN(horizon, season=season, seed=seed)
    models: dict[str, Model] = {NETWORK: lambda history, horizon: network.fit(history).predict(), NAIVE: naive}
    if season is not None:
        models[SEASONAL] = partial(seasonal_naive, season=season)
    try:
        test = back_test(values, models, horizon, origins or ORIGINS, season=season, progress=progress)
        forecast = network.fit(values).predict()
    except ValueError as error:
        raise InputError(f"{series.name}: {error}") from error
    return Outlook(series, season, test, forecast, test.half_widths(NETWORK))
