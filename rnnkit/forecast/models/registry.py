"""Forecasters by name, and their use in a back-test."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.forecast import saving
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.history import History
from rnnkit.forecast.models.echo_state import ESN
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.forecast.models.global_rnn import GlobalRNN
from rnnkit.forecast.models.known import KNOWN
from rnnkit.forecast.models.together import Together
from rnnkit.forecast.models.trained import TrainedForecaster
from rnnkit.layers.support.model_files import making


class Contestant:
    """A forecaster for a back-test, which calls it at one origin after the other."""

    def __init__(self, forecaster: Forecaster, level: float, tell: Callable[[str], None] | None = None):
        self.forecaster, self.level, self.tell = forecaster, level, tell

    def __call__(self, history, horizon: int, last: bool = False) -> np.ndarray:
        """Return lower edge, forecast and upper edge ``(3, horizon)``; for an echo state network the forecast alone."""
        self.forecaster._at_origin(History.of(history), self.tell, last)
        if isinstance(self.forecaster, ESN):
            return self.forecaster.predict(horizon)
        return banded(self.forecaster, horizon, self.level)


def banded(forecaster: Forecaster, horizon: int, level: float) -> np.ndarray:
    """Return lower edge, forecast and upper edge ``(3, horizon)`` of the fitted series."""
    forecast, lower, upper = forecaster.predict(horizon, level=level).values()
    return np.stack([lower, forecast, upper])


def forecaster_named(
    name: str, season: int | None = None, *, several: bool = True, level: float | None = None, **settings: Any
) -> Any:
    """Make a forecaster by its name on the command line, with a season, for `several` series or for one.

    `level` is the percentage of the band, for a model that learns it. Other settings are passed on if the model takes
    them and they are not None.
    """
    kind = _class_at((several and KNOWN[name].of_several) or KNOWN[name].place)
    if issubclass(kind, Together):
        season = season or 1  # otherwise the model would search for one
    given = settings | {"season": season, "layer": name}
    if issubclass(kind, TrainedForecaster):
        given["level"] = level
    takes = inspect.signature(kind).parameters
    return kind(**{one: value for one, value in given.items() if one in takes and value is not None})


def _class_at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"rnnkit.forecast.models.{module}"), name)


def model_name(forecaster: Forecaster) -> str:
    """Return a forecaster's name on the command line."""
    if isinstance(forecaster, (TrainedForecaster, GlobalRNN)):
        return forecaster.layer
    return next(name for name, one in KNOWN.items() if isinstance(forecaster, _class_at(one.place)))


def read_kept(path) -> tuple[Forecaster, saving.Saved]:
    """Read a fitted forecaster and the contents of its file; an InputError if it can't be used."""
    try:
        saved = saving.read(path)
        return of_kept(path, saved), saved
    except (ValueError, ImportError) as error:
        raise InputError(f"{error}") from error


def of_kept(path, saved: saving.Saved) -> Forecaster:
    """Make the fitted forecaster of a file's contents; a ValueError if these are inconsistent."""
    places = [place for one in KNOWN.values() for place in (one.place, one.of_several) if place]
    kinds = {place.partition(":")[2]: place for place in places}
    if saved.kind not in kinds:
        raise ValueError(f"expected {path} to hold one of {', '.join(kinds)}; got one of {saved.kind}")
    with making(path):
        return _class_at(kinds[saved.kind])._of_saved(saved)
