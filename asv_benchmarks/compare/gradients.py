"""Outputs and gradients to all weights, by cell and size, beside other libraries."""

import functools

import gradient_peers
import numpy as np
import peers
import problems
from benchmarks import sizes
from benchmarks.cells import sequences
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import beside_others

CELLS = ("LSTM", "GRU", "SimpleRNN", "gated")


def cotangents(size: sizes.Size) -> np.ndarray:
    """What the outputs are multiplied by before they are summed to a loss, (B, T, U)."""
    batch, time, _, units = size
    return sequences(batch, time, units)


def ours(problem: problems.Problem, g: np.ndarray) -> gradient_peers.Peer:
    """The layer's outputs and gradients; that of x comes along."""

    def run():
        outputs, pullback = problem.layer.vjp(problem.x)
        return outputs, pullback(g)

    return gradient_peers.Peer(run, lambda found: {"y": found[0].swapaxes(0, 1)} | found[1].weights)


def runners(problem: problems.Problem, settings: Settings) -> peers.Runners:
    """Every library's runner for this problem, rnnkit first, each checked against rnnkit's outputs and gradients."""
    g = cotangents(problem.size)
    own = ours(problem, g)
    theirs = peers.available(gradient_peers.ALL, settings, problem, g, THREADS)
    expected = own.read(own.run())
    for label, peer in theirs.items():
        found = peer.read(peer.run())
        assert found.keys() == expected.keys()
        for name, array in found.items():
            assert array.shape == expected[name].shape, f"{label} {problem.cell} {name}"
            far = np.linalg.norm(array - expected[name]) / np.linalg.norm(array)
            assert far < 1e-3, f"{label} {problem.cell} {problem.size}: {name} differs by {far:.1e} of its norm"
    return {"rnnkit": own.run} | {label: peer.run for label, peer in theirs.items()}


def measure(cell: str, settings: Settings) -> Figures:
    """Time every library in turn at every size."""
    figures = {}
    for size in settings.rows(sizes.CELLS):
        figures[sizes.text(size)] = in_turns(runners(problems.make(cell, size), settings), settings.rounds)
    return figures


SECTIONS = {
    f"gradients-{cell}": Section(
        f"Gradients: {cell}",
        "All outputs, and the gradients with respect to all weights. The loss is the sum of the outputs times given "
        "cotangents. rnnkit also computes the gradient with respect to the input; the other libraries do not."
        if cell == CELLS[0]
        else "",
        functools.partial(measure, cell),
        beside_others(),
    )
    for cell in CELLS
}
