"""Calls of a plan by rows on a GPU: one kernel launch, in which a thread computes a row."""

from __future__ import annotations

from dataclasses import dataclass

from rnnkit.backends.cuda.codegen.row_kernel import WARP
from rnnkit.backends.cuda.codegen.section import KernelVariant
from rnnkit.backends.cuda.memory.array import DeviceArray, download, empty
from rnnkit.backends.cuda.runtime.cost_model import LaunchConfig
from rnnkit.backends.cuda.runtime.program import Call, CudaProgram
from rnnkit.backends.shared.call import Record, Result
from rnnkit.backends.shared.failures import raise_first_of_rows
from rnnkit.compiler.ir.plan import STEP

_SCRATCH_BYTES = 1 << 30  # of a GPU's memory that the arrays of a step may take; fewer rows are then computed at a time
_BLOCKS = 32  # of a multiprocessor at most


@dataclass(eq=False)
class CudaRowProgram(CudaProgram):
    """The kernel of a plan by rows that runs over records."""

    scratch: int = 0  # bytes that the arrays of a step take for each row
    keeps_start = True

    def chosen(self, rows: int) -> tuple[LaunchConfig, KernelVariant]:
        """Return the threads of a block: one warp's, until each multiprocessor has as many blocks as it can."""
        gpu = self.current_gpu()
        across = WARP if rows <= WARP * _BLOCKS * gpu.multiprocessors else 4 * WARP
        while across > gpu.across:
            across //= 2
        return LaunchConfig(1, across, 1, across, 1), KernelVariant()

    def blocks(self, rows: int, config: LaunchConfig) -> int:
        """Return the blocks for all rows, or as many as scratch memory allows, whose threads have several rows in turn.

        Blocks are whole warps, so that a row's place in its warp is its thread's.
        """
        several = _SCRATCH_BYTES // max(1, self.scratch)
        whole = max(WARP, config.x)
        return config.blocks(rows if several >= rows else max(whole, several // whole * whole))

    def run(self, record: Record, held: DeviceArray | None = None) -> Result:
        return _RowCall(self, record).result(held)

    def sequence(self, rows: int, steps: int, size: int, stream) -> DeviceArray:
        """Return memory for a value of every step, ``(warps, T, size * WARP)``: rows of a warp side by side."""
        return empty((-(-rows // WARP), steps, size * WARP), self.dtype, stream)

    def _shared_words(self) -> str:
        if self._last is None:
            return "on the GPU: how many threads a block has is chosen at the first call"
        rows, config, _ = self._last
        blocks = self.blocks(rows, config)
        several = "" if blocks * config.x >= rows else ", each for row after row"
        return f"on the GPU, for {rows} rows: {blocks} blocks of {config.x} threads{several}"


class _RowCall(Call):
    program: CudaRowProgram

    def _launch(self, states, outputs, last, kept) -> list:
        program = self.program
        config, variant = program.chosen(self.rows)
        program._last = self.rows, config, variant
        self._bind(states, outputs, last, kept)
        blocks = program.blocks(self.rows, config)
        warps = -(-blocks * config.x // WARP)
        scratch = empty((warps * WARP * program.scratch,), "uint8", self.stream)
        messages = program.plan.messages
        failures = empty((self.rows * bool(messages),), "int64", self.stream)
        given = {
            ("rows",): self.rows,
            ("scratch",): scratch.address,
            ("failures",): failures.address,
            **self._steps_given(0, self.steps),
        }
        kernel, function = program._loaded(STEP, variant)
        table = self._table_of(kernel, given, 0)
        function.launch((blocks,), (config.x,), 0, self.stream, table.address)
        if messages:
            raise_first_of_rows(download(failures, self.stream), self.record, messages)
        return self.final
