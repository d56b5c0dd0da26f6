"""The network of an estimator: recurrent layers, pooling over time, a dense layer."""

from __future__ import annotations

import copy

from rnnkit import optimizers
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.dense import Dense, Dropout
from rnnkit.layers.pooling import GlobalAveragePooling1D
from rnnkit.layers.rnn import RNN, unbuilt_copy
from rnnkit.models.sequential import Sequential
from rnnkit.optimizers import schedules

CELLS = {"lstm": LSTMCell, "gru": GRUCell, "simple_rnn": SimpleRNNCell}
POOLINGS = ("last", "mean")


def network(
    outputs: int, cell, units: int, layers: int, bidirectional: bool, pooling: str, dropout: float, seed: int
) -> Sequential:
    """Return an unbuilt model from sequences ``(T_i, F)`` to ``(B, outputs)``; parameters as of `RNNClassifier`."""
    if pooling not in POOLINGS:
        raise ValueError(f"expected pooling to be one of {', '.join(POOLINGS)}; got {pooling!r}")
    parts: list[Layer] = []
    for number in range(1, layers + 1):
        sequences = number < layers or pooling != "last"
        layer = unbuilt_copy(RNN(_cell(cell, units), return_sequences=sequences))
        parts += [Bidirectional(layer) if bidirectional else layer]
        parts += [GlobalAveragePooling1D()] * (number == layers and pooling == "mean")
        parts += [Dropout(dropout)] * bool(dropout)
    return Sequential([*parts, Dense(outputs)], dtype="float32", seed=seed)


def _cell(cell, units):
    if isinstance(cell, str):
        if cell not in CELLS:
            raise ValueError(f"expected cell to be one of {', '.join(CELLS)}, or a cell; got {cell!r}")
        return CELLS[cell](units)
    makes_cells = isinstance(cell, type) or not hasattr(cell, "state_size")
    return cell(units) if makes_cells and callable(cell) else copy.deepcopy(cell)


def optimizer(given, learning_rate, weight_decay: float, updates: int):
    """Return the optimizer of a fit: a copy of an object; for a name, a number is the peak rate of one cycle."""
    if not isinstance(given, str):
        return type(given).from_config(given.get_config())
    rate = learning_rate if callable(learning_rate) else schedules.OneCycle(learning_rate, max(updates, 2))
    found = optimizers.get(given)
    if isinstance(found, optimizers.LBFGS):
        return found
    return type(found)(rate, weight_decay=weight_decay, global_clipnorm=1.0)
