"""Layers of several cells: both directions, and three LSTMs one upon the other."""

# smoke: layers.Layers.time_forward\('bidirectional', '1, 1000, 8, 128'\)

import rnnkit as rk

from . import sizes
from .cells import sequences

DEPTH = 3
MAKERS = {
    "bidirectional": lambda units: rk.Bidirectional(rk.LSTM(units, return_sequences=True), seed=0),
    "sequential": lambda units: rk.Sequential([rk.LSTM(units, return_sequences=True) for _ in range(DEPTH)], seed=0),
    "cells": lambda units: rk.RNN([rk.LSTMCell(units) for _ in range(DEPTH)], return_sequences=True, seed=0),
}


class Layers:
    """All outputs, default threads."""

    params = (list(MAKERS), list(map(sizes.text, sizes.LAYERS)))
    param_names = ("layer", "size")

    def setup(self, name, size):
        *shape, units = sizes.numbers(size)
        self.x = sequences(*shape)
        self.layer = MAKERS[name](units)
        self.layer(self.x)

    def time_forward(self, name, size):
        self.layer(self.x)
