"""The kernels of cells, compiled without a GPU: every text becomes code, and no built-in cell's spills a register."""

import os
from functools import cache

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")
if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
    pytest.skip("the simulator compiles nothing", allow_module_level=True)

import cuda_ptx
from cells_under_test import NAMED

import rnnkit as rk
from rnnkit.backends.cuda import kernel_cache
from rnnkit.backends.cuda.runtime import gradient as cuda_backward
from rnnkit.backends.cuda.runtime import weight_sums
from rnnkit.backends.cuda.runtime.cost_model import GPU
from rnnkit.backends.shared import program_cache
from rnnkit.execution import pipeline

if cuda_ptx.ptxas() is None:
    pytest.skip("no ptxas: numba-cuda's extra cu12 or cu13 brings it", allow_module_level=True)

H100 = GPU(132, 227 << 10)
LAYERS = {
    "SimpleRNN": rk.SimpleRNN,
    "GRU": rk.GRU,
    "GRU_reset_before": lambda units, **options: rk.GRU(units, reset_after=False, **options),
    "LSTM": rk.LSTM,
    "minimal_gated": lambda units, **options: rk.RNN(NAMED["minimal_gated"].make(units), **options),
    "layer_norm_lstm": lambda units, **options: rk.RNN(NAMED["layer_norm_lstm"].make(units), **options),
}
# Rows and units: weights in shared memory, read from the cache, and units split over blocks are among their variants.
SIZES = [(32, 64), (64, 256), (1, 512)]
DTYPES = ["float32", "float64"]
# Bytes of a thread's registers that may be spilled: thirty loops and products in one step are more than a kernel holds.
SPILLS = {"layer_norm_lstm": 220}


@cache
def programs(name, dtype, units):
    """The step's own program, the one that keeps, and the adjoint."""
    layer = LAYERS[name](units, dtype=dtype)
    layer.build((None, None, 16))
    step = layer._execution.step
    own = pipeline.choose_cuda(step, layer.dtype, step.cell._all_weights())
    gradient = own.differentiate()
    return own, gradient.forward, gradient.adjoint


# Every cell with every size, in one dtype each by turns, and its three programs.
ROWS = [
    pytest.param(name, DTYPES[(i + j) % 2], size, which, id=f"{name}-{DTYPES[(i + j) % 2]}-{size[1]}-{which}")
    for i, name in enumerate(LAYERS)
    for j, size in enumerate(SIZES)
    for which in range(3)
]


@cache
def ptx(text):
    return kernel_cache.ptx_of(text, (8, 0))


def check(text, spills=0):
    code = ptx(text)
    for arch in cuda_ptx.ARCHITECTURES.values():
        found = cuda_ptx.resources(code, arch)
        assert found.spill_stores <= spills, f"{arch}: {found}"
    names = cuda_ptx.names(code)
    assert not [n for n in names if n.startswith(("atom", "red")) and n.endswith(("f32", "f64"))]
    assert not [n for n in names if n.startswith("mul.f")], "a product that may be contracted"


@pytest.mark.parametrize("name, dtype, size, which", ROWS)
def test_kernels_of_cells_compile_and_spill_little_or_nothing(name, dtype, size, which):
    rows, units = size
    program = programs(name, dtype, units)[which]
    program.gpu = H100
    for section in program.sections:
        _, variant = program.config_for(section, rows)
        check(program.write(section, variant).text, SPILLS.get(name, 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_of_sums_compile_and_spill_nothing(dtype):
    item = {"float32": 4, "float64": 8}[dtype]
    outer, add, _ = weight_sums.texts(dtype)
    for text in (outer, add, *(t.format(dtype=dtype, item=item) for t in (cuda_backward._SHOWN, cuda_backward._COPY))):
        check(text)


def test_a_kernel_is_compiled_once_for_a_kind_of_gpu(monkeypatch):
    text = cuda_backward._COPY.format(dtype="float32", item=4) + f"# {os.getpid()}\n"
    first = kernel_cache.kept(text, (9, 0))
    assert first[1][:4] == b"\x7fELF"
    assert first[0] in str(first[1])
    monkeypatch.setattr(kernel_cache, "compiled", lambda *given: pytest.fail("compiled again"))
    assert kernel_cache.kept(text, (9, 0)) == first
    with pytest.raises(pytest.fail.Exception, match="compiled again"):
        kernel_cache.kept(text, (8, 0))


def test_a_damaged_entry_is_a_miss(monkeypatch):
    text = cuda_backward._COPY.format(dtype="float64", item=8) + f"# {os.getpid()}\n"
    keys, write = [], program_cache.write_entry
    monkeypatch.setattr(program_cache, "write_entry", lambda key, payload: (keys.append(key), write(key, payload)))
    kernel_cache.kept(text, (9, 0))
    (program_cache.cache_folder() / f"{keys[0]}.rnnkit").write_bytes(b"damaged")
    again = kernel_cache.kept(text, (9, 0))  # under another name: numba counts a function's versions in a process
    assert again[0] in str(again[1])
    assert kernel_cache.kept(text, (9, 0)) == again
