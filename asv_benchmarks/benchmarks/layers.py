"""Layers of several cells, and those that mix steps without a cell."""

# smoke: layers.Recurrent.track_seconds\('bidirectional'\)

import numpy as np

import rnnkit as rk

from . import sizes
from .cells import sequences
from .measure import Timed

DEPTH = 3
MAKERS = {
    "bidirectional": lambda units: rk.Bidirectional(rk.LSTM(units, return_sequences=True), seed=0),
    "sequential": lambda units: rk.Sequential([rk.LSTM(units, return_sequences=True) for _ in range(DEPTH)], seed=0),
    "cells": lambda units: rk.RNN([rk.LSTMCell(units) for _ in range(DEPTH)], return_sequences=True, seed=0),
}
OTHERS = {
    "Dense": lambda units: rk.Dense(units, seed=0),
    "Conv1D": lambda units: rk.Conv1D(units, 3, padding="causal", seed=0),
    "MaxPooling1D": lambda units: rk.MaxPooling1D(2),
    "LayerNormalization": lambda units: rk.LayerNormalization(),
    "BatchNormalization": lambda units: rk.BatchNormalization(),
    "MultiHeadAttention": lambda units: rk.MultiHeadAttention(4, units // 4, seed=0),
    "Embedding": lambda units: rk.Embedding(1000, units, seed=0),
    "Dropout": lambda units: rk.Dropout(0.2, seed=0),
    "Activation": lambda units: rk.Activation("sigmoid"),
    "ConvLSTM1D": lambda units: rk.ConvLSTM1D(units // 8, 3, seed=0),
}


class Recurrent(Timed):
    """All outputs of both directions, and of three LSTMs one upon the other, at B=32 T=100 F=16 U=64."""

    params = list(MAKERS)
    param_names = ("layer",)

    def make(self, name):
        *shape, units = sizes.USUAL
        x, made = sequences(*shape), MAKERS[name](units)
        return lambda: made(x)


class Other(Timed):
    """A layer at B=32 T=100 F=16 U=64, as in training where it drops something."""

    params = list(OTHERS)
    param_names = ("layer",)

    def make(self, name):
        *shape, units = sizes.USUAL
        x, made = sequences(*shape), OTHERS[name](units)
        if name == "Embedding":
            x = np.random.default_rng(0).integers(0, 1000, shape[:2])
        if name == "MultiHeadAttention":
            return lambda: made(x, x)
        if name == "Dropout":
            return lambda: made(x, training=True)
        if name == "ConvLSTM1D":
            x = x[..., None]
        return lambda: made(x)
