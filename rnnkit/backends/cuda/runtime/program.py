"""A step's kernels and the arrays of one call: what goes to the card, what is launched, what comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rnnkit.backends.cuda.codegen.section import COUNTER_BYTES, Form, Kernel, States, line
from rnnkit.backends.cuda.memory.array import DeviceArray, copy, download, empty, upload, zeros
from rnnkit.backends.cuda.memory.driver_choice import driver
from rnnkit.backends.cuda.runtime.cost_model import Card, Cut, Step, costs, current_card, cuts
from rnnkit.backends.cuda.runtime.launch import Function
from rnnkit.backends.cuda.runtime.packing import gates_in_turn, pack, pack_sparse
from rnnkit.backends.formulas.names import FUNCTIONS
from rnnkit.backends.shared.call import Record, Result
from rnnkit.backends.shared.prepack import Layout
from rnnkit.compiler.ir.plan import (
    AFTER,
    BLOCK,
    CALL,
    OUTPUTS,
    PER_BLOCK,
    PLACED,
    SEQUENCES,
    STEP,
    Buffer,
    Loop,
    Plan,
)  # fmt: skip

_BLOCK_BYTES = 1 << 28  # that a block of steps may take of the card's memory
_ENTRIES = {4: 4, 8: 2}  # of what is computed for many steps at once, that a thread sums at once, by bytes of a number
_ENTRY_ROWS = 8  # rows of threads there


@dataclass(eq=False)
class CudaProgram:
    """Runs a step's kernels over records.

    Attributes
    ----------
    plan : rnnkit.compiler.ir.plan.Plan
    write : callable
        ``(section, form) -> Kernel``: a section's text, see `rnnkit.backends.cuda.codegen.kernel_source`.
    load : callable
        From a text to a `rnnkit.backends.cuda.runtime.launch.Function`.
    once : callable
        Weights by name to what depends on them alone, in the order of ``plan.once``.
    states : pair of lists of Buffer
        Where each state is before a step, and after it.
    """

    plan: Plan
    write: Callable[[int, Form], Kernel]
    load: Callable[[str], Function]
    once: Callable[[dict[str, np.ndarray]], list]
    states: States
    dtype: np.dtype
    words: str = ""
    road: str = "road 1, on a card"
    reason: str = "the step was traced as a whole"
    differentiate: Callable | None = None
    card: Card | None = None
    cut: Cut | None = None  # for tests: in place of the one that is chosen
    placing: str | None = None
    _kernels: dict[tuple[int, Form], Kernel] = field(default_factory=dict)
    _ran: dict[tuple[int, Form], Kernel] = field(default_factory=dict)
    _bound: tuple = (None, None)
    _tables: dict = field(default_factory=dict)
    _last: tuple[int, Cut, Form] | None = None
    _choices: dict[tuple, tuple[Cut, Form]] = field(default_factory=dict)

    def __post_init__(self):
        plan = self.plan
        self.sections = sorted({stage.section for stage in plan.stages} | {STEP})
        self._step = step_of(plan, self.dtype.itemsize)
        self._sizes = [math.prod(shape) for shape in plan.state_shapes]
        self._output = math.prod(plan.output_shape)
        self._late = any(b.kind == "result" for b in plan.buffers)

    def explain(self, source: bool = False) -> str:
        """Road, reason and plan in words, or the texts of the kernels that ran."""
        if source:
            return "\n\n".join(kernel.text for kernel in self._ran.values())
        return f"{self.road}: {self.reason}\n{self.words}\n{self._shared_words()}"

    # How a call is shared

    def current_card(self) -> Card:
        """The card that kernels are cut for."""
        return self.card or current_card()

    def chosen(self, rows: int) -> tuple[Cut, Form]:
        """The cut and the form of the time loop for so many rows."""
        key = rows, self.card or driver().current_device(), self.cut, self.placing
        if key not in self._choices:
            self._choices[key] = self._choose(rows)
        return self._choices[key]

    def cut_for(self, section: int, rows: int) -> tuple[Cut, Form]:
        """The cut and the form of any section; what no state touches has many entries, and needs no weighing."""
        if section == STEP:
            return self.chosen(rows)
        card = self.current_card()
        sums, y = _ENTRIES[self.dtype.itemsize], min(_ENTRY_ROWS, card.threads)
        cut = Cut(sums, sums * y, 1, max(1, min(32, card.threads // y)), y)
        form = Form(rows=sums, staged=True)
        fits = self._kernel(section, form).near_bytes(cut.tile, y, 1) <= card.near
        return cut, form if fits else Form(rows=sums)

    def _choose(self, rows: int) -> tuple[Cut, Form]:
        card = self.current_card()
        best: tuple[float, Cut, Form] | None = None
        for cut in [self.cut] if self.cut else cuts(card, rows, self._step.units):
            for placing in [self.placing] if self.placing else _PLACINGS:
                near = placing.startswith("near")
                if cut.parts > 1 and near:
                    continue  # other blocks read the states
                if cut.rows * self._step.item > (16 if near else 8) and not self.cut:
                    continue  # registers would be spilled: addresses in far memory take two for each row
                form = self._form(cut, placing)
                kernel = self._kernel(STEP, form)
                if kernel.near_bytes(cut.tile, cut.y, cut.parts) > card.near:
                    continue
                cost = sum(costs(self._step, card, cut, rows, form.weights, form.near).values())
                cost += _PLACINGS.index(placing)  # the first of those that cost the same
                if best is None or cost < best[0]:
                    best = cost, cut, form
        if best is None:
            cut = self.cut or next(cuts(card, rows, self._step.units))
            return cut, self._form(cut, "far")
        return best[1:]

    def _form(self, cut: Cut, placing: str) -> Form:
        return Form(
            rows=cut.rows,
            near=placing.startswith("near"),
            staged=not placing.startswith("far"),
            weights=placing.endswith("weights"),
        )

    def _kernel(self, section: int, form: Form) -> Kernel:
        key = section, form
        if key not in self._kernels:
            self._kernels[key] = self.write(section, form)
        return self._kernels[key]

    def _loaded(self, section: int, form: Form) -> tuple[Kernel, Function]:
        """A kernel and its function on the current card: `load` knows those that it gave."""
        kernel = self._ran[section, form] = self._kernel(section, form)
        return kernel, self.load(kernel.text)

    # Weights

    def _once(self, weights, stream) -> dict:
        """What depends on weights alone, brought to the card again when one of them was replaced.

        The card is waited for: then calls in any stream may read them, and none reads those that they replace.
        """
        bound, arrays = self._bound
        given = (driver().current_device(), *weights.values())
        if bound is None or len(bound) != len(given) or any(a is not b for a, b in zip(bound, given, strict=True)):
            arrays = {}
            for buffer, found in zip(self.plan.once, self.once(weights), strict=True):
                parts = found if isinstance(found, dict) else {"at": found}
                arrays |= {(what, buffer): upload(array, stream) for what, array in parts.items()}
            driver().wait_for_all()
            self._bound = given, arrays
        return arrays

    # A call

    def run(self, record: Record, held: DeviceArray | None = None) -> Result:
        """The results of one call, on the card if x is, else on the host.

        Masked steps at the start show what is `held`, or zeros.
        """
        return _Call(self, record).result(held)

    def _shared_words(self) -> str:
        """How the time loop of the last call was shared."""
        if self._last is None:
            return "on the card: how rows and units are shared is chosen at the first call"
        rows, cut, form = self._last
        blocks = -(-rows // cut.tile)
        lines = [
            f"on the card, for {rows} rows: {blocks * cut.parts} blocks of {cut.x} x {cut.y} threads",
            f"  rows per block: {cut.tile}, of which a thread sums {cut.rows} at once",
            f"  recurrent weights: {'shared memory' if form.weights else 'read from the cache at every step'}",
            f"  states: {'shared memory' if form.near else 'memory of the card'}",
            f"  units: split over {cut.parts} blocks, which meet in every step; launched together"
            if cut.parts > 1
            else "  units: all in one block, no grid synchronisation",
        ]
        return "\n".join(lines)


class _Call:
    """One call: arrays on the card, and launches in the order of a stream."""

    def __init__(self, program: CudaProgram, record: Record):
        self.program, self.record = program, record
        self.stream = record.stream
        self.on_card = isinstance(record.x, DeviceArray)
        self.rows, self.steps = record.x.shape[:2]
        self.copied_back: list = []

    def result(self, held) -> Result:
        program, record, plan = self.program, self.record, self.program.plan
        states = [self._given(state, program.dtype) for state in record.states]
        lead = (self.rows, self.steps)
        outputs = None
        if record.sequences:
            outputs = self._outputs((*lead, *plan.output_shape))
        shape = (self.rows, *plan.output_shape)
        last = zeros(shape, program.dtype, self.stream) if held is None else copy(held, self.stream)
        kept = None
        if record.trajectory:
            kept = tuple(empty((*lead, *shape), program.dtype, self.stream) for shape in plan.state_shapes)
        if self.rows and self.steps:
            states = self._launch(states, outputs, last, kept)
        return self._back(outputs, last, states, kept)

    def _outputs(self, shape) -> DeviceArray:
        place = self.record.place
        return place if isinstance(place, DeviceArray) else empty(shape, self.program.dtype, self.stream)

    def _given(self, array, dtype) -> DeviceArray:
        """An array of the record on the card; its rows may have any stride."""
        if isinstance(array, DeviceArray):
            return array
        return upload(np.ascontiguousarray(array, dtype), self.stream)

    def _back(self, outputs, last, states, kept) -> Result:
        if self.on_card:
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
        """Run all sections, a block of steps at a time; the states at the end."""
        program, record, plan, stream = self.program, self.record, self.program.plan, self.stream
        cut, form = program.chosen(self.rows)
        program._last = self.rows, cut, form
        block = self._block()
        x = self._given(record.x, program.dtype)
        x = x[:, ::-1] if record.reverse else x
        mask = None
        if record.mask is not None:
            mask = self._given(record.mask, np.bool_)
            mask = mask[:, ::-1] if record.reverse else mask
        self.arrays = dict(program._once(record.weights, stream))
        for buffer in plan.buffers:
            if buffer.kind == "x":
                self.arrays["at", buffer] = x
            elif buffer.kind == "constant":
                self.arrays["at", buffer] = self._contiguous(record.constants[buffer.attr])
            elif buffer.kind == "draw":
                self.arrays["at", buffer] = self._contiguous(record.draws[buffer.attr])
            elif buffer.kind in SEQUENCES:
                self.arrays["at", buffer] = self._placed(record.placed[buffer.attr], buffer)
            elif buffer.kind == "scratch":
                self.arrays["at", buffer] = self._scratch(buffer, block, form)
            elif buffer.kind in OUTPUTS:
                self.arrays["at", buffer] = outputs
        for i, (now, new) in enumerate(zip(*program.states, strict=True)):
            if not form.near:
                row = line(program._sizes[i], program.dtype.itemsize)
                for buffer in (now, new):
                    self.arrays["at", buffer] = empty((self.rows, row), np.uint8, stream)
        row = line(program._output, program.dtype.itemsize)
        staged = mask is not None or outputs is None
        self.stage = empty((self.rows, row), np.uint8, stream) if staged and not program._late else None
        self.mask, self.last, self.outputs, self.kept = mask, last, outputs, kept
        self.initial = [self._contiguous(state) for state in states]
        self.final = [empty(state.shape, program.dtype, stream) for state in states]
        if CALL in program.sections:
            self._entries(CALL, self.rows, 1, 0)
        for start in range(0, self.steps, block):
            count = min(block, self.steps - start)
            if BLOCK in program.sections:
                self._entries(BLOCK, self.rows * count, count, start)
            self._steps(cut, form, start, count)
            if AFTER in program.sections and outputs is not None:
                self._entries(AFTER, self.rows * count, count, start)
            self.initial = self.final
        return self.final

    def _block(self) -> int:
        """How many steps are computed at a time."""
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

    def _scratch(self, buffer: Buffer, block: int, form: Form) -> DeviceArray | None:
        if buffer.section == STEP and form.near:
            return None
        row = line(buffer.size, self.program.dtype.itemsize)
        if _per_block(buffer):
            return empty((block, self.rows, row), np.uint8, self.stream).swapaxes(0, 1)
        return empty((self.rows, row), np.uint8, self.stream)

    # Launches

    def _number(self, what, start) -> int:
        """What a table's entry is, for steps from `start` on."""
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

    def _mask_given(self, start) -> dict:
        if self.mask is None:
            return {("mask",): 0, ("mask_row",): 0, ("mask_step",): 0}
        row, step = self.mask.strides
        return {("mask",): self.mask.address + start * step, ("mask_row",): row, ("mask_step",): step}

    def _entries(self, section: int, entries: int, count: int, start: int) -> None:
        """Compute what no state touches."""
        cut, form = self.program.cut_for(section, self.rows)
        kernel, function = self.program._loaded(section, form)
        given = {("entries",): entries, ("tile",): cut.tile, ("count",): count, **self._mask_given(start)}
        table = self._table_of(kernel, given, start)
        near = kernel.near_bytes(cut.tile, cut.y, 1)
        function.launch((-(-entries // cut.tile),), (cut.x, cut.y), near, self.stream, table.address)

    def _steps(self, cut: Cut, form: Form, start: int, count: int) -> None:
        """Run some steps."""
        program, record = self.program, self.record
        kernel, function = program._loaded(STEP, form)
        groups = -(-self.rows // cut.tile)
        counter = zeros((groups * COUNTER_BYTES,), np.uint8, self.stream) if cut.parts > 1 else None
        outputs = self.outputs
        given = {
            ("all_rows",): self.rows,
            ("tile",): cut.tile,
            ("steps",): count,
            ("counter",): 0 if counter is None else counter.address,
            ("zero_masked",): int(record.zero_masked),
            ("kept",): int(self.kept is not None),
            ("output",): 0 if outputs is None else outputs.address + start * outputs.strides[1],
            ("output_step",): 0 if outputs is None else outputs.strides[1],
            ("held",): self.last.address,
            ("stage",): 0 if self.stage is None else self.stage.address,
            ("stage_row",): 0 if self.stage is None else self.stage.strides[0],
            **self._mask_given(start),
        }
        for i in range(len(program._sizes)):
            kept = None if self.kept is None else self.kept[i]
            given["initial", i], given["final", i] = self.initial[i].address, self.final[i].address
            given["trajectory", i] = 0 if kept is None else kept.address + start * kept.strides[1]
            given["trajectory_row", i] = 0 if kept is None else kept.strides[0]
            given["trajectory_step", i] = 0 if kept is None else kept.strides[1]
        table = self._table_of(kernel, given, start)
        near = kernel.near_bytes(cut.tile, cut.y, cut.parts)
        # Groups along x, where a grid may have 2**31 - 1 blocks: along y it is 65535.
        function.launch((groups, cut.parts), (cut.x, cut.y), near, self.stream, table.address, together=cut.parts > 1)


def step_of(plan: Plan, item: int) -> Step:
    """What the time loop of a plan takes."""
    products = [part for part in plan.products() if part.section == STEP]
    loops = [part for part in plan.parts() if part.section == STEP and isinstance(part, Loop)]
    largest = max(products, key=lambda product: product.work, default=None)
    widest = max((b.size for b in plan.buffers if b.kind == "next"), default=1)
    units = max(1, (largest.units or largest.result.size) if largest else widest)
    pointwise = functions = moved = 0
    for loop in loops:
        operations = [value.op for value in loop.values if value.op not in ("load", "number")]
        buffers = [value.buffer for value in loop.values if value.buffer] + [b for _, b, _ in loop.writes]
        size = math.prod(loop.dims)
        pointwise += size * len(operations)
        functions += size * sum(op in FUNCTIONS or op == "divide" for op in operations)
        moved += size * item * sum(b.section != STEP or b.kind in PLACED for b in buffers if b.kind != "once")
    return Step(
        units=units,
        gates=max(1, len(largest.gates)) if largest else 1,
        work=sum(product.work for product in products) or widest,
        item=item,
        meetings=max(1, len([stage for stage in plan.stages if stage.section == STEP])),
        pointwise=-(-pointwise // units),
        functions=-(-functions // units),
        moved=moved,
    )


def _per_block(buffer: Buffer) -> bool:
    return buffer.kind == "scratch" and buffer.section in PER_BLOCK


def _dense(weight, gates, units) -> np.ndarray:
    return pack(gates_in_turn(weight, gates, units) if gates else weight)


LAYOUT = Layout(lambda array: array, _dense, pack_sparse)
_PLACINGS = ("near weights", "near", "staged weights", "staged", "far")
