"""Published cells, one per file: equations, weights and paper; `BUILT_IN` lists them for tests and benchmarks."""

from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell
from rnnkit.cells.simple_rnn import SimpleRNNCell

BUILT_IN = (SimpleRNNCell, GRUCell, LSTMCell)

__all__ = ["BUILT_IN", "GRUCell", "LSTMCell", "SimpleRNNCell"]
