"""Cells that are built and called by themselves, in loops of a program's own and in layers of its own."""

import pickle

import numpy as np
import pytest

from rnnkit import keras
from rnnkit.keras import layers, ops

X = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")
CELLS = {
    "lstm": lambda **k: layers.LSTMCell(4, **k),
    "gru": lambda **k: layers.GRUCell(4, **k),
    "simple": lambda **k: layers.SimpleRNNCell(4, **k),
    "stacked": lambda **k: layers.StackedRNNCells([layers.LSTMCell(4, **k), layers.GRUCell(2, **k)]),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_loop_over_a_cell_is_the_layer(name):
    """Called and built by itself, with the weights of the layer; the cell has variables."""
    layer = layers.RNN(CELLS[name](seed=1))
    expected = layer(X)
    for first in ("build", "call"):
        cell = CELLS[name](seed=1)
        if first == "build":
            cell.build((None, 3))
        states = cell.get_initial_state(batch_size=6)
        y, states = cell(X[:, 0], states)
        for variable, array in zip(cell.variables, layer.get_weights(), strict=True):
            variable.assign(array)
        states = cell.get_initial_state(batch_size=6)
        for t in range(X.shape[1]):
            y, states = cell(X[:, t], states)
        assert np.allclose(y, expected, atol=1e-6) and len(states) == len(cell.get_initial_state(batch_size=6))
        again = pickle.loads(pickle.dumps(cell))
        assert np.array_equal(again(X[:, 0], states)[0], cell(X[:, 0], states)[0])


class Loop(layers.Layer):
    """A loop in a layer of one's own."""

    def __init__(self, cell, **keywords):
        super().__init__(**keywords)
        self.cell = cell

    def call(self, inputs):
        states = [ops.zeros((ops.shape(inputs)[0], size)) for size in (4, 4)]
        for t in range(inputs.shape[1]):
            y, states = self.cell(inputs[:, t], states)
        return y


def test_cells_in_layers_of_ones_own_are_trained():
    """As the layer over the same cell is, to rounding."""
    histories = []
    for make in (lambda: Loop(layers.LSTMCell(4)), lambda: layers.LSTM(4)):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((5, 3)), make(), layers.Dense(1)])
        weights = [np.random.default_rng(i).normal(size=w.shape) / 3 for i, w in enumerate(model.get_weights())]
        model.set_weights(weights)
        model.compile("adam", "mse")
        histories.append(model.fit(X, X[:, 0, :1], epochs=4, batch_size=3, shuffle=False, verbose=0).history["loss"])
        assert len(model.trainable_variables) == 5
    assert np.allclose(*histories, rtol=1e-4)
