"""The forecasters that the command and files know: a name stands here and nowhere else.

It imports nothing, so that the command answers quickly to what needs no forecaster.
"""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """What there is to know of a forecaster by its name on the command line."""

    title: str  # in tables and pictures
    column: str  # of files
    place: str  # module:class, below this folder, of one series
    of_several: str = ""  # the same of several series; none where it takes a single one
    reads_covariates: bool = False
    has_units: bool = False  # of a recurrent layer
    is_trained: bool = False  # for epochs


def _any(title: str, column: str, place: str, reads_covariates: bool = False) -> Known:
    """A forecaster that takes one series as it takes several."""
    return Known(title, column, place, place, reads_covariates)


def _network(title: str, column: str) -> Known:
    """A recurrent network: of several series one for all."""
    return Known(title, column, "trained:TrainedForecaster", "global_rnn:GlobalRNN", True, True, True)


KNOWN = {
    "auto": _any("Auto", "Auto", "auto:Auto", reads_covariates=True),
    "theta": _any("Theta", "Theta", "theta:Theta"),
    "ets": _any("exponential smoothing", "ExponentialSmoothing", "exponential_smoothing:ExponentialSmoothing"),
    "autoregression": _any("autoregression", "Autoregression", "autoregression:Autoregression"),
    "esn": Known("echo state network", "ESN", "echo_state:ESN", has_units=True),
    "gru": _network("GRU", "GRU"),
    "lstm": _network("LSTM", "LSTM"),
    "rnn": _network("simple RNN", "SimpleRNN"),
    "linear": Known("linear model", "Linear", "trained:TrainedForecaster", is_trained=True),
}
TITLES = {name: one.title for name, one in KNOWN.items()}
PANEL = [name for name, one in KNOWN.items() if one.of_several]
WITH_COVARIATES = [name for name, one in KNOWN.items() if one.reads_covariates]
TRAINED = [name for name, one in KNOWN.items() if one.is_trained]
WITH_UNITS = [name for name, one in KNOWN.items() if one.has_units]
GLOBAL = [name for name in TRAINED if name in PANEL]
