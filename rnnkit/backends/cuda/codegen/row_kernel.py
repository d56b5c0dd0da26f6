"""A plan by rows as the text of one kernel: a thread computes a row, one row after another, and of each all steps.

A step's lines are those of the CPU's programs, each for one number: states stay in the thread's registers, a loop ends
when the thread's own row wants no more rounds, and a masked step is skipped. Warps are groups of rows: where arrays of
a step and kept values of every step stand in memory, each number stands side by side for the rows of a warp.
"""

from __future__ import annotations

import math

import numpy as np

from rnnkit.backends.cpu.codegen.row_lines import RowLines
from rnnkit.backends.cuda.codegen.section import Kernel, KernelVariant, kernel_text
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.kinds import FLOATS, INTEGERS, carrier
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS

from rnnkit.compiler.ir.plan import (  # isort: skip
    CALL, OF_CALL, PREPACK, STEP, Branch, Buffer, Check, Element, Fill, Number, Pointwise, Put, RowLine, RowLoop,
    RowPlan, Slot, all_lines,
)  # fmt: skip

WARP = 32
_OF_STEPS = ("x", "sequence")  # kinds of buffers with one row for each step, in arrays of any strides
_SAME = {"load": "fixed", "splat": "fixed"}  # by the read-only cache: no kernel both reads and writes a buffer


class RowKernelWriter(RowLines):
    def __init__(self, plan: RowPlan, name: str, dtype):
        super().__init__(plan, dtype, WARP)
        self.name = name
        self.uniform = set(self.kinds)  # a number is one number
        self.kernel = Kernel(STEP, KernelVariant())
        self.words: dict = {}
        self.sizes = [math.prod(shape) for shape in plan.state_shapes]
        writes = [(b, names) for b, names in plan.writes if not isinstance(names, Slot)]
        self.outputs = next(names for b, names in writes if b.kind == "output")
        self.kept = [(b, names) for b, names in writes if b.kind == "residual"]
        self.next = [(b.attr, names) for b, names in plan.writes if b.kind == "next"]
        loops = [line for line in all_lines(plan.lines) if isinstance(line, RowLoop)]
        going = [loop.going for loop in loops]  # each thread has its own row's number of rounds
        self.slots = [slot for slot in plan.slots if slot not in going]
        self.scratch = sum(self._slot_bytes(slot) for slot in self.slots)  # bytes of a step's arrays for each row

    def run(self) -> Kernel:
        title = f"The step {self.name!r} in {self.dtype.name}: the steps, a thread for each row."
        self.kernel.text = kernel_text(title, self._body())
        return self.kernel

    def _word(self, what) -> str:
        """Return the text of a number of the table, read where it is used."""
        if what not in self.words:
            self.words[what] = f"word(table, {len(self.kernel.slots)})"
            self.kernel.slots.append(what)
        return self.words[what]

    def _named(self, *names: str) -> list[str]:
        return [f"{name} = {self._word((name,))}" for name in names]

    def _body(self) -> list[str]:
        lines = [
            "thread = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x",
            "threads = cuda.gridDim.x * cuda.blockDim.x",
            f"lane = thread % {WARP}",
            *self._named("rows", "steps", "mask", "mask_row", "mask_step", "zero_masked"),
            *self._named("output", "output_row", "output_step"),
        ]
        for i in range(len(self.sizes)):
            lines.append(f"trajectory_{i} = {self._word(('trajectory', i))}")
        for buffer in self.plan.buffers:
            if buffer.kind == "prepacked":
                lines.append(f"at_{buffer.name} = {self._word(('at', buffer))}")
        if self.slots:
            lines.append(f"scratch = {self._word(('scratch',))} + thread // {WARP} * {self.scratch * WARP}")
        before = 0
        for slot in self.slots:
            lines.append(f"slot_{slot.name} = scratch + {before * WARP} + lane * {self._item(slot)}")
            before += self._slot_bytes(slot)
        lines += self._of_section(PREPACK)
        return [*lines, "for row in range(thread, rows, threads):", *indented(self._row())]

    def _slot_bytes(self, slot: Slot) -> int:
        """Return the bytes of a slot for a row; the next slot begins at a multiple of 8."""
        return -(-max(1, slot.size) * self._item(slot) // 8) * 8

    def _of_section(self, *sections: int) -> list[str]:
        return self.text(line for line in self.plan.lines if self._section(line) in sections)

    def _section(self, line: RowLine) -> int:
        if isinstance(line, (Fill, Put)):
            return line.section
        assert not isinstance(line, (Branch, Check)), "plans of lanes have codes, and no jumps"
        return self.plan.sections[line.name]

    def _row(self) -> list[str]:
        item, lines = self.item, []
        for i, size in enumerate(self.sizes):
            lines.append(f"start = {self._word(('initial', i))} + row * {size * item}")
            lines += self._set(i, [f"fixed_{self.dtype.name}({_behind('start', j * item)})" for j in range(size)])
        for buffer in self.plan.buffers:
            if buffer.kind in OF_CALL:
                lines.append(f"at_{buffer.name} = {self._word(('at', buffer))} + row * {buffer.size * item}")
            elif buffer.kind in _OF_STEPS:
                lines.append(f"row_{buffer.name} = {self._word(('at', buffer))} + row * {self._word(('row', buffer))}")
            elif buffer.kind == "residual":
                group = f"row // {WARP} * {self._word(('row', buffer))}"
                lines.append(f"row_{buffer.name} = {self._word(('at', buffer))} + {group} + lane * {item}")
        lines += self._of_section(CALL)
        for buffer, _ in self.kept:
            if buffer.held_state is not None:  # the initial value stands before the first step
                at = f"row_{buffer.name} - {self._word(('step', buffer))}"
                lines += self._stored(at, item * WARP, self._state(buffer.held_state))
        size = len(self.outputs) * item
        held = [f"held_{j}" for j in range(len(self.outputs))]
        lines.append(f"last = {self._word(('held',))} + row * {size}")
        lines += [f"{name} = load_{self.dtype.name}({_behind('last', j * item)})" for j, name in enumerate(held)]
        if self.plan.messages:
            lines.append("failed = 0")
        lines += ["for t in range(steps):", *indented(self._step())]
        lines += self._stored("last", item, held)
        for i, size in enumerate(self.sizes):
            lines += self._stored(f"{self._word(('final', i))} + row * {size * item}", item, self._state(i))
        if self.plan.messages:
            lines.append(f"store_int64({self._word(('failures',))} + row * 8, failed)")
        return lines

    def _step(self) -> list[str]:
        lines = ["used = True", "if mask != 0:", "    used = byte(mask + row * mask_row + t * mask_step)"]
        for buffer in self.plan.buffers:
            if buffer.kind in (*_OF_STEPS, "residual"):
                lines.append(f"at_{buffer.name} = row_{buffer.name} + t * {self._word(('step', buffer))}")
        lines += ["if used:", *indented(self._used() or ["pass"])]
        for buffer, _ in self.kept:
            if buffer.held_state is not None:
                lines += self._stored(f"at_{buffer.name}", self.item * WARP, self._state(buffer.held_state))
        return [*lines, *self._shown(), *(["if failed != 0:", "    break"] if self.plan.messages else [])]

    def _used(self) -> list[str]:
        """Return lines for a used step: its values, its failures, the new states and the residuals."""
        states = [line for line in self.plan.lines if isinstance(line, Element) and line.buffer.kind == "state"]
        states = [line for line in states if line.buffer.attr not in self.plan.resident]
        lines = [f"{line.name} = now_{line.buffer.attr}_{line.index}" for line in states]
        number = f"np.{self.dtype.name}"
        if self.plan.messages:
            lines.append(f"failing = {number}(0)")
        lines += self.text(line for line in self.plan.lines if self._section(line) not in (PREPACK, CALL))
        if self.plan.code:
            lines += ["if failing == 0:", f"    failing = {self.full(self.plan.code)}"]
        if self.plan.messages:  # the first step at which a row fails, and its message's code
            lines += ["if failing != 0 and failed == 0:", f"    failed = t * {self.codes} + to_int64(failing)"]
        for buffer, names in self.kept:
            if buffer.held_state is None:
                lines += self._stored(f"at_{buffer.name}", self.item * WARP, [self.full(name) for name in names])
        lines += [f"held_{j} = {self.full(name)}" for j, name in enumerate(self.outputs)]
        new = {}
        for i, after in self.next:
            if not isinstance(after, Slot):
                new[i] = [self.full(name) for name in after]
            elif after is not self.plan.resident[i]:
                new[i] = self._in_slot(after, self.sizes[i])
        for i, numbers in new.items():
            lines += [f"after_{i}_{j} = {number}" for j, number in enumerate(numbers)]
        for i, numbers in new.items():
            lines += self._set(i, [f"after_{i}_{j}" for j in range(len(numbers))])
        return lines

    @property
    def codes(self) -> int:
        """Factor of a step's place in a row's failure, to which the message's code is added."""
        return len(self.plan.messages) + 1

    def _shown(self) -> list[str]:
        """Return lines that store the output and the states, where they are wanted."""
        lines = ["at = output + row * output_row + t * output_step"]
        for j in range(len(self.outputs)):
            zero = f"np.{self.dtype.name}(0)"
            lines += [f"shown = held_{j}", "if zero_masked != 0 and not used:", f"    shown = {zero}"]
            lines += self._stored("at", self.item, ["shown"], j)
        lines = ["if output != 0:", *indented(lines)] if self.outputs else []
        for i in range(len(self.sizes)):
            row, step = self._word(("trajectory_row", i)), self._word(("trajectory_step", i))
            at = f"trajectory_{i} + row * {row} + t * {step}"
            stored = self._stored(at, self.item, self._state(i))
            lines += [f"if trajectory_{i} != 0:", *indented(stored)] if stored else []
        return lines

    def _state(self, i: int) -> list[str]:
        if i in self.plan.resident:
            return self._in_slot(self.plan.resident[i], self.sizes[i])
        return [f"now_{i}_{j}" for j in range(self.sizes[i])]

    def _in_slot(self, slot: Slot, size: int) -> list[str]:
        load, step = self._function("load", slot), self._item(slot) * WARP
        return [f"{load}({_behind(f'slot_{slot.name}', j * step)})" for j in range(size)]

    def _set(self, i: int, numbers: list[str]) -> list[str]:
        slot = self.plan.resident.get(i)
        if slot is None:
            return [f"now_{i}_{j} = {number}" for j, number in enumerate(numbers)]
        return self._stored(f"slot_{slot.name}", self._item(slot) * WARP, numbers)

    def _stored(self, at: str, step: int, numbers: list[str], first: int = 0) -> list[str]:
        """Return lines that store numbers of the layer's dtype at an address, `step` bytes apart."""
        store = f"store_{self.dtype.name}"
        return [f"{store}({_behind(at, j * step)}, {number})" for j, number in enumerate(numbers, first)]

    def place(self, place: Slot | Buffer) -> tuple[str, bool]:
        """Return the address of a row's array, and whether its numbers are contiguous for the rows of a warp."""
        if isinstance(place, Slot):
            return super().place(place)
        return f"at_{place.name}", place.kind == "residual"

    def element(self, line: Element) -> str:
        at, _ = self._address(line.buffer, line.index, 0, "")
        return f"{self._function('splat', line.buffer)}({at})"

    def _function(self, word: str, place: Slot | Buffer) -> str:
        kind = carrier(place.kind) if isinstance(place, Slot) else place.elements
        word = word if isinstance(place, Slot) else _SAME[word]
        return f"{word}_{self.dtype.name if kind == 'float' else kind}"

    def _address(self, place: Slot | Buffer, offset: int, stride: int, index: str) -> tuple[str, str]:
        at, side_by_side = self.place(place)
        step = self._item(place) * (WARP if side_by_side else 1)
        at = _behind(at, offset * step)
        return f"{at} + to_int64({index}) * {stride * step}" if index else at, ""

    def _put_element(self, line: Put) -> list[str]:
        at, _ = self._address(line.slot, line.offset, line.stride, line.index)
        put = f"{self._function('store', line.slot)}({at}, {self.full(line.value)})"
        return [f"if {line.under}:", f"    {put}"] if line.under else [put]

    def full(self, name: str) -> str:
        """Return a value as it is stored in memory."""
        return f"to_float_{self.dtype.name}({name})" if self.kinds[name] == "bool" else name

    def _value(self, line) -> str:
        if not isinstance(line, Number) or line.kind == "bool":
            return super()._value(line)
        return self._number(line.number, carrier(line.kind))

    def _number(self, number, kind: str) -> str:
        text = repr(number) if np.isfinite(number) else f"np.{number}"
        return f"np.{self.dtype.name if kind == 'float' else kind}({text.replace('np.-', '-np.')})"

    def _operation(self, line: Pointwise) -> str:
        """Return the text of an operation by its word, which is never contracted."""
        if line.op == "same":
            return line.args[0]
        kind, given = line.kind, self.kinds[line.args[-1]]
        if line.op == "cast":
            return self._cast(line.args[0], given, kind)
        word = f"to_float_{self.dtype.name}" if line.op == "to_float" else line.op
        integers = given in INTEGERS and line.op in INTEGER_OPERATIONS
        if integers and INTEGER_OPERATIONS[line.op].text.startswith("integer_"):
            word = f"integer_{word}"
        text = f"{word}({', '.join(line.args)})"
        if kind == "float32":
            return f"round_float32({text})"
        return _wrapped(text, kind) if integers else text

    def _cast(self, name: str, given: str, kind: str) -> str:
        if kind in FLOATS:
            text = f"from_integer_{self.dtype.name}({name})" if given in INTEGERS else self.full(name)
            return f"round_float32({text})" if kind == "float32" else text
        if given == "bool":
            return f"where({name}, {self._number(1, carrier(kind))}, {self._number(0, carrier(kind))})"
        return _wrapped(f"to_{carrier(kind)}({name})", kind)

    def exceeded(self, loop: RowLoop, going: str) -> list[str]:
        """Return lines for a row that reached the loop's limit of rounds."""
        return ["if failing == 0:", f"    failing = np.{self.dtype.name}({loop.code})"]


def _behind(address: str, distance: int) -> str:
    return f"{address} + {distance}" if distance else address


def _wrapped(text: str, kind: str) -> str:
    """Return an integer's text, cut to a kind of fewer bits than the one that it is computed in."""
    return text if kind not in INTEGERS or kind == carrier(kind) else f"wrap_{kind}({text})"
