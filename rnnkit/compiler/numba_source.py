"""A plan as source text for numba: one function per loop, and one that runs the stages over time.

The text holds no sizes. Counts, offsets and strides are read from an array ``n``, addresses from an array ``p``, so
that layers of one cell share one program whatever their sizes; `Source` says what stands where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from rnnkit.compiler.loop_text import LoopText
from rnnkit.compiler.operations import OPERATIONS
from rnnkit.compiler.plan import BLOCK, CALL, STEP, Buffer, Loop, Plan, Product

HEAD = (
    "rows", "steps", "block", "x_row", "x_step", "output_row", "output_step", "mask_row", "mask_step", "zero_masked",
)  # fmt: skip
PRODUCT = '''"""The product of rows with a packed weight in {dtype}, shared by all programs."""

from numba import njit

from rnnkit.engine.product import product_{dtype}


@njit(nogil=True, error_model="numpy")
def run(a, a_outer, outer, a_inner, inner, packed, K, N, c, c_outer, c_inner):
    product_{dtype}(a, a_outer, outer, a_inner, inner, packed, K, N, c, c_outer, c_inner)
'''
PRODUCT_SIGNATURE = f"void({', '.join(['int64'] * 11)})"


@dataclass(eq=False)
class Source:
    """Program text and the meaning of its two arguments.

    Attributes
    ----------
    text : str
        A module with ``run(p, n)``.
    pointers : list
        What each entry of ``p`` is: a name, a `Buffer`, a role and a state's number, or an int32 table.
    numbers : list of int
        The entries of ``n`` behind the head (`HEAD`, then row and step of each state's trajectory).
    """

    text: str = ""
    pointers: list = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


class SourceWriter:
    """Writes the program of one plan."""

    def __init__(self, plan: Plan, name: str, dtype, lanes: int, row_bytes):
        self.plan, self.name = plan, name
        self.dtype = np.dtype(dtype)
        self.lanes, self.row_bytes = lanes, row_bytes
        self.states = sorted((b for b in plan.buffers if b.kind == "state"), key=lambda b: b.attr)
        self.head = len(HEAD) + 2 * len(plan.state_shapes)
        self.numbers: list[int] = []
        self.rows_at: dict[Buffer, int] = {}
        self.tables: list[np.ndarray] = []
        self.functions: list[str] = []

    def run(self) -> Source:
        """The text and what its arguments hold."""
        calls = {section: [] for section in (CALL, BLOCK, STEP)}
        for i, stage in enumerate(self.plan.stages):
            write = self._product if isinstance(stage, Product) else self._loop
            calls[stage.section] += write(stage, i)
        pointers, body = self._driver(calls)
        return Source(self._module(body), pointers, self.numbers)

    # Numbers

    def number(self, value: int) -> str:
        """The text of a number that is handed to the program."""
        self.numbers.append(int(value))
        return f"n[{self.head + len(self.numbers) - 1}]"

    def row(self, buffer: Buffer) -> str:
        """Bytes from row to row of a buffer."""
        if buffer.kind == "x":
            return f"n[{HEAD.index('x_row')}]"
        if buffer.kind == "output":
            return f"n[{HEAD.index('output_row')}]"
        if buffer not in self.rows_at:
            self.number(self.row_bytes(buffer))
            self.rows_at[buffer] = self.head + len(self.numbers) - 1
        return f"n[{self.rows_at[buffer]}]"

    # Stages

    def _product(self, stage: Product, i: int) -> list[str]:
        item = self.dtype.itemsize
        a = f"{self._place(stage.operand, stage.section)}"
        if stage.offset:
            a += f" + {self.number(stage.offset * item)}"
        depth, width = self.number(stage.depth), self.number(sum(w.shape[1] for w in stage.weights))
        row_a, row_c = self.row(stage.operand), self.row(stage.result)
        c, packed = self._place(stage.result, stage.section), f"at_{stage.panels.name}"
        lines = [f"# {line}" for line in stage.lines]
        if stage.nested:
            inner, stride = self.number(stage.rows), self.number(stage.row_stride * item)
            wide = self.number(stage.result.size // max(stage.rows, 1) * item)
            call = (
                f"call_product(product, {{a}}, {row_a}, rows, {stride}, {inner}, {packed}, {depth}, {width}, "
                f"{{c}}, {row_c}, {wide})"
            )
            if stage.section != BLOCK:
                return [*lines, call.format(a=a, c=c)]
            a, c = f"{a} + k * {self.step(stage.operand)}", f"{c} + k * {self.step(stage.result)}"
            return [*lines, "for k in range(count):", "    " + call.format(a=a, c=c)]
        outer = "count" if stage.section == BLOCK else "1"
        step_a, step_c = (self.step(b) if stage.section == BLOCK else "0" for b in (stage.operand, stage.result))
        return [
            *lines,
            f"call_product(product, {a}, {step_a}, {outer}, {row_a}, rows, {packed}, {depth}, {width}, {c}, {step_c}, "
            f"{row_c})",
        ]

    def step(self, buffer: Buffer) -> str:
        """Bytes from step to step of a buffer, while a block is computed."""
        if buffer.kind == "x":
            return "x_step"
        return f"rows * {self.row(buffer)}" if buffer.kind == "scratch" and buffer.section == BLOCK else "0"

    def _place(self, buffer: Buffer, section: int) -> str:
        """Where a stage of a section finds a buffer, in the driver."""
        if buffer.kind == "x":
            return "x_block" if section == BLOCK else "x_t"
        if buffer.kind == "output":
            return "output_t"
        if buffer.kind == "scratch" and buffer.section == BLOCK and section == STEP:
            return f"at_{buffer.name} + k * rows * {self.row(buffer)}"
        return f"at_{buffer.name}"

    def _loop(self, loop: Loop, i: int) -> list[str]:
        buffers = list(dict.fromkeys([v.buffer for v in loop.values if v.buffer] + [b for _, b, _ in loop.writes]))
        writer = LoopText(self, loop, buffers)
        name = f"make_{loop.writes[0][1].name}"
        name = name if all(f"def {name}(" not in f for f in self.functions) else f"{name}_{i}"
        block = loop.section == BLOCK
        arguments = ["n", *(["count", "x_step"] if block else []), "rows"]
        arguments += [f"at_{b.name}" for b in buffers] + [t for t, _ in writer.tables]
        head = ['@njit(nogil=True, error_model="numpy")', f"def {name}({', '.join(arguments)}):"]
        self.functions.append("\n".join(head + ["    " + line for line in writer.lines]))
        given = ["n", *(["count", "x_step"] if block else []), "rows"]
        given += [self._place(b, loop.section) for b in buffers] + [t for t, _ in writer.tables]
        return [f"{name}({', '.join(given)})"]

    # The driver

    def _driver(self, calls) -> tuple[list, list[str]]:
        plan, item = self.plan, self.dtype.itemsize
        pointers: list = ["x", "output", "held", "mask", "product"]
        lines = ["x, output, held, mask, product = p[0], p[1], p[2], p[3], p[4]"]
        lines += [
            f"{name} = n[{i}]"
            for i, name in enumerate(HEAD)
            if name
            in ("rows", "steps", "block", "x_step", "output_row", "output_step", "mask_row", "mask_step", "zero_masked")
        ]

        def point(name, what):
            lines.append(f"{name} = p[{len(pointers)}]")
            pointers.append(what)

        state_names = {}
        by_index = {b.attr: b for b in self.states}
        targets = {b.attr: b for b in plan.buffers if b.kind == "next"}
        for i in range(len(plan.state_shapes)):
            now = f"at_{by_index[i].name}" if i in by_index else f"at_unread_{i}"
            state_names[i] = now, f"at_{targets[i].name}", f"trajectory_{i}"
            point(now, ("state", i))
            point(f"at_{targets[i].name}", ("next", i))
            point(f"trajectory_{i}", ("trajectory", i))
        for buffer in plan.buffers:
            if buffer.kind in ("constant", "draw", "once", "scratch"):
                point(f"at_{buffer.name}", buffer)
        for i, table in enumerate(self.tables):
            point(f"table_{i}", table)
        lines += calls[CALL]
        lines += ["for start in range(0, steps, block):", "    count = min(block, steps - start)"]
        inner = ["x_block = x + start * x_step", *calls[BLOCK], "for k in range(count):"]
        step = ["t = start + k", "x_t = x_block + k * x_step", "output_t = output + t * output_step", *calls[STEP]]
        held = []
        for i, shape in enumerate(plan.state_shapes):
            now, new, _ = state_names[i]
            size, row = self.number(int(np.prod(shape)) * item), self.row(targets[i])
            held.append(f"hold_states(rows, mask + t * mask_step, mask_row, {now}, {new}, {size}, {row})")
        size = self.number(int(np.prod(plan.output_shape)) * item)
        now = "rows, mask + t * mask_step, mask_row, output_t, output_row"
        held.append(f"hold_output({now}, held, {size}, {size}, zero_masked)")
        step += ["if mask != 0:", *("    " + line for line in held)]
        for i, shape in enumerate(plan.state_shapes):
            now, new, kept = state_names[i]
            at, size = len(HEAD) + 2 * i, self.number(int(np.prod(shape)) * item)
            step.append(f"if {kept} != 0:")
            step.append(
                f"    copy_rows(rows, {size}, {new}, {self.row(targets[i])}, {kept} + t * n[{at + 1}], n[{at}])"
            )
            step.append(f"{now}, {new} = {new}, {now}")
        lines += ["    " + line for line in inner + ["    " + line for line in step]]
        return pointers, lines

    def _module(self, body) -> str:
        name = self.dtype.name
        everything = "\n".join(self.functions + body)
        words = set(_words(everything))
        vector = sorted(
            w for w in words if w in _VECTOR or (w.endswith(name) and w.removesuffix(f"_{name}") in _MEMORY)
        )
        math = sorted(words & _MATH)
        imports = ["import numpy as np", "from numba import njit", ""]
        if math:
            imports.append(f"from rnnkit.engine.math import {', '.join(math)}")
        if "call_product" in words:
            imports.append("from rnnkit.engine.product import call_product")
        imports.append("from rnnkit.engine.rows import copy_rows, hold_output, hold_states")
        if vector:
            imports.append(f"from rnnkit.engine.vector import {', '.join(vector)}")
        title = f'"""The step {self.name!r} in {name}, {self.lanes} lanes: run(addresses, numbers)."""'
        run = ['@njit(nogil=True, error_model="numpy")', "def run(p, n):"]
        run += ["    " + line for line in body]
        return "\n".join([title, "", *imports, "", "", *(f"{f}\n\n" for f in self.functions), *run, ""])


def _words(text) -> list[str]:
    return re.findall(r"[A-Za-z_][A-Za-z_0-9]*", text)


_MEMORY = {"first", "load", "splat", "fill", "load_strided", "load_table", "store_scalar"}
_VECTOR = set("store store_strided select to_mask reduce_add reduce_multiply reduce_maximum reduce_minimum".split())
_MATH = {word for operation in OPERATIONS.values() for word in _words(operation.text)} - _VECTOR - {"one", "zero"}
