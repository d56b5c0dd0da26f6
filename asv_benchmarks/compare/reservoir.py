"""The reservoir of an echo state network over a long series, beside reservoirpy."""

import numpy as np
import peers
from benchmarks.reservoir import DENSITY, LEAK, reservoir
from benchmarks.sizes import RESERVOIR_STEPS, RESERVOIR_UNITS
from section import Section
from timing import Figures, Settings, in_turns
from writing import beside_others

import rnnkit as rk

ROUNDS = 3  # one call of the largest takes seconds


def reservoirpy(layer: rk.RNN, x: np.ndarray) -> peers.Runners:
    """Its reservoir with our weights, the recurrent ones as the sparse matrix that it makes itself."""
    from reservoirpy.nodes import Reservoir
    from scipy.sparse import csr_array

    weights = layer.weights
    node = Reservoir(
        lr=LEAK,
        Win=weights["kernel"].T.copy(),
        W=csr_array(weights["recurrent_kernel"].T),
        bias=weights["bias"],
        dtype=np.float32,
    )
    node.initialize(x[0])

    def run():
        node.state = {"out": np.zeros(node.units, np.float32)}  # its own zeros are float64, and all that follows too
        return node.run(x[0])

    return {"reservoirpy": run}


def measure(settings: Settings) -> Figures:
    """All states of one series."""
    steps, wanted = (200, RESERVOIR_UNITS[:2]) if settings.quick else (RESERVOIR_STEPS, RESERVOIR_UNITS)
    figures = {}
    for units in wanted:
        x = np.random.default_rng(0).standard_normal((1, steps, 1), dtype=np.float32)
        layer = reservoir(units)
        expected = layer(x)[0]
        theirs = peers.available([reservoirpy], settings, layer, x)
        for run in theirs.values():
            np.testing.assert_allclose(run(), expected, rtol=0, atol=2e-3)
        runners = {"rnnkit": lambda layer=layer, x=x: layer(x)} | theirs
        figures[str(units)] = in_turns(runners, min(ROUNDS, settings.rounds))
    return figures


SECTIONS = {
    "reservoir": Section(
        "Echo state network",
        f"All states of a reservoir over one series of {RESERVOIR_STEPS} steps. The recurrent weights have a density "
        f"of {DENSITY}. There are at most {ROUNDS} rounds.",
        measure,
        beside_others("units"),
    )
}
