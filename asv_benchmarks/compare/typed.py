"""An LSTM that a user typed, beside the one that is built in: no cell is privileged."""

import functools

import numpy as np
import peers
import problems
from benchmarks import sizes
from benchmarks.cells import TypedLSTMCell, typed_lstm
from section import Section
from timing import Figures, Settings, in_turns
from writing import of, with_ratios

import rnnkit as rk

# name, how it is made, the order of its gates
TYPED = [("as a function", lambda units: typed_lstm(units=units), "oifc"), ("as a class", TypedLSTMCell, "cfio")]


def measure(settings: Settings) -> Figures:
    """Time the three at every size, each with the same weights."""
    figures = {}
    for size in settings.rows(sizes.CELLS):
        problem = problems.make("LSTM", size)
        expected = problem.layer(problem.x)
        runners = {"rk.LSTM": functools.partial(problem.layer, problem.x)}
        for label, make, order in TYPED:
            layer = rk.RNN(make(size[3]), return_sequences=True)
            layer.build(problem.x.shape)
            names = {"inward": problem.kernel, "back": problem.recurrent_kernel, "shift": problem.bias}
            for name, array in names.items():
                layer.weights[name] = peers.gates(array, "ifco", order)
            np.testing.assert_allclose(layer(problem.x), expected, rtol=0, atol=1e-5)
            runners[label] = functools.partial(layer, problem.x)
        figures[sizes.text(size)] = in_turns(runners, settings.rounds)
    return figures


SECTIONS = {
    "typed": Section(
        "A user-written LSTM",
        "An LSTM as a user may write it: with other names, and with states, gates and lines in another order. Its time "
        "divided by the built-in LSTM's should be 1 ± 0.05.",
        measure,
        lambda figures: with_ratios(
            figures, "size", 1e3, {f"{label} / rk.LSTM": of(label, "rk.LSTM") for label, _, _ in TYPED}
        ),
    )
}
