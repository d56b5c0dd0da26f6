"""Recurrences as people write them for numba, one row at a time: calls and gradients."""

# smoke: recurrences.Recurrences.time_forward\('gjr_garch', '64, 200'\)

import pathlib
import sys

import numpy as np

sys.path.append(str(pathlib.Path(__file__).parents[1]))  # asv knows this folder alone
from corpus import CORPUS

import rnnkit as rk

from . import sizes

SIZES = ((1, 2000), (64, 200), (1000, 500))
BY_NAME = {recurrence.name: recurrence for recurrence in CORPUS}


def layer_of(recurrence) -> rk.RNN:
    """A layer of a recurrence's step, with all outputs."""

    def started(value):
        return value if np.ndim(value) == 0 else lambda rows: np.broadcast_to(value, (rows, *np.shape(value)))

    initial = {name: started(value) for name, value in recurrence.initial.items()}
    cell = rk.cell(states=dict(recurrence.states), initial=initial, per_row=True)(recurrence.step)
    return rk.RNN(cell(), return_sequences=True)


def data_of(recurrence, size) -> tuple[np.ndarray, dict]:
    """An input in float32, and what else a call takes."""
    x, constants = recurrence.data(np.random.default_rng(0), *size, np.float32)
    return x, {"constants": list(constants)} if constants else {}


class Recurrences:
    """Some of each kind, on one thread."""

    params = (
        ["gjr_garch", "running_median", "kalman", "biquads", "hodgkin_huxley", "dtw", "kepler", "thomas", "q_learning"],
        list(map(sizes.text, SIZES)),
    )
    param_names = ("recurrence", "rows, steps")

    def setup(self, name, size):
        rk.set_num_threads(1)
        self.layer = layer_of(BY_NAME[name])
        self.x, self.more = data_of(BY_NAME[name], sizes.numbers(size))
        self.layer(self.x, **self.more)

    def teardown(self, name, size):
        rk.set_num_threads(2)

    def time_forward(self, name, size):
        self.layer(self.x, **self.more)


class Gradients(Recurrences):
    """Those that have one."""

    params = (["gjr_garch", "running_median", "kalman", "hodgkin_huxley", "dtw", "kepler"], [sizes.text((64, 200))])

    def setup(self, name, size):
        super().setup(name, size)
        self.cotangent = np.ones_like(self.layer(self.x, **self.more))
        self.time_gradient(name, size)

    def time_gradient(self, name, size):
        _, pullback = self.layer.vjp(self.x, **self.more)
        pullback(self.cotangent)
