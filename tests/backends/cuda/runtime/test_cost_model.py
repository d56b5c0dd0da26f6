"""How a call is cut for a GPU, which takes no GPU to find out."""

import functools

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")

import rnnkit as rk
from rnnkit.backends.cuda.compile import CUDA
from rnnkit.backends.cuda.memory.availability import missing, simulated
from rnnkit.backends.cuda.runtime.cost_model import A100, H100, configs, costs
from rnnkit.backends.cuda.runtime.launch import Function
from rnnkit.backends.cuda.runtime.weight_sums import slice_of
from rnnkit.compiler.ir.plan import STEP
from rnnkit.execution.pipeline import compile_step
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

SIZES = [(1, 1, 32), (1, 8, 128), (8, 8, 64), (32, 16, 64), (64, 32, 128), (128, 64, 256), (1, 64, 512)]
CELLS = {"LSTM": rk.LSTMCell, "GRU": rk.GRUCell, "SimpleRNN": rk.SimpleRNNCell}
CARDS = {"H100": H100, "A100": A100}

each_cell = pytest.mark.parametrize("cell", CELLS)
each_gpu = pytest.mark.parametrize("gpu", CARDS.values(), ids=CARDS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@functools.cache
def program(name, features, units, dtype):
    cell = CELLS[name](units, recurrent_initializer="zeros")
    prepare(cell, (None, features), np.dtype(dtype), np.random.default_rng(0))
    return compile_step(Step(cell, (features,)), dtype, cell._all_weights(), target=CUDA)


def chosen(program, gpu, rows):
    program.gpu = gpu
    return program.chosen(rows)


def check(kernels, gpu, rows, units):
    cut, variant = chosen(kernels, gpu, rows)
    kernel = kernels._kernel(STEP, variant)
    assert kernel.shared_bytes(cut.tile, cut.y, cut.parts) <= gpu.shared
    assert cut.x * cut.y <= gpu.threads
    assert cut.tile == cut.rows * cut.y
    assert cut.parts == 1 or cut.blocks(rows) <= gpu.multiprocessors, "blocks wait for some that can't run"
    assert cut.x >= min(32, units), "less than a warp along units"
    assert cut.x < 2 * max(32, -(-units // cut.parts)), "half of the threads have no unit"


@each_cell
@each_gpu
@each_dtype
def test_a_launch_configuration_fits_the_gpu(cell, gpu, dtype):
    for rows, features, units in [*SIZES, (3, 4, 5), (5000, 8, 64), (2, 3, 1500)]:
        check(program(cell, features, units, dtype), gpu, rows, units)


@each_cell
@each_gpu
def test_an_adjoints_launch_configuration_fits_the_gpu(cell, gpu):
    for rows, features, units in SIZES:
        backward = program(cell, features, units, "float32").differentiate()
        check(backward.forward, gpu, rows, units)
        check(backward.adjoint, gpu, rows, units)


@each_cell
@each_gpu
@each_dtype
def test_recurrent_weights_stand_in_shared_memory_at_the_sizes_that_are_measured(cell, gpu, dtype):
    for rows, features, units in SIZES:
        if dtype == "float64" and rows == 128:
            continue  # up to 2 MB for each of the groups that 128 rows make
        _, variant = chosen(program(cell, features, units, dtype), gpu, rows)
        assert variant.weights, (rows, units)


@each_gpu
def test_weights_that_no_block_holds_are_split_over_some(gpu):
    cut, variant = chosen(program("LSTM", 64, 512, "float32"), gpu, 1)
    assert variant.weights and cut.parts >= 4 * 512 * 512 * 4 // gpu.shared
    cut, variant = chosen(program("SimpleRNN", 8, 64, "float32"), gpu, 8)
    assert variant.weights and cut.parts == 1, "a grid barrier for 16 KB"


@each_cell
@each_gpu
def test_costs_grow_with_what_is_done(cell, gpu):
    small, large = (program(cell, 8, units, "float32")._step for units in (64, 128))
    twice = program(cell, 8, 64, "float64")._step
    for cut in configs(gpu, 16, small.units):
        cost = lambda step, rows=16, cut=cut, **places: sum(
            costs(step, gpu, cut, rows, **{"weights": True, "shared": True} | places).values()
        )
        assert cost(small) < cost(large)
        assert cost(small) < cost(twice)
        assert cost(small) < cost(small, shared=False)
        assert cost(small) <= cost(small, weights=False)
        assert cost(small, 16) <= cost(small, 16 * gpu.multiprocessors)


@pytest.mark.skipif(not simulated() or missing() is not None, reason="needs NUMBA_ENABLE_CUDASIM=1, with numba-cuda")
def test_a_large_batch_has_a_grid(monkeypatch):
    """A grid has up to 2**31 - 1 blocks along x, and 65535 along y and z."""
    grids = []
    monkeypatch.setattr(Function, "launch", lambda self, blocks, *arguments, **keywords: grids.append(blocks))
    rows = 1 << 19
    rk.GRU(2, device="cuda")(np.zeros((rows, 1, 1), np.float32))
    assert max(max(blocks) for blocks in grids) > 65535
    assert all(size <= 65535 for blocks in grids for size in blocks[1:])
    assert -(-(1 << 40) // slice_of(1 << 40, 1)) <= 65535
