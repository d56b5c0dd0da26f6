"""The stages of a plan as source text: calls of the product's kernels, and of one function per loop."""

from __future__ import annotations

import math
import re

from rnnkit.backends.cpu.codegen.loop_source import LoopText
from rnnkit.backends.cpu.codegen.tables import MOVED, Tables
from rnnkit.backends.shared.text import indented

from rnnkit.compiler.ir.plan import (  # isort: skip
    AFTER, BLOCK, CALL, PER_BLOCK, PLACED, STEP, Buffer, Fused, Loop, Product, SparseProduct,
)  # fmt: skip

# The number of rows that a section computes; the rest are masked.
ROWS_OF = {CALL: "rows", BLOCK: "most", STEP: "used", AFTER: "most"}


class Stages(Tables):
    def section(self, section: int) -> list[str]:
        """Return the lines of a section's stages, with a barrier where a stage reads what other parts wrote."""
        lines: list[str] = []
        written: set[Buffer] = set()
        for i, stage in enumerate(self.plan.stages):
            if stage.section != section:
                continue
            products = stage.products if isinstance(stage, Fused) else [stage] if isinstance(stage, Product) else []
            loop = stage if isinstance(stage, Loop) else stage.loop if isinstance(stage, Fused) else None
            reads = {p.operand for p in products} | ({load.buffer for load in loop.loads} if loop else set())
            if reads & written:
                lines += self.wait_for_all(section)
                written = set()
            if isinstance(stage, Fused):
                lines += self._fused(stage, i)
            elif isinstance(stage, Product):
                lines += self._product(stage, i)
                written.add(stage.result)
            else:
                lines += self._loop(stage, i)
            if loop is not None and loop.reduction is None and not loop.totals:
                written.update(loop.written)
        return lines

    def wait_for_all(self, section: int) -> list[str]:
        """Return lines that wait for the other parts; without them part 0 begins the section anew, alone."""
        if section == CALL:
            return []  # computed by every part as a whole
        leave = ["if part > 0:", "    return", "parts, barrier, used_before, moved = 1, 0, rows, 1", "continue"]
        wait = "if barrier_wait(team, barrier, part, parts, phase, patience) == 0:"
        return ["if parts > 1:", *indented(["phase += 1", wait, *indented(leave)])]

    def move(self, section: int) -> list[str]:
        """Return lines with which part 0 begins a section anew in spare memory, unknown to the parts it left behind."""
        lines = [f"copy_bytes(at_{b.name} + spare, at_{b.name}, rows * {self.row(b)})" for b in self.now]
        lines += [f"at_{b.name} += spare" for b in (*self.now, *self.new)] + ["at_output += spare"]
        lines.append(f"moved, {MOVED[STEP]} = 0, spare")
        if section == BLOCK:
            lines += [f"{MOVED[BLOCK]} = spare", "staged_x += spare"]
        elif section == AFTER:  # the block isn't moved: a part that was left only reads it
            lines.append(f"{MOVED[AFTER]} = spare")
        return ["if moved == 1:", *indented(lines)]

    def _operand(self, stage: Product) -> str:
        at = self.place(stage.operand, stage.section)
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
        c, packed = self.place(stage.result, stage.section), f"at_{stage.panels.name}"
        rows = ROWS_OF[stage.section]
        product = "sparse_product" if isinstance(stage, SparseProduct) else "product"
        if product == "sparse_product":  # called with the numbers of its columns
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
        """Return a fused stage's lines: pieces of units, forwards and backwards in turn to use weights in the cache."""
        widest = max(stage.products, key=lambda p: len(p.gates) * p.depth)
        align = math.lcm(*(self.panel_vectors // math.gcd(self.panel_vectors, len(p.gates)) for p in stage.products))
        panels = [product.panels for product in stage.products]
        units = self.of_panels("units", panels, lambda: self.named(f"units_{i}", -(-widest.units // self.lanes)))
        piece = self.of_panels("piece", panels, lambda: self._piece(f"piece_{i}", units, widest, align))
        own, first, after = self._part(i, stage.section, panels, units, align)
        self.cuts += [
            f"wide_{i} = min({piece}, {after} - {first})",
            f"pieces_{i} = ({after} - {first} + {piece} - 1) // {piece}",
        ]
        lines = [*own, f"for c in range(pieces_{i}):"]
        body = [f"v = {first} + (c if turn == 0 else pieces_{i} - 1 - c) * {piece}", f"w = min(v + {piece}, {after})"]
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
            arguments = f"{a}, 0, 1, {row_a}, used, {packed}, {depth}, {columns}, {tile}, 0, {row}"
            body.append(f"call_matmul(product, {arguments})")
        body += self._loop(stage.loop, i, tiles, (f"v * {self.lanes}", f"w * {self.lanes}"))
        return lines + indented(body)

    def _part(self, i: int, section: int, panels: list[Buffer], count: str, align: int) -> tuple[list[str], str, str]:
        """Return lines for this part's range of vectors, [] if the section has them; the names of start and end."""
        first = self.of_panels(f"first in {section}", panels, lambda: f"first_{i}")
        after = first.replace("first", "after")
        if first != f"first_{i}":
            return [], first, after
        return self._shared(section, (first, after), count, align), first, after

    def _shared(self, section: int, names: tuple[str, str], count: str, align: int, times: str = "") -> list[str]:
        """Return lines for the start and end of this part's share of items; those of a step are added to `cuts`."""
        both = zip(names, ("part", "part + 1"), strict=True)
        lines = [f"{name} = share(shared, {count}, {align}, {part}, parts){times}" for name, part in both]
        if section == STEP:
            self.cuts += lines
            return []
        return lines

    def _piece(self, name: str, units: str, widest: Product, align: int) -> str:
        """Return the name of the number of vectors of units that are computed at once."""
        gates = len(widest.gates)
        piece = f"piece_of(shared, rows, {units}, {gates}, {self.depth(widest)}, {self.vector_bytes})"
        self.top.append(f"{name} = min({units}, ({piece} + {align - 1}) // {align} * {align})")
        return name

    def _loop(self, loop: Loop, i: int, tiles=None, span=None) -> list[str]:
        """Return the call of a loop's function; `tiles` has address and row stride of each fused product's result."""
        tiles = tiles or {}
        buffers = list(dict.fromkeys([load.buffer for load in loop.loads] + loop.written))
        rows_given = [b for b in buffers if b in tiles or b.kind in PLACED]
        writer = LoopText(self, loop, buffers, rows_given)
        stepped = [f"step_{b.name}" for b in buffers if b in self.placed]
        block = ["count", "x_step", "all_rows", *stepped] if loop.section in PER_BLOCK else []
        spanned = ["low", "high"] if writer.split else []
        inside = ["n", *block, "rows", *spanned, *(f"at_{b.name}" for b in buffers)]
        inside += [f"row_{b.name}" for b in rows_given] + [t for t, _ in writer.tables]
        name = self._function(f"make_{loop.written[0].name}", i, inside, writer)
        numbers = f"n + {8 * (self.head + len(self.numbers))}"
        self.numbers += writer.numbers
        lines: list[str] = []
        if spanned and span is None:
            vectors = self.named(f"vectors_{i}", -(-(loop.dims or (1,))[-1] // self.lanes))
            span = ("0", f"{vectors} * {self.lanes}") if loop.section == CALL else (f"low_{i}", f"high_{i}")
            if loop.section != CALL:
                lines = self._shared(loop.section, span, vectors, 1, f" * {self.lanes}")
        block = ["count", "x_step", "rows", *stepped] if loop.section in PER_BLOCK else []
        given = [numbers, *block, ROWS_OF[loop.section], *(span if spanned else [])]
        given += [tiles[b][0] if b in tiles else self.place(b, loop.section) for b in buffers]
        given += [tiles[b][1] if b in tiles else self.row(b) for b in rows_given] + [t for t, _ in writer.tables]
        return [*lines, f"{name}({', '.join(given)})"]

    def _function(self, name: str, i: int, arguments: list[str], writer: LoopText) -> str:
        """Return the name of a loop's function; loops that differ in names alone share one, which is compiled once."""
        key = _renamed(arguments, writer.lines)
        if key not in self.shared:
            while name in self.shared.values():
                name = f"{name}_{i}"
            self.shared[key] = name
            comments = [f"# {line}" for line in writer.loop.lines]
            head = ["@compiled", f"def {name}({', '.join(arguments)}):"]
            self.functions.append("\n".join(head + indented(comments + writer.lines)))
        return self.shared[key]


def _renamed(arguments, lines) -> str:
    """Return the text of a function with its variables named by their order."""
    own = {*arguments, *re.findall(r"^ *(?:for )?(\w+) (?:=|in) ", "\n".join(lines), re.MULTILINE)}
    names: dict[str, str] = {}

    def renamed(word):
        return names.setdefault(word[0], f"${len(names)}") if word[0] in own else word[0]

    return re.sub(r"[A-Za-z_]\w*", renamed, "\n".join([", ".join(arguments), *lines]))
