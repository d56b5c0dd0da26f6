"""A plan as source text in the language of programs: one function per loop, and one that runs the stages over time.

The text holds no sizes. Counts, offsets and strides are read from an array ``n``, addresses from an array ``p``, so
that layers of one cell share one program whatever their sizes; `Source` says what stands where.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rnnkit.backends.cpu.codegen.loop_source import LoopText
from rnnkit.backends.cpu.simd.aligned import LINE
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.operations import OPERATIONS
from rnnkit.compiler.ir.plan import (
    AFTER,
    BLOCK,
    CALL,
    OF_CALL,
    OUTPUTS,
    PER_BLOCK,
    PLACED,
    SCRATCH,
    SEQUENCES,
    STEP,
    Buffer,
    Fused,
    Loop,
    Plan,
    Product,
    SparseProduct,
)  # fmt: skip

HEAD = (
    "steps", "x_row", "x_step", "output_row", "output_step", "mask_row", "mask_step", "zero_masked", "block",
    "memory", "first_patience", "patience",
)  # fmt: skip
POINTERS = ("x", "output", "last", "mask", "order", "product", "shared", "team")
PRODUCT = '''"""The product of rows with a packed weight in {dtype}, shared by all programs."""

from rnnkit.backends.cpu.kernels.matmul import define_matmul

run = define_matmul("{dtype}")
'''
SPARSE_PRODUCT = '''"""The product of rows with a sparse weight in {dtype}, shared by all programs."""

from rnnkit.backends.cpu.kernels.sparse_matmul import define_sparse_matmul

run = define_sparse_matmul("{dtype}")
'''
OUTER_SUM = '''"""The sum of outer products of rows in {dtype}, for the gradients of all weights."""

from rnnkit.backends.cpu.kernels.outer_sum import define_outer_sum

run = define_outer_sum("{dtype}")
'''
PRODUCT_ARGUMENTS, ARGUMENTS = 11, 8  # all of them int64
# How many rows a section computes; the rest are masked.
ROWS_OF = {CALL: "rows", BLOCK: "most", STEP: "used", AFTER: "most"}
# How far the scratch memory of a section has moved, once part 0 has left the others.
_MOVED = {BLOCK: "moved_block", STEP: "moved_step", AFTER: "moved_after"}
_MASK_T = "mask + t * mask_step, mask_row"  # where the mask of a step is, and bytes from row to row

Pointer = str | Buffer | tuple[str, int] | np.ndarray


@dataclass(eq=False)
class Source:
    """Program text and the meaning of its two tables.

    Attributes
    ----------
    text : str
        A module with ``run(p, n, first, rows, scratch, part, parts, barrier)``: rows ``first …`` of the call whose
        addresses stand at ``p`` and whose numbers at ``n``, in ``scratch`` memory of `row_bytes`; as one of
        ``parts`` threads that share the work of every step if ``barrier`` isn't 0.
    pointers : list
        What each entry of ``p`` is: a name, a `Buffer`, a role and a state's number, or an int32 table.
    numbers : list of int
        The entries of ``n`` behind the head (`HEAD`, then row and step of each state's trajectory and of what is
        ``placed``).
    placed : list of Buffer
        The sequences beside x and the output, which are read or kept step by step.
    row_bytes : dict of str to int
        Scratch memory that a row takes: "call", "step", "block" for each step of a block, and "x" for each step of
        a block of a copy of x.
    gaps : int
        Scratch memory between buffers, while accesses are checked.
    title : str
        What the program is, for people.
    """

    text: str = ""
    pointers: list[Pointer] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    placed: list[Buffer] = field(default_factory=list)
    row_bytes: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    title: str = ""


class SourceWriter:
    """Writes the program of one plan."""

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
        self.streamed = {b for b in plan.buffers if b.kind == "residual" and b not in read}
        self.rows_at: dict[Buffer, str] = {}
        self.common: dict[tuple, str] = {}
        self.tables: list[np.ndarray] = []
        self.functions: list[str] = []
        self.shared: dict[str, str] = {}  # the text of a loop's function, with its own names → the function's name
        self.tiles: set[Buffer] = set()
        self.top: list[str] = []

    def run(self) -> Source:
        """The text and what its arguments hold."""
        self._name_buffers()
        calls = {section: self._section(section) for section in (CALL, BLOCK, STEP, AFTER)}
        text = self._module(self._driver(calls))
        step = self.name.removesuffix(", adjoint")
        title = step if step == self.name else f"the gradient of {step}"
        return Source(text, self.pointers, self.numbers, self.placed, self.row_bytes, self.gaps, title)

    # Buffers

    def _name_buffers(self):
        plan = self.plan
        now = {b.attr: b for b in plan.buffers if b.kind == "state"}
        new = {b.attr: b for b in plan.buffers if b.kind == "next"}
        sizes = [int(np.prod(shape)) for shape in plan.state_shapes]
        longest = max((len(b.name) for b in plan.buffers), default=0)  # a longer name is nobody's
        unread = [f"state_{i}".ljust(longest + 1, "_") for i in range(len(sizes))]
        self.now = [now.get(i) or Buffer(name, "state", sizes[i]) for i, name in enumerate(unread)]
        self.new = [new[i] for i in range(len(sizes))]
        self.output = next(b for b in plan.buffers if b.kind in OUTPUTS)
        x = next((b for b in plan.buffers if b.kind == "x"), None)
        self.x = x or Buffer("x", "x", 0, BLOCK)
        scratch = [b for b in plan.buffers if b.kind in SCRATCH]
        self.scratch = {s: [b for b in scratch if b.section == s] for s in (CALL, BLOCK, STEP, AFTER)}
        self.movable = {b for section in _MOVED for b in self.scratch[section]}
        step = self.scratch[STEP] + self.now + self.new
        output = self.line(self.output.size)
        self.row_bytes = {
            "call": sum(self.line(b.size) for b in self.scratch[CALL]),
            "block": sum(self.line(b.size) for s in PER_BLOCK for b in self.scratch[s]),
            "x": self.line(self.x.size),
            "step": sum(self.line(b.size) for b in step) + 3 * output,
        }
        self.gaps = self.gap * (len(scratch) + len(self.now + self.new) + 2)

    def _states_now(self) -> list[str]:
        """Address of each state, and bytes from row to row."""
        return [f"at_{b.name}, {self.row(b)}" for b in self.now]

    def line(self, size) -> int:
        """Bytes of a row of scratch memory: rows start at cache lines."""
        return -(-size * self.item // LINE) * LINE

    def number(self, value: int) -> str:
        """The text of a number that is handed to the program."""
        self.numbers.append(int(value))
        return f"word(n, {self.head + len(self.numbers) - 1})"

    def pointer(self, what: Pointer) -> str:
        """The text of an address that is handed to the program."""
        self.pointers.append(what)
        return f"word(p, {len(self.pointers) - 1})"

    def named(self, name: str, value: int) -> str:
        """A number that ``run`` reads once."""
        self.top.append(f"{name} = {self.number(value)}")
        return name

    def of_panels(self, what: str, panels: list[Buffer], make: Callable[[], str]) -> str:
        """The text of what all products with the same panels have in common, made for the first of them."""
        key = what, *panels
        if key not in self.common:
            self.common[key] = make()
        return self.common[key]

    def depth(self, product: Product) -> str:
        """The text of a product's depth."""
        return self.of_panels("depth", [product.panels], lambda: self.number(product.depth))

    def row(self, buffer: Buffer) -> str:
        """Bytes from row to row of a buffer."""
        if buffer.kind in PLACED:
            return f"row_{buffer.name}"
        if buffer not in self.rows_at:
            self.rows_at[buffer] = self.number(self.row_bytes_of(buffer))
        return self.rows_at[buffer]

    def row_bytes_of(self, buffer: Buffer) -> int:
        """Bytes from row to row of a buffer that isn't the caller's array."""
        return buffer.size * self.item if buffer.kind in OF_CALL else self.line(buffer.size)

    def step(self, buffer: Buffer, rows="rows", row="") -> str:
        """Bytes from step to step of a buffer, while a block is computed, by names for its rows and a row's bytes."""
        if buffer.kind == "x":
            return "x_step"
        if buffer.kind in PLACED:
            return f"step_{buffer.name}"
        scratch = buffer.kind in SCRATCH
        return f"{rows} * {row or self.row(buffer)}" if scratch and buffer.section in PER_BLOCK else "0"

    def _place(self, buffer: Buffer, section: int) -> str:
        """Where a stage of a section finds a buffer, in ``run``."""
        if buffer.kind == "x":
            return "x_block" if section in PER_BLOCK else "x_t"
        if buffer.kind == "output":
            return "output_t"
        if buffer.kind in PLACED:
            return f"at_{buffer.name} + {'start' if section in PER_BLOCK else 't'} * step_{buffer.name}"
        if buffer.kind == "scratch" and buffer.section == BLOCK and section == STEP:
            return f"{self.at(buffer)} + k * rows * {self.row(buffer)}"
        return self.at(buffer)

    # Stages

    def _section(self, section: int) -> list[str]:
        """The stages of a section, with a phase where one needs what others wrote."""
        lines: list[str] = []
        written: set[Buffer] = set()
        for i, stage in enumerate(self.plan.stages):
            if stage.section != section:
                continue
            products = stage.products if isinstance(stage, Fused) else [stage] if isinstance(stage, Product) else []
            loop = stage if isinstance(stage, Loop) else stage.loop if isinstance(stage, Fused) else None
            reads = {p.operand for p in products} | ({load.buffer for load in loop.loads} if loop else set())
            if reads & written:
                lines += self._wait_for_all(section)
                written = set()
            if isinstance(stage, Fused):
                lines += self._fused(stage, i)
            elif isinstance(stage, Product):
                lines += self._product(stage, i)
                written.add(stage.result)
            else:
                lines += self._loop(stage, i)
            if loop is not None and loop.reduction is None:
                written |= {buffer for _, buffer, _ in loop.writes}
        return lines

    def _wait_for_all(self, section: int) -> list[str]:
        """Wait for the other parts; part 0 begins the section anew, alone, if they don't come."""
        if section == CALL:
            return []  # computed by every part as a whole
        leave = ["if part > 0:", "    return", "parts, barrier, used_before, moved = 1, 0, rows, 1", "continue"]
        wait = "if barrier_wait(team, barrier, part, parts, phase, patience) == 0:"
        return ["if parts > 1:", *indented(["phase += 1", wait, *indented(leave)])]

    def _move(self, section: int) -> list[str]:
        """Where a section begins anew, in memory that the parts which were left don't know."""
        lines = [f"copy_bytes(at_{b.name} + spare, at_{b.name}, rows * {self.row(b)})" for b in self.now]
        lines += [f"at_{b.name} += spare" for b in (*self.now, *self.new)] + ["at_output += spare"]
        lines.append(f"moved, {_MOVED[STEP]} = 0, spare")
        if section == BLOCK:
            lines += [f"{_MOVED[BLOCK]} = spare", "staged_x += spare"]
        elif section == AFTER:  # what it reads of the block stays: a part that was left only reads it, too
            lines.append(f"{_MOVED[AFTER]} = spare")
        return ["if moved == 1:", *indented(lines)]

    def at(self, buffer: Buffer) -> str:
        """The address of a buffer's first row; of scratch memory, where it may have moved."""
        moved = f" + {_MOVED[buffer.section]}" if buffer in self.movable else ""
        return f"at_{buffer.name}{moved}"

    def _operand(self, stage: Product) -> str:
        at = self._place(stage.operand, stage.section)
        return f"{at} + {self.number(stage.offset * self.item)}" if stage.offset else at

    def _product(self, stage: Product, i: int) -> list[str]:
        item, vector = self.item, self.vector_bytes
        columns = stage.result.size // max(stage.rows, 1)
        vectors = self.of_panels("vectors", [stage.panels], lambda: self.named(f"vectors_{i}", columns // self.lanes))
        lines = [f"# {line}" for line in stage.lines]
        alone = stage.section == CALL
        if not alone:
            own, first, after = self._part(i, stage.section, [stage.panels], vectors, self.panel_vectors)
            lines += own
        a, row_a, row_c = self._operand(stage), self.row(stage.operand), self.row(stage.result)
        c, packed = self._place(stage.result, stage.section), f"at_{stage.panels.name}"
        rows = ROWS_OF[stage.section]
        product = "sparse_product" if isinstance(stage, SparseProduct) else "product"
        if product == "sparse_product":  # the columns that it computes, by number
            first, after = ("0", vectors) if alone else (first, after)
            extent = f"{first} * {self.lanes}, {after} * {self.lanes}"
        elif alone:
            extent = f"{self.depth(stage)}, {vectors} * {self.lanes}"
        else:
            depth = self.depth(stage)
            c, packed = f"{c} + {first} * {vector}", f"{packed} + {first} * {depth} * {vector}"
            extent = f"{depth}, ({after} - {first}) * {self.lanes}"
        per_block = stage.section in PER_BLOCK
        step_a, step_c = (self.step(b) if per_block else "0" for b in (stage.operand, stage.result))
        if not stage.nested:
            outer = "count" if per_block else "1"
            call = f"{a}, {step_a}, {outer}, {row_a}, {rows}, {packed}, {extent}, {c}, {step_c}, {row_c}"
            return [*lines, f"call_matmul({product}, {call})"]
        inner, stride = self.number(stage.rows), self.number(stage.row_stride * item)
        wide = self.number(columns * item)
        loop = []
        if per_block:
            a, c, loop = f"{a} + k * {step_a}", f"{c} + k * {step_c}", ["for k in range(count):"]
        call = f"{a}, {row_a}, {rows}, {stride}, {inner}, {packed}, {extent}, {c}, {row_c}, {wide}"
        calls = [f"call_matmul({product}, {call})"]
        return [*lines, *loop, *(indented(calls) if loop else calls)]

    def _fused(self, stage: Fused, i: int) -> list[str]:
        """Pieces of units, forwards and backwards in turn: weights that a step used last are still in the cache."""
        self.tiles |= {product.result for product in stage.products}
        widest = max(stage.products, key=lambda p: len(p.gates) * p.depth)
        align = math.lcm(*(self.panel_vectors // math.gcd(self.panel_vectors, len(p.gates)) for p in stage.products))
        panels = [product.panels for product in stage.products]
        units = self.of_panels("units", panels, lambda: self.named(f"units_{i}", -(-widest.units // self.lanes)))
        piece = self.of_panels("piece", panels, lambda: self._piece(f"piece_{i}", units, widest, align))
        own, first, after = self._part(i, stage.section, panels, units, align)
        lines = [
            *own,
            f"wide_{i} = min({piece}, {after} - {first})",
            f"pieces_{i} = ({after} - {first} + {piece} - 1) // {piece}",
            f"for c in range(pieces_{i}):",
        ]
        body = [
            f"v = {first} + (c if turn == 0 else pieces_{i} - 1 - c) * {piece}",
            f"w = min(v + {piece}, {after})",
        ]
        tiles = {}
        for product in stage.products:
            depth, width = self.depth(product), len(product.gates) * self.vector_bytes
            at = self.at(product.result)
            tile = f"{at} + rows * {first} * {width}"
            row = f"wide_{i} * {width}"
            tiles[product.result] = f"{tile} - v * {width}", row
            a, row_a = self._operand(product), self.row(product.operand)
            packed = f"at_{product.panels.name} + v * {depth} * {width}"
            columns = f"(w - v) * {len(product.gates) * self.lanes}"
            body += [f"# {line}" for line in product.lines]
            body.append(
                f"call_matmul(product, {a}, 0, 1, {row_a}, used, {packed}, {depth}, {columns}, {tile}, 0, {row})"
            )
        body += self._loop(stage.loop, i, tiles, (f"v * {self.lanes}", f"w * {self.lanes}"))
        return lines + indented(body)

    def _part(self, i: int, section: int, panels: list[Buffer], count: str, align: int) -> tuple[list[str], str, str]:
        """Lines for what is this part's of so many vectors, unless the section has them; where it begins, and ends."""
        first = self.of_panels(f"first in {section}", panels, lambda: f"first_{i}")
        after = first.replace("first", "after")
        if first != f"first_{i}":
            return [], first, after
        both = (first, "part"), (after, "part + 1")
        return [f"{name} = share(shared, {count}, {align}, {part}, parts)" for name, part in both], first, after

    def _piece(self, name: str, units: str, widest: Product, align: int) -> str:
        """How many vectors of units are computed at once."""
        gates = len(widest.gates)
        piece = f"piece_of(shared, rows, {units}, {gates}, {self.depth(widest)}, {self.vector_bytes})"
        self.top.append(f"{name} = min({units}, ({piece} + {align - 1}) // {align} * {align})")
        return name

    def _loop(self, loop: Loop, i: int, tiles=None, span=None) -> list[str]:
        """The call of a loop's function; `tiles` says where a fused product's result is, and how far its rows are."""
        tiles = tiles or {}
        buffers = list(dict.fromkeys([load.buffer for load in loop.loads] + [b for _, b, _ in loop.writes]))
        rows_given = [b for b in buffers if b in tiles or b.kind in PLACED]
        writer = LoopText(self, loop, buffers, rows_given)
        stepped = [f"step_{b.name}" for b in buffers if b in self.placed]
        block = ["count", "x_step", "all_rows", *stepped] if loop.section in PER_BLOCK else []
        spanned = ["low", "high"] if writer.split else []
        inside = ["n", *block, "rows", *spanned, *(f"at_{b.name}" for b in buffers)]
        inside += [f"row_{b.name}" for b in rows_given] + [t for t, _ in writer.tables]
        name = self._function(f"make_{loop.writes[0][1].name}", i, inside, writer)
        numbers = f"n + {8 * (self.head + len(self.numbers))}"
        self.numbers += writer.numbers
        lines: list[str] = []
        if spanned and span is None:
            vectors = self.named(f"vectors_{i}", -(-(loop.dims or (1,))[-1] // self.lanes))
            span = [f"share(shared, {vectors}, 1, {part}, parts) * {self.lanes}" for part in ("part", "part + 1")]
            if loop.section == CALL:
                span = ["0", f"{vectors} * {self.lanes}"]
        block = ["count", "x_step", "rows", *stepped] if loop.section in PER_BLOCK else []
        given = [numbers, *block, ROWS_OF[loop.section], *(span if spanned else [])]
        given += [tiles[b][0] if b in tiles else self._place(b, loop.section) for b in buffers]
        given += [tiles[b][1] if b in tiles else self.row(b) for b in rows_given] + [t for t, _ in writer.tables]
        return [*lines, f"{name}({', '.join(given)})"]

    def _function(self, name: str, i: int, arguments: list[str], writer: LoopText) -> str:
        """The name of a loop's function; loops that differ in names alone share one, which is compiled once."""
        key = _renamed(arguments, writer.lines)
        if key not in self.shared:
            self.shared[key] = name = f"{name}_{i}" if name in self.shared.values() else name
            comments = [f"# {line}" for line in writer.loop.lines]
            head = ["@compiled", f"def {name}({', '.join(arguments)}):"]
            self.functions.append("\n".join(head + indented(comments + writer.lines)))
        return self.shared[key]

    # The function that runs the stages over time

    def _driver(self, calls: dict[int, list[str]]) -> list[str]:
        """The body of ``run``, with the stages of each section."""
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
        """What stands at ``p`` and ``n``; addresses are those of the first row."""
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
        """Bytes from row to row and from step to step of state ``i``'s trajectory; behind those, of what is placed."""
        at = len(HEAD) + 2 * i
        return f"word(n, {at})", f"word(n, {at + 1})"

    def _start(self, swap: list[str]) -> list[str]:
        """Part 0 takes the initial states and goes ahead; others join it where it then is."""
        initial = [
            f"take_rows(shared, rows, order, size_{i}, initial_{i}, size_{i}, {at_row})"
            for i, at_row in enumerate(self._states_now())
        ]
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
            *indented([*initial, "if mask != 0:", "    clear_bytes(held, rows * row_out)"]),
            "all_parts, parts = parts, 1",
            "phase, start, turn, used_before, moved = 1, 0, 0, rows, 0",
            f"{', '.join(_MOVED.values())} = 0, 0, 0",
            "if part > 0:",
            *indented(join),
        ]

    def _block(self, calls: dict[int, list[str]], swap: list[str]) -> list[str]:
        """A block of steps."""
        x_bytes = self.number(self.x.size * self.item)
        admit = "admit(team, barrier, all_parts, start, turn, first_patience if start == 0 else 0)"
        return [
            *self._move(BLOCK),
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
            *self._wait_for_all(BLOCK),
            "k = 0",
            "while k < count:",
            *indented([*self._time_step(calls[STEP], swap), "k += 1"]),
            *self._after(calls[AFTER]),
            "start += count",
        ]

    def _finish(self) -> list[str]:
        """What part 0 does at the end: the last output and the final states go to the call's arrays."""
        final = [
            f"put_rows(shared, rows, order, size_{i}, {at_row}, final_{i}, size_{i})"
            for i, at_row in enumerate(self._states_now())
        ]
        return [
            "if mask != 0:",
            "    put_rows(shared, rows, order, size, held, row_out, last, size)",
            "elif staged:",
            "    put_rows(shared, rows, order, size, at_output + (1 - turn) * rows * row_out, row_out, last, size)",
            "else:",
            "    put_rows(shared, rows, 0, size, output + (steps - 1) * output_step, given_row, last, size)",
            *final,
            "if barrier != 0:",
            "    close(team, barrier)",
        ]

    def _memory(self) -> list[str]:
        """Offsets in the scratch memory, which has a second half where threads share steps: part 0 may need it."""
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
        """One step of all rows."""
        put = self._put_output() + self._put_states() + self._hold_residuals()
        work = [
            *stages,
            *self._wait_for_all(STEP),
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
            *self._move(STEP),
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
        """Masked rows keep their states: part 0 copies them to where the new ones stand."""
        hold = []
        for i, (now, new) in enumerate(zip(self.now, self.new, strict=True)):
            both = f"at_{now.name}, at_{new.name}, size_{i}, {self.row(now)}"
            hold.append(f"hold_states(shared, max(used, used_before), {_MASK_T}, {both})")
        return ["if part == 0 and not full:", *indented(hold)] if hold else []

    def _put_output(self) -> list[str]:
        """An output that was written to scratch memory goes to the call's array; masked rows get the held one."""
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
        """The states after a step, to their trajectories."""
        lines = []
        for i, at_row in enumerate(self._states_now()):
            row, step = self._strides(i)
            lines.append(f"if trajectory_{i} != 0:")
            lines.append(f"    put_rows(shared, rows, order, size_{i}, {at_row}, trajectory_{i} + t * {step}, {row})")
        return lines

    def _hold_residuals(self) -> list[str]:
        """In masked rows what is kept of a new state is what the step before kept of it."""
        lines = []
        for buffer in self.placed:
            if buffer.held_state is not None:
                name, size = buffer.name, self.number(buffer.size * self.item)
                at = f"at_{name} + t * step_{name}"
                states = f"{at} - step_{name}, {at}, {size}, row_{name}"
                lines.append(f"    hold_states(shared, rows, {_MASK_T}, {states})")
        return ["if not full:", *lines] if lines else []

    def _after(self, stages) -> list[str]:
        """What is computed of the outputs behind the time loop, for a block of steps, and put in place."""
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
        work = [*self._move(AFTER), *stages, *self._wait_for_all(AFTER), "left = 0"]
        again = ["left = 1 if wanted else 0", "while left > 0:", *indented(work)]
        return [*again, "if wanted and part == 0:", *indented(put)]

    def _module(self, body) -> str:
        name = self.dtype.name
        everything = "\n".join(self.functions + body)
        words = set(_words(everything))
        vector = sorted(
            w for w in words if w in _VECTOR or (w.endswith(name) and w.removesuffix(f"_{name}") in _MEMORY)
        )
        imports = {
            "rnnkit.backends.cpu.simd.atomic": {"word"},
            "rnnkit.backends.cpu.simd.bounds_check": words & {"allow", "refuse"},
            "rnnkit.backends.cpu.threads.shared_functions": words & _SHARED,
            "rnnkit.backends.cpu.simd.functions": words & _MATH,
            "rnnkit.backends.cpu.kernels.matmul": words & {"call_matmul"},
            "rnnkit.backends.cpu.kernels.row_copy": words & {"clear_bytes", "copy_bytes"},
            "rnnkit.backends.cpu.simd.vector": vector,
        }
        lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in imports.items() if names]
        title = f'"""The step {self.name!r} in {name}, {self.lanes} lanes: run(addresses, numbers, ...)."""'
        run = ["@compiled", "def run(p, n, first, rows, scratch, part, parts, barrier):"]
        run += indented(body)
        lines = ["from rnnkit.backends.cpu.language.function import compiled", *lines]
        head = [title, "", "import numpy as np", "", *lines, "", ""]
        return "\n".join([*head, *(f"{f}\n\n" for f in self.functions), *run, ""])


def _renamed(arguments, lines) -> str:
    """The text of a function with its variables named by their order."""
    own = {*arguments, *re.findall(r"^ *(?:for )?(\w+) (?:=|in) ", "\n".join(lines), re.MULTILINE)}
    names: dict[str, str] = {}

    def renamed(word):
        return names.setdefault(word[0], f"${len(names)}") if word[0] in own else word[0]

    return re.sub(r"[A-Za-z_]\w*", renamed, "\n".join([", ".join(arguments), *lines]))


def _words(text) -> list[str]:
    return re.findall(r"[A-Za-z_][A-Za-z_0-9]*", text)


_SHARED = set(
    "admit arrive barrier_wait clear_masked close hold_output hold_states most_used piece_of put_rows share "
    "take_rows used_rows".split()
)
_MEMORY = {"first", "load", "load_full", "splat", "fill", "load_strided", "load_table", "store_scalar"}
_VECTOR = set(
    "stream drain store store_strided select to_mask reduce_add reduce_multiply reduce_maximum reduce_minimum".split()
)
_MATH = {word for operation in OPERATIONS.values() for word in _words(operation.text)} - _VECTOR - {"one", "zero"}
