"""The one list of forecasters; a class is imported when it is asked for, so that the command starts quickly."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rnnkit.forecast.saving import Saved

MODULES = {  # below rnnkit.forecast.models, by public class
    "ADIDA": "intermittent",
    "Auto": "auto",
    "Autoregression": "autoregression",
    "Croston": "intermittent",
    "ESN": "echo_state",
    "ExponentialSmoothing": "exponential_smoothing",
    "GlobalRNN": "global_rnn",
    "IMAPA": "intermittent",
    "SBA": "intermittent",
    "TSB": "intermittent",
    "Theta": "theta",
    "TrainedForecaster": "trained",
}


class Known(NamedTuple):
    """Properties of a forecaster with a name on the command line."""

    title: str  # in tables and pictures
    kind: str  # the class, of one series
    of_several: str = ""  # the class of several series, if it differs
    reads_covariates: bool = False
    has_units: bool = False  # whether it takes `units`
    is_trained: bool = False  # whether it takes `epochs`


_NETWORK = Known("", "TrainedForecaster", "GlobalRNN", True, True, True)  # one network serves several series
KNOWN = {
    "auto": Known("Auto", "Auto", reads_covariates=True),
    "theta": Known("Theta", "Theta", reads_covariates=True),
    "ets": Known("exponential smoothing", "ExponentialSmoothing", reads_covariates=True),
    "autoregression": Known("autoregression", "Autoregression", reads_covariates=True),
    "croston": Known("Croston's method", "Croston"),
    "sba": Known("SBA", "SBA"),
    "tsb": Known("TSB", "TSB"),
    "adida": Known("ADIDA", "ADIDA"),
    "imapa": Known("IMAPA", "IMAPA"),
    "esn": Known("echo state network", "ESN", has_units=True),
    "gru": _NETWORK._replace(title="GRU"),
    "lstm": _NETWORK._replace(title="LSTM"),
    "rnn": _NETWORK._replace(title="simple RNN"),
    "linear": Known("linear model", "TrainedForecaster", is_trained=True),
}
TITLES = {name: one.title for name, one in KNOWN.items()}
WITH_COVARIATES = [name for name, one in KNOWN.items() if one.reads_covariates]
STATIC_READERS = ("Auto", "GlobalRNN")
TRAINED = [name for name, one in KNOWN.items() if one.is_trained]
WITH_UNITS = [name for name, one in KNOWN.items() if one.has_units]


def class_named(name: str) -> Any:
    """Return a forecaster's class."""
    return getattr(importlib.import_module(f"rnnkit.forecast.models.{MODULES[name]}"), name)


def forecaster_named(name: str, season: Any = None, *, several: bool = True, **settings: Any) -> Any:
    """Make a forecaster by its name on the command line, with those settings that it takes, and its seasons."""
    kind = class_named((several and KNOWN[name].of_several) or KNOWN[name].kind)
    if not (season is None or isinstance(season, int) or kind._several_seasons):
        season = season[0] if len(season) else None
    given = settings | {"season": season or kind._no_season, "layer": name}
    takes = inspect.signature(kind).parameters
    return kind(**{one: value for one, value in given.items() if one in takes and value is not None})


def model_name(forecaster: Any) -> str:
    """Return a forecaster's name on the command line."""
    kind = type(forecaster).__name__
    names = [name for name, one in KNOWN.items() if kind in (one.kind, one.of_several)]
    return names[0] if len(names) == 1 else forecaster.layer


def restored(path, saved: Saved) -> Any:
    """Make the fitted forecaster of a file's contents; a ValueError if these are inconsistent."""
    if saved.kind not in MODULES:
        raise ValueError(f"expected {path} to hold one of {', '.join(MODULES)}; got one of {saved.kind}")
    return class_named(saved.kind)._restored(path, saved)
