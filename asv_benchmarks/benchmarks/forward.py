"""Time and peak memory of the forward pass: by cell and size, and what a dtype, a mask and threads change."""

# smoke: forward.Cells.time_forward\('leaky', '8, 200, 8, 64'\)

import numpy as np

import rnnkit as rk

from . import sizes
from .cells import MAKERS, layer, sequences


class _Forward:
    """All outputs of a cell at a size, default threads."""

    param_names = ("cell", "size")

    def setup(self, cell, size):
        *shape, units = sizes.numbers(size)
        self.x = sequences(*shape)
        self.layer = layer(cell, units, return_sequences=True)
        self.layer(self.x)


class Cells(_Forward):
    """Every cell at every size."""

    params = (list(MAKERS), list(map(sizes.text, sizes.CELLS)))

    def time_forward(self, cell, size):
        self.layer(self.x)


class Units(_Forward):
    """An LSTM of more and more units."""

    params = (["LSTMCell"], list(map(sizes.text, sizes.UNITS)))

    def time_forward(self, cell, size):
        self.layer(self.x)


class FewerBits:
    """An LSTM with its weights in fewer bits."""

    params = (["bfloat16", "int8"], list(map(sizes.text, sizes.CELLS)))
    param_names = ("stored", "size")

    def setup(self, stored, size):
        *shape, units = sizes.numbers(size)
        self.x = sequences(*shape)
        self.layer = layer("LSTMCell", units, return_sequences=True)
        self.layer.build(self.x.shape)
        self.layer.quantize(stored)
        self.layer(self.x)

    def time_forward(self, stored, size):
        self.layer(self.x)


class Memory(_Forward):
    """What a process with a layer and its outputs takes."""

    params = (["LSTMCell", "leaky"], list(map(sizes.text, sizes.LAYERS)))

    def peakmem_forward(self, cell, size):
        self.layer(self.x)


class Options:
    """An LSTM and a cell of one's own at one size: dtype and threads."""

    params = (["LSTMCell", "leaky"], ["float32", "float64"], [1, 2])
    param_names = ("cell", "dtype", "threads")

    def setup(self, cell, dtype, threads):
        self.before = rk.get_num_threads()
        rk.set_num_threads(threads)
        self.x = sequences(64, 200, 32, dtype)
        self.layer = layer(cell, 128, return_sequences=True)
        self.layer(self.x)

    def teardown(self, cell, dtype, threads):
        rk.set_num_threads(self.before)

    def time_forward(self, cell, dtype, threads):
        self.layer(self.x)


class Masks:
    """A batch of padded sequences of any length, with every step used and with the padding masked."""

    params = (["LSTMCell", "leaky"], ["none", "right-padded", "left-padded"])
    param_names = ("cell", "mask")

    def setup(self, cell, mask):
        rows, steps, features, units = sizes.PADDED
        self.x = sequences(rows, steps, features)
        right = padding(rows, steps)
        self.mask = {"none": None, "right-padded": right, "left-padded": right[:, ::-1].copy()}[mask]
        self.layer = layer(cell, units, return_sequences=True)
        self.layer(self.x, mask=self.mask)

    def time_forward(self, cell, mask):
        self.layer(self.x, mask=self.mask)


def padding(rows: int, steps: int) -> np.ndarray:
    """A right-padded mask (rows, steps): lengths are uniform from 1 to steps."""
    lengths = np.random.default_rng(1).integers(1, steps, rows, endpoint=True)
    return np.arange(steps) < lengths[:, None]


class Long:
    """A million steps of which only the last output is kept: memory must not grow with time."""

    def setup(self):
        *shape, units = sizes.LONG
        self.x = sequences(*shape)
        self.layer = layer("LSTMCell", units)
        self.layer(self.x[:, :100])

    def peakmem_last_output(self):
        self.layer(self.x)

    def time_last_output(self):
        self.layer(self.x)
