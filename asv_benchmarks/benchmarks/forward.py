"""The forward pass: by cell and size, and what a dtype, a mask, lists and threads change."""

# smoke: forward.Cells.track_seconds\('leaky', 'B=32 T=100 F=16 U=64'\)

import numpy as np

import rnnkit as rk

from . import sizes
from .cells import layer, sequences
from .measure import Memory, Timed

CELLS = ["SimpleRNNCell", "GRUCell", "LSTMCell", "leaky", "normalised_lstm"]


def padding(rows: int, steps: int) -> np.ndarray:
    """Return a right-padded mask (rows, steps): lengths are uniform from 1 to steps."""
    lengths = np.random.default_rng(1).integers(1, steps, rows, endpoint=True)
    return np.arange(steps) < lengths[:, None]


class Cells(Timed):
    """All outputs of a cell at a size."""

    params = (CELLS, list(map(sizes.label, sizes.TRACKED)))
    param_names = ("cell", "size")

    def make(self, cell, size):
        *shape, units = sizes.labelled(size)
        x, made = sequences(*shape), layer(cell, units, return_sequences=True)
        return lambda: made(x)


class Written(Timed):
    """An LSTM that a user typed, as a function and as a class, and one that is no program but jitted."""

    params = ["typed_lstm", "TypedLSTMCell", "jitted"]
    param_names = ("cell",)

    def make(self, cell):
        *shape, units = sizes.USUAL
        x, made = sequences(*shape), layer(cell, units, return_sequences=True)
        return lambda: made(x)


class Options(Timed):
    """An LSTM at B=64 T=200 F=32 U=128."""

    params = ["float64", "right-padded", "left-padded", "a list", "two threads"]
    param_names = ("option",)

    def make(self, option):
        *shape, units = 64, 200, 32, 128
        x = sequences(*shape, "float64" if option == "float64" else "float32")
        made = layer("LSTMCell", units, return_sequences=True)
        made.build(x.shape)
        mask = padding(*x.shape[:2])
        if option == "two threads":
            rk.set_num_threads(2)
        elif option == "a list":
            ragged = [row[: used.sum()] for row, used in zip(x, mask, strict=True)]
            return lambda: made(ragged)
        elif option.endswith("padded"):
            mask = mask if option == "right-padded" else mask[:, ::-1].copy()
            return lambda: made(x, mask=mask)
        return lambda: made(x)


class Held(Memory):
    """A long sequence, of which all outputs are kept, or only the last one: that mustn't grow with time."""

    params = ["all outputs", "last output"]
    param_names = ("kept",)

    def make(self, kept):
        made, x = layer("LSTMCell", 64, return_sequences=kept == "all outputs"), sequences(1, 200_000, 8)
        made(x[:, :100])
        return lambda: made(x)
