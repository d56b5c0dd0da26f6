"""The one list of the forecasters that the command and files know; it imports nothing, for a quick start."""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """Properties of a forecaster with a name on the command line."""

    title: str  # in tables and pictures
    place: str  # module:class, below this folder, of one series
    of_several: str = ""  # likewise for several series, if it differs
    reads_covariates: bool = False
    has_units: bool = False  # whether it takes `units`
    is_trained: bool = False  # whether it takes `epochs`


def _network(title: str) -> Known:
    """Describe a recurrent network; one network serves several series."""
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
