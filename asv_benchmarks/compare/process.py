"""What whole processes cost: until the first result, and in memory."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time

from benchmarks import sizes
from benchmarks.start import FIRST_RESULT
from section import Section
from timing import THREADS, Figures, Settings
from writing import beside_others, both, columns, table

FIRST = {  # library → (packages, code)
    "rnnkit": ([], FIRST_RESULT.format(cell="rk.LSTMCell(32)")),
    "torch": (
        ["torch"],
        """
import torch
with torch.inference_mode():
    torch.nn.LSTM(8, 32, batch_first=True)(torch.zeros(2, 10, 8))[0].numpy()
""",
    ),
    "jax": (
        ["jax"],
        """
import jax, jax.numpy as jnp, numpy as np
kernel, recurrent = jnp.ones((8, 128)), jnp.ones((32, 128))
def step(states, x):
    h, c = states
    i, f, g, o = jnp.split(x @ kernel + h @ recurrent, 4, axis=1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h
start = jnp.zeros((2, 32)), jnp.zeros((2, 32))
np.asarray(jax.jit(lambda x: jax.lax.scan(step, start, x)[1])(np.zeros((10, 2, 8), "float32")))
""",
    ),
    "Keras on jax": (
        ["keras", "jax"],
        "import keras, numpy as np\n"
        "np.asarray(keras.layers.LSTM(32, return_sequences=True)(np.zeros((2, 10, 8), 'float32')))",
    ),
}

FIRST_CALL = """
import time
import numpy as np
import rnnkit as rk
layer, x = rk.RNN(rk.LSTMCell(32), return_sequences=True), np.zeros((2, 10, 8), "float32")
start = time.perf_counter()
layer(x)
print(time.perf_counter() - start)
"""

PROCESSES = 3
MEMORY = """
import pathlib
import numpy as np
{make}
def held(what):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))
x = np.random.default_rng(0).standard_normal((1, {steps}, 8), dtype=np.float32)
run(x[:, :100])
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
before = held("VmRSS")
run(x)
print(held("VmHWM") - before)
"""
MAKE = {
    "rnnkit": ([], "import rnnkit as rk; run = rk.RNN(rk.LSTMCell(64))"),
    "torch": (
        ["torch"],
        """
import torch
layer = torch.nn.LSTM(8, 64, batch_first=True)
def run(x):
    with torch.inference_mode():
        return layer(torch.from_numpy(x))[1]
""",
    ),
}


def output(code: str, folder: str) -> str:
    """What a new Python process prints that runs `code`, with compiled programs in `folder`."""
    environment = os.environ | {"RNNKIT_CACHE_DIR": folder, "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout


def seconds(code: str, folder: str) -> float:
    """Time of a whole process."""
    start = time.perf_counter()
    output(code, folder)
    return time.perf_counter() - start


def present(codes: dict[str, tuple[list[str], str]], settings: Settings) -> dict[str, str]:
    """The codes whose packages are installed."""
    found = {}
    for label, (packages, code) in codes.items():
        if all(map(importlib.util.find_spec, packages)):
            found[label] = code
        else:
            settings.note(f"{label} was left out: it is not installed.")
    return found


def first_results(settings: Settings, row: str = "first LSTM", codes: dict | None = None) -> Figures:
    """Whole processes in turns; what they keep on disk was put there by one run before."""
    with tempfile.TemporaryDirectory() as folder:
        codes = present(FIRST if codes is None else codes, settings)
        times = {label: [] for label in codes}
        for code in codes.values():
            output(code, folder)
        for _ in range(settings.rounds):
            for label, code in codes.items():
                times[label].append(seconds(code, folder))
    return {row: times}


def compiling(settings: Settings) -> Figures:
    """Processes in pairs: the first has to compile, the second finds the program on disk."""
    figures = {kind: {"first call": [], "whole process": []} for kind in ("nothing on disk", "program on disk")}
    for _ in range(min(PROCESSES, settings.rounds)):
        with tempfile.TemporaryDirectory() as folder:
            for times in figures.values():
                start = time.perf_counter()
                times["first call"].append(float(output(FIRST_CALL, folder)))
                times["whole process"].append(time.perf_counter() - start)
    return figures


def memory(settings: Settings) -> Figures:
    """Bytes above what the process held before the call, its input included."""
    if not os.path.exists("/proc/self/clear_refs"):
        settings.note("memory was left out: this system doesn't tell the peak.")
        return {}
    rows, steps, *rest = sizes.LONG
    steps = 50_000 if settings.quick else steps
    with tempfile.TemporaryDirectory() as folder:
        codes = {label: MEMORY.format(make=make, steps=steps) for label, make in present(MAKE, settings).items()}
        peaks = {label: [float(output(code, folder)) for _ in range(PROCESSES)] for label, code in codes.items()}
    return {sizes.text((rows, steps, *rest)): peaks}


def plain(first: str, scale: float):
    """A writer of tables without ratios."""
    return lambda figures: table(
        [first, *columns(figures)],
        ([row, *(both(numbers, scale) for numbers in times.values())] for row, times in figures.items()),
    )


SECTIONS = {
    "start": Section(
        "Time to the first result",
        "The time of a whole process in seconds, from the start of the interpreter to the outputs of an LSTM. rnnkit "
        "loads its program from disk, where an earlier run has stored it, as on a user's machine from the second run "
        "on.",
        first_results,
        beside_others("process", 1),
    ),
    "compiling": Section(
        "Compiling",
        "The time of the first LSTM of a process in seconds, once if its program must be compiled, and once if it is "
        f"on disk. At most {PROCESSES} pairs of processes are measured.",
        compiling,
        plain("LSTM", 1),
    ),
    "memory": Section(
        "Memory",
        "The last output of an LSTM over a long sequence. The table shows the peak memory of the process in MB, minus "
        f"its memory before the call, when it already holds the input; {PROCESSES} processes.",
        memory,
        plain("size", 1e-6),
    ),
}
