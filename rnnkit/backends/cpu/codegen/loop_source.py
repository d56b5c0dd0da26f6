"""The text of one loop's function: rows, axes, vectors, and in them the loop's lines."""

from __future__ import annotations

import numpy as np

from rnnkit.backends.cpu.codegen.tables import Tables
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.kinds import FLOATS, INTEGERS, carrier
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, OPERATIONS, REDUCTIONS
from rnnkit.compiler.ir.plan import PADDED, PER_BLOCK, Buffer, Loop, Number, Pointwise, Value
from rnnkit.compiler.ir.strides import Walk

_COMBINE = {name: OPERATIONS[one.combine].text for name, one in REDUCTIONS.items()}
_START = {name: repr(one.start).replace("inf", "np.inf") for name, one in REDUCTIONS.items()}
_FINISH = {name: f"reduce_{one.combine}" for name, one in REDUCTIONS.items()}


class LoopText:
    """The body of one loop's function."""

    padded: tuple[str, ...] = PADDED  # kinds of buffers that whole vectors are read from

    def __init__(self, source: Tables, loop: Loop, buffers: list[Buffer], given: list[Buffer]):
        self.source, self.loop, self.given = source, loop, given
        self.name = source.dtype.name
        self.kinds = {value.name: value.kind for value in loop.values}
        self.tables: list[tuple[str, np.ndarray]] = []
        self.numbers: list[int] = []  # the entries of the function's table ``n``
        self.top: list[str] = []
        self.rows: list[str] = []
        self.bases: dict[Buffer, str] = {}
        dims = loop.dims or (1,)
        self.counts = [self._top(f"count_{d}", size) for d, size in enumerate(dims)]
        self.vector_dim = len(dims) - 1 if loop.reduction is None or loop.along_last else loop.kept - 1
        self.split = loop.reduction is None and not loop.totals  # others are computed as a whole by each thread
        for buffer in buffers:
            self._base(buffer)
        before: list[str] = []
        body: list[str] = []
        for value in loop.values:
            self._value(value, before, body)
        self.lines = self._nest(before, body)

    def _top(self, name, size) -> str:
        self.top.append(f"{name} = word(n, {len(self.numbers)})")
        self.numbers.append(int(size))
        return name

    def _base(self, buffer: Buffer):
        if buffer.kind == "prepacked":
            self.bases[buffer] = f"at_{buffer.name}"
            return
        base, step = f"at_{buffer.name}", "0"
        if buffer not in self.given:
            self._top(f"row_{buffer.name}", self.source.row_bytes_of(buffer))
        if self.loop.section in PER_BLOCK:
            step = self.source.step(buffer, "all_rows", f"row_{buffer.name}")
        step = f" + k * {step}" if step != "0" else ""
        self.rows.append(f"in_{buffer.name} = {base}{step} + r * row_{buffer.name}")
        self.bases[buffer] = f"in_{buffer.name}"

    def _address(self, buffer: Buffer, walk: Walk, vector=True) -> tuple[str, str]:
        """Return an element's address and its vector's stride: 'unit', 'none', or an expression in bytes."""
        base, item = self.bases[buffer], self.source.item_of(buffer)
        if walk.gates:
            return f"{base} + {walk.offset * item} + {walk.gates * item} * j", "unit"
        parts = [base]
        if walk.offset:
            name = f"from_{len(self.numbers)}"
            parts.append(self._top(name, walk.offset * item))
        stride = "none"
        for d, step in enumerate(walk.strides):
            if d == self.vector_dim and vector:
                if step == 1:
                    stride = "unit"
                    parts.append(f"{item} * j")
                elif step:
                    stride = self._top(f"stride_{len(self.numbers)}", step * item)
                    parts.append(f"{stride} * j")
            elif step:
                parts.append(f"{self._top(f'stride_{len(self.numbers)}', step * item)} * i{d}")
        return " + ".join(parts), stride

    def _value(self, value: Value, before: list[str], body: list[str]):
        if isinstance(value, Number):
            self.top.append(f"{value.name} = fill_{self.name}({value.number!r})")
            return
        if isinstance(value, Pointwise):
            body.append(f"{value.name} = {self._operation(value)}")
            return
        walk, buffer = value.walk, value.buffer
        name = self._suffix(value.kind)
        if walk.table is not None:
            text = self._table(buffer, walk, walk.table)
            place = body
        else:
            address, stride = self._address(buffer, walk)
            place = body
            if stride == "unit" and buffer.kind in self.padded and name == self.name:
                text = f"load_full_{name}({address})"
            elif stride == "unit":
                text = f"load_{name}({address}, m)"
            elif stride == "none":
                text = f"splat_{name}({address})"
                if not any(walk.strides) and buffer.kind == "prepacked":
                    place = self.top
                elif self.vector_dim == len(self.counts) - 1:
                    place = before
            else:
                text = f"load_strided_{name}({address}, {stride}, m)"
        place.append(f"{value.name} = {f'to_mask({text})' if value.kind == 'bool' else text}")

    def _suffix(self, kind: str) -> str:
        """Return the suffix of the functions that read, make and write vectors of a kind."""
        found = carrier(kind)
        return self.name if found == "float" else f"{found}_{self.name}"

    def _table(self, buffer: Buffer, walk: Walk, table: np.ndarray) -> str:
        name = f"table_{len(self.source.tables)}"
        self.source.tables.append(table * self.source.item_of(buffer))
        self.tables.append((name, table))
        parts = [name]
        for d, step in enumerate(walk.strides):
            index = "j" if d == self.vector_dim else f"i{d}"
            parts.append(f"{self._top(f'stride_{len(self.numbers)}', 4 * step)} * {index}")
        assert self.vector_dim == len(self.counts) - 1, "a table is read along its last axis, as are reductions"
        name = self.name if buffer.elements == "float" else f"{buffer.elements}_{self.name}"
        return f"load_table_{name}({self.bases[buffer]}, {' + '.join(parts)}, m)"

    def _operation(self, value: Pointwise) -> str:
        if value.op == "to_float":
            self._ones()
        return operation_text(value, value.args, self.kinds[value.args[-1]], self.name, self._suffix(value.kind))

    def _ones(self):
        for line in (f"one = fill_{self.name}(1.0)", f"zero = fill_{self.name}(0.0)"):
            if line not in self.top:
                self.top.append(line)

    def _store(self, name: str, buffer: Buffer, walk: Walk) -> str:
        if self.kinds.get(name) == "bool":
            self._ones()
            name = f"select({name}, one, zero)"
        address, stride = self._address(buffer, walk)
        if self._is_streamed(buffer, walk):
            return f"stream({address}, {name})"
        return _stored(address, name, stride)

    def _is_streamed(self, buffer: Buffer, walk: Walk) -> bool:
        return buffer in self.source.streamed and walk.strides == (1,) and not walk.offset

    def _nest(self, before, body) -> list[str]:
        loop, lanes = self.loop, self.source.lanes
        scalar = [d for d in range(len(self.counts)) if d != self.vector_dim]
        span = "low, high" if self.split else f"0, {self.counts[self.vector_dim]}"
        vector = [f"for j in range({span}, {lanes}):",
                  f"    m = first_{self.name}({self.counts[self.vector_dim]} - j)"]  # fmt: skip
        stores = [] if loop.reduction else [self._store(*write) for write in loop.writes]
        sums = [(f"total_{i}", value, buffer, walk) for i, (value, buffer, walk) in enumerate(loop.writes)]
        if loop.totals:
            totals = [(f"total_{i}_of_row", total) for i, total in enumerate(loop.totals)]
            fold = [f"{t} = select(m, {_COMBINE[one.reduction].format(t, one.value)}, {t})" for t, one in totals]
            inner = self._around_totals(before + self._rows_of_vectors(body + stores + fold))
        elif loop.reduction is None:
            inner = self._around(scalar, before + vector + indented(body + stores))
        elif self.vector_dim == len(self.counts) - 1:
            fold = [f"{t} = select(m, {_COMBINE[loop.reduction].format(t, v)}, {t})" for t, v, _, _ in sums]
            reduced = [d for d in scalar if d >= loop.kept]
            inner = [self._started(t, value) for t, value, *_ in sums]
            whole = self._rows_of_vectors(body + fold) if len(self.counts) == 2 else vector + indented(body + fold)
            inner += self._around(reduced, before + whole)
            for t, value, buffer, walk in sums:
                address, _ = self._address(buffer, walk, vector=False)
                name, total = self._suffix(self.kinds[value]), f"{_FINISH[loop.reduction]}({t})"
                inner.append(f"store_scalar_{name}({address}, {_cut(total, self.kinds[value])})")
            inner = self._around([d for d in scalar if d < loop.kept], inner)
        else:
            fold = [f"{t} = {_COMBINE[loop.reduction].format(t, v)}" for t, v, _, _ in sums]
            inner = [self._started(t, value) for t, value, *_ in sums]
            inner += self._around([d for d in scalar if d >= loop.kept], before + body + fold)
            for t, value, buffer, walk in sums:
                address, stride = self._address(buffer, walk)
                inner.append(_stored(address, _cut(t, self.kinds[value]), stride))
            inner = self._around([d for d in scalar if d < loop.kept], vector + indented(inner))
        rows = ["for r in range(rows):", *indented(self.rows + inner)]
        if loop.section in PER_BLOCK:
            rows = ["for k in range(count):", *indented(rows)]
        return self.top + rows

    def _rows_of_vectors(self, lines) -> list[str]:
        """Return the innermost loop of several, over whole vectors first: a mask takes as long as they."""
        count, lanes = self.counts[-1], self.source.lanes
        self.top.append(f"whole = {count} // {lanes} * {lanes}")
        return [
            f"for j in range(0, whole, {lanes}):",
            *indented([f"m = first_{self.name}({lanes})", *lines]),
            f"for j in range(whole, {count}, {lanes}):",
            *indented([f"m = first_{self.name}({count} - j)", *lines]),
        ]

    def _around_totals(self, lines) -> list[str]:
        """Return the loop around rows of vectors; totals over all rows are those of each row's, which wait for less."""
        before: list[str] = []
        end: list[str] = []
        after: list[str] = []
        for i, total in enumerate(self.loop.totals):
            address, _ = self._address(total.buffer, total.walk, vector=False)
            mine, whole = f"total_{i}_of_row", f"total_{i}"
            begin = f"fill_{self.name}({_START[total.reduction]})"
            lines = [f"{mine} = {begin}", *lines]
            if total.kept == 0:
                before.append(f"{whole} = {begin}")
                end.append(f"{whole} = {_COMBINE[total.reduction].format(whole, mine)}")
            value = mine if total.kept else whole
            stored = f"store_scalar_{self.name}({address}, {_FINISH[total.reduction]}({value}))"
            (end if total.kept else after).append(stored)
        return [*before, f"for i0 in range({self.counts[0]}):", *indented(lines + end), *after]

    def _started(self, total: str, value: str) -> str:
        kind, reduction = self.kinds[value], str(self.loop.reduction)
        if kind not in INTEGERS:
            return f"{total} = fill_{self.name}({_START[reduction]})"
        return f"{total} = fill_{self._suffix(kind)}({REDUCTIONS[reduction].of_nothing(carrier(kind))})"

    def _around(self, dims, lines) -> list[str]:
        for d in reversed(dims):
            lines = [f"for i{d} in range({self.counts[d]}):", *indented(lines)]
        return lines


def _stored(address: str, name: str, stride: str) -> str:
    straight = stride in ("unit", "none")
    return f"store({address}, {name}, m)" if straight else f"store_strided({address}, {name}, {stride}, m)"


def operation_text(value: Pointwise, args, given: str, name: str, suffix: str) -> str:
    """Return the text of an operation on named values; `given` is the last one's kind, `name` the program's dtype."""
    kind = value.kind
    if value.op == "cast":
        (arg,) = args
        if kind in FLOATS:
            text = arg if given in FLOATS else f"from_integer_{name}({arg})"
            return f"round_float32({text})" if kind == "float32" else text
        if given == "bool":
            return f"select({arg}, fill_{suffix}(1), fill_{suffix}(0))"
        return _cut(f"to_{carrier(kind)}({arg})" if carrier(given) != carrier(kind) else arg, kind)
    integers = value.op in INTEGER_OPERATIONS and given in INTEGERS
    text = (INTEGER_OPERATIONS[value.op] if integers else OPERATIONS[value.op]).text.format(*args)
    if kind == "float32":
        return f"round_float32({text})"
    return _cut(text, kind) if integers else text


def _cut(text: str, kind: str) -> str:
    """Return the text of a carrier's integer, wrapped to a kind of fewer bits."""
    return text if kind not in INTEGERS or kind == carrier(kind) else f"wrap_{kind}({text})"
