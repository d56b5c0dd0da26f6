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
        if way == "stream.step":
            runners |= peers.available(peers.ALL, settings, problems.make("LSTM", sizes.STEP), THREADS)
            runners.pop("jax, hoisted", None)
        figures[way] = in_turns(runners, settings.rounds)
    return figures


SECTIONS = {
    "overhead": Section(
        "Overhead of a call",
        f"An LSTM at {sizes.text(sizes.CALL)}, in microseconds. The last row is a step of a stream at "
        f"{sizes.text(sizes.STEP)}, beside calls of the other libraries that start from zeros.",
        measure,
        beside_others("call", 1e6),
    )
}
