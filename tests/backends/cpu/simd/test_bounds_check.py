"""Kernels touch nothing but their own arrays, looked at access by access (RNNKIT_CHECK=1, in a process of its own)."""

import os
import sys
from pathlib import Path

import processes
import pytest
from gradient_runs import DTYPES, TRACED
from matrix import every

SUITE = """
import sys
import numpy as np
from cells_under_test import CELLS
from matrix import flat, inputs, layer_of, make_mask
from rnnkit.backends.cpu.simd import bounds_check as checking
from rnnkit.backends.cpu.threads import team as team
from rnnkit.backends.cpu import tuning
import rnnkit as rk

assert checking.CHECKED
tuning.SMALL = tuning.WIDE = 0
for number, cell in enumerate(CELLS[{cells}]):
    layer = layer_of(cell.name, units=17, features=17, dtype=("float64", "float32")[number % 2])
    runs = (3, 1, "none"), (1, 2, "random"), (70, 1, "right"), (5, 2, "left"), (2, 3, "empty_rows")
    for batch, threads, kind in runs:
        rk.set_num_threads(threads)
        x, constants = inputs(cell.name, batch, 5, 17)
        mask = make_mask(kind, batch, 5, np.random.default_rng(number))
        layer.trajectory(x.astype(layer.dtype)[:, ::-1], constants=constants, mask=mask)

# blocks of 17 and 16 rows, each of as many steps as fit its scratch memory
rk.set_num_threads(2)
wide = rk.LSTM(128, return_sequences=True, seed=0)
for _ in range(5):
    wide(np.ones((33, 40, 32), "float32"))
print("touched nothing else")
"""

WRONG = """
import numpy as np
from rnnkit.backends.cpu import program
import rnnkit as rk

layer = rk.LSTM(17, seed=0)
layer(np.ones((2, 3, 5)))
(executor,) = layer._execution.executors.values()
executor.prepack = lambda weights, keep=executor.prepack: [array[:-90].copy() for array in keep(weights)]
executor._bound = (None, ())
layer(np.ones((2, 3, 5)))
"""


WINDOWS = """
import numpy as np
import rnnkit as rk

for dtype in ("float32", "float64"):
    for units in (1, 63, 64, 200):
        layer = rk.RNN(rk.ESNCell(units, density=0.05), return_sequences=True, dtype=dtype, seed=0)
        for batch in (1, 3):
            layer(np.ones((batch, 3, 2), dtype))
        assert units < 64 or "sparse product" in layer.explain()
print("touched nothing else")
"""

GRADIENTS = """
import numpy as np
import rnnkit as rk
from cells_under_test import NAMED
from gradient_runs import Run
from rnnkit.backends.cpu.simd import bounds_check as checking
from rnnkit.backends.cpu import tuning

assert checking.CHECKED
tuning.SMALL = tuning.WIDE = tuning.SMALL_SUM = 0
runs = (3, 1, "none"), (1, 2, "random"), (35, 1, "right"), (5, 2, "left"), (2, 3, "empty_rows")
for name, dtype in {cells}:
    for number, (batch, threads, kind) in enumerate(runs):
        tuning.CHUNK_BYTES = (1 << 20, 0)[number % 2]
        rk.set_num_threads(threads)
        run = Run.of(NAMED[name], batch, 5, kind, 17, 17, dtype, go_backwards=number == 3)
        run.gradient()
        run.gradient(checkpoint=2)
print("touched nothing else")
"""
GRADIENT_CELLS = [("simple", "float32"), ("attention", "float64")]


LAYERS = """
import numpy as np
from layer_calls import call_of, cotangents, layer_of
from rnnkit.backends.cpu import tuning
import rnnkit as rk

tuning.SMALL = tuning.WIDE = tuning.SMALL_SUM = 0
tuning.CHUNK_BYTES, tuning.LEAST_ENTRIES = 0, 6  # several chunks
for name in ("rnn_state", "reservoir", "bidirectional_concat_sequences"):
    layer = layer_of(name)
    for batch, threads, masked in ((3, 1, True), (1, 2, False), (70, 2, True)):
        rk.set_num_threads(threads)
        call = call_of(name, layer, batch=batch, length=7, masked=masked)
        for checkpoint in (None, 3):
            outputs, pullback = call.vjp(layer, checkpoint=checkpoint)
            pullback(cotangents(outputs))
print("touched nothing else")
"""


THREADS = """
import threading
import numpy as np
import rnnkit as rk

rk.set_num_threads(1)


@rk.loop
def loop(x, h=0.0, v=np.zeros(4)):
    v = v.copy()
    v[int(x) % 4] += x
    return h + v.sum(), (h * 0.5 + x, v)


x = np.random.default_rng(0).normal(size=300)
layers = [rk.GRU(3, seed=0), rk.AveragePooling1D(2)]
calls = [lambda: loop(x), *(lambda layer=layer: layer(x.reshape(1, 100, 3)) for layer in layers)]
wanted, wrong = [call() for call in calls], []


def work():
    try:
        for _ in range(100):
            wrong.extend(1 for call, y in zip(calls, wanted) if not np.array_equal(call(), y))
    except AssertionError as error:
        wrong.append(error)


threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not wrong, wrong[0]
print("touched nothing else")
"""


def run(code, file=None):
    environment = {
        **os.environ,
        "RNNKIT_CHECK": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    if file is not None:  # a step that is read needs its source
        file.write_text(code)
    return processes.run([sys.executable, *(("-c", code) if file is None else (str(file),))], env=environment)


@pytest.mark.parametrize(
    "cells",
    every(12, [f"{i}::12" for i in range(12)]),
    ids=lambda cells: cells,
)
def test_every_cell_stays_within_its_arrays(cells):
    done = run(SUITE.replace("{cells}", cells))
    assert done.stdout.strip() == "touched nothing else", done.stderr[-3000:]


@pytest.mark.sweep
def test_gradients_of_layers_stay_within_their_arrays():
    done = run(LAYERS)
    assert done.stdout.strip() == "touched nothing else", done.stderr[-3000:]


def test_windows_of_sparse_weights_end_with_the_operand():
    done = run(WINDOWS)
    assert done.stdout.strip() == "touched nothing else", done.stderr[-3000:]


def test_gradients_stay_within_their_arrays():
    done = run(GRADIENTS.format(cells=GRADIENT_CELLS))
    assert done.stdout.strip() == "touched nothing else", done.stderr[-3000:]


@pytest.mark.sweep
def test_gradients_of_every_cell_stay_within_their_arrays():
    done = run(GRADIENTS.format(cells=[(case.name, dtype) for case in TRACED for dtype in DTYPES]))
    assert done.stdout.strip() == "touched nothing else", done.stderr[-3000:]


def test_an_array_too_short_is_noticed():
    done = run(WRONG)
    assert done.returncode and "accesses outside all arrays" in done.stderr


@pytest.mark.sweep
def test_the_laws_within_their_arrays():
    done = processes.run(
        [sys.executable, "-m", "pytest", "-q", "-x", str(Path(__file__).parents[3] / "contract" / "test_laws.py")],
        env={**os.environ, "RNNKIT_CHECK": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_calls_of_several_threads_are_looked_at_in_turns(tmp_path):
    done = run(THREADS, tmp_path / "calls.py")
    assert done.stdout.strip() == "touched nothing else", done.stderr[-3000:]
