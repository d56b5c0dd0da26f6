"""The forward pass with all outputs, by cell and size, beside other libraries."""

import functools

import numpy as np
import peers
import problems
from benchmarks import sizes
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import beside_others


def runners(problem: problems.Problem, settings: Settings) -> peers.Runners:
    """Every library's runner for this problem, rnnkit first, each checked against rnnkit's outputs."""
    expected = problem.layer(problem.x).swapaxes(0, 1)
    theirs = peers.available(peers.ALL, settings, problem, THREADS)
    for label, run in theirs.items():
        np.testing.assert_allclose(np.asarray(run()), expected, rtol=0, atol=2e-4, err_msg=f"{label} {problem.cell}")
    return {"rnnkit": lambda: problem.layer(problem.x)} | theirs


def measure(cell: str, wanted: list[sizes.Size], settings: Settings) -> Figures:
    """Time every library in turn at every size."""
    figures = {}
    for size in settings.rows(wanted):
        figures[sizes.text(size)] = in_turns(runners(problems.make(cell, size), settings), settings.rounds)
    return figures


def _section(cell: str, text: str = "", wanted: list[sizes.Size] = sizes.CELLS) -> Section:
    return Section(cell, text, functools.partial(measure, cell, wanted), beside_others())


SECTIONS = {
    "LSTM": _section("LSTM"),
    "GRU": _section("GRU"),
    "SimpleRNN": _section("SimpleRNN"),
    "gated": _section("gated", "A user-defined cell with one gate."),
    "normalized": _section(
        "normalized LSTM",
        "An LSTM with layer normalization of the gates' pre-activations and of the cell state, written by hand in "
        "each library.",
        sizes.NORMALIZED,
    ),
}
