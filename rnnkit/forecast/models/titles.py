"""What tables and pictures call the models of the command, and what the columns of files are called."""

TITLES = {
    "auto": "Auto",
    "theta": "Theta",
    "ets": "exponential smoothing",
    "autoregression": "autoregression",
    "esn": "echo state network",
    "gru": "GRU",
    "lstm": "LSTM",
    "rnn": "simple RNN",
    "linear": "linear model",
}
COLUMNS = {
    "auto": "Auto",
    "theta": "Theta",
    "ets": "ExponentialSmoothing",
    "autoregression": "Autoregression",
    "esn": "ESN",
    "gru": "GRU",
    "lstm": "LSTM",
    "rnn": "SimpleRNN",
    "linear": "Linear",
}
GLOBAL = ("lstm", "gru", "rnn")  # of several series: one network for all
PANEL = ("auto", "theta", "ets", "autoregression", *GLOBAL)  # those that take several series
WITH_COVARIATES = ("auto", *GLOBAL)
TRAINED = ("gru", "lstm", "rnn", "linear")
