"""The text of products in a kernel: a thread has a unit, some entries, and the sums of all gates in registers.

An element of the result is one chain of multiply-adds over k = 0, 1, …, K - 1, started from 0, as on the CPU: it has
the same bits in any block, whatever entries are computed at once, and wherever the operand and the weight stand.

A dense weight is laid out in `WIDE` bytes of a column, column after column, then the next so many rows
(`rnnkit.backends.cuda.compile.pack`), so that neighbouring threads read what stands side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnkit.backends.cuda.codegen.loop import LoopWriter
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.plan import OF_CALL, PLACED, Loop, Product, SparseProduct

if TYPE_CHECKING:
    from rnnkit.backends.cuda.codegen.section import SectionWriter

WIDE = 16  # bytes that a thread reads at once


class ProductWriter:
    """Writer of the lines of one product, or of products and the one loop that reads them."""

    def __init__(self, section: SectionWriter, i: int, products: list[Product], loop: Loop | None):
        self.section, self.i = section, i
        self.lanes = WIDE // section.item
        self.group = section.variant.rows
        self.suffixes = [f"_{r}" for r in range(self.group)] if self.group > 1 else [""]
        self.lines = [f"# {line}" for p in products for line in p.lines]
        if loop is not None:
            self._fused(products, loop)
        else:
            self._alone(products[0])

    def _fused(self, products: list[Product], loop: Loop):
        """Return lines whose sums stay in the registers of the thread that runs the loop on them."""
        section = self.section
        writer = LoopWriter(section, self.i, loop, behind=[p.result for p in products])
        low, high = section.span(writer.counts[0], str(self.i))
        registers, sums, rows = {}, [], []
        for n, product in enumerate(products):
            gates = [f"sum_{n}_{g}" for g in range(len(product.gates))]
            registers[product.result] = {g * product.units: name for g, name in enumerate(gates)}
            self.lines += self._staged(product, n)
            rows += self._operand_rows(product, n)
            sums += self._sums(product, n, gates, writer.counts[0], low, high)
        for s in self.suffixes:
            rows += writer.entries(s)
        reads, places = [], []
        for r, s in enumerate(self.suffixes):
            reads += writer.reads(s)
            lines = writer.body(s, registers)
            places += lines if r == 0 else [f"if e + {r} < rows:", *indented(lines)]
        unit = [f"for i0 in range({low} + x, {high}, nx):", *indented([*reads, *sums, *places])]
        self.lines += section.around_entries([*rows, *unit], self.group)

    def _alone(self, product: Product):
        """Return lines whose sums go to the result's buffer."""
        section, sparse = self.section, isinstance(product, SparseProduct)
        gates = max(1, len(product.gates))
        columns = product.units if product.gates else product.result.size // max(product.rows, 1)
        count = section.number(columns)
        low, high = section.span(count, str(self.i))
        names = [f"sum_0_{g}" for g in range(gates)]
        self.lines += self._staged(product, 0)
        rows = self._operand_rows(product, 0)
        sums = (self._sparse_sums if sparse else self._sums)(product, 0, names, count, low, high)
        stores: list[str] = []
        for r, s in enumerate(self.suffixes):
            rows.append(f"to{s} = {section.entry(product.result, s)}")
            at = f"to{s} + {section.item} * "
            at += f"(q * {gates} * {count} + i0" if product.nested else "(i0"
            lines = [
                section.store(product.result, f"{at} + {g} * {count})" if g else f"{at})", f"{name}{s}")
                for g, name in enumerate(names)
            ]
            stores += lines if r == 0 else [f"if e + {r} < rows:", *indented(lines)]
        unit = [f"for i0 in range({low} + x, {high}, nx):", *indented([*sums, *stores])]
        if product.nested:
            unit = [f"for q in range({section.number(product.rows)}):", *indented(unit)]
        self.lines += section.around_entries([*rows, *unit], self.group)

    def _is_staged(self, product: Product) -> bool:
        return self.section.variant.staged and not product.nested and not self.section.is_shared(product.operand)

    def _staged(self, product: Product, n: int) -> list[str]:
        """Return lines that copy the operand's rows to shared memory."""
        if not self._is_staged(product):
            return []
        section, operand = self.section, product.operand
        depth, item = section.number(product.depth), section.item
        at, row = section.stage(product.depth, f"{self.i}_{n}")
        offset = f" + {section.number(product.offset * item)}" if product.offset else ""
        value = section.load(operand, f"from_{n} + j * {item}")
        store = f"shared_store_{section.dtype.name}({at} + e * {row} + j * {item}, {value})"
        copy = [f"from_{n} = {section.entry(operand)}{offset}", f"for j in range(x, {depth}, nx):", f"    {store}"]
        return [*section.around_entries(copy), "cuda.syncthreads()"]

    def _operand_rows(self, product: Product, n: int) -> list[str]:
        """Return lines for the addresses of the operand's rows."""
        section = self.section
        if self._is_staged(product):
            at, row = section.stage(product.depth, f"{self.i}_{n}")
            rows = [f"e + {r}" if s else "e" for r, s in enumerate(self.suffixes)]
            rows = [f"min({e}, rows - 1)" if self.group > 1 else e for e in rows]
            return [f"operand_{n}{s} = {at} + {e} * {row}" for e, s in zip(rows, self.suffixes, strict=True)]
        offset = f" + {section.number(product.offset * section.item)}" if product.offset else ""
        return [f"operand_{n}{s} = {section.entry(product.operand, s)}{offset}" for s in self.suffixes]

    def _a(self, product: Product, address, wide="") -> str:
        if self._is_staged(product):
            return f"shared_load{wide}_{self.section.dtype.name}({address})"
        return self.section.load(product.operand, address, wide)

    def _is_wide(self, product: Product) -> bool:
        """Return whether the operand's rows start at multiples of `WIDE` bytes."""
        if self._is_staged(product):
            return True
        starts = [product.offset, *([product.row_stride] if product.nested else [])]
        own = product.operand.kind not in (*PLACED, *OF_CALL)
        return own and all(start * self.section.item % WIDE == 0 for start in starts)

    def _start(self, names) -> list[str]:
        zero = f"np.{self.section.dtype.name}(0)"
        return [f"{name}{s} = {zero}" for name in names for s in self.suffixes]

    def _a_row(self, product: Product, n: int, s: str) -> str:
        inner = f" + q * {self._stride}" if product.nested else ""
        return f"operand_{n}{s}{inner}"

    def _sums(self, product: Product, n: int, names, count, low, high) -> list[str]:
        section, item, dtype, lanes = self.section, self.section.item, self.section.dtype.name, self.lanes
        depth, gates = section.number(product.depth), range(len(names))
        panel, read = section.panel(product, count, low, high, self.i, f"{self.i}_{n}")
        self._stride = section.number(product.row_stride * item) if product.nested else ""
        places = [f"w + {g} * {panel.gate}" if g else "w" for g in gates]
        rows = [self._a_row(product, n, s) for s in self.suffixes]
        lines = [
            *self._start(names),
            f"w, k, end, whole = {panel.start}, 0, {depth} * {item}, {depth} // {lanes} * {WIDE}",
        ]

        def weights(name):
            parts = [", ".join(f"{name}_{g}_{lane}" for lane in range(lanes)) for g in gates]
            return [f"{part} = {read}_wide_{dtype}({at})" for part, at in zip(parts, places, strict=True)]

        def chains(lane):
            places = [(s, g, name) for s in self.suffixes for g, name in enumerate(names)]
            return [f"{name}{s} = fma(a{s}_{lane}, w_{g}_{lane}, {name}{s})" for s, g, name in places]

        operands = []
        for row, s in zip(rows, self.suffixes, strict=True):
            if self._is_wide(product):
                parts = ", ".join(f"a{s}_{lane}" for lane in range(lanes))
                operands.append(f"{parts} = {self._a(product, f'{row} + k', '_wide')}")
            else:
                at = [f"{row} + k + {lane * item}" if lane else f"{row} + k" for lane in range(lanes)]
                operands += [f"a{s}_{lane} = {self._a(product, one)}" for lane, one in enumerate(at)]
        chain = [line for lane in range(lanes) for line in chains(lane)]
        on = [f"w += {panel.down}", f"k += {WIDE}"]
        if read == "fixed":  # global: the next rows are loaded while these are summed, and one group more is laid out
            lines += weights("next")
            here = [f"w_{g}_{lane} = next_{g}_{lane}" for g in gates for lane in range(lanes)]
            wide = [*here, on[0], *weights("next"), *operands, *chain, on[1]]
        else:
            wide = [*weights("w"), *operands, *chain, *on]
        tail = [f"w_{g}_0 = {read}_{dtype}({at} + k - whole)" for g, at in enumerate(places)]
        tail += [f"a{s}_0 = {self._a(product, f'{row} + k')}" for row, s in zip(rows, self.suffixes, strict=True)]
        lines += ["while k < whole:", *indented(wide), "while k < end:", *indented([*tail, *chains(0), f"k += {item}"])]
        return lines

    def _sparse_sums(self, product: Product, n: int, names, count, low, high) -> list[str]:
        """Return lines that sum a column's nonzeros from the top down; zeros are not multiplied."""
        section, item, dtype = self.section, self.section.item, self.section.dtype.name
        at = {what: section.slot((what, product.panels)) for what in ("values", "indices", "counts")}
        self._stride = section.number(product.row_stride * item) if product.nested else ""
        inner = [f"w = fixed_{dtype}({at['values']} + (k * {count} + i0) * {item})"]
        inner.append(f"below = word({at['indices']}, k * {count} + i0) * {item}")
        for s in self.suffixes:
            value = self._a(product, f"{self._a_row(product, n, s)} + below")
            inner.append(f"{names[0]}{s} = fma({value}, w, {names[0]}{s})")
        return [*self._start(names), f"for k in range(word({at['counts']}, i0)):", *indented(inner)]
