"""What a call costs by itself: one step of one row of few units."""

import peers
import problems
from benchmarks import sizes
from benchmarks.call import ways
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import beside_others


def measure(settings: Settings) -> Figures:
    """The plain call beside other libraries, then ours with what a call may be given."""
    problem = problems.make("LSTM", sizes.CALL)
    theirs = peers.available(peers.ALL, settings, problem, THREADS)
    theirs.pop("jax, hoisted", None)
    figures = {}
    for way, call in ways().items():
        runners = {"rnnkit": call} | (theirs if way == "layer(x)" else {})
        figures[way] = in_turns(runners, settings.rounds)
    return figures


SECTIONS = {
    "overhead": Section(
        "Overhead of a call",
        f"An LSTM at {sizes.text(sizes.CALL)}, in microseconds.",
        measure,
        beside_others("call", 1e6),
    )
}
