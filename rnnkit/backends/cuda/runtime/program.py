"""A step's kernels and the arrays of one call: copies to the GPU, launches, and copies back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rnnkit.backends.cuda.codegen.section import COUNTER_BYTES, Kernel, KernelVariant, States, line
from rnnkit.backends.cuda.memory.array import DeviceArray, copy, download, empty, upload, zeros
from rnnkit.backends.cuda.memory.availability import driver
from rnnkit.backends.cuda.runtime.cost_model import GPU, LaunchConfig, Step, configs, costs, current_gpu
from rnnkit.backends.cuda.runtime.launch import Function
from rnnkit.backends.formulas.table import FORMULAS
from rnnkit.backends.shared.call import Differentiable, GradientExecutor, Record, Result
from rnnkit.backends.shared.failures import checked

from rnnkit.compiler.ir.plan import (  # isort: skip
    AFTER, BLOCK, CALL, OUTPUTS, PER_BLOCK, PLACED, SEQUENCES, STEP, Buffer, Loop, Plan,
)  # fmt: skip

_BLOCK_BYTES = 1 << 28  # of the GPU's memory that a block of steps may take
_ENTRIES = {4: 4, 8: 2}  # that a thread sums at once in sections without states, by bytes of a number
_ENTRY_ROWS = 8  # rows of threads in these sections


@dataclass(eq=False)
class CudaProgram(Differentiable):
    """A step's kernels that run over records."""

    plan: Plan
    write: Callable[[int, KernelVariant], Kernel]  # a section's text
    load: Callable[[str], Function]  # the kernel of a text
    prepack: Callable[[dict[str, np.ndarray]], list]  # arrays that depend on weights alone, as `plan.prepacked`
    states: States
    dtype: np.dtype
    show: Callable[[], str]  # graph and plan as text
    words: str = ""
    how: str = "traced, on a GPU"
    reason: str = "the step was recorded as a graph, from which rnnkit compiles loops over many rows at once"
    gradient: Callable[[CudaProgram], GradientExecutor] | None = None
    gpu: GPU | None = None
    config: LaunchConfig | None = None  # for tests: in place of the one that is chosen
    placing: str | None = None
    keeps_start = False  # whether a kept state stands before the first step, too
    _kernels: dict[tuple[int, KernelVariant], Kernel] = field(default_factory=dict)
    _ran: dict[tuple[int, KernelVariant], Kernel] = field(default_factory=dict)
    _bound: tuple = (None, None)
    _tables: dict = field(default_factory=dict)
    _last: tuple[int, LaunchConfig, KernelVariant] | None = None
    _choices: dict[tuple, tuple[LaunchConfig, KernelVariant]] = field(default_factory=dict)

    def __post_init__(self):
        plan = self.plan
        self.sections = sorted({stage.section for stage in plan.stages} | {STEP})
        self._step = step_of(plan, self.dtype.itemsize)
        self._sizes = [math.prod(shape) for shape in plan.state_shapes]
        self._output = math.prod(plan.output_shape)
        self._late = any(b.kind == "result" for b in plan.buffers)

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how the step runs and the plan in words; or graph and plan, the kernels that ran, or both."""
        if source or graph:
            kernels = [kernel.text for kernel in self._ran.values()] if source else []
            return "\n\n".join([*([self.show()] if graph else []), *kernels])
        return f"{self.how}: {self.reason}\n{self.words}\n{self._shared_words()}"

    def current_gpu(self) -> GPU:
        return self.gpu or current_gpu()

    def chosen(self, rows: int) -> tuple[LaunchConfig, KernelVariant]:
        """Return the config and the variant of the time loop for so many rows."""
        key = rows, self.gpu or driver().current_device(), self.config, self.placing
        if key not in self._choices:
            self._choices[key] = self._choose(rows)
        return self._choices[key]

    def config_for(self, section: int, rows: int) -> tuple[LaunchConfig, KernelVariant]:
        """Return the config and the variant of a section; those without states have many entries, and one choice."""
        if section == STEP:
            return self.chosen(rows)
        gpu = self.current_gpu()
        sums, y = _ENTRIES[self.dtype.itemsize], min(_ENTRY_ROWS, gpu.threads)
        config = LaunchConfig(sums, sums * y, 1, max(1, min(32, gpu.threads // y)), y)
        variant = KernelVariant(rows=sums, staged=True)
        fits = self._kernel(section, variant).shared_bytes(config.tile, y, 1) <= gpu.shared
        return config, variant if fits else KernelVariant(rows=sums)

    def _choose(self, rows: int) -> tuple[LaunchConfig, KernelVariant]:
        gpu = self.current_gpu()
        best: tuple[float, LaunchConfig, KernelVariant] | None = None
        for config in [self.config] if self.config else configs(gpu, rows, self._step.units):
            for placing in [self.placing] if self.placing else _PLACINGS:
                shared = placing.startswith("shared")
                if config.parts > 1 and shared:
                    continue  # other blocks read the states
                if config.rows * self._step.item > (16 if shared else 8) and not self.config:
                    continue  # registers would be spilled: addresses in global memory take two for each row
                variant = self._variant(config, placing)
                kernel = self._kernel(STEP, variant)
                if kernel.shared_bytes(config.tile, config.y, config.parts) > gpu.shared:
                    continue
                cost = sum(costs(self._step, gpu, config, rows, variant.weights, variant.shared).values())
                cost += _PLACINGS.index(placing)  # the first of those that cost the same
                if best is None or cost < best[0]:
                    best = cost, config, variant
        if best is None:
            config = self.config or next(configs(gpu, rows, self._step.units))
            return config, self._variant(config, "global")
        return best[1:]

    def _variant(self, config: LaunchConfig, placing: str) -> KernelVariant:
        shared, staged = placing.startswith("shared"), not placing.startswith("global")
        return KernelVariant(rows=config.rows, shared=shared, staged=staged, weights=placing.endswith("weights"))

    def _kernel(self, section: int, variant: KernelVariant) -> Kernel:
        key = section, variant
        if key not in self._kernels:
            self._kernels[key] = self.write(section, variant)
        return self._kernels[key]

    def _loaded(self, section: int, variant: KernelVariant) -> tuple[Kernel, Function]:
        kernel = self._ran[section, variant] = self._kernel(section, variant)
        return kernel, self.load(kernel.text)

    def _prepacked(self, weights, stream) -> dict:
        """Return the arrays that depend on weights alone, on the GPU, uploaded again when a weight was replaced.

        The GPU is waited for, so that calls in any stream may read the arrays, and none reads those that they replace.
        """
        bound, arrays = self._bound
        given = (driver().current_device(), *weights.values())
        if bound is None or len(bound) != len(given) or any(a is not b for a, b in zip(bound, given, strict=True)):
            arrays = {}
            for buffer, found in zip(self.plan.prepacked, self.prepack(weights), strict=True):
                parts = found if isinstance(found, dict) else {"at": found}
                arrays |= {(what, buffer): upload(array, stream) for what, array in parts.items()}
            driver().wait_for_all()
            self._bound = given, arrays
        return arrays

    def run(self, record: Record, held: DeviceArray | None = None) -> Result:
        """Return the results of one call, on the GPU if x is, else on the host; `StepFailed` if a row fails at a step.

        Masked steps at the start show what is `held`, or zeros.
        """
        if not self.plan.messages:
            return Call(self, record).result(held)

        def codes(shape):
            return zeros(shape, self.dtype, record.stream)

        return checked(lambda one: Call(self, one).result(held), record, self.plan.messages, codes)

    def sequence(self, rows: int, steps: int, size: int, stream) -> DeviceArray:
        """Return memory for a value of every step: ``(B, T, elements)``, a step's rows side by side."""
        width = line(size, self.dtype.itemsize) // self.dtype.itemsize
        return empty((steps, rows, width), self.dtype, stream).swapaxes(0, 1)

    def _shared_words(self) -> str:
        if self._last is None:
            return "on the GPU: how rows and units are shared is chosen at the first call"
        rows, config, variant = self._last
        blocks = -(-rows // config.tile)
        lines = [
            f"on the GPU, for {rows} rows: {blocks * config.parts} blocks of {config.x} x {config.y} threads",
            f"  rows per block: {config.tile}, of which a thread sums {config.rows} at once",
            f"  recurrent weights: {'shared memory' if variant.weights else 'read from the cache at every step'}",
            f"  states: {'shared memory' if variant.shared else 'global memory'}",
            f"  units: split over {config.parts} blocks, which wait for each other in every step; launched together"
            if config.parts > 1
            else "  units: all in one block, no grid synchronisation",
        ]
        return "\n".join(lines)


class Call:
    """One call: arrays on the GPU, and launches in the order of a stream."""

    def __init__(self, program: CudaProgram, record: Record):
        self.program, self.record = program, record
        self.stream = record.stream
        self.on_gpu = isinstance(record.x, DeviceArray)
        self.rows, self.steps = record.x.shape[:2]
        self.copied_back: list = []
        self.initial: list[DeviceArray] = []
        self.final: list[DeviceArray] = []

    def result(self, held) -> Result:
        program, record, plan = self.program, self.record, self.program.plan
        states = [self._given(state, program.dtype) for state in record.states]
        lead = (self.rows, self.steps)
        outputs = None
        if record.sequences:
            place, shape = record.place, (*lead, *plan.output_shape)
            outputs = place if isinstance(place, DeviceArray) else empty(shape, program.dtype, self.stream)
        shape = (self.rows, *plan.output_shape)
        last = zeros(shape, program.dtype, self.stream) if held is None else copy(held, self.stream)
        kept = None
        if record.trajectory:
            kept = tuple(empty((*lead, *shape), program.dtype, self.stream) for shape in plan.state_shapes)
        if self.rows and self.steps:
            states = self._launch(states, outputs, last, kept)
        return self._back(outputs, last, states, kept)

    def _given(self, array, dtype) -> DeviceArray:
        """Return an array of the record on the GPU; its rows may have any stride."""
        if isinstance(array, DeviceArray):
            return array
        return upload(np.ascontiguousarray(array, dtype), self.stream)

    def _back(self, outputs, last, states, kept) -> Result:
        if self.on_gpu:
            return Result(outputs, last, tuple(states), kept)
        found = Result(
            None if outputs is None else download(outputs, self.stream),
            download(last, self.stream),
            tuple(download(state, self.stream) for state in states),
            None if kept is None else tuple(download(array, self.stream) for array in kept),
        )
        for placed, array in self.copied_back:
            placed[...] = download(array, self.stream)
        return found

    def _launch(self, states, outputs, last, kept) -> list:
        """Run all sections, a block of steps at a time; return the states at the end."""
        program, plan, stream = self.program, self.program.plan, self.stream
        config, variant = program.chosen(self.rows)
        program._last = self.rows, config, variant
        block = self._block()
        self._bind(states, outputs, last, kept)
        for buffer in plan.buffers:
            if buffer.kind == "scratch":
                self.arrays["at", buffer] = self._scratch(buffer, block, variant)
        for i, (now, new) in enumerate(zip(*program.states, strict=True)):
            if not variant.shared:
                row = line(program._sizes[i], program.dtype.itemsize)
                for buffer in (now, new):
                    self.arrays["at", buffer] = empty((self.rows, row), np.uint8, stream)
        row = line(program._output, program.dtype.itemsize)
        staged = self.mask is not None or outputs is None
        self.stage = empty((self.rows, row), np.uint8, stream) if staged and not program._late else None
        if CALL in program.sections:
            self._entries(CALL, self.rows, 1, 0)
        for start in range(0, self.steps, block):
            count = min(block, self.steps - start)
            if BLOCK in program.sections:
                self._entries(BLOCK, self.rows * count, count, start)
            self._steps(config, variant, start, count)
            if AFTER in program.sections and outputs is not None:
                self._entries(AFTER, self.rows * count, count, start)
            self.initial = self.final
        return self.final

    def _bind(self, states, outputs, last, kept) -> None:
        """Bring a call's arrays to the GPU, in processing order, and make room for its states at the end."""
        program, record = self.program, self.record
        x = self._given(record.x, program.dtype)
        x = x[:, ::-1] if record.reverse else x
        self.mask = None
        if record.mask is not None:
            mask = self._given(record.mask, np.bool_)
            self.mask = mask[:, ::-1] if record.reverse else mask
        self.arrays = dict(program._prepacked(record.weights, self.stream))
        for buffer in program.plan.buffers:
            if buffer.kind == "x":
                self.arrays["at", buffer] = x
            elif buffer.kind == "constant":
                self.arrays["at", buffer] = self._contiguous(record.constants[buffer.attr])
            elif buffer.kind == "draw":
                self.arrays["at", buffer] = self._contiguous(record.draws[buffer.attr])
            elif buffer.kind in SEQUENCES:
                self.arrays["at", buffer] = self._placed(record.placed[buffer.attr], buffer)
            elif buffer.kind in OUTPUTS:
                self.arrays["at", buffer] = outputs
        self.last, self.outputs, self.kept = last, outputs, kept
        self.initial = [self._contiguous(state) for state in states]
        self.final = [empty(state.shape, program.dtype, self.stream) for state in states]

    def _block(self) -> int:
        row = sum(line(b.size, self.program.dtype.itemsize) for b in self.program.plan.buffers if _per_block(b))
        return max(1, min(self.steps, _BLOCK_BYTES // max(1, self.rows * row)))

    def _table(self, table) -> DeviceArray:
        known, key = self.program._tables, (driver().current_device(), id(table))
        if key not in known:
            known[key] = table, upload(table, self.stream)
            driver().wait(self.stream)
        return known[key][1]

    def _contiguous(self, array) -> DeviceArray:
        array = self._given(array, self.program.dtype)
        return array if array.contiguous else copy(array, self.stream)

    def _placed(self, array, buffer: Buffer) -> DeviceArray:
        if isinstance(array, DeviceArray):
            return array
        found = upload(array, self.stream)
        if buffer.is_written:
            self.copied_back.append((array, found))
        return found

    def _scratch(self, buffer: Buffer, block: int, variant: KernelVariant) -> DeviceArray | None:
        if buffer.section == STEP and variant.shared:
            return None
        row = line(buffer.size, self.program.dtype.itemsize)
        if _per_block(buffer):
            return empty((block, self.rows, row), np.uint8, self.stream).swapaxes(0, 1)
        return empty((self.rows, row), np.uint8, self.stream)

    def _number(self, what, start) -> int:
        """Return the value of a table's entry, for steps from `start` on."""
        kind, key = what[0], what[-1]
        if kind in ("at", "values", "indices", "counts"):
            array = self.arrays[kind, key]
            if array is None:
                return 0
            moves = isinstance(key, Buffer) and key.kind in (*PLACED, "result")
            return array.address + (start * array.strides[1] if moves else 0)
        array = self.arrays["at", key]
        return 0 if array is None else array.strides[0 if kind == "row" else 1]

    def _table_of(self, kernel: Kernel, given: dict, start: int) -> DeviceArray:
        numbers = []
        for what in kernel.slots:
            if isinstance(what, np.ndarray):
                numbers.append(self._table(what).address)
            elif isinstance(what, int):
                numbers.append(what)
            else:
                numbers.append(given[what] if what in given else self._number(what, start))
        return upload(np.array(numbers, np.int64), self.stream)

    def _array_given(self, array, start, name: str, *key) -> dict:
        """Return an array's address from a step on, and its bytes to the next row and step; zeros for None."""
        numbers = (0, 0, 0) if array is None else (array.address + start * array.strides[1], *array.strides[:2])
        return {(name + end, *key): number for end, number in zip(("", "_row", "_step"), numbers, strict=True)}

    def _entries(self, section: int, entries: int, count: int, start: int) -> None:
        config, variant = self.program.config_for(section, self.rows)
        kernel, function = self.program._loaded(section, variant)
        given = {("entries",): entries, ("tile",): config.tile, ("count",): count}
        given |= self._array_given(self.mask, start, "mask")
        table = self._table_of(kernel, given, start)
        shared = kernel.shared_bytes(config.tile, config.y, 1)
        function.launch((-(-entries // config.tile),), (config.x, config.y), shared, self.stream, table.address)

    def _steps_given(self, start: int, count: int) -> dict:
        """Return the table entries of the time loop's kernel for some steps."""
        given: dict[tuple, int] = {
            ("steps",): count,
            ("zero_masked",): int(self.record.zero_masked),
            ("held",): self.last.address,
            **self._array_given(self.outputs, start, "output"),
            **self._array_given(self.mask, start, "mask"),
        }
        for i, (initial, final) in enumerate(zip(self.initial, self.final, strict=True)):
            kept = None if self.kept is None else self.kept[i]
            given["initial", i], given["final", i] = initial.address, final.address
            given |= self._array_given(kept, start, "trajectory", i)
        return given

    def _steps(self, config: LaunchConfig, variant: KernelVariant, start: int, count: int) -> None:
        kernel, function = self.program._loaded(STEP, variant)
        groups = -(-self.rows // config.tile)
        counter = zeros((groups * COUNTER_BYTES,), np.uint8, self.stream) if config.parts > 1 else None
        given = {
            ("all_rows",): self.rows,
            ("tile",): config.tile,
            ("counter",): 0 if counter is None else counter.address,
            ("kept",): int(self.kept is not None),
            ("stage",): 0 if self.stage is None else self.stage.address,
            ("stage_row",): 0 if self.stage is None else self.stage.strides[0],
            **self._steps_given(start, count),
        }
        table = self._table_of(kernel, given, start)
        shared = kernel.shared_bytes(config.tile, config.y, config.parts)
        # Groups along x, where a grid may have 2**31 - 1 blocks: along y it is 65535.
        grid, together = (groups, config.parts), config.parts > 1
        function.launch(grid, (config.x, config.y), shared, self.stream, table.address, together=together)


def step_of(plan: Plan, item: int) -> Step:
    """Return the work of a step in the time loop of a plan."""
    products = [part for part in plan.products() if part.section == STEP]
    loops = [part for part in plan.parts() if part.section == STEP and isinstance(part, Loop)]
    largest = max(products, key=lambda product: product.work, default=None)
    widest = max((b.size for b in plan.buffers if b.kind == "next"), default=1)
    units = max(1, (largest.units or largest.result.size) if largest else widest)
    pointwise = functions = moved = 0
    for loop in loops:
        operations = loop.operations
        buffers = [load.buffer for load in loop.loads] + [b for _, b, _ in loop.writes]
        size = math.prod(loop.dims)
        pointwise += size * len(operations)
        functions += size * sum(op in FORMULAS or op == "divide" for op in operations)
        moved += size * item * sum(b.section != STEP or b.kind in PLACED for b in buffers if b.kind != "prepacked")
    return Step(
        units=units,
        gates=max(1, len(largest.gates)) if largest else 1,
        work=sum(product.work for product in products) or widest,
        item=item,
        barriers=max(1, len([stage for stage in plan.stages if stage.section == STEP])),
        pointwise=-(-pointwise // units),
        functions=-(-functions // units),
        moved=moved,
    )


def _per_block(buffer: Buffer) -> bool:
    return buffer.kind == "scratch" and buffer.section in PER_BLOCK


_PLACINGS = ("shared weights", "shared", "staged weights", "staged", "global")
