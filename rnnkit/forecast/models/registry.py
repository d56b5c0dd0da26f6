"""Forecasters by their names, and how each goes from origin to origin of a back-test."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.forecast import saving
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.models.echo_state import ESN
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.forecast.models.global_rnn import GlobalRNN
from rnnkit.forecast.models.known import KNOWN
from rnnkit.forecast.models.together import Together
from rnnkit.forecast.models.trained import TrainedForecaster

LATER = 3  # epochs at the origins after the first


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


class FitOnceThenUpdate:
    """A model that is fitted before the first origin, and then reads on with what it found."""

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


def forecaster_named(name: str, season: int | None = None, *, several: bool = True, **settings: Any) -> Any:
    """A forecaster by its name on the command line.

    Parameters
    ----------
    name : str
        A key of `KNOWN`.
    season : int, optional
        Steps of a season, none without.
    several : bool
        Whether it is for several series, or for one.
    **settings
        What it has no use for, and None, is left aside.
    """
    kind = _class_at(KNOWN[name].of_several if several else KNOWN[name].place)
    if issubclass(kind, Together):
        season = season or 1  # else it would look for one
    given = settings | {"season": season, "layer": name}
    takes = inspect.signature(kind).parameters
    return kind(**{one: value for one, value in given.items() if one in takes and value is not None})


def _class_at(place: str) -> type:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"rnnkit.forecast.models.{module}"), name)


def contestant(forecaster: Any, level: float, tell: Callable[[str], None] | None = None) -> Any:
    """A forecaster as a back-test takes it.

    Parameters
    ----------
    forecaster : ESN, TrainedForecaster or Forecaster
    level : float
        Of the bands that it has itself, in percent.
    tell : callable, optional
        Called with a text when it is fitted, and after each epoch of training.
    """
    if isinstance(forecaster, ESN):
        return Refitted(forecaster)
    if isinstance(forecaster, TrainedForecaster):
        return WarmStarted(forecaster, tell)
    return FitOnceThenUpdate(forecaster, level, tell)


def model_name(forecaster: ESN | TrainedForecaster | Forecaster) -> str:
    """What the command line calls a forecaster."""
    if isinstance(forecaster, (TrainedForecaster, GlobalRNN)):
        return forecaster.layer
    return next(name for name, one in KNOWN.items() if isinstance(forecaster, _class_at(one.place)))


def column_name(forecaster: ESN | TrainedForecaster | Forecaster) -> str:
    """What the columns of its forecasts are called in a file."""
    return KNOWN[model_name(forecaster)].column


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
    places = [place for one in KNOWN.values() for place in (one.place, one.of_several) if place]
    kinds = {place.partition(":")[2]: place for place in places}
    if saved.kind not in kinds:
        raise ValueError(f"expected {path} to hold one of {', '.join(kinds)}; got one of {saved.kind}")
    return saving.restored(path, saved, _class_at(kinds[saved.kind]))
