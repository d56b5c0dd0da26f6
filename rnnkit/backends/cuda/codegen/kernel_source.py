"""A plan as the text of kernels for numba.cuda: one per section, that of the steps with the time loop inside.

`rnnkit.backends.cuda.codegen.section` has the text that sections share; here are the loops over entries and over time.
"""

from __future__ import annotations

import numpy as np

from rnnkit.backends.cuda.codegen.section import Kernel, KernelVariant, SectionWriter, States
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.plan import AFTER, STEP, Buffer, Plan

HELD = 60  # numbers of a kernel that its threads' registers have room for


class EntriesWriter(SectionWriter):
    """Writer of the kernel of a section that touches no state, for all entries at once."""

    def body(self) -> list[str]:
        for name in ("entries", "tile", "count"):
            self.slot((name,), name)
        self.top += ["first = cuda.blockIdx.x * tile", "rows = min(tile, entries - first)"]
        self.top.append("shared = shared_start(cuda.shared.array(0, float64, 16))")
        body = self.work()
        result = next((b for b in self.plan.buffers if b.kind == "result"), None)
        if self.section == AFTER and result is not None:
            self.slot(("mask",), "mask")
            mask_row, mask_step = self.slot(("mask_row",)), self.slot(("mask_step",))
            size = self.number(result.size)
            zero = self.store(result, f"at + j * {self.item}", f"np.{self.dtype.name}(0)")
            clear = [
                f"if not byte(mask + row * {mask_row} + k * {mask_step}):",
                f"    at = {self.entry(result)}",
                f"    for j in range(x, {size}, nx):",
                f"        {zero}",
            ]
            body += ["if mask != 0:", *indented([*self.barrier(), *self.around_entries(clear)])]
        return body


class TimeLoopWriter(SectionWriter):
    """Writer of the kernel of the steps: all of them for some rows, whose states a block of threads keeps."""

    def body(self) -> list[str]:
        for name in ("all_rows", "tile", "steps", "mask"):
            self.slot((name,), name)
        self.top += [
            "part, parts, barriers = cuda.blockIdx.y, cuda.gridDim.y, 0",
            "first = cuda.blockIdx.x * tile",
            "rows = min(tile, all_rows - first)",
            "shared = shared_start(cuda.shared.array(0, float64, 16))",
        ]
        output = next((b for b in self.plan.buffers if b.kind == "output"), None)
        if output is not None:
            self._open_output(output)
        states = list(zip(self.now, self.new, strict=True))
        for both in states:
            for buffer in both:
                self.base(buffer)
        work = self.work()
        swap = [f"{self.base(a)}, {self.base(b)} = {self.base(b)}, {self.base(a)}" for a, b in states]
        hold = [line for i, both in enumerate(states) for line in self._hold(i, *both)]
        hold += self._hold_residuals()
        if output is not None:
            hold += self._put_output(output)
        some = [
            "some = True",
            "if mask != 0:",
            "    some = False",
            "    for r in range(rows):",
            f"        some = some or {self.used()}",
        ]
        step = [*some, *self.step_top, "if some:", *indented([*work, "pass"])]
        step += [f"if mask != 0 or {self.now_and_then(('kept',))} != 0:", *indented([*self.barrier(), *hold, "pass"])]
        step += [*self.barrier(), *swap]
        begin = [line for i, (now, _) in enumerate(states) for line in self._begin(i, now)]
        end = [line for i, (now, _) in enumerate(states) for line in self._end(i, now)]
        end += self._end_output(output) if output is not None else []
        return [*begin, *self.prologue, *self.barrier(), "for t in range(steps):", *indented(step), *end]

    def used(self) -> str:
        """Return the condition that row r is used in step t, where there is a mask."""
        row, step = self.now_and_then(("mask_row",)), self.now_and_then(("mask_step",))
        return f"byte(mask + (first + r) * {row} + t * {step})"

    def _elements(self, size: str, lines, shared=True) -> list[str]:
        """Return lines for every element of every row, which the parts' threads share."""
        start, stride = ("part * nx + x", "parts * nx") if shared else ("x", "nx")
        return self.around_entries([f"for j in range({start}, {size}, {stride}):", *indented(lines)])

    def _of_state(self, what, i) -> str:
        """Return the address of element j of row r in a call's array of a state."""
        size = self.now_and_then(self.now[i].size * self.item)
        return f"{self.now_and_then((what, i))} + (first + r) * {size} + j * {self.item}"

    def _begin(self, i: int, now: Buffer) -> list[str]:
        value = f"load_{self.dtype.name}({self._of_state('initial', i)})"
        store = self.store(now, f"{self.entry(now)} + j * {self.item}", value)
        return self._elements(self.now_and_then(now.size), [store], not self.variant.shared)

    def _end(self, i: int, now: Buffer) -> list[str]:
        value = self.load(now, f"{self.entry(now)} + j * {self.item}")
        store = f"store_{self.dtype.name}({self._of_state('final', i)}, {value})"
        return self._elements(self.now_and_then(now.size), [store])

    def _hold(self, i: int, now: Buffer, new: Buffer) -> list[str]:
        """Return lines that hold the state of masked rows bit for bit, and store it in the trajectory, if wanted."""
        j = f"j * {self.item}"
        row, step = self.now_and_then(("trajectory_row", i)), self.now_and_then(("trajectory_step", i))
        lines = [
            f"value = {self.load(new, f'{self.entry(new)} + {j}')}",
            f"if mask != 0 and not {self.used()}:",
            f"    value = {self.load(now, f'{self.entry(now)} + {j}')}",
            f"    {self.store(new, f'{self.entry(new)} + {j}', 'value')}",
            f"at = {self.now_and_then(('trajectory', i))}",
            "if at != 0:",
            f"    store_{self.dtype.name}(at + (first + r) * {row} + t * {step} + {j}, value)",
        ]
        return self._elements(self.now_and_then(now.size), lines, not self.variant.shared)

    def _hold_residuals(self) -> list[str]:
        """Return lines that write the old state of masked rows as the residual of the new one."""
        lines = []
        for buffer in self.plan.buffers:
            if buffer.held_state is not None:
                now, j = self.now[buffer.held_state], f"j * {self.item}"
                value = self.load(now, f"{self.entry(now)} + {j}")
                store = self.store(buffer, f"{self.entry(buffer)} + {j}", value)
                lines += self._elements(self.now_and_then(now.size), [f"if not {self.used()}:", f"    {store}"])
        return ["if mask != 0:", *indented(lines)] if lines else []

    # Outputs: straight to the caller's array, or through global memory where rows are masked or no output is wanted

    def _open_output(self, output: Buffer):
        row = self.row(output)
        for name in ("output", "output_step"):
            self.slot((name,), name)
        stage, stage_row = self.now_and_then(("stage",)), self.now_and_then(("stage_row",))
        self.rows_of[output] = "row_output"
        self.top += [
            f"row_output, output_0 = {row}, output + first * {row}",
            "if mask != 0 or output == 0:",
            f"    row_output, output_step, output_0 = {stage_row}, 0, {stage} + first * {stage_row}",
        ]
        self.step_top.append("output_t = output_0 + t * output_step")

    def _put_output(self, output: Buffer) -> list[str]:
        """Return lines that write a step's output to the call's array, with held outputs or zeros in masked rows."""
        j, name = f"j * {self.item}", self.dtype.name
        row, step = self.now_and_then(("row", output)), self.now_and_then(("output_step",))
        lines = [
            f"at = {self._held(output)}",
            f"if {self.used()}:",
            f"    value = {self.load(output, f'output_t + r * row_output + {j}')}",
            f"    store_{name}(at, value)",
            "else:",
            f"    value = load_{name}(at)",
            f"    if {self.now_and_then(('zero_masked',))} != 0:",
            f"        value = np.{name}(0)",
            "if output != 0:",
            f"    store_{name}(output + (first + r) * {row} + t * {step} + {j}, value)",
        ]
        return ["if mask != 0:", *indented(self._elements(self.now_and_then(output.size), lines))]

    def _held(self, output: Buffer) -> str:
        size = self.now_and_then(output.size * self.item)
        return f"{self.now_and_then(('held',))} + (first + r) * {size} + j * {self.item}"

    def _end_output(self, output: Buffer) -> list[str]:
        """Return lines that write the last output, where no mask has held one."""
        value = self.load(output, f"output_t + r * row_output + j * {self.item}")
        store = f"store_{self.dtype.name}({self._held(output)}, {value})"
        lines = self._elements(self.now_and_then(output.size), [store])
        lines = ["output_t = output_0 + (steps - 1) * output_step", *lines]
        return ["if mask == 0 and steps > 0:", *indented(lines)]


def write_kernel(plan: Plan, states: States, name: str, dtype, section: int, variant: KernelVariant) -> Kernel:
    writer = TimeLoopWriter if section == STEP else EntriesWriter
    kernel = writer(plan, states, name, dtype, section, variant).run()
    if len(kernel.slots) <= HELD:
        return kernel
    return writer(plan, states, name, dtype, section, variant, sparing=True).run()


def states_of(plan: Plan) -> States:
    """Return the buffers of all states before a step, and after it."""
    sizes = [int(np.prod(shape)) for shape in plan.state_shapes]
    now = {b.attr: b for b in plan.buffers if b.kind == "state"}
    new = {b.attr: b for b in plan.buffers if b.kind == "next"}
    states = [now.get(i) or Buffer(f"state_{i}", "state", n) for i, n in enumerate(sizes)]
    return states, [new[i] for i in range(len(sizes))]
