"""The program of a plan whose steps go element by element: all steps of a block for some elements, then the next ones.

States are in registers from step to step, and so is the output, which masked steps show again.
"""

from __future__ import annotations

import re

from rnnkit.backends.cpu.codegen.loop_source import LoopText
from rnnkit.backends.cpu.codegen.program_source import SourceWriter
from rnnkit.backends.cpu.simd.registers import REGISTERS
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.plan import AFTER, BLOCK, PLACED, STEP, Buffer, Load, Loop

VECTORS = 4  # that go through the steps together at most: their instructions don't wait for each other


class ScanText(LoopText):
    """The body of the function that runs the steps of a block for one loop of a plan."""

    source: ScanSourceWriter
    padded = ()  # the last vectors of some may have no elements at all

    def _base(self, buffer: Buffer):
        if buffer.kind == "prepacked":
            super()._base(buffer)
            return
        name = buffer.name
        if buffer not in self.given:
            self._top(f"row_{name}", self.source.row_bytes_of(buffer))
        step = self.source.step(buffer, "rows", f"row_{name}")
        self.rows.append(f"in_{name} = at_{name} + r * row_{name}")
        self.bases[buffer] = f"in_{name}" if step == "0" else f"in_{name} + k * {step}"

    def _value(self, value, before, body):
        """Note a value; what is the same in all steps is read once."""
        once = isinstance(value, Load) and " " not in self.bases[value.buffer]
        super()._value(value, *([before] * 2 if once else [body] * 2))

    def _nest(self, before, body) -> list[str]:
        """Return the loops over elements, and for each the steps of the block."""
        lanes, count = self.source.lanes, self.counts[-1]
        loaded = {load.buffer: load.name for load in self.loop.loads}
        self._ones()
        step, masked, always, end, carried = body, [], [], [], {}
        kept = [(buffer, walk) for _, buffer, walk in self.loop.writes if buffer.held_state is not None]
        for name, buffer, walk in self.loop.writes:
            if buffer.kind in ("next", "output"):
                place = self.source.now[buffer.attr] if buffer.kind == "next" else self.source.held
                now = loaded.get(place, f"now_{place.name}")
                if place not in loaded:
                    before.append(f"{now} = load_{self.name}({self._address(place, walk)[0]}, m)")
                carried[now] = name
                end.append(self._store(now, place, walk))
            if buffer.kind == "next":
                for one, at in kept:
                    always += self._kept(now, one, at) if one.held_state == buffer.attr else []
                traced = self._store(now, self.source.trajectories[buffer.attr], walk)
                always += ["if traced:", f"    {traced}"]
            elif buffer.kind == "output":
                step.append(self._store(name, buffer, walk))
                masked.append(self._store(f"zero if zero_masked != 0 else {now}", buffer, walk))
            elif buffer.held_state is None:
                step += self._kept(name, buffer, walk)
        if carried:
            step.append(f"{', '.join(carried)} = {', '.join(carried.values())}")
        vectors = VECTORS
        while vectors > 1 and vectors * len(before) > REGISTERS - 4:
            vectors //= 2
        before = [f"m = first_{self.name}({count} - j)", *before]
        assigned = filter(None, map(_ASSIGNED.match, before + step))
        own = {"j", *(name for found in assigned for name in found[0].split(", "))}

        def of_all(lines):
            return [_renamed(line, own, v) for v in range(vectors) for line in lines]

        both = ["if mask == 0 or used(mask + r * mask_row + k * mask_step):", *indented(of_all(step))]
        both += ["else:", *indented(of_all(masked))] if masked else []
        places = [f"whole = {count} - j >= {vectors * lanes}"]
        places += [f"j_v{v} = j + {v * lanes}" for v in range(1, vectors)]
        inner = [*places, *of_all(before), "for k in range(count):", *indented([*both, *of_all(always)]), *of_all(end)]
        inner = [f"for j in range(0, {count}, {vectors * lanes}):", *indented(inner)]
        inner = self._around(range(len(self.counts) - 1), inner)
        return [*self.top, "for r in range(rows):", *indented(self.rows + inner)]

    def _is_streamed(self, buffer, walk):
        return False

    def _kept(self, name, buffer, walk) -> list[str]:
        """Return lines that keep a value of each step, past the caches where all vectors are whole."""
        line = self._store(name, buffer, walk)
        if not super()._is_streamed(buffer, walk):
            return [line]
        return ["if whole:", f"    stream({self._address(buffer, walk)[0]}, {name})", "else:", f"    {line}"]


_ASSIGNED = re.compile(r"\w+(, \w+)*(?= = )")


def _renamed(line: str, names: set[str], v: int) -> str:
    """Return a line for the v-th vector, whose variables have its number."""
    return re.sub(r"[A-Za-z_]\w*", lambda word: f"{word[0]}_v{v}" if v and word[0] in names else word[0], line)


class ScanSourceWriter(SourceWriter):
    """Writes the program of such a plan."""

    def name_buffers(self):
        """Name what `SourceWriter` does, and what the function of a loop reads and writes besides."""
        super().name_buffers()
        self.movable = set()
        self.held = Buffer("held", "state", self.output.size)
        sizes = [buffer.size for buffer in self.now]
        self.trajectories = [Buffer(f"trajectory_{i}", "sequence", size) for i, size in enumerate(sizes)]
        scans = [loop for loop in self.plan.stages if isinstance(loop, Loop) and loop.section == STEP]
        used = {load.buffer for loop in scans for load in loop.loads} | {b for loop in scans for _, b, _ in loop.writes}
        self.row_bytes["block"] += sum(self.line(b.size) for b in used if b.kind in PLACED)

    def step(self, buffer: Buffer, rows="rows", row="") -> str:
        """As `SourceWriter.step`, with the output's too."""
        return "step_output" if buffer.kind == "output" else super().step(buffer, rows, row)

    def move(self, section: int) -> list[str]:
        """Return nothing: no threads share a step."""
        return []

    def wait_for_all(self, section: int) -> list[str]:
        return []

    def _loop(self, loop: Loop, i: int, tiles=None, span=None) -> list[str]:
        if loop.section != STEP:
            return super()._loop(loop, i, tiles, span)
        written = [buffer for _, buffer, _ in loop.writes]
        own = [buffer.attr for buffer in written if buffer.kind == "next"]
        also = [self.now[i] for i in own] + [self.trajectories[i] for i in own]
        also += [self.held] * any(buffer.kind == "output" for buffer in written)
        written = [buffer for buffer in written if buffer.kind != "next"]
        buffers = list(dict.fromkeys([*(load.buffer for load in loop.loads), *written, *also]))
        placed = [b for b in buffers if b.kind in PLACED]
        writer = ScanText(self, loop, buffers, placed)
        stepped = [f"step_{b.name}" for b in placed if b.kind != "x"]
        of_call = ["count", "x_step", "mask_row", "mask_step", "zero_masked", "traced", *stepped]
        rows = [f"row_{b.name}" for b in placed]
        tables = [table for table, _ in writer.tables]
        inside = ["n", *of_call, "rows", "mask", *(f"at_{b.name}" for b in buffers), *rows, *tables]
        name = self._function(f"make_{loop.writes[0][1].name}", i, inside, writer)
        numbers = f"n + {8 * (self.head + len(self.numbers))}"
        self.numbers += writer.numbers
        places = [self.place(b, BLOCK) for b in buffers]
        given = [numbers, *of_call, "rows", "mask_block", *places, *rows, *tables]
        return [f"{name}({', '.join(given)})"]

    def _start(self, swap) -> list[str]:
        trajectories = []
        for i in range(len(self.now)):
            trajectories.append(f"at_trajectory_{i}, row_trajectory_{i} = trajectory_{i}, {self._strides(i)[0]}")
            trajectories.append(f"step_trajectory_{i} = {self._strides(i)[1]}")
        return [
            *self.initial("0"),
            *trajectories,
            f"traced = {' or '.join(f'trajectory_{i} != 0' for i in range(len(self.now)))}",
            "if mask != 0:",
            "    clear_bytes(held, rows * row_out)",
            "at_held, row_output, step_output = held, given_row, output_step",
            "if output == 0:",
            "    output, row_output, step_output = at_output, row_out, 0",
            "parts, start = 1, 0",
        ]

    def _block(self, calls: dict[int, list[str]], swap) -> list[str]:
        return [
            "count = min(block, steps - start)",
            "most, mask_block = rows, 0",
            "if mask != 0:",
            "    mask_block = mask + start * mask_step",
            "    most = most_used(shared, rows, mask_block, mask_row, mask_step, count)",
            "x_block, output_t = x + start * x_step, output + start * step_output",
            *calls[BLOCK],
            *calls[STEP],
            *self._after(calls[AFTER]),
            "start += count",
        ]

    def _after(self, stages) -> list[str]:
        """Return lines behind a block; of a late output nobody asks for the last step alone."""
        if self.output.kind != "result":
            return stages
        row, at = self.row(self.output), self.at(self.output)
        put = [
            "for k in range(count):",
            f"    t, shown = start + k, {at} + k * rows * {row}",
            "    target = output + t * step_output",
            "    mask_t = mask + t * mask_step",
            "    if mask != 0:",
            f"        hold_output(shared, most, mask_t, mask_row, shown, {row}, held, row_out, size)",
            "        put_rows(shared, rows, 0, size, held, row_out, target, row_output)",
            "        if zero_masked != 0:",
            "            clear_masked(shared, rows, 0, mask_t, mask_row, size, target, row_output)",
            "    else:",
            f"        put_rows(shared, rows, 0, size, shown, {row}, target, row_output)",
            "    if t == steps - 1 and mask == 0:",
            f"        put_rows(shared, rows, 0, size, shown, {row}, held, row_out)",
        ]
        asked = "wanted" if self.plan.late else "wanted or mask != 0 or start + count == steps"
        loops = [part for part in self.plan.parts() if part.section == AFTER and isinstance(part, Loop)]
        if any(buffer.is_written for loop in loops for _, buffer, _ in loop.writes):
            return [*stages, f"if {asked}:", *indented(put)]
        return [f"if {asked}:", *indented([*stages, *put])]

    def _finish(self) -> list[str]:
        return [*self.final("0"), "put_rows(shared, rows, 0, size, held, row_out, last, size)"]
