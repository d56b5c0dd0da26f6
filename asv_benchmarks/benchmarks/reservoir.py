"""The reservoir of an echo state network over a long series."""

# smoke: reservoir.Reservoir.track_seconds\(100\)

import rnnkit as rk

from . import sizes
from .cells import sequences
from .measure import Timed

DENSITY, LEAK = 0.1, 0.5


def reservoir(units: int) -> rk.RNN:
    """Return a layer of all states."""
    cell = rk.ESNCell(units, leak=LEAK, density=DENSITY, bias_scaling=0.1)
    return rk.RNN(cell, return_sequences=True, seed=0)


class Reservoir(Timed):
    """All states of one series of 5000 steps, by the number of units."""

    params = [100, 1000]
    param_names = ("units",)

    def make(self, units):
        x, made = sequences(1, sizes.RESERVOIR_STEPS, 1), reservoir(units)
        return lambda: made(x)
