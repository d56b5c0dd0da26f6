"""What whole processes cost: until the first result, compiled programs or not, and in memory."""

import functools
import importlib.util
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from benchmarks import sizes
from benchmarks.start import FIRST_RESULT
from explored import EXPLORED
from measuring import THREADS, Figures, Settings, section
from writing import Pair, beside_others, both, columns, mean, ratios, table

import rnnkit as rk

FIRST = {  # library → code
    "rnnkit": FIRST_RESULT.format(cell="rk.LSTMCell(32)"),
    "torch": """
import torch
with torch.inference_mode():
    torch.nn.LSTM(8, 32, batch_first=True)(torch.zeros(2, 10, 8))[0].numpy()
""",
    "jax": """
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
    "Keras on jax": """
import keras, numpy as np
np.asarray(keras.layers.LSTM(32, return_sequences=True)(np.zeros((2, 10, 8), "float32")))
""",
}
UPDATE = """
import numpy as np
import {package}
model = {package}.Sequential([{layers}.GRU(64), {layers}.Dense(1)])
model.compile("adam", "mse")
model.train_on_batch(np.zeros((64, 100, 8), np.float32), np.zeros((64, 1), np.float32))
"""
FIRST_UPDATE = {  # of the model of "An epoch of training"
    "rnnkit": UPDATE.format(package="rnnkit", layers="rnnkit"),
    "torch": """
import torch
gru, head = torch.nn.GRU(8, 64, batch_first=True), torch.nn.Linear(64, 1)
optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()])
torch.nn.functional.mse_loss(head(gru(torch.zeros(64, 100, 8))[0][:, -1]), torch.zeros(64, 1)).backward()
optimizer.step()
""",
    "Keras on jax": UPDATE.format(package="keras", layers="keras.layers"),
}
PACKAGES = {"torch": ("torch",), "jax": ("jax",), "Keras on jax": ("keras", "jax")}  # that others need

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


def output(folder: str, *command: str) -> str:
    """Return what a new Python process prints, with compiled programs in `folder`."""
    environment = os.environ | {"RNNKIT_CACHE_DIR": folder, "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run([sys.executable, *command], check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout


def present(codes: dict[str, str], settings: Settings) -> dict[str, str]:
    """Return the codes whose packages are installed."""
    found = {}
    for label, code in codes.items():
        if all(map(importlib.util.find_spec, PACKAGES.get(label, ()))):
            found[label] = code
        else:
            settings.note(f"{label} was left out: it is not installed.")
    return found


def first_results(row: str, codes: dict[str, str], settings: Settings) -> Figures:
    """Measure whole processes in turns; what they keep on disk was put there by one run before."""
    with tempfile.TemporaryDirectory() as folder:
        codes = present(codes, settings)
        times: dict[str, list[float]] = {label: [] for label in codes}
        for turn in range(1 + settings.rounds):
            for label, code in codes.items():
                start = time.perf_counter()
                output(folder, "-c", code)
                if turn:
                    times[label].append(time.perf_counter() - start)
    return {row: times}


def _plain(first: str, scale: float):
    """Return a writer of tables without ratios."""
    return lambda figures: table(
        [first, *columns(figures)],
        ([row, *(both(numbers, scale) for numbers in times.values())] for row, times in figures.items()),
    )


section("start", beside_others("process", 1))(functools.partial(first_results, "first LSTM", FIRST))
section("training-start", beside_others("process", 1))(functools.partial(first_results, "first step", FIRST_UPDATE))


@section("compiling", _plain("LSTM", 1), processes=PROCESSES)
def compiling(settings: Settings) -> Figures:
    """Measure processes in pairs: the first has to compile, the second finds the program on disk."""
    figures: Figures = {
        kind: {"first call": [], "whole process": []} for kind in ("nothing on disk", "program on disk")
    }
    for _ in range(min(PROCESSES, settings.rounds)):
        with tempfile.TemporaryDirectory() as folder:
            for times in figures.values():
                start = time.perf_counter()
                times["first call"].append(float(output(folder, "-c", FIRST_CALL)))
                times["whole process"].append(time.perf_counter() - start)
    return figures


# The first call of a step in a new process with nothing on disk

KINDS = ("forward", "gradient")
SCRIPT = pathlib.Path(__file__).with_name("first_calls.py")


def _write_first(figures: Figures) -> list[str]:
    """Return a table for each kind, with the ratio of jax's time to ours, and its geometric mean."""
    lines = []
    for kind in KINDS:
        rows = {row.removesuffix(f", {kind}"): times for row, times in figures.items() if row.endswith(kind)}
        found = [ratios([times["jax"]] if "jax" in times else [], times["rnnkit"]) for times in rows.values()]
        shown = (
            [row, *(both(numbers, 1) for numbers in times.values()), Pair(pair, ".2f")]
            for (row, times), pair in zip(rows.items(), found, strict=True)
        )
        lines += ["", *table([kind, *columns(rows), "ratio"], shown)]
        lines += ["", f"Geometric mean of the ratios: {mean(found)}."] if mean(found) else []
    return lines[1:]


@section("first", _write_first)
def first_calls(settings: Settings) -> Figures:
    """Measure new processes in turns; libraries have to agree."""
    libraries = present({"rnnkit": "", "jax": ""}, settings)
    figures: Figures = {}
    for name, kind in itertools.product(EXPLORED, KINDS):
        row = figures[f"{name}, {kind}"] = {}
        for _ in range(1 if settings.quick else min(3, settings.rounds)):
            norms = []
            for library in libraries:
                with tempfile.TemporaryDirectory() as folder:
                    found = json.loads(output(folder, str(SCRIPT), name, library, kind))
                row.setdefault(library, []).append(found["seconds"])
                row.setdefault(f"{library}, CPU", []).append(found["cpu"])
                norms.append(found["norms"])
            for other in norms[1:]:
                np.testing.assert_allclose(other, norms[0], rtol=2e-4, atol=1e-5, err_msg=f"{name}, {kind}")
    return figures


# Memory above what a process held before a call; `make` gives the call, which returns bytes that don't count

PEAK = """
import pathlib, time
import numpy as np
{make}
def held(what):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))
batch, steps, features, units = {size}
x, g = (np.random.default_rng(0).standard_normal((batch, steps, n), dtype=np.float32) for n in (features, {g}))
run = make(features, units)
run(x[:, :{few}].copy(), g[:, :{few}].copy())
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
before = held("VmRSS")
returned = run(x, g)
print(held("VmHWM") - before - returned)
for _ in range({rounds}):
    start = time.perf_counter()
    run(x, g)
    print(time.perf_counter() - start)
"""
LAST_OUTPUT = {
    "rnnkit": """
import rnnkit as rk
def make(features, units):
    layer = rk.RNN(rk.LSTMCell(units))
    def run(x, g):
        layer(x)
        return 0
    return run
""",
    "torch": """
import torch
def make(features, units):
    layer = torch.nn.LSTM(features, units, batch_first=True)
    def run(x, g):
        with torch.inference_mode():
            layer(torch.from_numpy(x))
        return 0
    return run
""",
}
GRADIENT = """
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
LIMIT = 1 << 24  # bytes that "auto" may keep
WAYS = {
    "all saved": GRADIENT.format(limit="", checkpoint=None),
    "checkpoint=1000": GRADIENT.format(limit="", checkpoint=1000),
    f'"auto", {LIMIT >> 20} MiB': GRADIENT.format(limit=LIMIT, checkpoint='"auto"'),
    "torch": """
import torch
torch.set_num_threads(2)
def make(features, units):
    layer = torch.nn.LSTM(features, units, batch_first=True)
    def run(x, g):
        y = layer(torch.from_numpy(x))[0]
        torch.autograd.grad(y, list(layer.parameters()), torch.from_numpy(g))
        return y.numel() * 4
    return run
""",
}


def peaks(ways: dict[str, str], settings: Settings, folder: str, processes: int, **told) -> Figures:
    """Return peaks of new processes, and times of the calls after the first; the ways take turns."""
    if not os.path.exists("/proc/self/clear_refs"):
        settings.note("Memory was left out: this system doesn't tell the peak.")
        return {}
    found: Figures = {label: {"bytes": [], "seconds": []} for label in present(ways, settings)}
    for _ in range(processes):
        for label, numbers in found.items():
            peak, *times = map(float, output(folder, "-c", PEAK.format(make=ways[label], **told)).split())
            numbers["bytes"].append(peak)
            numbers["seconds"] += times
    return found


@section("memory", _plain("size", 1e-6), processes=PROCESSES)
def memory(settings: Settings) -> Figures:
    """Measure the last output of a long sequence."""
    rows, steps, *rest = sizes.LONG
    size = (rows, 50_000 if settings.quick else steps, *rest)
    with tempfile.TemporaryDirectory() as folder:
        found = peaks(LAST_OUTPUT, settings, folder, PROCESSES, size=size, g=1, few=100, rounds=0)
    return {sizes.text(size): {label: numbers["bytes"] for label, numbers in found.items()}} if found else {}


def _write_checkpoints(figures: Figures) -> list[str]:
    """Return both, and both over those of the first way, by medians."""
    first, scales = next(iter(figures.values())), {"bytes": 1e-6, "seconds": 1e3}
    lines = []
    for way, found in figures.items():
        shares = (statistics.median(found[what]) / statistics.median(first[what]) for what in scales)
        lines.append(
            [way, *(both(found[what], scale) for what, scale in scales.items()), *(f"{s:.2f}" for s in shares)]
        )
    return table(["saved", "MB", "ms", "memory / all saved", "time / all saved"], lines)


@section("checkpoints", _write_checkpoints, size=sizes.text(sizes.CHECKPOINTS), processes=PROCESSES)
def checkpoints(settings: Settings) -> Figures:
    """Measure gradients with all kept that they need, and with checkpoints."""
    batch, steps, *rest = sizes.CHECKPOINTS
    told = {"size": (batch, 2000 if settings.quick else steps, *rest), "g": "units", "few": 400}
    folder, processes = str(rk.cache_info()["folder"]), 1 if settings.quick else PROCESSES
    return peaks(WAYS, settings, folder, processes, rounds=min(5, settings.rounds), **told)
