"""The gradient of a long sequence with all kept that it needs, and with checkpoints: memory and time."""

import os
import statistics

from benchmarks import sizes
from process import PROCESSES, output, present
from section import Section
from timing import Figures, Settings
from writing import both, table

import rnnkit as rk

LIMIT = 1 << 24  # bytes that "auto" may keep
CODE = """
import pathlib
import time
import numpy as np
{make}
def held(what):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))
batch, steps, features, units = {size}
rng = np.random.default_rng(0)
x = rng.standard_normal((batch, steps, features), dtype=np.float32)
g = rng.standard_normal((batch, steps, units), dtype=np.float32)
run = make(features, units)
run(x[:, :400].copy(), g[:, :400].copy())
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
before = held("VmRSS")
returned = run(x, g)
print(held("VmHWM") - before - returned)
for _ in range({rounds}):
    start = time.perf_counter()
    run(x, g)
    print(time.perf_counter() - start)
"""
OURS = """
import os
os.environ["RNNKIT_MEMORY_LIMIT"] = "{limit}"
import rnnkit as rk
rk.set_num_threads(2)
def make(features, units):
    layer = rk.RNN(rk.LSTMCell(units), return_sequences=True)
    def run(x, g):
        outputs, pullback = layer.vjp(x, checkpoint={checkpoint})
        return outputs.nbytes + pullback(g).x.nbytes
    return run
"""
TORCH = """
import torch
torch.set_num_threads(2)
def make(features, units):
    layer = torch.nn.LSTM(features, units, batch_first=True)
    def run(x, g):
        y = layer(torch.from_numpy(x))[0]
        torch.autograd.grad(y, list(layer.parameters()), torch.from_numpy(g))
        return y.numel() * 4
    return run
"""
WAYS = {  # label → (packages, how the layer is made)
    "all saved": ([], OURS.format(limit="", checkpoint=None)),
    "checkpoint=1000": ([], OURS.format(limit="", checkpoint=1000)),
    f'"auto", {LIMIT >> 20} MiB': ([], OURS.format(limit=LIMIT, checkpoint='"auto"')),
    "torch": (["torch"], TORCH),
}


def measure(settings: Settings) -> Figures:
    """Peaks of new processes, and times of the calls after the first; the ways take turns."""
    if not os.path.exists("/proc/self/clear_refs"):
        settings.note("Checkpoints were left out: this system doesn't tell the peak.")
        return {}
    batch, steps, *rest = sizes.CHECKPOINTS
    size = (batch, 2000 if settings.quick else steps, *rest)
    makes = present(WAYS, settings)
    figures = {label: {"bytes": [], "seconds": []} for label in makes}
    folder = str(rk.cache_info()["folder"])
    for _ in range(1 if settings.quick else PROCESSES):
        for label, make in makes.items():
            code = CODE.format(make=make, size=size, rounds=min(5, settings.rounds))
            peak, *times = map(float, output(code, folder).split())
            figures[label]["bytes"].append(peak)
            figures[label]["seconds"] += times
    return figures


def write(figures: Figures) -> list[str]:
    """Both, and both over those of the first way, by medians."""
    first = next(iter(figures.values()))
    scales = {"bytes": 1e-6, "seconds": 1e3}
    lines = []
    for way, found in figures.items():
        shares = [statistics.median(found[what]) / statistics.median(first[what]) for what in scales]
        lines.append(
            [way, *(both(found[what], scale) for what, scale in scales.items()), *(f"{s:.2f}" for s in shares)]
        )
    return table(["saved", "MB", "ms", "memory / all saved", "time / all saved"], lines)


SECTIONS = {
    "checkpoints": Section(
        "Checkpoints",
        f"Outputs and gradients of an LSTM at {sizes.text(sizes.CHECKPOINTS)}. Memory is the peak of a process in MB, "
        "minus its memory before the call, and without the outputs and the gradient of the input. Time is in "
        "milliseconds, of the calls after the first. With `checkpoint=k`, rnnkit saves the states of every k-th step "
        'and computes the steps between them again. With "auto", it saves the states of every √T-th step if saving '
        f"everything would exceed the limit. Each row is measured in {PROCESSES} processes.",
        measure,
        write,
    )
}
