"""What calls should take on a GPU: the cost model at the sizes that are measured. Needs no GPU, and measures nothing.

The time loop is `rnnkit.backends.cuda.runtime.cost_model`; products and sums around it have a share of a GPU's peak.
"""

import functools

import numpy as np
import peers
from benchmarks import sizes
from measuring import Settings, section
from writing import table

from rnnkit.backends.cuda.compile import CUDA
from rnnkit.backends.cuda.runtime.cost_model import A100, GPU, H100, costs
from rnnkit.backends.cuda.runtime.weight_sums import TILE, slice_of
from rnnkit.compiler.ir.plan import STEP
from rnnkit.execution.pipeline import compile_step
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

CELLS = ("LSTM", "GRU", "SimpleRNN", "gated")
TILED = 0.4  # of a GPU's multiply-adds that a tiled product in float32 comes to
LAUNCH = 4e-6  # seconds from one kernel to the next
HOST = 6e9  # bytes a second to the host's memory


@functools.cache
def programs(cell: str, features: int, units: int):
    """Return the kernels of a cell's step, not compiled, and those of its gradient."""
    made = peers.CELLS[cell](units)
    prepare(made, (None, features), np.dtype("float32"), np.random.default_rng(0))
    program = compile_step(Step(made, (features,)), "float32", made._all_weights(), target=CUDA)
    return program, program.differentiate()


def loop(program, gpu: GPU, rows: int):
    """Return how a time loop is cut, whether weights are in shared memory, and cycles of a step by what they go to."""
    program.gpu = gpu
    cut, variant = program.chosen(rows)
    return cut, variant.weights, costs(program._step, gpu, cut, rows, variant.weights, variant.shared)


def of_program(program, gpu: GPU, rows: int, steps: int) -> float:
    outside = [product for product in program.plan.products() if product.section != STEP]
    work = sum(product.work for product in outside) * rows * steps
    moved = sum(product.depth + product.result.size for product in outside) * program.dtype.itemsize * rows * steps
    launches = 1 + len({stage.section for stage in program.plan.stages} - {STEP})
    products = max(work / (gpu.multiprocessors * gpu.sums * gpu.clock) / TILED, moved / gpu.bandwidth)
    cycles = sum(loop(program, gpu, rows)[2].values())
    return products + steps * (cycles / gpu.clock) + launches * LAUNCH


def of_sums(backward, gpu: GPU, rows: int, steps: int) -> float:
    """Return seconds of the weights' gradients, from what is kept until they are on the host."""
    seconds = 0.0
    for s in dict.fromkeys(backward.sums):
        high, wide, entries = s.a.depth if s.a else 1, s.b.depth, rows * steps * s.b.rows
        tiles = -(-high // TILE) * -(-wide // TILE)
        each = slice_of(entries, tiles)
        waves = -(-tiles * -(-entries // each) // gpu.multiprocessors)
        block = min(entries, each) * TILE * TILE / (gpu.sums * gpu.clock) / TILED
        seconds += waves * block + 2 * LAUNCH + high * wide * backward.plain.dtype.itemsize / HOST
    return seconds


def seconds(cell: str, size: sizes.Size, gpu: GPU, gradient: bool) -> float:
    rows, steps, features, units = size
    program, backward = programs(cell, features, units)
    if not gradient:
        return of_program(program, gpu, rows, steps)
    both = sum(of_program(one, gpu, rows, steps) for one in (backward.forward, backward.adjoint))
    return both + of_sums(backward, gpu, rows, steps)


HEADER = (
    "cell: size", "multiply-adds per step", "weights, KB", "moved, KB", "blocks, threads of each", "weights are in",
    "µs per step", "largest part", "forward, ms", "with gradient, ms", "A100: forward, ms", "A100: with gradient, ms",
)  # fmt: skip


def row(cell: str, size: sizes.Size) -> list[str]:
    """Return what the table says of a cell at a size; an H100 where it doesn't say another GPU."""
    rows, _, features, units = size
    program, _ = programs(cell, features, units)
    cut, weights, cycles = loop(program, H100, rows)
    step, blocks = program._step, f" of {cut.parts} blocks" if cut.parts > 1 else ""
    return [
        f"{cell}: {sizes.text(size)}",
        f"{rows * step.work:,}",
        f"{step.work * step.item / 1024:g}",
        f"{rows * step.moved / 1024:.3g}",
        f"{cut.blocks(rows)}, {cut.x} x {cut.y}",
        f"shared memory{blocks}" if weights else "the cache",
        f"{1e6 * (sum(cycles.values()) / H100.clock):.2f}",
        max(cycles, key=cycles.get),
        *(f"{1e3 * seconds(cell, size, gpu, gradient):.3g}" for gpu in (H100, A100) for gradient in (False, True)),
    ]


@section("predicted", lambda figures: table(HEADER, figures.values()), tiled=TILED)
def predicted(settings: Settings) -> dict[str, list[str]]:
    return {f"{cell}: {size}": row(cell, size) for cell in CELLS for size in sizes.CELLS}


NOTE = "Written by `python asv_benchmarks/compare/on_cuda.py --predict`."
record = lambda: {"conditions": "", "notes": [NOTE], "figures": predicted(Settings(0))}
