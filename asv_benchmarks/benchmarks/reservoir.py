"""The reservoir of an echo state network over a long series."""

# smoke: reservoir.Reservoir.time_states\(100\)

import rnnkit as rk

from . import sizes
from .cells import sequences

DENSITY, LEAK = 0.1, 0.5


def reservoir(units: int) -> rk.RNN:
    """Give a layer of all states."""
    cell = rk.ESNCell(units, leak=LEAK, density=DENSITY, bias_scaling=0.1)
    return rk.RNN(cell, return_sequences=True, seed=0)


class Reservoir:
    """All states of one series, by the number of units."""

    params = sizes.RESERVOIR_UNITS
    param_names = ("units",)

    def setup(self, units):
        self.x = sequences(1, sizes.RESERVOIR_STEPS, 1)
        self.layer = reservoir(units)
        self.layer(self.x[:, :10])

    def time_states(self, units):
        self.layer(self.x)
