"""Time and peak memory of the forward pass: by cell and size, and what a dtype, a mask and threads change."""

# smoke: forward.Cells.time_forward\('leaky', '8,200,8,64'\)

import numpy as np

import rnnkit as rk

from .cells import MAKERS, layer, sequences

SIZES = ["1,1000,8,128", "8,200,8,64", "64,200,32,128"]  # batch, time, features, units


def numbers(size: str) -> tuple[int, ...]:
    """Read a size."""
    return tuple(map(int, size.split(",")))


class Cells:
    """Every cell at every size, all outputs, default threads."""

    params = (list(MAKERS), SIZES)
    param_names = ("cell", "size")

    def setup(self, cell, size):
        batch, time, features, units = numbers(size)
        self.x = sequences(batch, time, features)
        self.layer = layer(cell, units, return_sequences=True)
        self.layer(self.x)

    def time_forward(self, cell, size):
        self.layer(self.x)

    def peakmem_forward(self, cell, size):
        self.layer(self.x)


class Options:
    """An LSTM and a cell of one's own at one size: dtype, mask and threads."""

    params = (["LSTMCell", "leaky"], ["float32", "float64"], ["none", "right-padded"], [1, 2])
    param_names = ("cell", "dtype", "mask", "threads")

    def setup(self, cell, dtype, mask, threads):
        self.before = rk.get_num_threads()
        rk.set_num_threads(threads)
        self.x = sequences(64, 200, 32, dtype)
        lengths = np.random.default_rng(1).integers(1, 201, 64)
        self.mask = None if mask == "none" else np.arange(200) < lengths[:, None]
        self.layer = layer(cell, 128, return_sequences=True)
        self.layer(self.x, mask=self.mask)

    def teardown(self, cell, dtype, mask, threads):
        rk.set_num_threads(self.before)

    def time_forward(self, cell, dtype, mask, threads):
        self.layer(self.x, mask=self.mask)


class Long:
    """A million steps of which only the last output is kept: memory must not grow with time."""

    def setup(self):
        self.x = sequences(1, 1_000_000, 8)
        self.layer = layer("LSTMCell", 64)
        self.layer(self.x[:, :100])

    def peakmem_last_output(self):
        self.layer(self.x)

    def time_last_output(self):
        self.layer(self.x)


class Overhead:
    """One step of one row: what a call costs by itself."""

    def setup(self):
        self.x = sequences(1, 1, 4)
        self.layer = layer("LSTMCell", 8)
        self.layer(self.x)

    def time_call(self):
        self.layer(self.x)
