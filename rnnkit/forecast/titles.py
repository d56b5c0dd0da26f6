"""What tables and pictures call the models of the command."""

TITLES = {
    "esn": "echo state network",
    "gru": "GRU",
    "lstm": "LSTM",
    "rnn": "simple RNN",
    "linear": "linear model",
}
