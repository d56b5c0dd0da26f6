"""What a call costs by itself: one step of one row of few units."""

import numpy as np
import peers
import problems
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import beside_others

import rnnkit as rk

SIZE = (1, 1, 4, 8)


def measure(settings: Settings) -> Figures:
    """The plain call beside other libraries, then ours with what a call may be given."""
    problem = problems.make("LSTM", SIZE)
    x, layer = problem.x, problem.layer
    mask, states = np.ones(x.shape[:2], bool), layer.get_initial_state(1)
    with_states = rk.RNN(rk.LSTMCell(SIZE[3]), return_sequences=True, return_state=True)
    with_states.build(x.shape)
    ways = {
        "layer(x)": lambda: layer(x),
        "mask=": lambda: layer(x, mask=mask),
        "initial_state=": lambda: layer(x, initial_state=states),
        "return_state=True": lambda: with_states(x),
    }
    theirs = peers.available(peers.ALL, settings, problem, THREADS)
    theirs.pop("jax, hoisted", None)
    figures = {}
    for way, call in ways.items():
        runners = {"rnnkit": call} | (theirs if way == "layer(x)" else {})
        figures[way] = in_turns(runners, settings.rounds)
    return figures


SECTIONS = {
    "overhead": Section(
        "A call by itself",
        f"LSTM at {problems.text(SIZE)}, microseconds.",
        measure,
        beside_others("call", 1e6),
    )
}
