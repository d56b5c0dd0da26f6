"""What is refused in a sentence, and the layers that it is tried on."""

import os
from unittest import mock

import numpy as np
import pytest

import rnnkit as rk

X = np.random.default_rng(0).normal(size=(3, 5, 8))
ROWS = X[:, 0]


def refused(call, *words, kinds=(ValueError, TypeError)):
    """The call is refused in one sentence of rnnkit's own that holds the words."""
    with mock.patch.dict(os.environ, RNNKIT_FULL_TRACEBACK="1"), pytest.raises(kinds) as raised:
        call()
    text = str(raised.value)
    assert "expected" in text and "\n" not in text, text
    assert type(raised.value).__module__ == "builtins"
    assert "rnnkit" in raised.traceback[-1].path.parts
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    return text


def model():
    x = rk.Input((None, 8), dtype="float64", name="series")
    return rk.Model(x, rk.Dense(1)(x))


LAYERS = {
    "LSTM": (lambda: rk.LSTM(4, stateful=True), X),
    "stack": (lambda: rk.RNN([rk.GRUCell(2), rk.GRUCell(2)]), X),
    "Bidirectional": (lambda: rk.Bidirectional(rk.SimpleRNN(2)), X),
    "TimeDistributed": (lambda: rk.TimeDistributed(rk.Dense(1)), X),
    "Dense": (lambda: rk.Dense(1), ROWS),
    "Dropout": (lambda: rk.Dropout(0.5), ROWS),
    "Masking": (lambda: rk.Masking(), X),
    "Embedding": (lambda: rk.Embedding(9, 3), np.array([[1, 2], [3, 4]])),
    "Concatenate": (lambda: rk.Concatenate(), [X, X]),
    "Multiply": (lambda: rk.Multiply(), [X, X]),
    "RepeatVector": (lambda: rk.RepeatVector(3), ROWS),
    "Reshape": (lambda: rk.Reshape((-1, 2)), X),
    "Flatten": (lambda: rk.Flatten(), X),
    "GlobalAveragePooling1D": (lambda: rk.GlobalAveragePooling1D(), X),
    "Activation": (lambda: rk.Activation("relu"), X),
    "Lambda": (lambda: rk.Lambda(lambda x: 2 * x), X),
    "Sequential": (lambda: rk.Sequential([rk.Masking(), rk.Dense(1)]), X),
    "Model": (model, X),
}
_made: dict = {}


def built(name):
    """A layer that has run, the same for all tests that change nothing, and what it ran on."""
    if name not in _made:
        make, x = LAYERS[name]
        layer = make()
        layer(x)
        _made[name] = layer
    return _made[name], LAYERS[name][1]


def trained():
    found = rk.Sequential([rk.Masking(), rk.Dense(1)], seed=0)
    found.compile("sgd", "mse")
    found.build((None, None, 8))
    return found
