"""A plan as source text in the language of programs: one function per loop, and one that runs the stages over time.

The text holds no sizes. Counts, offsets and strides are read from an array ``n``, addresses from an array ``p``, so
that layers of one cell share one program whatever their sizes; `Source` says what stands where.
"""

from __future__ import annotations

import re

import numpy as np

from rnnkit.backends.cpu.codegen.stages import Stages
from rnnkit.backends.cpu.codegen.tables import HEAD, MOVED, POINTERS, Source
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.kinds import INTEGERS
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, OPERATIONS
from rnnkit.compiler.ir.plan import AFTER, BLOCK, CALL, OF_CALL, PER_BLOCK, STEP, SparseProduct

_MASK_T = "mask + t * mask_step, mask_row"  # where the mask of a step is, and bytes from row to row


class SourceWriter(Stages):
    """Writes the program of one plan."""

    def run(self) -> Source:
        """Return the text and what its arguments hold."""
        self.name_buffers()
        calls = {section: self.section(section) for section in (CALL, BLOCK, STEP, AFTER)}
        text = self._module(self._driver(calls))
        step = self.name.removesuffix(", adjoint")
        title = step if step == self.name else f"the gradient of {step}"
        return Source(text, self.pointers, self.numbers, self.placed, self.row_bytes, self.gaps, title)

    def _driver(self, calls: dict[int, list[str]]) -> list[str]:
        """Return the body of ``run``, with the stages of each section."""
        pairs = [(f"at_{now.name}", f"at_{new.name}") for now, new in zip(self.now, self.new, strict=True)]
        swap = [f"{now}, {new} = {new}, {now}" for now, new in pairs]
        return [
            *self._arguments(),
            *self._memory(),
            *self.top,
            "used = rows",
            *calls[CALL],
            *self._start(swap),
            "while start < steps:",
            *indented(self._block(calls, swap)),
            *(["drain()"] if self.streamed else []),
            "if part == 0:",
            *indented(self._finish()),
        ]

    def _arguments(self) -> list[str]:
        """Return lines that read ``p`` and ``n``; addresses are those of the first row."""
        names = {"x_row": "row_x", "output_row": "given_row"}
        lines = [f"{names.get(name, name)} = word(n, {i})" for i, name in enumerate(HEAD)]
        lines += [f"{name} = {self.pointer(name)}" for name in POINTERS]
        if any(isinstance(product, SparseProduct) for product in self.plan.products()):
            lines.append(f"sparse_product = {self.pointer('sparse_product')}")
        size, out_row = self.number(self.output.size * self.item), self.number(self.line(self.output.size))
        lines += [
            "own = first",
            "if order != 0:",
            "    own = 0",
            "    order += 8 * first",
            "staged = mask != 0 or barrier != 0 or output == 0",
            "wanted = output != 0",
            f"size, row_out = {size}, {out_row}",
            "x += own * row_x",
            "output += own * given_row",
            "last += own * size",
            "mask += first * mask_row",
        ]
        for i, shape in enumerate(self.plan.state_shapes):
            lines += [
                f"size_{i} = {self.number(int(np.prod(shape)) * self.item)}",
                f"initial_{i} = {self.pointer(('initial', i))} + own * size_{i}",
                f"final_{i} = {self.pointer(('final', i))} + own * size_{i}",
                f"trajectory_{i} = {self.pointer(('trajectory', i))}",
                f"if trajectory_{i} != 0:",
                f"    trajectory_{i} += own * {self._strides(i)[0]}",
            ]
        for buffer in self.plan.buffers:
            if buffer.kind == "prepacked":
                lines.append(f"at_{buffer.name} = {self.pointer(buffer)}")
            elif buffer.kind in OF_CALL:
                lines.append(f"at_{buffer.name} = {self.pointer(buffer)} + first * {self.row(buffer)}")
        for i, buffer in enumerate(self.placed, len(self.plan.state_shapes)):
            name = buffer.name
            lines.append(f"row_{name}, step_{name} = {', '.join(self._strides(i))}")
            lines.append(f"at_{name} = {self.pointer(buffer)} + first * row_{name}")
        return lines + [f"table_{i} = {self.pointer(table)}" for i, table in enumerate(self.tables)]

    def _strides(self, i: int) -> tuple[str, str]:
        """Return the bytes from row to row and step to step of trajectory i; behind those, of what is placed."""
        at = len(HEAD) + 2 * i
        return f"word(n, {at})", f"word(n, {at + 1})"

    def _start(self, swap: list[str]) -> list[str]:
        """Return lines with which part 0 takes the initial states and goes ahead; others join it where it then is."""
        join = [
            "joined = arrive(team, barrier, part)",
            "if joined < 0:",
            "    return",
            "parts = all_parts",
            "start, turn = joined // 2, joined % 2",
            *(["if turn == 1:", *indented(swap)] if swap else []),
        ]
        return [
            "if part == 0:",
            *indented([*self.initial(), "if mask != 0:", "    clear_bytes(held, rows * row_out)"]),
            "all_parts, parts = parts, 1",
            "phase, start, turn, used_before, moved, cut = 1, 0, 0, rows, 0, 0",
            f"{', '.join(MOVED.values())} = 0, 0, 0",
            *(f"{line.split(' = ')[0]} = 0" for line in self.cuts),
            "if part > 0:",
            *indented(join),
        ]

    def initial(self, order="order") -> list[str]:
        """Return lines that bring the states of a call to where the first step reads them."""
        places = enumerate(self.states_now())
        return [f"take_rows(shared, rows, {order}, size_{i}, initial_{i}, size_{i}, {place})" for i, place in places]

    def final(self, order="order") -> list[str]:
        """Return lines that bring the states after the last step to the call's arrays."""
        places = enumerate(self.states_now())
        return [f"put_rows(shared, rows, {order}, size_{i}, {place}, final_{i}, size_{i})" for i, place in places]

    def _block(self, calls: dict[int, list[str]], swap: list[str]) -> list[str]:
        """Return lines for a block of steps."""
        x_bytes = self.number(self.x.size * self.item)
        admit = "admit(team, barrier, all_parts, start, turn, first_patience if start == 0 else 0)"
        return [
            *self.move(BLOCK),
            f"if {MOVED[BLOCK]} != {MOVED[STEP]}:",  # a part that was left may still read the block before
            f"    {MOVED[BLOCK]} = {MOVED[STEP]}",
            f"    staged_x += {MOVED[STEP]}",
            "count = min(block, steps - start)",
            f"if barrier != 0 and parts == 1 and {admit} != 0:",
            "    parts = all_parts",
            "most = rows",
            "if mask != 0:",
            "    most = most_used(shared, rows, mask + start * mask_step, mask_row, mask_step, count)",
            "x_block = x + start * x_step",
            "if order != 0:",
            "    x_block = staged_x",
            "    for k in range(count):",
            "        given_t = x + (start + k) * given_step",
            f"        take_rows(shared, most, order, {x_bytes}, given_t, given_x, staged_x + k * x_step, row_x)",
            *calls[BLOCK],
            *self.wait_for_all(BLOCK),
            "k = 0",
            "while k < count:",
            *indented([*self._time_step(calls[STEP], swap), "k += 1"]),
            *self._after(calls[AFTER]),
            "start += count",
        ]

    def _finish(self) -> list[str]:
        """Return lines with which part 0 brings the last output and the final states to the call's arrays."""
        return [
            "if mask != 0:",
            "    put_rows(shared, rows, order, size, held, row_out, last, size)",
            "elif staged:",
            "    put_rows(shared, rows, order, size, at_output + (1 - turn) * rows * row_out, row_out, last, size)",
            "else:",
            "    put_rows(shared, rows, 0, size, output + (steps - 1) * output_step, given_row, last, size)",
            *self.final(),
            "if barrier != 0:",
            "    close(team, barrier)",
        ]

    def _memory(self) -> list[str]:
        """Return lines that divide the scratch memory, whose second half is for part 0 where threads share steps."""
        x_line = self.number(self.line(self.x.size))
        lines = [
            "given_x, given_step = row_x, x_step",
            "begin, staged_x = scratch, scratch",
            "if order != 0:",
            f"    row_x, x_step = {x_line}, rows * {x_line}",
            "    scratch += block * x_step",
        ]

        placed = []

        def place(name, row, steps=""):
            lines.extend([f"{name} = scratch", f"scratch += rows * {row}{steps}"])
            if self.gap:
                placed.append(f"allow({name}, scratch - {name} + {self.vector_bytes}, scratch - {name})")
                lines.extend([placed[-1], f"scratch += {self.gap}"])

        for section, buffers in self.scratch.items():
            for buffer in buffers:
                place(f"at_{buffer.name}", self.row(buffer), " * block" if section in PER_BLOCK else "")
        for buffer in self.now + self.new:
            place(f"at_{buffer.name}", self.row(buffer))
        replaced = [f"    at_{self.new[i].name} = at_{self.now[i].name}" for i in sorted(self.plan.in_place)]
        lines += ["if mask == 0 and barrier == 0:", *replaced] if replaced else []
        place("held", "row_out")
        place("at_output", "2 * row_out")
        lines.append("spare = scratch - begin")
        if self.gap:
            staged = f"staged_x, {x_line} * block * rows, {x_line} * block * rows"
            again = [line.replace("allow(", "allow(spare + ", 1) for line in placed]
            lines += ["if spare > memory:", "    refuse()", "if order != 0:", f"    allow({staged})"]
            lines += [
                "if barrier != 0:",
                *indented(again),
                "if barrier != 0 and order != 0:",
                f"    allow(spare + {staged})",
            ]
        return lines

    def _time_step(self, stages: list[str], swap: list[str]) -> list[str]:
        """Return lines for one step of all rows."""
        put = self._put_output() + self._put_states() + self._hold_residuals()
        cut = ["if cut != parts:", "    cut = parts", *indented(self.cuts)] if self.cuts else []
        work = [
            *cut,
            *stages,
            *self.wait_for_all(STEP),
            *self._hold_states(),
            *swap,
            "turn, used_before = 1 - turn, used",
            "if parts > 1 and not full:",
            "    phase += 1",
            "    if barrier_wait(team, barrier, part, parts, phase, patience) == 0:",
            "        if part > 0:",
            "            return",
            "        parts, barrier = 1, 0",
        ]
        return [
            *self.move(STEP),
            "t = start + k",
            "x_t = x_block + k * x_step",
            "used, full = rows, True",
            "if mask != 0:",
            f"    used = used_rows(shared, rows, {_MASK_T})",
            "    used, full = used // 2, used % 2 == 1",
            "output_t, row_output = output + t * output_step, given_row",
            "if staged:",
            "    output_t, row_output = at_output + turn * rows * row_out, row_out",
            "if used > 0:",
            *indented(work),
            *(["if part == 0:", *indented(put)] if put else []),
        ]

    def _hold_states(self) -> list[str]:
        """Return lines with which part 0 copies masked rows' states to where the new ones stand."""
        hold = []
        for i, (now, new) in enumerate(zip(self.now, self.new, strict=True)):
            both = f"at_{now.name}, at_{new.name}, size_{i}, {self.row(now)}"
            hold.append(f"hold_states(shared, max(used, used_before), {_MASK_T}, {both})")
        return ["if part == 0 and not full:", *indented(hold)] if hold else []

    def _put_output(self) -> list[str]:
        """Return lines that bring an output from scratch memory to the call's array; masked rows get the held one."""
        if self.output.kind == "result":
            return []  # put in place after the block
        return [
            "if staged:",
            "    target = output + t * output_step",
            "    if mask != 0:",
            f"        hold_output(shared, used, {_MASK_T}, output_t, row_output, held, row_out, size)",
            "        if wanted:",
            "            put_rows(shared, rows, order, size, held, row_out, target, given_row)",
            "        if wanted and zero_masked != 0:",
            f"            clear_masked(shared, rows, order, {_MASK_T}, size, target, given_row)",
            "    elif wanted:",
            "        put_rows(shared, rows, order, size, output_t, row_output, target, given_row)",
        ]

    def _put_states(self) -> list[str]:
        """Return lines that bring the states after a step to their trajectories."""
        lines = []
        for i, at_row in enumerate(self.states_now()):
            row, step = self._strides(i)
            lines.append(f"if trajectory_{i} != 0:")
            lines.append(f"    put_rows(shared, rows, order, size_{i}, {at_row}, trajectory_{i} + t * {step}, {row})")
        return lines

    def _hold_residuals(self) -> list[str]:
        """Return lines that keep in masked rows what the step before kept of a new state."""
        lines = []
        for buffer in self.placed:
            if buffer.held_state is not None:
                name, size = buffer.name, self.number(buffer.size * self.item)
                at = f"at_{name} + t * step_{name}"
                states = f"{at} - step_{name}, {at}, {size}, row_{name}"
                lines.append(f"    hold_states(shared, rows, {_MASK_T}, {states})")
        return ["if not full:", *lines] if lines else []

    def _after(self, stages) -> list[str]:
        """Return lines that compute a block's outputs behind the time loop and put them in place."""
        if self.output.kind != "result":
            return []
        row, at = self.row(self.output), self.at(self.output)
        put = [
            "for k in range(count):",
            "    t = start + k",
            "    target = output + t * output_step",
            f"    put_rows(shared, rows, order, size, {at} + k * rows * {row}, {row}, target, given_row)",
            "    if mask != 0:",
            "        clear_masked(shared, rows, order, mask + t * mask_step, mask_row, size, target, given_row)",
        ]
        work = [*self.move(AFTER), *stages, *self.wait_for_all(AFTER), "left = 0"]
        again = ["left = 1 if wanted else 0", "while left > 0:", *indented(work)]
        return [*again, "if wanted and part == 0:", *indented(put)]

    def _module(self, body) -> str:
        name = self.dtype.name
        everything = "\n".join(self.functions + body)
        words = set(words_of(everything))
        vector = sorted(words & (_VECTOR | {f"{word}_{name}" for word in _MEMORY}))
        imports = {
            "rnnkit.backends.cpu.simd.atomic": {"word"},
            "rnnkit.backends.cpu.simd.bounds_check": words & {"allow", "refuse"},
            "rnnkit.backends.cpu.threads.shared_functions": words & _SHARED,
            "rnnkit.backends.cpu.simd.functions": words & MATH,
            "rnnkit.backends.cpu.simd.integers": words & INTEGER_WORDS,
            "rnnkit.backends.cpu.kernels.matmul": words & {"call_matmul"},
            "rnnkit.backends.cpu.kernels.row_copy": words & {"clear_bytes", "copy_bytes", "used"},
            "rnnkit.backends.cpu.simd.vector": vector,
        }
        lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in imports.items() if names]
        title = f'"""The step {self.name!r} in {name}, {self.lanes} lanes: run(addresses, numbers, ...)."""'
        run = ["@directing", "def run(p, n, first, rows, scratch, part, parts, barrier):"]
        run += indented(body)
        decorators = "compiled, directing" if self.functions else "directing"
        lines = [f"from rnnkit.backends.cpu.language.function import {decorators}", *lines]
        head = [title, "", "import numpy as np", "", *lines, "", ""]
        return "\n".join([*head, *(f"{f}\n\n" for f in self.functions), *run, ""])


def words_of(text) -> list[str]:
    return re.findall(r"[A-Za-z_][A-Za-z_0-9]*", text)


_SHARED = set(
    "admit arrive barrier_wait clear_masked close hold_output hold_states most_used piece_of put_rows share "
    "take_rows used_rows".split()
)
_MEMORY = {"first", "load", "load_full", "splat", "fill", "load_strided", "load_table", "store_scalar"}
_VECTOR = set(
    "stream drain store store_strided select to_mask reduce_add reduce_multiply reduce_maximum reduce_minimum".split()
)
INTEGER_WORDS = {word for operation in INTEGER_OPERATIONS.values() for word in words_of(operation.text) if "_" in word}
INTEGER_WORDS |= {"round_float32", "to_int32", "to_int64", *(f"wrap_{kind}" for kind in INTEGERS)}
for _name in ("float32", "float64"):
    _of_kinds = [f"{word}_{kind}_{_name}" for word in _MEMORY for kind in ("int32", "int64")]
    INTEGER_WORDS |= {f"from_integer_{_name}", *_of_kinds}
MATH = {word for operation in OPERATIONS.values() for word in words_of(operation.text)} - _VECTOR - {"one", "zero"}
