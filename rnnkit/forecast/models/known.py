"""The forecasters that the command and files know: a name stands here and nowhere else.

It imports nothing, so that the command answers quickly to what needs no forecaster.
"""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """What there is to know of a forecaster by its name on the command line."""

    title: str  # in tables and pictures
    place: str  # module:class, below this folder, of one series
    of_several: str = ""  # the same of several series, where that is another one
    reads_covariates: bool = False
    has_units: bool = False  # of a recurrent layer
    is_trained: bool = False  # for epochs


def _network(title: str) -> Known:
    """A recurrent network: of several series one for all."""
    return Known(title, "trained:TrainedForecaster", "global_rnn:GlobalRNN", True, True, True)


KNOWN = {
    "auto": Known("Auto", "auto:Auto", reads_covariates=True),
    "theta": Known("Theta", "theta:Theta"),
    "ets": Known("exponential smoothing", "exponential_smoothing:ExponentialSmoothing"),
    "autoregression": Known("autoregression", "autoregression:Autoregression"),
    "esn": Known("echo state network", "echo_state:ESN", has_units=True),
    "gru": _network("GRU"),
    "lstm": _network("LSTM"),
    "rnn": _network("simple RNN"),
    "linear": Known("linear model", "trained:TrainedForecaster", is_trained=True),
}
TITLES = {name: one.title for name, one in KNOWN.items()}
WITH_COVARIATES = [name for name, one in KNOWN.items() if one.reads_covariates]
TRAINED = [name for name, one in KNOWN.items() if one.is_trained]
WITH_UNITS = [name for name, one in KNOWN.items() if one.has_units]
