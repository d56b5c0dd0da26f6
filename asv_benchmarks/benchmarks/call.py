"""What a call costs by itself: one step of one row of few units."""

# smoke: call.Calls.track_seconds\('layer\(x\)'\)

import numpy as np

from . import sizes
from .cells import layer, sequences
from .measure import Timed


def ways() -> dict:
    """Return the calls, by what they are given or asked for."""
    *shape, units = sizes.CALL
    x = sequences(*shape)
    plain, with_states = (layer("LSTMCell", units, return_sequences=True, return_state=s) for s in (False, True))
    mask, (_, *states) = np.ones(x.shape[:2], bool), with_states(x)
    return {
        "layer(x)": lambda: plain(x),
        "mask=": lambda: plain(x, mask=mask),
        "initial_state=": lambda: plain(x, initial_state=states),
        "return_state=True": lambda: with_states(x),
        "stream.step": step(),
    }


def step():
    """Return a step of a stream, of one row."""
    *_, features, units = sizes.STEP
    streamed = layer("LSTMCell", units, return_sequences=True)
    streamed(sequences(*sizes.STEP[:3]))
    stream, x = streamed.stream(), sequences(*sizes.STEP[:3])[:, 0].copy()
    return lambda: stream.step(x)


class Calls(Timed):
    """One step of one row."""

    params = ["layer(x)", "mask=", "initial_state=", "return_state=True", "stream.step"]
    param_names = ("call",)

    def make(self, way):
        return ways()[way]
