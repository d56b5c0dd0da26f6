"""A GPU's kernels under numba's simulator: the CPU's bits, whatever the cut and the variant, and no races."""

import os

import numpy as np
import pytest
from gradient_runs import TRACED
from matrix import MASKS, inputs, label, make_mask, pairwise, same_bits

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")
if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "0":
    pytest.skip("kernels run under the simulator: NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)

from cuda_races import watched
from cuda_runs import (
    CUTS,
    PLACINGS,
    as_on_cpu,
    gradient,
    gradient_on_gpu,
    near,
    on_cpu,
    on_gpu,
    record_of,
    results,
    setup,
)

import rnnkit as rk
from rnnkit.backends.cuda.runtime import gradient as cuda_backward
from rnnkit.backends.cuda.runtime import program as cuda_program
from rnnkit.backends.cuda.runtime import weight_sums
from rnnkit.backends.cuda.runtime.cost_model import GPU

FACTORS = {
    "cell": tuple(case.name for case in TRACED),
    "cut": tuple(CUTS),
    "placing": PLACINGS,
    "mask": MASKS,
    "backwards": (False, True),
    "zero": (False, True),
    "units": (5, 1),
    "features": (3, 1),
    "batch": (3, 1),
    "time": (5, 1),
}
ROWS = pairwise(FACTORS)


def is_usual(row):
    """Whether the CPU's programs, which take their time to compile, run these sizes too."""
    return row["units"] > 1 and row["features"] > 1


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_results_are_the_cpus(row):
    layer, record = setup(row["cell"], row)
    program = on_gpu(layer, record.constants, config=CUTS[row["cut"]], placing=row["placing"])
    with watched():
        got = results(program.run(record))
    same_bits(got, results(on_gpu(layer, record.constants).run(record)))
    if is_usual(row):
        as_on_cpu(program, got, results(on_cpu(layer, record.constants).run(record)), layer.dtype)


@pytest.mark.parametrize("row", ROWS[::3], ids=label)  # every cell two or three times
def test_gradients_are_the_cpus_to_rounding(row):
    layer, record = setup(row["cell"], row)
    record.trajectory = False
    program = on_gpu(layer, record.constants, config=CUTS[row["cut"]], placing=row["placing"])
    with watched():
        got = gradient(gradient_on_gpu(program).vjp(record))
    same_bits(got, gradient(on_gpu(layer, record.constants).differentiate().vjp(record)))
    if is_usual(row):
        near(got, gradient(on_cpu(layer, record.constants).differentiate().vjp(record)), layer.dtype)


# What a call may be besides


@pytest.mark.parametrize("options", [{"checkpoint": 2}, {"truncate": 2}, {"checkpoint": 3, "truncate": 2}], ids=str)
@pytest.mark.parametrize("name", ["LSTMCell", "attention", "layer_norm_lstm"])
def test_gradients_in_segments_and_windows(name, options):
    layer, record = setup(name, backwards=True)
    record.trajectory = False
    got = gradient_on_gpu(on_gpu(layer, record.constants)).vjp(record, **options)
    expected = on_cpu(layer, record.constants).differentiate().vjp(record, **options)
    as_on_cpu(on_gpu(layer, record.constants), results(got), results(expected), layer.dtype)
    near(gradient(got), gradient(expected), layer.dtype)


@pytest.mark.parametrize("name", ["LSTMCell", "attention", "gru_before"])
def test_small_blocks_chunks_and_slices_change_no_row(name, monkeypatch):
    layer, record = setup(name)
    program = on_gpu(layer, record.constants)
    whole, whole_gradient = results(program.run(record)), gradient(gradient_on_gpu(program).vjp(record))
    monkeypatch.setattr(cuda_program, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(cuda_backward, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(weight_sums, "SLICE", 3)
    with watched():
        same_bits(results(program.run(record)), whole)
        found = gradient(gradient_on_gpu(program).vjp(record))
    weights = len(record.weights)
    same_bits(found[:-weights], whole_gradient[:-weights])
    near(found[-weights:], whole_gradient[-weights:], layer.dtype)


def test_draws_of_a_call():
    layer = rk.LSTM(5, dropout=0.4, recurrent_dropout=0.4, dtype="float64", seed=0)
    layer.build((None, None, 3))
    x, _ = inputs("LSTMCell", 3, 4, 3)
    record = record_of(layer, x, training=True)
    assert record.draws
    program, cpu = on_gpu(layer, training=True), on_cpu(layer, training=True)
    with watched():
        same_bits(results(program.run(record)), results(cpu.run(record)))
        record.trajectory = False
        near(gradient(gradient_on_gpu(program).vjp(record)), gradient(cpu.differentiate().vjp(record)), "float64")


@rk.cell(states={"h": "units", "unread": 2, "kept": 3}, weights={"kernel": rk.Weight(("features", "units"), "uniform")})
def forgetful(x, states, weights):
    """A state that no step reads, and one that no step changes."""
    h, _, kept = states
    h = 0.5 * h + x @ weights.kernel
    return h, (h, np.tanh(h[:, :2]), kept)


@pytest.mark.parametrize("placing", PLACINGS)
@pytest.mark.parametrize("cut", ["rows", "parts"])
def test_states_that_are_not_read_or_not_changed(cut, placing):
    layer = rk.RNN(forgetful(units=5), dtype="float64", seed=0)
    layer.build((None, None, 3))
    x, _ = inputs("LSTMCell", 3, 4, 3)
    for mask in (None, make_mask("random", 3, 4, np.random.default_rng(2))):
        record = record_of(layer, x, mask=mask)
        program = on_gpu(layer, config=CUTS[cut], placing=placing)
        with watched():
            same_bits(results(program.run(record)), results(on_cpu(layer).run(record)))
            record.trajectory = False
            found = gradient(gradient_on_gpu(program).vjp(record))
        near(found, gradient(on_cpu(layer).differentiate().vjp(record)), "float64")


@pytest.mark.parametrize("name", ["LSTMCell", "sparse"])
def test_no_features(name):
    layer, record = setup(name, features=0)
    program, cpu = on_gpu(layer), on_cpu(layer)
    with watched():
        same_bits(results(program.run(record)), results(cpu.run(record)))
        record.trajectory = False
        found = gradient(gradient_on_gpu(program).vjp(record))
    near(found, gradient(cpu.differentiate().vjp(record)), layer.dtype)


def test_a_kernel_that_wants_more_shared_memory_than_there_is_reads_global_memory():
    layer, record = setup("LSTMCell")
    wide, narrow = on_gpu(layer, gpu=GPU(2, 48 << 10, 3, 6)), on_gpu(layer, gpu=GPU(2, 16, 3, 6))
    same_bits(results(narrow.run(record)), results(wide.run(record)))
    assert "recurrent weights: shared memory" in wide.explain() and "states: shared memory" in wide.explain()
    assert "read from the cache" in narrow.explain() and "states: global memory" in narrow.explain()
    near(gradient(gradient_on_gpu(narrow).vjp(record)), gradient(gradient_on_gpu(wide).vjp(record)), layer.dtype)
