"""What padding costs: steps under a mask against the same steps without one."""

import numpy as np
import peers
import problems
from benchmarks import sizes
from benchmarks.forward import padding
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import of, with_ratios


def torch(problem: problems.Problem, lengths: np.ndarray) -> peers.Runners:
    """The library's packed sequences, packed beforehand."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.set_num_threads(THREADS)
    layer = peers.torch_layer(problem)
    x = pack_padded_sequence(torch.from_numpy(problem.x), torch.from_numpy(lengths), True, enforce_sorted=False)

    def run():
        with torch.inference_mode():
            return pad_packed_sequence(layer(x)[0])[0]

    return {"torch, packed": run}


def measure(settings: Settings) -> Figures:
    """An LSTM over a padded batch: with every step used, and with the padding masked."""
    rows, steps, *rest = sizes.PADDED
    rows, steps = (8, 50) if settings.quick else (rows, steps)
    problem = problems.make("LSTM", (rows, steps, *rest))
    right = padding(rows, steps)
    figures = {}
    for side, mask in {"right": right, "left": right[:, ::-1].copy()}.items():
        runners = {
            "dense": lambda: problem.layer(problem.x),
            "masked": lambda mask=mask: problem.layer(problem.x, mask=mask),
        }
        if side == "right":
            runners |= peers.available([torch], settings, problem, right.sum(axis=1))
        figures[f"{side}, {right.mean():.0%} used"] = in_turns(runners, settings.rounds)
    return figures


SECTIONS = {
    "masks": Section(
        "Padded batches",
        f"An LSTM at {sizes.text(sizes.PADDED)}, with lengths uniformly distributed from 1 to {sizes.PADDED[1]}. The "
        "last column is the time of the batch without a mask divided by its time with one.",
        measure,
        lambda figures: with_ratios(figures, "padding", 1e3, {"dense / masked": of("dense", "masked")}),
    )
}
