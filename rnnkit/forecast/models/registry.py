"""The models that the command knows, and how each goes from origin to origin of a back-test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit.forecast import saving
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.models.auto import Auto
from rnnkit.forecast.models.autoregression import Autoregression
from rnnkit.forecast.models.echo_state import ESN
from rnnkit.forecast.models.exponential_smoothing import ExponentialSmoothing
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.forecast.models.global_rnn import GlobalRNN
from rnnkit.forecast.models.theta import Theta
from rnnkit.forecast.models.titles import COLUMNS, GLOBAL
from rnnkit.forecast.models.trained import TrainedForecaster

LATER = 3  # epochs at the origins after the first
LOCAL: dict[str, type[Forecaster]] = {
    "auto": Auto,
    "theta": Theta,
    "ets": ExponentialSmoothing,
    "autoregression": Autoregression,
}


class Refitted:
    """An echo state network, whose readouts are solved anew at each origin."""

    def __init__(self, forecaster: ESN):
        self.forecaster = forecaster

    def __call__(self, history, horizon: int) -> np.ndarray:
        """The forecast ``(horizon,)``."""
        return self.forecaster.fit(history).predict(horizon)


class WarmStarted:
    """A model that is trained before the first origin, and carried on from its weights at the later ones."""

    def __init__(self, forecaster: TrainedForecaster, tell: Callable[[str], None] | None = None):
        self.forecaster, self.tell, self.begun = forecaster, tell, False

    def __call__(self, history, horizon: int) -> np.ndarray:
        """Lower edge, median and upper edge ``(3, horizon)``."""
        if self.begun:
            epochs = min(LATER, self.forecaster.epochs)
            self.forecaster.update(history, epochs=epochs, progress=self.tell)
        else:
            self.forecaster.fit(history, progress=self.tell)
            self.begun = True
        return self.forecaster.predict_quantiles(horizon)


class ReadingOn:
    """A model that is fitted before the first origin, and reads on from there with what it found."""

    def __init__(self, forecaster: Forecaster, level: float, tell: Callable[[str], None] | None = None):
        self.forecaster, self.level, self.tell, self.known = forecaster, level, tell, 0

    def __call__(self, history, horizon: int) -> np.ndarray:
        """Lower edge, forecast and upper edge ``(3, horizon)``."""
        if self.known:
            self.forecaster.update(history[self.known :])
        else:
            if self.tell is not None:
                self.tell("fit")
            self.forecaster.fit(history)
        self.known = len(history)
        return banded(self.forecaster, horizon, self.level)

    def forget(self) -> None:
        """Fit anew the next time."""
        self.known = 0


def banded(forecaster: Forecaster, horizon: int, level: float) -> np.ndarray:
    """Lower edge, forecast and upper edge ``(3, horizon)`` of the series that it was fitted to."""
    said = forecaster.predict(horizon, level=level)
    return np.stack([said[f"{forecaster.name}{edge}"] for edge in (f"-lo-{level:g}", "", f"-hi-{level:g}")])


def panel_model(
    name: str,
    season: int | None = None,
    seed: int | None = None,
    *,
    units: int | None = None,
    epochs: int | None = None,
    future_covariates: Sequence[str] = (),
) -> Forecaster:
    """A model of several series by its name on the command line.

    Parameters
    ----------
    name : {"auto", "theta", "ets", "autoregression", "lstm", "gru", "rnn"}
    season : int, optional
        Steps of a season, none without.
    seed : int, optional
    units, epochs : int, optional
        Of a network; by default as it has them.
    future_covariates : sequence of str
        What is known ahead, for the models that read it.
    """
    if name == "auto":
        return Auto(season or 1, seed=seed or 0, future_covariates=future_covariates)
    if name in GLOBAL:
        settings: dict[str, Any] = {} if units is None else {"units": units}
        return GlobalRNN(
            season or 1, layer=name, epochs=epochs, seed=seed or 0, future_covariates=future_covariates, **settings
        )
    return LOCAL[name](season)  # type: ignore[call-arg]


def find_model(
    name: str,
    horizon: int,
    *,
    season: int | None = None,
    seed: int | None = None,
    units: int | None = None,
    epochs: int | None = None,
    level: float = 80.0,
    tell: Callable[[str], None] | None = None,
) -> Refitted | WarmStarted | ReadingOn:
    """A model of one series by its name on the command line.

    Parameters
    ----------
    name : {"auto", "theta", "ets", "autoregression", "esn", "gru", "lstm", "rnn", "linear"}
    horizon, season, seed
        As `ESN` and `TrainedForecaster` take them.
    units, epochs : int, optional
        By default as the model has them; what a model has no use for is left aside.
    level : float
        Of the bands that a model has itself, in percent.
    tell : callable, optional
        Called with a text when a model is fitted, and after each epoch of training.
    """
    if name in LOCAL:
        return ReadingOn(panel_model(name, season, seed), level, tell)
    settings: dict[str, Any] = {"season": season, "seed": seed}
    if units is not None:
        settings["units"] = units
    if name == "esn":
        return Refitted(ESN(horizon, **settings))
    if epochs is not None:
        settings["epochs"] = epochs
    return WarmStarted(TrainedForecaster(horizon, name, level=level / 100, **settings), tell)


def model_name(forecaster: ESN | TrainedForecaster | Forecaster) -> str:
    """What the command line calls a forecaster."""
    if isinstance(forecaster, (TrainedForecaster, GlobalRNN)):
        return forecaster.layer
    return next((name for name, kind in LOCAL.items() if isinstance(forecaster, kind)), "esn")


def column_name(forecaster: ESN | TrainedForecaster | Forecaster) -> str:
    """What the columns of its forecasts are called in a file."""
    return COLUMNS[model_name(forecaster)]


def read_kept(path) -> tuple[ESN | TrainedForecaster | Forecaster, saving.Saved]:
    """The fitted forecaster that a file holds, and all that the file says.

    Raises
    ------
    InputError
        If the file can't be used.
    """
    try:
        saved = saving.read(path)
        return of_kept(path, saved), saved
    except (ValueError, ImportError) as error:
        raise InputError(f"{error}") from error


def of_kept(path, saved: saving.Saved) -> ESN | TrainedForecaster | Forecaster:
    """The fitted forecaster of what a file says.

    Raises
    ------
    ValueError
        If the file says or holds what doesn't go together.
    """
    kinds: dict[str, Any] = {kind.__name__: kind for kind in (*LOCAL.values(), GlobalRNN, ESN, TrainedForecaster)}
    if saved.kind not in kinds:
        raise ValueError(f"expected {path} to hold one of {', '.join(kinds)}; got one of {saved.kind}")
    return saving.restored(path, saved, kinds[saved.kind])
