"""Recurrences as people write them for numba, one row at a time: calls and gradients."""

# smoke: recurrences.Forward.track_seconds\('gjr_garch', 'B=64 T=200', 'rnnkit'\)

import pathlib
import sys

import numpy as np

sys.path.append(str(pathlib.Path(__file__).parents[1]))  # asv knows this folder alone
from corpus import CORPUS

import rnnkit as rk

from . import sizes
from .measure import Timed

SIZES = ((1, 2000), (64, 200), (1000, 500))
BY_NAME = {recurrence.name: recurrence for recurrence in CORPUS}


def layer_of(recurrence) -> rk.RNN:
    """Return a layer of a recurrence's step, with all outputs."""
    states, initial = dict(recurrence.states), dict(recurrence.initial)
    try:
        cell = rk.cell(states=states, initial=initial, per_row=True)(recurrence.step)
    except ValueError:  # as of commits whose cells begin with numbers, or by functions
        started = {
            name: lambda rows, one=one: np.broadcast_to(one, (rows, *np.shape(one))) for name, one in initial.items()
        }
        cell = rk.cell(states=states, initial=started, per_row=True)(recurrence.step)
    return rk.RNN(cell(), return_sequences=True)


def data_of(recurrence, size, seed=0) -> tuple[np.ndarray, dict]:
    """Return an input in float32, and what else a call takes."""
    x, constants = recurrence.data(np.random.default_rng(seed), *size, np.float32)
    return x, {"constants": list(constants)} if constants else {}


class Forward(Timed):
    """One of each kind, and the same loop written by hand and compiled by numba."""

    params = (
        ["gjr_garch", "running_median", "kalman"],
        list(map(sizes.label, SIZES[:2])),
        ["rnnkit", "numba"],
    )
    param_names = ("recurrence", "rows and steps", "by")

    def make(self, name, size, by):
        recurrence = BY_NAME[name]
        x, more = data_of(recurrence, sizes.labelled(size))
        if by == "numba":
            return lambda: recurrence.by_hand(x, *more.get("constants", []))
        made = layer_of(recurrence)
        return lambda: made(x, **more)


class Gradient(Timed):
    """Outputs and gradients of 64 rows of 200 steps."""

    params = ["gjr_garch", "kalman", "dtw"]
    param_names = ("recurrence",)

    def make(self, name):
        made, (x, more) = layer_of(BY_NAME[name]), data_of(BY_NAME[name], (64, 200))
        cotangent = np.ones_like(made(x, **more))

        def call():
            _, pullback = made.vjp(x, **more)
            return pullback(cotangent)

        return call
