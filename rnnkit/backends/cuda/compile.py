"""Compilation of a plan to its kernels for a GPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnnkit.backends.cuda.codegen.kernel_source import states_of, write_kernel
from rnnkit.backends.cuda.codegen.product import WIDE
from rnnkit.backends.cuda.codegen.row_kernel import RowKernelWriter
from rnnkit.backends.cuda.codegen.section import Kernel, KernelVariant
from rnnkit.backends.cuda.kernel_cache import load
from rnnkit.backends.cuda.runtime.gradient import CudaBackward
from rnnkit.backends.cuda.runtime.program import CudaProgram
from rnnkit.backends.cuda.runtime.row_program import CudaRowProgram
from rnnkit.backends.shared.prepack import Layout, prepacker
from rnnkit.backends.shared.target import Target
from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.ir.plan import Loop, Plan, RowPlan
from rnnkit.compiler.ir.simplify import places_in_floats
from rnnkit.compiler.ir.strides import Walk
from rnnkit.compiler.planning.describe import describe
from rnnkit.compiler.planning.fusion import fuse
from rnnkit.compiler.planning.planner import plan
from rnnkit.compiler.planning.rows import is_narrow, plan_rows


class KernelWriter:
    """Writer of a section's kernel in a variant; `listener` is called with section, variant and text of each."""

    listener: Callable[[int, KernelVariant, str], None] | None = None

    def __init__(self, plan: Plan, name: str, dtype: np.dtype):
        self.plan, self.name, self.dtype, self.states = plan, name, dtype, states_of(plan)

    def __call__(self, section: int, variant: KernelVariant) -> Kernel:
        kernel = self._written(section, variant)
        if self.listener is not None:
            self.listener(section, variant, kernel.text)
        return kernel

    def _written(self, section: int, variant: KernelVariant) -> Kernel:
        return write_kernel(self.plan, self.states, self.name, self.dtype, section, variant)


def fuse_for_gpu(plan: Plan, columns) -> Plan:
    """Fuse a plan's stages, and lay out products gate after gate: a thread has all gates of a unit."""
    plan = fuse(plan, columns)
    units = {product.result: product.units for product in plan.products() if product.gates}
    for part in plan.parts():
        for read in part.loads if isinstance(part, Loop) else ():
            if read.buffer in units:
                read.walk = Walk(read.walk.offset * units[read.buffer], (1,))
    return plan


def pack(weight: np.ndarray, gates, units: int) -> np.ndarray:
    """Lay out a weight ``(K, N)`` for products: `WIDE` bytes of each column, column after column; then the next rows.

    With `gates`, the columns are ``g … g + units - 1`` for each of these, gate after gate. The result is ``(groups of
    rows, N, rows of a group)``. Rows beyond K are 0, and one group more is read.
    """
    if gates:
        weight = np.concatenate([weight[:, gate : gate + units] for gate in gates], axis=1)
    rows, columns = weight.shape
    lanes = WIDE // weight.itemsize
    groups = -(-rows // lanes) + 1
    padded = np.zeros((groups * lanes, columns), weight.dtype)
    padded[:rows] = weight
    return np.ascontiguousarray(padded.reshape(groups, lanes, columns).swapaxes(1, 2))


def pack_sparse(weight: np.ndarray) -> dict[str, np.ndarray]:
    """Return the nonzeros of each column from the top down, side by side with its neighbours'.

    ``values`` and ``indices`` (int64) are ``(most nonzeros of a column, N)``, ``counts`` (int64) is ``(N,)``.
    """
    columns, rows = np.nonzero(weight.T)
    counts = np.bincount(columns, minlength=weight.shape[1])
    places = np.arange(len(columns)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = max(1, int(counts.max(initial=0))), weight.shape[1]
    values, indices = np.zeros(shape, weight.dtype), np.zeros(shape, np.int64)
    values[places, columns], indices[places, columns] = weight[rows, columns], rows
    return {"values": values, "indices": indices, "counts": counts.astype(np.int64)}


def compile_kernels(
    plan: Plan, source: KernelWriter, dtype: np.dtype, show: Callable[[], str], gradient: Callable | None = None
) -> CudaProgram:
    """Return the program of a plan, whose kernels are compiled when a call wants them."""
    prepack = prepacker(plan, dtype, Layout(lambda array: array, pack, pack_sparse))
    words = describe(plan, dtype, threads=isinstance(source, RowKernel))
    given = plan, source, load, prepack, source.states, dtype, show, words
    if isinstance(source, RowKernel):
        return CudaRowProgram(*given, gradient=gradient, scratch=source.writer.scratch)
    return CudaProgram(*given, gradient=gradient)


class RowKernel(KernelWriter):
    """Writer of the one kernel of a plan by rows."""

    def __init__(self, plan: RowPlan, name: str, dtype: np.dtype):
        self.writer, self.states = RowKernelWriter(plan, name, dtype), ([], [])

    def _written(self, section: int, variant: KernelVariant) -> Kernel:
        return self.writer.run()


def target_of(graph: Graph) -> Target | None:
    """Return the target with a thread for each row if a step has few numbers, loops or computed places, else None."""
    return CUDA_BY_ROWS if is_narrow(graph) else None


def _any_columns(columns, dtype):
    return columns


CUDA_BY_ROWS = Target(
    "cuda", _any_columns, lambda graph, columns: plan_rows(graph, coded=True), lambda plan, columns: plan,
    RowKernel, compile_kernels, CudaBackward, sums_by_row="all",
)  # fmt: skip
CUDA = Target(
    "cuda", _any_columns, plan, fuse_for_gpu, KernelWriter, compile_kernels, CudaBackward, target_of, places_in_floats
)
