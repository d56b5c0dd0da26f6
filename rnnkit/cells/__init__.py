"""Published cells, one per file: equations, weights and paper; `BUILT_IN` lists them for tests and benchmarks."""

from rnnkit.cells.echo_state import ESNCell
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell
from rnnkit.cells.simple_rnn import SimpleRNNCell
from rnnkit.cells.smoothing import (
    additive_smoothing,
    croston,
    dynamic_theta,
    level_and_season,
    multiplicative_smoothing,
    tsb,
)

#: The classes of the built-in cells.
BUILT_IN = (SimpleRNNCell, GRUCell, LSTMCell, ESNCell)

__all__ = [
    "BUILT_IN", "ESNCell", "GRUCell", "LSTMCell", "SimpleRNNCell", "additive_smoothing", "croston", "dynamic_theta",
    "level_and_season", "multiplicative_smoothing", "tsb",
]  # fmt: skip
