"""An LSTM that a user typed, over the one that is built in: no cell is privileged."""

# smoke: typed.Typed.track_ratio\('typed_lstm', '1, 1000, 1, 32'\)

import time

from . import sizes
from .cells import layer, sequences

ROUNDS = 15


class Typed:
    """Its time over the built-in one's, minima of calls that take turns; 1 is meant."""

    params = (["typed_lstm", "TypedLSTMCell"], list(map(sizes.text, sizes.CELLS)))
    param_names = ("cell", "size")
    unit = "ratio"

    def setup(self, cell, size):
        *shape, units = sizes.numbers(size)
        self.x = sequences(*shape)
        self.layers = [layer(name, units, return_sequences=True) for name in (cell, "LSTMCell")]

    def track_ratio(self, cell, size):
        least = [float("inf")] * 2
        for _ in range(ROUNDS):
            for k, one in enumerate(self.layers):
                one(self.x)
                start = time.perf_counter()
                one(self.x)
                least[k] = min(least[k], time.perf_counter() - start)
        return least[0] / least[1]
