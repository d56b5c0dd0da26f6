"""A section of a plan as the text of a kernel: the table, the buffers and the stages.

The text holds no sizes. Numbers and addresses stand in a table, the kernel's only argument; `Kernel` says what each of
its entries is. A block of threads has some rows of the batch, or some steps of rows, an *entry* each; along y its
threads share the entries, along x the units. All threads of the GPU see its *global*
memory; a block has *shared* memory of its own.

Blocks that share rows are the *parts* of a *group*: each computes some of the units, and they meet where one needs what
others wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rnnkit.backends.cuda.codegen.loop import LoopWriter
from rnnkit.backends.cuda.codegen.product import WIDE, ProductWriter
from rnnkit.backends.shared.text import indented

from rnnkit.compiler.ir.plan import (  # isort: skip
    AFTER, BLOCK, CALL, OF_CALL, PER_BLOCK, PLACED, STEP, Buffer, Fused, Loop, Plan, Product,
)  # fmt: skip

COUNTER_BYTES = 128  # from group to group, of the counters by which parts meet
_OWN = ("scratch", "state", "next")
_CHANGING = ("state", "next", "output")
States = tuple[list[Buffer], list[Buffer]]  # buffers of the states before a step, and after it
_TITLES = {CALL: "once a call", BLOCK: "before a block of steps", STEP: "the steps", AFTER: "after a block of steps"}


Slot = int | np.ndarray | tuple  # a number, a table of element numbers, or the name of a value of the executor


@dataclass(frozen=True)
class KernelVariant:
    """The variant of a section's text."""

    rows: int = 1  # entries whose products a thread sums at once, with a weight that it reads once
    shared: bool = False  # states and buffers of a step stand in shared memory
    staged: bool = False  # products' operands are brought to shared memory first
    weights: bool = False  # the weights of the steps' products stand in shared memory from the first step on


@dataclass(eq=False)
class Kernel:
    """A section's text and the meaning of its table.

    A slot is for an entry of the table: a number, a table of element numbers, whose address is written there, or a
    value of the executor: ``("at", buffer)`` and such.
    """

    section: int
    variant: KernelVariant
    text: str = ""
    slots: list[Slot] = field(default_factory=list)
    row_shared: int = 0  # bytes of shared memory for each row that a block has
    thread_row_shared: int = 0  # and for each row of its threads
    panels: list[tuple[int, int, int]] = field(default_factory=list)  # groups of rows, gates, units of shared weights

    def shared_bytes(self, tile: int, thread_rows: int, parts: int) -> int:
        """Return the shared memory of a block, in bytes."""
        panels = sum(depth * gates * -(-units // parts) * WIDE for depth, gates, units in self.panels)
        return tile * self.row_shared + thread_rows * self.thread_row_shared + panels


@dataclass(frozen=True)
class Panel:
    """The address of a thread's column of a weight, and the bytes to the next gate and to the next rows."""

    start: str
    gate: str
    down: str


_TEXT = '''"""{title}"""

import numpy as np
from numba import cuda, float64

from rnnkit.backends.cuda.device.words import *


@cuda.jit
def run(table):
'''


def kernel_text(title: str, body) -> str:
    """Return the text of a kernel, a function of its table."""
    return _TEXT.format(title=title) + "\n".join([*indented(body), ""])


def line(size: int, item: int) -> int:
    """Return the bytes of a row of the program's own memory."""
    return -(-size * item // WIDE) * WIDE


class SectionWriter:
    """Writer of a section's kernel: the table, addresses of buffers, stages and shared memory."""

    body: Callable[[], list[str]]  # of a subclass

    def __init__(
        self, plan: Plan, states: States, name: str, dtype, section: int, variant: KernelVariant, sparing: bool = False
    ):
        self.plan, self.name, self.section, self.variant = plan, name, section, variant
        self.sparing = sparing
        self.dtype = np.dtype(dtype)
        self.item = self.dtype.itemsize
        self.kernel = Kernel(section, variant)
        self.stages = [stage for stage in plan.stages if stage.section == section]
        parts = [part for stage in self.stages for part in (stage.parts if isinstance(stage, Fused) else [stage])]
        self.written = {b for p in parts if isinstance(p, Loop) for _, b, _ in p.writes}
        self.written |= {p.result for p in parts if isinstance(p, Product)}
        self.top: list[str] = []
        self.step_top: list[str] = []
        self.prologue: list[str] = []
        self.sums: list[str] = []
        self.rare: dict[int | tuple, str] = {}
        self.stages_at: dict[str, tuple[str, str]] = {}
        self.tables: dict[bytes, str] = {}
        self.bases: dict[Buffer, str] = {}
        self.rows_of: dict[Buffer, str] = {}
        self.steps_of: dict[Buffer, str] = {}
        self.now, self.new = states

    def run(self) -> Kernel:
        body = self.body()
        title = f"The step {self.name!r} in {self.dtype.name}: {_TITLES[self.section]}, {self.variant}."
        threads = "x, y, nx, ny = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockDim.x, cuda.blockDim.y"
        self.kernel.text = kernel_text(title, [threads, *self.top, *body])
        return self.kernel

    def slot(self, what: Slot, name: str | None = None) -> str:
        """Return the name of a number that the kernel reads once."""
        self.kernel.slots.append(what)
        place = len(self.kernel.slots) - 1
        name = name or f"n{place}"
        self.top.append(f"{name} = word(table, {place})")
        return name

    def now_and_then(self, what: int | tuple) -> str:
        """Return the text of a number that not every step uses: it is read where it is used, and takes no register."""
        if what not in self.rare:
            self.kernel.slots.append(what)
            self.rare[what] = f"word(table, {len(self.kernel.slots) - 1})"
        return self.rare[what]

    def number(self, value: int) -> str:
        """Return the text of a stage's number, read once, or in every step where there are too many to hold."""
        if not self.sparing:
            return self.slot(int(value))
        self.kernel.slots.append(int(value))
        return f"word(table, {len(self.kernel.slots) - 1})"

    def table(self, numbers: np.ndarray) -> str:
        key = numbers.tobytes()
        if key not in self.tables:
            self.tables[key] = self.slot(numbers.astype(np.int64))
        return self.tables[key]

    def is_shared(self, buffer: Buffer) -> bool:
        return self.variant.shared and self.section == STEP and buffer.section == STEP and buffer.kind in _OWN

    def row(self, buffer: Buffer) -> str:
        if buffer not in self.rows_of:
            if buffer.kind in PLACED or buffer.kind == "result":
                found = self.slot(("row", buffer))
            else:
                found = self.number(self.row_bytes(buffer))
            self.rows_of[buffer] = found
        return self.rows_of[buffer]

    def row_bytes(self, buffer: Buffer) -> int:
        given = buffer.kind in OF_CALL
        return buffer.size * self.item if given else line(buffer.size, self.item)

    def moves(self, buffer: Buffer) -> bool:
        """Return whether a buffer has a place for every step."""
        if buffer.kind == "output":
            return False  # its address is set in the time loop
        return buffer.kind in PLACED or buffer.section in PER_BLOCK

    def base(self, buffer: Buffer) -> str:
        """Return the address of a buffer's first entry; in the time loop, at the current step."""
        if buffer not in self.bases:
            self.bases[buffer] = self._make_base(buffer)
        return self.bases[buffer]

    def _make_base(self, buffer: Buffer) -> str:
        name = f"at_{len(self.bases)}"
        if buffer.kind == "prepacked":
            return self.slot(("at", buffer), name)
        if buffer.kind == "output" and self.section == STEP:
            return "output_t"
        if self.is_shared(buffer):
            self.top += [f"{name} = shared", f"shared += tile * {self.row(buffer)}"]
            self.kernel.row_shared += self.row_bytes(buffer)
            return name
        self.slot(("at", buffer), name)
        if self.section == STEP:
            self.top.append(f"{name} += first * {self.row(buffer)}")
            if self.moves(buffer):
                self.steps_of[buffer] = self.slot(("step", buffer))
                self.step_top.append(f"{name}_t = {name} + t * {self.steps_of[buffer]}")
                return f"{name}_t"
        elif self.moves(buffer):
            self.steps_of[buffer] = self.slot(("step", buffer))
        return name

    def entry(self, buffer: Buffer, suffix="") -> str:
        """Return the address of the current entry in a buffer: of `r`, or `row` and `k`, with the suffix."""
        base = self.base(buffer)
        if buffer.kind == "prepacked":
            return base
        if self.section == STEP:
            return f"{base} + r{suffix} * {self.row(buffer)}"
        at = f"{base} + row{suffix} * {self.row(buffer)}"
        return f"{at} + k{suffix} * {self.steps_of[buffer]}" if self.moves(buffer) else at

    def load(self, buffer: Buffer, address: str, wide="") -> str:
        if self.is_shared(buffer):
            kind = "shared_load"
        else:
            kind = "load" if buffer in self.written or buffer.kind in _CHANGING else "fixed"
        return f"{kind}{wide}_{self.dtype.name}({address})"

    def store(self, buffer: Buffer, address: str, value: str) -> str:
        kind = "shared_store" if self.is_shared(buffer) else "store"
        return f"{kind}_{self.dtype.name}({address}, {value})"

    def around_entries(self, lines, group=1) -> list[str]:
        """Return lines for every entry, or for `group` of them at a time, numbered `_0`, `_1` …, the last one twice."""
        if group == 1:
            place = ["r = e"] if self.section == STEP else self._place("")
            return ["for e in range(y, rows, ny):", *indented([*place, *lines])]
        places = []
        for i in range(group):
            places.append(f"r_{i} = min(e + {i}, rows - 1)")
            if self.section != STEP:
                places += self._place(f"_{i}")
        return [f"for e in range({group} * y, rows, {group} * ny):", *indented([*places, *lines])]

    def _place(self, suffix, here="") -> list[str]:
        here = here or (f"r{suffix}" if suffix else "e")
        if self.section == CALL:
            return [f"row{suffix} = first + {here}"]
        return [f"row{suffix} = (first + {here}) // count", f"k{suffix} = first + {here} - row{suffix} * count"]

    def span(self, count: str, name: str) -> tuple[str, str]:
        if self.section != STEP:
            return "0", count
        self.top += [
            f"per_{name} = ({count} + parts - 1) // parts",
            f"low_{name} = min(part * per_{name}, {count})",
            f"high_{name} = min(low_{name} + per_{name}, {count})",
        ]
        return f"low_{name}", f"high_{name}"

    def around_all_entries(self, lines) -> list[str]:
        """Return lines that all threads run equally often: those without an entry repeat the last one, from `e` on."""
        place = ["r = min(e + y, rows - 1)", *([] if self.section == STEP else self._place("", "r"))]
        return ["for e in range(0, rows, ny):", *indented([*place, *lines])]

    def partials(self, count: int, place: int) -> str:
        """Return the address of a reduction's partial sums for the current row of threads."""
        while len(self.sums) <= place:
            name = f"partials_{len(self.sums)}"
            self.top += [f"{name} = shared + y * {count * self.item}", f"shared += ny * {count * self.item}"]
            self.kernel.thread_row_shared += count * self.item
            self.sums.append(name)
        return self.sums[place]

    def stage(self, depth: int, name: str) -> tuple[str, str]:
        """Return the address of a product's staged operand, and the bytes from row to row."""
        if name not in self.stages_at:
            at, row = f"stage_{name}", self.number(line(depth, self.item))
            self.top += [f"{at} = shared", f"shared += tile * {row}"]
            self.kernel.row_shared += line(depth, self.item)
            self.stages_at[name] = at, row
        return self.stages_at[name]

    def panel(self, product: Product, count, low, high, stage, name) -> tuple[Panel, str]:
        """Return a thread's `Panel` of a product's weight, and the word that reads it."""
        gates, at = max(1, len(product.gates)), self.slot(("at", product.panels))
        if not (self.variant.weights and self.section == STEP):
            return Panel(f"{at} + i0 * {WIDE}", f"{count} * {WIDE}", f"{gates * WIDE} * {count}"), "fixed"
        # The block's own columns, brought to shared memory before the first step.
        lanes, depth = WIDE // self.item, self.number(-(-product.depth // (WIDE // self.item)))
        own, wide = f"panel_{name}", ", ".join(f"w_{lane}" for lane in range(lanes))
        units, each = f"wide_{name}", gates * WIDE
        self.top += [f"{own} = shared", f"{units} = {high} - {low}", f"shared += {depth} * {each} * per_{stage}"]
        self.kernel.panels.append((-(-product.depth // lanes), gates, product.units or product.result.size))
        copy = [
            f"from_w = {at} + (q * {count} + {low} + j) * {WIDE}",
            f"to_w = {own} + (q * {units} + j) * {WIDE}",
            f"{wide} = fixed_wide_{self.dtype.name}(from_w)",
            *(f"shared_store_{self.dtype.name}(to_w + {lane * self.item}, w_{lane})" for lane in range(lanes)),
        ]
        loops = [f"for q in range(y, {depth} * {gates}, ny):", f"    for j in range(x, {units}, nx):"]
        self.prologue += [*loops, *indented(indented(copy))]
        return Panel(f"{own} + (i0 - {low}) * {WIDE}", f"{units} * {WIDE}", f"{each} * {units}"), "shared_load"

    def barrier(self) -> list[str]:
        if self.section != STEP:
            return ["cuda.syncthreads()"]
        return [
            "cuda.syncthreads()",
            "if parts > 1:",
            "    barriers += parts",
            "    if x == 0 and y == 0:",
            "        cuda.threadfence()",
            f"        counter = {self.now_and_then(('counter',))} + {COUNTER_BYTES} * cuda.blockIdx.x",
            "        arrive(counter)",
            "        while seen(counter) < barriers:",
            "            pass",
            "        cuda.threadfence()",
            "    cuda.syncthreads()",
        ]

    def work(self) -> list[str]:
        """Return the lines of the section's stages, with a barrier where one reads what other threads wrote."""
        lines: list[str] = []
        written: set[Buffer] = set()
        for i, stage in enumerate(self.stages):
            products = stage.products if isinstance(stage, Fused) else [stage] if isinstance(stage, Product) else []
            loop = stage if isinstance(stage, Loop) else stage.loop if isinstance(stage, Fused) else None
            reads = {p.operand for p in products} | ({load.buffer for load in loop.loads} if loop else set())
            if reads & written:
                lines += self.barrier()
                written = set()
            if products:
                lines += ProductWriter(self, i, products, loop).lines
            elif loop:
                lines += LoopWriter(self, i, loop).lines
            written |= {buffer for _, buffer, _ in loop.writes} if loop else {p.result for p in products}
        return lines
