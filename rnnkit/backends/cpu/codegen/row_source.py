"""A plan by rows as source text: groups of rows, blocks of steps, steps, and in them a line for each number.

The text is that of `rnnkit.backends.cpu.codegen.program_source`'s programs to whoever calls it. It has the numbers of
lanes in it, and whether steps are masked: each kind of call that comes has a text of its own, of the same lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnkit.backends.cpu.codegen.program_source import INTEGER_WORDS, MATH, words_of
from rnnkit.backends.cpu.codegen.row_lines import RowLines
from rnnkit.backends.cpu.codegen.tables import HEAD, Source
from rnnkit.backends.cpu.simd.aligned import LINE
from rnnkit.backends.cpu.simd.row_lanes import JOINED, define_lanes
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.graph import FAILED
from rnnkit.compiler.ir.plan import (
    CALL,
    OF_CALL,
    PREPACK,
    SEQUENCES,
    Buffer,
    Check,
    Element,
    Fill,
    Look,
    Put,
    RowLoop,
    Slot,
    all_lines,
    written,
)
from rnnkit.compiler.planning.alike import alike_in_rows

TRANSPOSES = '''"""Numbers of rows of {dtype} brought to {lanes} lanes, and back."""

from rnnkit.backends.cpu.kernels.row_transposes import define_transposes

run = define_transposes("{dtype}", {lanes}).run
'''
_POINTERS = {"x": "x", "output": "output", "last": "last", "mask": "mask_at", "transposes": "transposes"}
_STAGED_BYTES = 1 << 14  # of the first-level cache, for a block's x and outputs


class Kind(NamedTuple):
    """A kind of calls.

    Attributes
    ----------
    lanes : int
        Rows of a group.
    masked, traced : bool
        Whether calls have masks; whether they give the states of all steps.
    coded : bool
        Whether they keep of every step by what rows have failed.
    own : bool
        Whether each row has weights of its own.
    floats : bool
        Whether no states are carried as integers.
    """

    lanes: int
    masked: bool = False
    traced: bool = False
    coded: bool = False
    own: bool = False
    floats: bool = False


@dataclass(eq=False)
class RowSource(Source):
    """The text for groups of so many rows."""

    lanes: int = 1


class RowSourceWriter(RowLines):
    """Writer of the program of one plan for calls of one kind.

    A register of the host has `side` lanes; `gap` bytes are left between parts of scratch memory.
    """

    def __init__(self, plan, name: str, dtype, kind: Kind, side: int, gap: int = 0):
        super().__init__(plan, dtype, kind.lanes)
        self.masked, self.traced, self.coded, lanes = kind.masked, kind.traced, kind.coded, kind.lanes
        self.name, self.side, self.gap = name, side, gap
        self.number_bytes = self.item * lanes  # of a number of all lanes
        self.pointers: list = []
        codes = [Buffer("codes", "residual", 1, attr=written(FAILED))] if kind.coded else []
        self.placed = [b for b in plan.buffers if b.kind in SEQUENCES] + codes
        self.read = [b for b in self.placed if not b.is_written]
        self.of_kind = {(b.kind, b.attr): b for b in plan.buffers}
        self.x = self.of_kind.get(("x", None)) or Buffer("x", "x", 0)
        self.output, self.outputs = next((b, names) for b, names in plan.writes if b.kind == "output")
        self.states = [(b.attr, names) for b, names in plan.writes if b.kind == "next"]
        self.kept = [(b, names) for b, names in plan.writes if b.kind == "residual"] + [(b, ["failing"]) for b in codes]
        self.sizes = [int(np.prod(shape)) for shape in plan.state_shapes]
        self.staging = lanes > 1
        self.alike = alike_in_rows(plan) if self.staging else {}
        looks = [line.place for line in all_lines(plan.lines) if isinstance(line, Look)]
        self.looked_up = list(dict.fromkeys(b for b in looks if isinstance(b, Buffer) and b.kind in OF_CALL))
        # Sequences in the caller's arrays, which are brought to the lanes by blocks of steps.
        self.given = [self.x, *(b for b in self.read if b.kind == "sequence")]
        self.block = self._block_size()

    decorator = ""  # of the function, where that isn't said by whether there are loops in its steps

    def _block_size(self) -> int:
        return max(self.side, _STAGED_BYTES // max(1, self._staged() * self.number_bytes) // self.side * self.side)

    def run(self) -> Source:
        body = self._body()
        loops = any(isinstance(line, RowLoop) for line in all_lines(self.plan.lines))
        decorator = self.decorator or ("looping" if loops else "compiled")
        words = set(words_of("\n".join(body)))
        title = self.name.removesuffix(", adjoint")
        title = title if title == self.name else f"the gradient of {title}"
        used = {
            "rnnkit.backends.cpu.simd.atomic": words & {"atomic_store", "word"},
            "rnnkit.backends.cpu.simd.bounds_check": words & {"allow"},
            "rnnkit.backends.cpu.simd.functions": words & MATH,
            "rnnkit.backends.cpu.simd.integers": words & INTEGER_WORDS,
            "rnnkit.backends.cpu.simd.vector": words & {"select", "fma"},
            "rnnkit.backends.cpu.threads.shared_functions": words & {"give_lanes", "take_lanes"},
        }
        lanes = sorted(words & vars(define_lanes(self.dtype.name, self.lanes)).keys())
        joins = [count for count in JOINED if f"join_{count}" in words]
        text = [
            f'"""The step {self.name!r} in {self.dtype.name}, {self.lanes} rows a group: run(addresses, numbers)."""',
            "",
            "import numpy as np",
            "",
            f"from rnnkit.backends.cpu.language.function import {decorator}",
            *(["from rnnkit.backends.cpu.simd import vector"] if "vector" in words else []),
            *(f"from {module} import {', '.join(sorted(names))}" for module, names in used.items() if names),
            f"from rnnkit.backends.cpu.simd.row_lanes import {'define_joined, ' if joins else ''}define_lanes",
            "",
            f'lanes = define_lanes("{self.dtype.name}", {self.lanes})',
            *(f"{name} = lanes.{name}" for name in lanes),
            *(f'join_{k}, part_{k} = define_joined("{self.dtype.name}", {k})' for k in joins),
            "",
            "",
            f"@{decorator}",
            "def run(p, n, first_group, groups, scratch, part, parts, barrier):",
            *indented(body),
            "",
        ]
        memory = max(self.memory, self._moved_bytes()) + LINE
        nothing = dict.fromkeys(("block", "x", "call", "step"), 0)
        return RowSource("\n".join(text), self.pointers, [], self.placed, nothing, memory, title, True, self.lanes)

    def _staged(self) -> int:
        return sum(size for _, size in self._stages())

    def _pointer(self, what) -> str:
        self.pointers.append(what)
        return f"word(p, {len(self.pointers) - 1})"

    def _strides(self, i) -> tuple[str, str]:
        at = len(HEAD) + 2 * i
        return f"word(n, {at})", f"word(n, {at + 1})"

    def _body(self) -> list[str]:
        lines = [f"{name} = word(n, {i})" for i, name in enumerate(HEAD[:10])]
        lines += [f"{name} = {self._pointer(what)}" for what, name in _POINTERS.items()]
        lines += ["wanted = output != 0"]
        for i in range(len(self.sizes)):
            lines += [f"{role}_{i} = {self._pointer((role, i))}" for role in ("initial", "final")]
            row, step = self._strides(i)
            lines += [
                f"trajectory_{i} = {self._pointer(('trajectory', i))}",
                f"row_trajectory_{i}, step_trajectory_{i} = {row}, {step}",
            ]
        for buffer in self.plan.buffers:
            if buffer.kind in OF_CALL or buffer.kind == "prepacked":
                lines.append(f"at_{buffer.name} = {self._pointer(buffer)}")
        for i, buffer in enumerate(self.placed, len(self.sizes)):
            row, step = self._strides(i)
            name = buffer.name
            lines += [f"row_{name}, step_{name} = {row}, {step}", f"at_{name} = {self._pointer(buffer)}"]
        lines += self._memory()
        if not self.staging:  # each step of one row writes an output, to unread memory if none is wanted
            lines += ["shown, shown_row, shown_step = unread_output, 0, 0", "if wanted:"]
            lines += ["    shown, shown_row, shown_step = output, output_row, output_step"]
        lines += self.text(line for line in self.plan.lines if self.section(line) == PREPACK)
        rows = f"word(n, {len(HEAD) + 2 * (len(self.sizes) + len(self.placed))})"
        return [
            *lines,
            f"rows = {rows}",
            "for group in range(first_group, first_group + groups):",
            *indented(self._group()),
        ]

    def _memory(self) -> list[str]:
        """Return lines that place arrays in scratch memory, behind bytes for states and constants on their way."""
        lines, moved = [], self._moved_bytes()
        self.memory = moved + self.gap if self.gap else 0

        def place(name, size):
            lines.append(f"{name} = scratch + {self.memory}")
            if self.gap:
                lines.append(f"allow({name}, {size}, {size})")
            self.memory += size + self.gap

        if self.gap:
            lines.append(f"allow(scratch, {moved}, {moved})")
        if not self.staging:
            place("unread_output", max(1, self.output.size) * self.number_bytes)
        for name, size in self._stages():
            place(f"staged_{name}", size * ((self.block + self.side) * self.number_bytes + LINE))
        for buffer in self.looked_up:
            place(f"taken_{buffer.name}", buffer.size * self.number_bytes)
        for slot in self.plan.slots:
            place(f"slot_{slot.name}", max(1, slot.size) * self._item(slot) * self.lanes)
        return lines

    def _moved_bytes(self) -> int:
        of_call = (b.size for b in self.plan.buffers if b.kind in OF_CALL)
        return max(0, *self.sizes, self.output.size, *of_call) * self.number_bytes

    def _stages(self) -> list[tuple[str, int]]:
        return [
            *((b.name, b.size) for b in self.given),
            ("output", self.output.size),
            *((f"trajectory_{i}", size) for i, size in enumerate(self.sizes if self.traced else ())),
        ]

    def _group(self) -> list[str]:
        lines = [f"r = group * {self.lanes}", f"own = min({self.lanes}, rows - r)"]
        if self.plan.messages or self.coded:
            lines.append("failed = mask(False)")
        for i, size in enumerate(self.sizes):
            if i not in self.plan.resident or i in self.plan.whole:
                lines += self._begun(i, size)
            elif self.staging:
                rows = f"initial_{i} + r * {size * self.item}, {size * self.item}, {size}"
                lines.append(f"take_lanes(transposes, {rows}, own, slot_{self.plan.resident[i].name})")
            else:
                for j in range(size):
                    number = f"splat(initial_{i} + r * {size * self.item} + {j * self.item})"
                    lines.append(f"store({self._resident(i, j)}, fill({number}))")
        for buffer in self.plan.buffers:
            if buffer.kind in OF_CALL:
                mine = self._elements_of(buffer)
                if buffer in self.looked_up and self.staging:
                    rows = f"at_{buffer.name} + r * {buffer.size * self.item}, {buffer.size * self.item}, {buffer.size}"
                    lines.append(f"take_lanes(transposes, {rows}, own, taken_{buffer.name})")
                lines += self._taken(
                    f"at_{buffer.name}", buffer.size, [mine.get(j, "unread") for j in range(buffer.size)]
                )
        lines += self.text(x for x in self.plan.lines if self.section(x) == CALL and not isinstance(x, Element))
        for buffer, _ in self.kept:
            if buffer.held_state is not None:  # the initial value stands before the first step
                for j in range(buffer.size):
                    lines.append(
                        f"store({self._kept_at(buffer, j)} - step_{buffer.name}, {self._state(buffer.held_state, j)})"
                    )
        held = [self._held(j) for j in range(self.output.size)]
        lines += [f"{name} = fill(0.0)" for name in held]
        lines += ["start = 0", "while start < steps:", *indented(self._block())]
        lines += self._given("last", self.output.size, held)
        for i, size in enumerate(self.sizes):
            lines += self._given(f"final_{i}", size, [self._state(i, j) for j in range(size)])
        if self.plan.messages:
            lines += ["if some(failed):", f"    atomic_store({self._told_at()}, 1)"]
        return lines

    def _elements_of(self, buffer) -> dict[int, str]:
        """Return the names of the elements that the plan reads of a buffer."""
        lines = (line for line in self.plan.lines if isinstance(line, Element) and line.buffer is buffer)
        return {line.index: line.name for line in lines}

    def _begun(self, i, size) -> list[str]:
        if i not in self.plan.whole:
            return self._taken(f"initial_{i}", size, [f"now_{i}_{j}" for j in range(size)], "fill({})")
        if i in self.plan.resident:
            slot = self.plan.resident[i]
            load = f"begun_{i} = fill(splat(initial_{i} + r * {size * self.item} + j * {self.item}))"
            store = f"{self._function('store', slot)}(slot_{slot.name} + j * {self._item(slot)}, whole_{i})"
            return [f"for j in range({size}):", *indented([load, *self._whole(i, f"begun_{i}", f"whole_{i}"), store])]
        begun = [f"begun_{i}_{j}" for j in range(size)]
        lines = self._taken(f"initial_{i}", size, begun, "fill({})")
        return [*lines, *(one for j, name in enumerate(begun) for one in self._whole(i, name, f"now_{i}_{j}"))]

    def _whole(self, i, begun, name) -> list[str]:
        """Return lines that make an integer of a state's number, and fail rows where it isn't one within bounds."""
        (low, high), value = map(float, self.plan.whole[i]), f"from_integer_{self.dtype.name}({name})"
        return [
            f"within_{i} = ({begun} >= number({low})) & ({begun} <= number({high}))",
            f"{name} = to_int64(select(within_{i}, {begun}, fill({low})))",
            *self.failed(f"({begun} != {value}) | (copysign(1.0, {begun}) != copysign(1.0, {value}))"),  # as -0
        ]

    def _told_at(self) -> str:
        """Return the address of the word that says that a row has failed."""
        return f"p + {8 * (len(self.pointers) + 1)}"

    def _state(self, i, j) -> str:
        slot = self.plan.resident.get(i)
        now = f"{self._function('load', slot)}({self._resident(i, j)})" if slot else f"now_{i}_{j}"
        return f"from_integer_{self.dtype.name}({now})" if i in self.plan.whole else now

    def _resident(self, i, j) -> str:
        slot = self.plan.resident[i]
        return f"slot_{slot.name} + {j * self._item(slot) * self.lanes}"

    @staticmethod
    def _held(j) -> str:
        return f"held_{j}"

    def _taken(self, array, size, names, made="{}") -> list[str]:
        """Return lines that read an array of the call, row by row in memory, to a variable in lanes per number."""
        if not size:
            return []
        if not self.staging:
            numbers = [f"splat({array} + r * {size * self.item} + {j * self.item})" for j in range(size)]
            return [f"{name} = {made.format(number)}" for name, number in zip(names, numbers, strict=True)]
        lines = [f"take_lanes(transposes, {array} + r * {size * self.item}, {size * self.item}, {size}, own, scratch)"]
        return lines + [f"{name} = load(scratch + {j * self.number_bytes})" for j, name in enumerate(names)]

    def _given(self, array, size, names) -> list[str]:
        if not size:
            return []
        if not self.staging:
            return [
                f"store({array} + r * {size * self.item} + {j * self.item}, {name})" for j, name in enumerate(names)
            ]
        lines = [f"store(scratch + {j * self.number_bytes}, {name})" for j, name in enumerate(names)]
        return [
            *lines,
            f"give_lanes(transposes, scratch, {array} + r * {size * self.item}, {size * self.item}, {size}, own)",
        ]

    def _block(self) -> list[str]:
        if not self.staging:
            return ["count = steps - start", "for k in range(count):", *indented(self._step()), *self._next_block()]
        lines = ["count = steps - start", f"if count >= {self.block + self.side}:", f"    count = {self.block}"]
        for buffer in self.given:
            if buffer.size:
                at, row, step = self._sequence(buffer)
                lines += self._placed(buffer.name, step, buffer.size)
                lines += self._moved("take", f"{at} + r * {row}", row, step, buffer.name, buffer.size)
        written = [("output", "output", "output_row", "output_step", self.output.size, "wanted")]
        for i, size in enumerate(self.sizes if self.traced else ()):
            name = f"trajectory_{i}"
            written.append((name, name, f"row_{name}", f"step_{name}", size, "True"))
        written = [one for one in written if one[-2]]
        for name, _, _, step, size, _ in written:
            lines += self._placed(name, step, size)
        lines += ["for k in range(count):", *indented(self._step())]
        for name, at, row, step, size, wanted in written:
            lines += [f"if {wanted}:", *indented(self._moved("give", f"{at} + r * {row}", row, step, name, size))]
        return [*lines, *self._next_block()]

    def _placed(self, name, step, size) -> list[str]:
        """Return lines for the staged address of a block's first step and its stride; `step` may be negative."""
        step_bytes = size * self.number_bytes
        return [
            f"base_{name}, move_{name} = staged_{name}, {step_bytes}",
            f"if {step} == 0 - {size * self.item}:",
            f"    base_{name}, move_{name} = staged_{name} + (count - 1) * {step_bytes}, 0 - {step_bytes}",
        ]

    def _sequence(self, buffer) -> tuple[str, str, str]:
        if buffer.kind == "x":
            return "x", "x_row", "x_step"
        return f"at_{buffer.name}", f"row_{buffer.name}", f"step_{buffer.name}"

    def _moved(self, way, array, row, step, name, size) -> list[str]:
        """Return lines that copy a block of steps between an array and its staging, contiguous steps in one call."""

        def moved(at, numbers, place):
            if way == "take":
                return f"take_lanes(transposes, {at}, {row}, {numbers}, own, {place})"
            return f"give_lanes(transposes, {place}, {at}, {row}, {numbers}, own)"

        step_bytes, staged = size * self.item, f"staged_{name}"
        return [
            f"if {step} == {step_bytes}:",
            f"    {moved(f'{array} + start * {step}', f'count * {size}', staged)}",
            f"elif {step} == 0 - {step_bytes}:",
            f"    {moved(f'{array} + (start + count - 1) * {step}', f'count * {size}', staged)}",
            "else:",
            "    for k in range(count):",
            f"        {moved(f'{array} + (start + k) * {step}', size, f'{staged} + k * {size * self.number_bytes}')}",
        ]

    def _step(self) -> list[str]:
        lines = ["t = start + k"]
        if self.masked:
            lines.append("used = load_mask(mask_at + r * mask_row + t * mask_step)")
        for i in range(len(self.sizes)):
            state = self.of_kind.get(("state", i))
            if state is not None and i not in self.plan.resident:
                lines += [f"{name} = now_{i}_{j}" for j, name in sorted(self._elements_of(state).items())]
        if self.coded:
            lines.append("failing = fill(0.0)")
        lines += self._inside()
        if self.plan.code:
            lines.append(f"failing = select(failing == 0.0, {self.full(self.plan.code)}, failing)")
        if self.coded:
            lines.append(f"failed = failed | (failing != 0.0){' & used' * self.masked}")
        new = {}
        for i, names in self.states:
            if not isinstance(names, Slot):
                new[i] = [self.full(name) for name in names]
            elif names is not self.plan.resident[i]:
                load, item = self._function("load", names), self._item(names) * self.lanes
                new[i] = [f"{load}(slot_{names.name} + {j * item})" for j in range(self.sizes[i])]
        for i, names in new.items():
            for j, name in enumerate(names):
                held = f"select(used, {name}, {self._state(i, j)})" if self.masked else name
                lines.append(f"after_{i}_{j} = {held}")
        for i, names in new.items():
            for j in range(len(names)):
                now = (
                    f"{self._function('store', self.plan.resident[i])}({self._resident(i, j)}, after_{i}_{j})"
                    if i in self.plan.resident
                    else f"now_{i}_{j} = after_{i}_{j}"
                )
                lines.append(now)
        lines += self._keep()
        lines += self._put()
        if self.plan.messages and not self.exits:  # the group's further steps are not needed
            lines += ["if some(failed):", "    break"]
        return lines

    def _next_block(self) -> list[str]:
        ends = ["if some(failed):", "    start = steps"] if self.plan.messages and not self.exits else []
        return ["start += count", *ends]

    @property
    def exits(self) -> bool:
        """Whether a row ends where it fails, in the middle of a step."""
        return False

    def _inside(self) -> list[str]:
        return self.text(line for line in self.plan.lines if self.section(line) not in (PREPACK, CALL))

    def section(self, line) -> int:
        if isinstance(line, (Check, Fill, Put)):
            return line.section
        return self.plan.sections[line.name]

    def place(self, place) -> tuple[str, bool]:
        kind = "slot" if isinstance(place, Slot) else place.kind
        if kind == "residual":
            return f"{self._kept_at(place, 0)} + t * step_{place.name}", True
        if kind in ("x", "sequence"):
            at, row, step = self._sequence(place)
            staged = f"base_{place.name} + k * move_{place.name}"
            return (staged, True) if self.staging else (f"{at} + r * {row} + t * {step}", False)
        if kind in OF_CALL and self.staging:
            return f"taken_{place.name}", True
        if kind in OF_CALL:
            return f"at_{place.name} + r * {place.size * self.item}", False
        return super().place(place)

    def element(self, line: Element) -> str:
        buffer, j = line.buffer, line.index
        if buffer.kind == "prepacked":
            return f"{self._function('splat', buffer)}(at_{buffer.name} + {j * self._item(buffer)})"
        if buffer.kind == "residual":
            return f"load({self._kept_at(buffer, j)} + t * step_{buffer.name})"
        if self.staging:
            return f"load(base_{buffer.name} + k * move_{buffer.name} + {j * self.number_bytes})"
        at, row, step = self._sequence(buffer)
        return f"load({at} + r * {row} + t * {step} + {j * self.item})"

    def bounds(self) -> list[str]:
        """Return the mask of used rows: masked rows neither loop nor fail."""
        return ["used"] if self.masked else []

    def _keep(self) -> list[str]:
        """Return lines that store residuals, and that fail rows whose states of whole numbers leave their bounds."""
        lines = []
        for i, (low, high) in self.plan.watched.items():
            lines += self.failed(f"(now_{i}_0 < {low}) | (now_{i}_0 > {high})")
        for buffer, names in self.kept:
            state = buffer.held_state
            for j, name in enumerate(names):
                value = name if name == "failing" else self.full(name) if state is None else self._state(state, j)
                lines.append(f"store({self._kept_at(buffer, j)} + t * step_{buffer.name}, {value})")
        return lines

    def _kept_at(self, buffer, j) -> str:
        """Return the address of a residual's number `j` before a group's first step."""
        return f"at_{buffer.name} + group * row_{buffer.name} + {j * self.number_bytes}"

    def _put(self) -> list[str]:
        """Return lines that store the output and the states, where they are wanted."""
        lines, shown = [], []
        for j, name in enumerate(self.outputs):
            held, value = self._held(j), self.full(name)
            lines.append(f"{held} = select(used, {value}, {held})" if self.masked else f"{held} = {value}")
            shown.append(held)
        put = []
        for j, name in enumerate(shown):
            if self.masked:
                name = f"select(used, {name}, fill(0.0)) if zero_masked != 0 else {name}"
            if self.staging:
                put.append(f"store(base_output + k * move_output + {j * self.number_bytes}, {name})")
            else:
                put.append(f"store(shown + r * shown_row + t * shown_step + {j * self.item}, {name})")
        return lines + put + self._traced()

    def _traced(self) -> list[str]:
        lines = []
        for i, size in enumerate(self.sizes if self.traced else ()):
            for j in range(size):
                if self.staging:
                    at = f"base_trajectory_{i} + k * move_trajectory_{i} + {j * self.number_bytes}"
                else:
                    at = f"trajectory_{i} + r * row_trajectory_{i} + t * step_trajectory_{i} + {j * self.item}"
                lines.append(f"store({at}, {self._state(i, j)})")
        return lines
