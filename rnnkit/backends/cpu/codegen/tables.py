"""The tables from which a program reads its addresses and numbers, and the text that reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rnnkit.backends.cpu.simd.aligned import LINE
from rnnkit.compiler.ir.graph import FAILED

from rnnkit.compiler.ir.plan import (  # isort: skip
    AFTER, BLOCK, CALL, LARGE, OF_CALL, OUTPUTS, PER_BLOCK, PLACED, SCRATCH, SEQUENCES, STEP, Buffer, Loop, Plan,
    Product,
)  # fmt: skip

HEAD = (
    "steps", "x_row", "x_step", "output_row", "output_step", "mask_row", "mask_step", "zero_masked", "block",
    "memory", "first_patience", "patience",
)  # fmt: skip
POINTERS = ("x", "output", "last", "mask", "order", "product", "shared", "team")
PRODUCT_ARGUMENTS, ARGUMENTS = 11, 8  # all of them int64
# By how many bytes the scratch memory of a section has moved, once part 0 has left the others.
MOVED = {BLOCK: "moved_block", STEP: "moved_step", AFTER: "moved_after"}

Pointer = str | Buffer | tuple[str, int] | np.ndarray


@dataclass(eq=False)
class Source:
    """Program text and the meaning of its two tables.

    The text is a module with ``run(p, n, first, rows, scratch, part, parts, barrier)``: rows ``first …`` of the call
    whose addresses stand at ``p`` and whose numbers at ``n``, in ``scratch`` memory of `row_bytes`; as one of ``parts``
    threads that share the work of every step if ``barrier`` isn't 0.
    """

    text: str = ""
    pointers: list[Pointer] = field(default_factory=list)  # the entries of `p`; a state's number stands beside a role
    # The entries of `n` behind the head: `HEAD`, then row and step of each state's trajectory and of what is `placed`.
    numbers: list[int] = field(default_factory=list)
    placed: list[Buffer] = field(default_factory=list)  # sequences beside x and the output, read or kept step by step
    # Scratch memory of a row: "call", "step", "block" for each step of a block, and "x" for a step of a copy of x.
    row_bytes: dict[str, int] = field(default_factory=dict)
    gaps: int = 0  # scratch memory between buffers, while accesses are checked
    title: str = ""  # for people
    of_groups: bool = False  # `first` and `rows` count groups of rows; the number of rows then stands behind the head


class Tables:
    """Table entries of one plan's program, and the addresses of its buffers as text."""

    def __init__(self, plan: Plan, name: str, dtype, lanes: int, panel_vectors: int, gap: int = 0):
        self.plan, self.name = plan, name
        self.dtype = np.dtype(dtype)
        self.item = self.dtype.itemsize
        self.lanes, self.panel_vectors = lanes, panel_vectors
        self.vector_bytes, self.gap = lanes * self.item, gap
        self.placed = [b for b in plan.buffers if b.kind in SEQUENCES]
        self.head = len(HEAD) + 2 * (len(plan.state_shapes) + len(self.placed))
        self.numbers: list[int] = []
        self.pointers: list[Pointer] = []
        read = {p.operand for p in plan.products()}
        read |= {load.buffer for part in plan.parts() if isinstance(part, Loop) for load in part.loads}
        # In whole vectors, for which all that is kept for a gradient has room.
        # Large ones are read again soon, see `rnnkit.backends.cpu.gradient`.
        kept = {b for b in plan.buffers if b.kind == "residual" and b not in read and b.attr[1] != FAILED}
        self.streamed = {b for b in kept if b.size < LARGE}
        self.rows_at: dict[Buffer, str] = {}
        self.common: dict[tuple, str] = {}
        self.tables: list[np.ndarray] = []
        self.functions: list[str] = []
        self.shared: dict[str, str] = {}  # the text of a loop's function, with its own names → the function's name
        self.top: list[str] = []
        self.cuts: list[str] = []  # lines for this part's units in a step

    def name_buffers(self):
        plan = self.plan
        now = {b.attr: b for b in plan.buffers if b.kind == "state"}
        new = {b.attr: b for b in plan.buffers if b.kind == "next"}
        sizes = [int(np.prod(shape)) for shape in plan.state_shapes]
        longest = max((len(b.name) for b in plan.buffers), default=0)  # a longer name is unused
        unread = [f"state_{i}".ljust(longest + 1, "_") for i in range(len(sizes))]
        self.now = [now.get(i) or Buffer(name, "state", sizes[i]) for i, name in enumerate(unread)]
        self.new = [new[i] for i in range(len(sizes))]
        self.output = next(b for b in plan.buffers if b.kind in OUTPUTS)
        x = next((b for b in plan.buffers if b.kind == "x"), None)
        self.x = x or Buffer("x", "x", 0, BLOCK)
        scratch = [b for b in plan.buffers if b.kind in SCRATCH]
        self.scratch = {s: [b for b in scratch if b.section == s] for s in (CALL, BLOCK, STEP, AFTER)}
        self.movable = {b for section in MOVED for b in self.scratch[section]}
        step = self.scratch[STEP] + self.now + self.new
        large = [b.size for b in self.placed if b.kind == "residual" and b.size >= LARGE]  # which steps find near, too
        output = self.line(self.output.size)
        self.row_bytes = {
            "call": sum(self.row_bytes_of(b) for b in self.scratch[CALL]),
            "block": sum(self.row_bytes_of(b) for s in PER_BLOCK for b in self.scratch[s]) + sum(map(self.line, large)),
            "x": self.line(self.x.size),
            "step": sum(self.row_bytes_of(b) for b in step) + 3 * output,
        }
        self.gaps = self.gap * (len(scratch) + len(self.now + self.new) + 2)

    def states_now(self) -> list[str]:
        return [f"at_{b.name}, {self.row(b)}" for b in self.now]

    def line(self, size, item: int = 0) -> int:
        """Return the bytes of a row of scratch memory: rows start at cache lines."""
        return -(-size * (item or self.item) // LINE) * LINE

    def item_of(self, buffer: Buffer) -> int:
        return self.item if buffer.elements == "float" else np.dtype(buffer.elements).itemsize

    def number(self, value: int) -> str:
        """Return the text that reads a number from the table, to which it is added."""
        self.numbers.append(int(value))
        return f"word(n, {self.head + len(self.numbers) - 1})"

    def pointer(self, what: Pointer) -> str:
        """Return the text that reads an address from the table, to which it is added."""
        self.pointers.append(what)
        return f"word(p, {len(self.pointers) - 1})"

    def named(self, name: str, value: int) -> str:
        """Return the name of a number that ``run`` reads once."""
        self.top.append(f"{name} = {self.number(value)}")
        return name

    def of_panels(self, what: str, panels: list[Buffer], make: Callable[[], str]) -> str:
        """Return the text that all products with the same panels share, made for the first of them."""
        key = what, *panels
        if key not in self.common:
            self.common[key] = make()
        return self.common[key]

    def depth(self, product: Product) -> str:
        """Return the text of a product's depth, with the rows that the scales of its panels take."""
        return self.of_panels("depth", [product.panels], lambda: self.number(product.depth))

    def row(self, buffer: Buffer) -> str:
        if buffer.kind in PLACED:
            return f"row_{buffer.name}"
        if buffer not in self.rows_at:
            self.rows_at[buffer] = self.number(self.row_bytes_of(buffer))
        return self.rows_at[buffer]

    def row_bytes_of(self, buffer: Buffer) -> int:
        """Return the bytes from row to row of a buffer that isn't the caller's array."""
        return buffer.size * self.item if buffer.kind in OF_CALL else self.line(buffer.size, self.item_of(buffer))

    def step(self, buffer: Buffer, rows="rows", row="") -> str:
        """Return the text of a buffer's bytes from step to step in a block, by names for its rows and a row's bytes."""
        if buffer.kind == "x":
            return "x_step"
        if buffer.kind in PLACED:
            return f"step_{buffer.name}"
        scratch = buffer.kind in SCRATCH
        return f"{rows} * {row or self.row(buffer)}" if scratch and buffer.section in PER_BLOCK else "0"

    def place(self, buffer: Buffer, section: int) -> str:
        """Return the address in ``run`` at which a stage of a section finds a buffer."""
        if buffer.kind == "x":
            return "x_block" if section in PER_BLOCK else "x_t"
        if buffer.kind == "output":
            return "output_t"
        if buffer.kind in PLACED:
            return f"at_{buffer.name} + {'start' if section in PER_BLOCK else 't'} * step_{buffer.name}"
        if buffer.kind == "scratch" and buffer.section == BLOCK and section == STEP:
            return f"{self.at(buffer)} + k * rows * {self.row(buffer)}"
        return self.at(buffer)

    def at(self, buffer: Buffer) -> str:
        """Return the address of a buffer's first row, of scratch memory with the distance by which it was moved."""
        moved = f" + {MOVED[buffer.section]}" if buffer in self.movable else ""
        return f"at_{buffer.name}{moved}"
