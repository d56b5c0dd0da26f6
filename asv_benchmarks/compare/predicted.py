"""What calls should take on a GPU: the cost model at the sizes that are measured. Needs no GPU, and measures nothing.

The time loop is the model by which rnnkit chooses how to share a call
(`rnnkit.backends.cuda.runtime.cost_model`); around it stand the products that leave
the loop and the sums of the weights' gradients, at a share of what a GPU can do at most.
"""

import functools
from dataclasses import dataclass

import numpy as np
import problems
from benchmarks import sizes
from writing import table

from rnnkit.backends.cuda.compile import CUDA
from rnnkit.backends.cuda.runtime.cost_model import A100, GPU, H100, LaunchConfig, costs
from rnnkit.backends.cuda.runtime.weight_sums import TILE, slice_of
from rnnkit.compiler.ir.plan import STEP
from rnnkit.execution.pipeline import compile_step
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

CELLS = ("LSTM", "GRU", "SimpleRNN", "gated")
CARDS = {"H100": H100, "A100": A100}
TILED = 0.4  # of a GPU's multiply-adds that a tiled product in float32 comes to
LAUNCH = 4e-6  # seconds from one kernel to the next
HOST = 6e9  # bytes a second to the host's memory


@functools.cache
def programs(cell: str, features: int, units: int):
    """The kernels of a cell's step, not compiled, and those of its gradient."""
    made = problems.CELLS[cell](units)
    prepare(made, (None, features), np.dtype("float32"), np.random.default_rng(0))
    program = compile_step(Step(made, (features,)), "float32", made._all_weights(), target=CUDA)
    return program, program.differentiate()


@dataclass(frozen=True)
class Loop:
    """A time loop on a GPU: how it is cut, whether weights stand in shared memory, and cycles by what they go to."""

    cut: LaunchConfig
    weights: bool
    cycles: dict[str, float]

    def seconds(self, gpu: GPU) -> float:
        """Of one step."""
        return sum(self.cycles.values()) / gpu.clock


def loop(program, gpu: GPU, rows: int) -> Loop:
    program.gpu = gpu
    cut, variant = program.chosen(rows)
    return Loop(cut, variant.weights, costs(program._step, gpu, cut, rows, variant.weights, variant.shared))


def multiply_adds(gpu: GPU) -> float:
    """A second, float32, at most."""
    return gpu.multiprocessors * gpu.sums * gpu.clock


def of_program(program, gpu: GPU, rows: int, steps: int) -> float:
    """Seconds of a program's kernels over all steps."""
    outside = [product for product in program.plan.products() if product.section != STEP]
    work = sum(product.work for product in outside) * rows * steps
    moved = sum(product.depth + product.result.size for product in outside) * program.dtype.itemsize * rows * steps
    launches = 1 + len({stage.section for stage in program.plan.stages} - {STEP})
    products = max(work / multiply_adds(gpu) / TILED, moved / gpu.bandwidth)
    return products + steps * loop(program, gpu, rows).seconds(gpu) + launches * LAUNCH


def of_sums(backward, gpu: GPU, rows: int, steps: int) -> float:
    """Seconds of the weights' gradients, from what is kept until they are on the host."""
    seconds = 0.0
    for s in dict.fromkeys(backward.sums):
        high, wide, entries = s.a.depth if s.a else 1, s.b.depth, rows * steps * s.b.rows
        tiles = -(-high // TILE) * -(-wide // TILE)
        each = slice_of(entries, tiles)
        waves = -(-tiles * -(-entries // each) // gpu.multiprocessors)
        block = min(entries, each) * TILE * TILE / (gpu.sums * gpu.clock) / TILED
        seconds += waves * block + 2 * LAUNCH + high * wide * backward.plain.dtype.itemsize / HOST
    return seconds


def forward(cell: str, size: sizes.Size, gpu: GPU) -> float:
    """Seconds of a call."""
    rows, steps, features, units = size
    return of_program(programs(cell, features, units)[0], gpu, rows, steps)


def gradient(cell: str, size: sizes.Size, gpu: GPU) -> float:
    """Seconds of a call with its gradient."""
    rows, steps, features, units = size
    backward = programs(cell, features, units)[1]
    both = sum(of_program(program, gpu, rows, steps) for program in (backward.forward, backward.adjoint))
    return both + of_sums(backward, gpu, rows, steps)


HEADER = (
    "cell: size", "multiply-adds per step", "weights, KB", "moved, KB", "blocks, threads of each", "weights are in",
    "µs per step", "largest part", "forward, ms", "with gradient, ms", "A100: forward, ms", "A100: with gradient, ms",
)  # fmt: skip


def row(cell: str, size: sizes.Size) -> list[str]:
    """What the table says of a cell at a size; an H100 where it doesn't say another GPU."""
    rows, _, features, units = size
    program, _ = programs(cell, features, units)
    step, found = program._step, loop(program, H100, rows)
    cut = found.cut
    most = max(found.cycles, key=found.cycles.get)
    place = "shared memory" if found.weights else "the cache"
    if found.weights and cut.parts > 1:
        place = f"shared memory of {cut.parts} blocks"
    times = [1e3 * of(cell, size, gpu) for gpu in CARDS.values() for of in (forward, gradient)]
    return [
        f"{cell}: {sizes.text(size)}",
        f"{rows * step.work:,}",
        f"{step.work * step.item / 1024:g}",
        f"{rows * step.moved / 1024:.3g}",
        f"{cut.blocks(rows)}, {cut.x} x {cut.y}",
        place,
        f"{1e6 * found.seconds(H100):.2f}",
        most,
        *(f"{time:.3g}" for time in times),
    ]


TITLE = "On a GPU: predicted"
TEXT = """\
These times are predictions of rnnkit's cost model, not measurements: no GPU was available. They are for float32, on \
an H100 (SXM) and an A100 (SXM, 40 GB). On a machine with a GPU, `python asv_benchmarks/compare/on_cuda.py` measures \
the times to compare them with. All are times on the GPU: the time that Python takes to start a call is not included.

The model adds up four terms for a step of a thread block. The first is the longest of its products' multiply-adds, \
their dependency chains, their reads, and the data moved. The others are its functions, the reads that it waits for \
at its start, and its barriers. Each element of a product is one chain of multiply-adds, as on the CPU. With one row \
of many units, the time of a step is the latency of this chain, not the GPU's arithmetic. Weights that do not fit \
into one block's shared memory are divided among several blocks, which then synchronize in every step.

From NVIDIA's data sheets and tuning guides, for the H100 and the A100: 132 and 108 multiprocessors; 128 and 64 \
multiply-adds per cycle; 227 and 163 KB of shared memory per block; 3.35 and 1.56 TB/s; 1.755 and 1.41 GHz.

Of the order of published microbenchmarks: shared memory has a latency of 30 cycles and delivers 128 bytes per cycle. \
The second-level cache has a latency of 300 cycles and delivers 48 bytes per cycle to one multiprocessor, 3,500 to \
all. The result of a multiply-add takes 4 cycles. The blocks of a grid synchronize in a microsecond.

Guesses, which a measurement should correct first: every other instruction of a function waits. Four reads are in \
flight at a time. Products outside the time loop reach {tiled:.0%} of the peak multiply-adds. From one kernel to the \
next, 4 µs pass. The weights' gradients are copied to the host at 6 GB/s."""


def section() -> list[str]:
    """The lines of the page's section."""
    rows = [row(cell, size) for cell in CELLS for size in sizes.CELLS]
    lines = [f"## {TITLE}", "", *TEXT.format(tiled=TILED).splitlines(), "", *table(HEADER, rows)]
    return [*lines, "", "Written by `python asv_benchmarks/compare/on_cuda.py --predict`."]
