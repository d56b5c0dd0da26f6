"""A plan as source text for numba: one function per loop, and one that runs the stages over time.

The text holds no sizes. Counts, offsets and strides are read from an array ``n``, addresses from an array ``p``, so that
layers of one cell share one program whatever their sizes; `Source` says what stands where.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rnnkit.compiler.operations import OPERATIONS
from rnnkit.compiler.plan import BLOCK, CALL, STEP, Buffer, Loop, Plan, Product, Value, Walk

HEAD = (
    "rows", "steps", "block", "x_row", "x_step", "output_row", "output_step", "mask_row", "mask_step", "zero_masked",
)  # fmt: skip
_COMBINE = {"sum": "{0} + {1}", "prod": "{0} * {1}", "max": "maximum({0}, {1})", "min": "minimum({0}, {1})"}
_START = {"sum": "0.0", "prod": "1.0", "max": "-np.inf", "min": "np.inf"}
_FINISH = {"sum": "reduce_add", "prod": "reduce_multiply", "max": "reduce_maximum", "min": "reduce_minimum"}


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
        What each entry of ``p`` is: a name, a `Buffer`, ``(Buffer, "next")``, ``(Buffer, "trajectory")``, or an int32 table.
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

    def _number(self, value: int) -> str:
        self.numbers.append(int(value))
        return f"n[{self.head + len(self.numbers) - 1}]"

    def _row(self, buffer: Buffer) -> str:
        """Bytes from row to row of a buffer."""
        if buffer.kind == "x":
            return f"n[{HEAD.index('x_row')}]"
        if buffer.kind == "output":
            return f"n[{HEAD.index('output_row')}]"
        if buffer not in self.rows_at:
            self._number(self.row_bytes(buffer))
            self.rows_at[buffer] = self.head + len(self.numbers) - 1
        return f"n[{self.rows_at[buffer]}]"

    # Stages

    def _product(self, stage: Product, i: int) -> list[str]:
        item = self.dtype.itemsize
        a = f"{self._place(stage.operand, stage.section)}"
        if stage.offset:
            a += f" + {self._number(stage.offset * item)}"
        depth, width = self._number(stage.depth), self._number(sum(w.shape[1] for w in stage.weights))
        row_a, row_c = self._row(stage.operand), self._row(stage.result)
        c, packed = self._place(stage.result, stage.section), f"at_{stage.panels.name}"
        lines = [f"# {line}" for line in stage.lines]
        if stage.nested:
            inner, stride = self._number(stage.rows), self._number(stage.row_stride * item)
            wide = self._number(stage.result.size // max(stage.rows, 1) * item)
            call = (
                f"call_product(product, {{a}}, {row_a}, rows, {stride}, {inner}, {packed}, {depth}, {width}, "
                f"{{c}}, {row_c}, {wide})"
            )
            if stage.section != BLOCK:
                return [*lines, call.format(a=a, c=c)]
            a, c = f"{a} + k * {self._step(stage.operand)}", f"{c} + k * {self._step(stage.result)}"
            return [*lines, "for k in range(count):", "    " + call.format(a=a, c=c)]
        outer = "count" if stage.section == BLOCK else "1"
        step_a, step_c = (self._step(b) if stage.section == BLOCK else "0" for b in (stage.operand, stage.result))
        return [
            *lines,
            f"call_product(product, {a}, {step_a}, {outer}, {row_a}, rows, {packed}, {depth}, {width}, {c}, {step_c}, "
            f"{row_c})",
        ]

    def _step(self, buffer: Buffer) -> str:
        """Bytes from step to step of a buffer, while a block is computed."""
        if buffer.kind == "x":
            return "x_step"
        return f"rows * {self._row(buffer)}" if buffer.kind == "scratch" and buffer.section == BLOCK else "0"

    def _place(self, buffer: Buffer, section: int) -> str:
        """Where a stage of a section finds a buffer, in the driver."""
        if buffer.kind == "x":
            return "x_block" if section == BLOCK else "x_t"
        if buffer.kind == "output":
            return "output_t"
        if buffer.kind == "scratch" and buffer.section == BLOCK and section == STEP:
            return f"at_{buffer.name} + k * rows * {self._row(buffer)}"
        return f"at_{buffer.name}"

    def _loop(self, loop: Loop, i: int) -> list[str]:
        buffers = list(dict.fromkeys([v.buffer for v in loop.values if v.buffer] + [b for _, b, _ in loop.writes]))
        writer = _LoopText(self, loop, buffers)
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
            size, row = self._number(int(np.prod(shape)) * item), self._row(targets[i])
            held.append(f"hold_states(rows, mask + t * mask_step, mask_row, {now}, {new}, {size}, {row})")
        size = self._number(int(np.prod(plan.output_shape)) * item)
        held.append(
            f"hold_output(rows, mask + t * mask_step, mask_row, output_t, output_row, held, {size}, {size}, zero_masked)"
        )
        step += ["if mask != 0:", *("    " + line for line in held)]
        for i, shape in enumerate(plan.state_shapes):
            now, new, kept = state_names[i]
            at, size = len(HEAD) + 2 * i, self._number(int(np.prod(shape)) * item)
            step.append(f"if {kept} != 0:")
            step.append(
                f"    copy_rows(rows, {size}, {new}, {self._row(targets[i])}, {kept} + t * n[{at + 1}], n[{at}])"
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


class _LoopText:
    """The body of one loop's function."""

    def __init__(self, source: SourceWriter, loop: Loop, buffers):
        self.source, self.loop = source, loop
        self.item, self.name = source.dtype.itemsize, source.dtype.name
        self.tables: list[tuple[str, np.ndarray]] = []
        self.top: list[str] = [f"# {line}" for line in loop.lines]
        self.rows: list[str] = []
        self.bases: dict = {}
        dims = loop.dims or (1,)
        self.counts = [self._top(f"count_{d}", size) for d, size in enumerate(dims)]
        self.vector_dim = len(dims) - 1 if loop.reduction is None or loop.along_last else loop.kept - 1
        for buffer in buffers:
            self._base(buffer)
        before, body = [], []
        for value in loop.values:
            self._value(value, before, body)
        self.lines = self._nest(before, body)

    def _top(self, name, size) -> str:
        self.top.append(f"{name} = {self.source._number(size)}")
        return name

    def _base(self, buffer):
        """The address of the row that is being computed."""
        if buffer.kind == "once":
            self.bases[buffer] = f"at_{buffer.name}"
            return
        base, step = f"at_{buffer.name}", "0"
        self.top.append(f"row_{buffer.name} = {self.source._row(buffer)}")
        if self.loop.section == BLOCK:
            step = self.source._step(buffer)
        step = f" + k * {step.replace(self.source._row(buffer), f'row_{buffer.name}')}" if step != "0" else ""
        self.rows.append(f"in_{buffer.name} = {base}{step} + r * row_{buffer.name}")
        self.bases[buffer] = f"in_{buffer.name}"

    def _address(self, buffer: Buffer, walk: Walk, vector=True) -> tuple[str, str]:
        """Address of a place, and the stride of the vector: 'unit', 'none', or an expression in bytes."""
        base, item = self.bases[buffer], self.item
        parts = [base]
        if walk.offset:
            name = f"from_{len(self.source.numbers)}"
            parts.append(self._top(name, walk.offset * item))
        stride = "none"
        for d, step in enumerate(walk.strides):
            if d == self.vector_dim and vector:
                if step == 1:
                    stride = "unit"
                    parts.append(f"{item} * j")
                elif step:
                    stride = self._top(f"stride_{len(self.source.numbers)}", step * item)
                    parts.append(f"{stride} * j")
            elif step:
                parts.append(f"{self._top(f'stride_{len(self.source.numbers)}', step * item)} * i{d}")
        return " + ".join(parts), stride

    def _value(self, value: Value, before, body):
        if value.op == "number":
            self.top.append(f"{value.name} = fill_{self.name}({value.number!r})")
            return
        if value.op != "load":
            body.append(f"{value.name} = {self._operation(value)}")
            return
        walk = value.walk
        if walk.table is not None:
            text = self._table(value)
            place = body
        else:
            address, stride = self._address(value.buffer, walk)
            place = body
            if stride == "unit":
                text = f"load_{self.name}({address}, m)"
            elif stride == "none":
                text = f"splat_{self.name}({address})"
                if not any(walk.strides) and value.buffer.kind == "once":
                    place = self.top
                elif self.vector_dim == len(self.counts) - 1:
                    place = before
            else:
                text = f"load_strided_{self.name}({address}, {stride}, m)"
        place.append(f"{value.name} = {f'to_mask({text})' if value.kind == 'bool' else text}")

    def _table(self, value) -> str:
        walk = value.walk
        name = f"table_{len(self.source.tables)}"
        self.source.tables.append(walk.table * self.item)
        self.tables.append((name, walk.table))
        parts = [name]
        for d, step in enumerate(walk.strides):
            index = "j" if d == self.vector_dim else f"i{d}"
            parts.append(f"{self._top(f'stride_{len(self.source.numbers)}', 4 * step)} * {index}")
        if self.vector_dim != len(self.counts) - 1:
            raise AssertionError(
                "a table is read along its last axis"
            )  # reductions with tables run along the last axis
        return f"load_table_{self.name}({self.bases[value.buffer]}, {' + '.join(parts)}, m)"

    def _operation(self, value) -> str:
        text = OPERATIONS[value.op].text
        if value.op == "to_float":
            self._ones()
        return text.format(*value.args)

    def _ones(self):
        for line in (f"one = fill_{self.name}(1.0)", f"zero = fill_{self.name}(0.0)"):
            if line not in self.top:
                self.top.append(line)

    def _stores(self) -> list[str]:
        lines = []
        kinds = {v.name: v.kind for v in self.loop.values}
        for name, buffer, walk in self.loop.writes:
            if kinds[name] == "bool":
                self._ones()
                name = f"select({name}, one, zero)"
            address, stride = self._address(buffer, walk)
            if stride in ("unit", "none"):
                lines.append(f"store({address}, {name}, m)")
            else:
                lines.append(f"store_strided({address}, {name}, {stride}, m)")
        return lines

    def _nest(self, before, body) -> list[str]:
        loop, lanes = self.loop, self.source.lanes
        scalar = [d for d in range(len(self.counts)) if d != self.vector_dim]
        vector = [f"for j in range(0, {self.counts[self.vector_dim]}, {lanes}):",
                  f"    m = first_{self.name}({self.counts[self.vector_dim]} - j)"]  # fmt: skip
        if loop.reduction is None:
            inner = before + vector + _indented(body + self._stores())
            inner = self._around(scalar, inner)
        elif self.vector_dim == len(self.counts) - 1:
            sums = [(f"total_{i}", value, buffer, walk) for i, (value, buffer, walk) in enumerate(loop.writes)]
            fold = [f"{t} = select(m, {_COMBINE[loop.reduction].format(t, v)}, {t})" for t, v, _, _ in sums]
            reduced = [d for d in scalar if d >= loop.kept]
            inner = [f"{t} = fill_{self.name}({_START[loop.reduction]})" for t, *_ in sums]
            inner += self._around(reduced, before + vector + _indented(body + fold))
            for t, _, buffer, walk in sums:
                address, _ = self._address(buffer, walk, vector=False)
                inner.append(f"store_scalar_{self.name}({address}, {_FINISH[loop.reduction]}({t}))")
            inner = self._around([d for d in scalar if d < loop.kept], inner)
        else:
            sums = [(f"total_{i}", value, buffer, walk) for i, (value, buffer, walk) in enumerate(loop.writes)]
            fold = [f"{t} = {_COMBINE[loop.reduction].format(t, v)}" for t, v, _, _ in sums]
            inner = [f"{t} = fill_{self.name}({_START[loop.reduction]})" for t, *_ in sums]
            inner += self._around([d for d in scalar if d >= loop.kept], before + body + fold)
            for t, _, buffer, walk in sums:
                address, stride = self._address(buffer, walk)
                inner.append(
                    f"store({address}, {t}, m)"
                    if stride in ("unit", "none")
                    else f"store_strided({address}, {t}, {stride}, m)"
                )
            inner = self._around([d for d in scalar if d < loop.kept], vector + _indented(inner))
        rows = ["for r in range(rows):", *_indented(self.rows + inner)]
        if loop.section == BLOCK:
            rows = ["for k in range(count):", *_indented(rows)]
        return self.top + rows

    def _around(self, dims, lines) -> list[str]:
        for d in reversed(dims):
            lines = [f"for i{d} in range({self.counts[d]}):", *_indented(lines)]
        return lines


def _indented(lines) -> list[str]:
    return ["    " + line for line in lines]


def _words(text) -> list[str]:
    import re

    return re.findall(r"[A-Za-z_][A-Za-z_0-9]*", text)


_MEMORY = {
    "first", "load", "splat", "fill", "load_strided", "load_table", "store_scalar", "load_scalar", "to_vector", "load_full",
}  # fmt: skip
_VECTOR = {
    "store", "store_strided", "select", "to_mask", "reduce_add", "reduce_multiply", "reduce_maximum", "reduce_minimum",
}  # fmt: skip
_MATH = {
    "absolute", "maximum", "minimum", "copysign", "floor", "ceil", "trunc", "rint", "sqrt", "sign", "sigmoid", "softplus",
    "log_sigmoid", "erf", "erfc", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh",
    "tanh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "cbrt", "power", "arctan2", "hypot", "logaddexp",
    "floor_divide", "remainder", "fmod",
}  # fmt: skip
