"""The text of one loop in a kernel: entries along y, the elements of a row along x."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.operations import REDUCTIONS
from rnnkit.compiler.ir.plan import STEP, Buffer, Load, Loop, Number, Value
from rnnkit.compiler.ir.strides import Walk

if TYPE_CHECKING:
    from rnnkit.backends.cuda.codegen.section import SectionWriter

PARTIALS = 32  # sums that a reduction along a row is made of, whatever the number of threads
_START = {name: f"{one.start:g}".replace("inf", "np.inf") for name, one in REDUCTIONS.items()}


class LoopWriter:
    """Writer of a loop's lines; of a loop behind a product, only of those for a row (`body`)."""

    def __init__(self, section: SectionWriter, i: int, loop: Loop, behind=()):
        self.section, self.i, self.loop = section, i, loop
        self.reduction = loop.reduction or ""
        self.kinds = {v.name: v.kind for v in loop.values}
        found = [load.buffer for load in loop.loads] + [b for _, b, _ in loop.writes]
        self.buffers = [b for b in dict.fromkeys(found) if b not in behind]
        self.dims = loop.dims or (1,)
        self.counts = [section.number(n) for n in self.dims]
        self.numbers: dict = {}
        self.lines: list[str] = []
        if not behind:
            self.lines = [f"# {line}" for line in loop.lines]
            self.lines += self._pointwise() if loop.reduction is None else self._reduction()

    def name(self, value: str, suffix="") -> str:
        return f"{value}_{self.i}{suffix}"

    def entries(self, suffix="") -> list[str]:
        read = [b for b in self.buffers if b.kind != "prepacked"]
        return [f"{self._entry(b, suffix)} = {self.section.entry(b, suffix)}" for b in read]

    def _entry(self, buffer: Buffer, suffix) -> str:
        if buffer.kind == "prepacked":
            return self.section.base(buffer)
        return f"in_{self.i}_{self.buffers.index(buffer)}{suffix}"

    def _number(self, walk: Walk, what, value: int) -> str:
        """Return the text of a number of a walk, the same in every copy of a row's lines."""
        key = id(walk), what
        if key not in self.numbers:
            self.numbers[key] = self.section.number(value)
        return self.numbers[key]

    def _address(self, buffer: Buffer, walk: Walk, suffix) -> str:
        item, steps = self.section.item, []
        for d, stride in enumerate(walk.strides):
            if stride == 1:
                steps.append(f"i{d}")
            elif stride:
                steps.append(f"{self._number(walk, d, stride)} * i{d}")
        entry = self._entry(buffer, suffix)
        if walk.table is not None:
            table = self.section.table(walk.table)
            return f"{entry} + {item} * word({table}, {' + '.join(steps) or 0})"
        if walk.offset:
            steps.insert(0, self._number(walk, "offset", walk.offset))
        return f"{entry} + {item} * ({' + '.join(steps)})" if steps else entry

    def body(self, suffix="", registers=None) -> list[str]:
        """Return lines that compute the values of one place of one row and store them."""
        wanted = None if registers is None else self._is_late
        return [*self.values(suffix, registers, wanted), *self.stores(suffix)]

    def reads(self, suffix="") -> list[str]:
        """Return the lines of a loop behind a product that read global memory, issued while the product is summed."""
        return self.values(suffix, wanted=lambda value: not self._is_late(value))

    def _is_late(self, value: Value) -> bool:
        if not isinstance(value, Load):
            return True
        return value.buffer not in self.buffers or self.section.is_shared(value.buffer)

    def values(self, suffix="", registers=None, wanted=None) -> list[str]:
        """Return lines for the values; `registers` names the results of a product in front, by place."""
        lines = []
        for value in self.loop.values:
            if wanted is not None and not wanted(value):
                continue
            if registers is not None and isinstance(value, Load) and value.buffer in registers:
                text = registers[value.buffer][value.walk.offset] + suffix
            else:
                text = self._text(value, suffix)
            if isinstance(value, Load) and value.kind == "bool":
                text = f"to_bool({text})"
            lines.append(f"{self.name(value.name, suffix)} = {text}")
        return lines

    def _text(self, value: Value, suffix) -> str:
        dtype = self.section.dtype.name
        if isinstance(value, Number):
            return f"np.{dtype}({value.number!r})"
        if isinstance(value, Load):
            return self.section.load(value.buffer, self._address(value.buffer, value.walk, suffix))
        op = f"to_float_{dtype}" if value.op == "to_float" else value.op
        return f"{op}({', '.join(self.name(a, suffix) for a in value.args)})"

    def stores(self, suffix="") -> list[str]:
        lines = []
        for name, buffer, walk in self.loop.writes:
            value = self.name(name, suffix)
            if self.kinds[name] == "bool":
                value = f"to_float_{self.section.dtype.name}({value})"
            lines.append(self.section.store(buffer, self._address(buffer, walk, suffix), value))
        return lines

    def _around(self, dims, lines) -> list[str]:
        for d in reversed(dims):
            lines = [f"for i{d} in range({self.counts[d]}):", *indented(lines)]
        return lines

    def _pointwise(self) -> list[str]:
        last = len(self.dims) - 1
        low, high = self.section.span(self.counts[last], str(self.i))
        lines = [f"for i{last} in range({low} + x, {high}, nx):", *indented(self.body())]
        return self.section.around_entries([*self.entries(), *self._around(range(last), lines)])

    def _fold(self, total, value) -> str:
        return f"{total} = {REDUCTIONS[self.reduction].combine}({total}, {value})"

    def _totals(self) -> list[str]:
        return [f"total_{i}" for i in range(len(self.loop.writes))]

    def _started(self) -> list[str]:
        return [f"{t} = np.{self.section.dtype.name}({_START[self.reduction]})" for t in self._totals()]

    def _folds(self) -> list[str]:
        values = [self.name(v) for v, _, _ in self.loop.writes]
        return [self._fold(t, v) for t, v in zip(self._totals(), values, strict=True)]

    def _reduction(self) -> list[str]:
        """Return a reduction's lines: a thread sums whole rows if a row has several sums, else threads share a sum."""
        kept, dims = self.loop.kept, range(len(self.dims))
        if not kept or all(n == 1 for n in self.dims[:kept]):
            return self._shared_reduction()
        x_dim = kept - 1
        low, high = self.section.span(self.counts[x_dim], str(self.i))
        lines = [*self._started(), *self._around(dims[kept:], [*self.values(), *self._folds()]), *self._put()]
        lines = [f"for i{x_dim} in range({low} + x, {high}, nx):", *indented(lines)]
        return self.section.around_entries([*self.entries(), *self._around(dims[:x_dim], lines)])

    def _put(self) -> list[str]:
        pairs = zip(self._totals(), self.loop.writes, strict=True)
        return [self.section.store(b, self._address(b, walk, ""), total) for total, (_, b, walk) in pairs]

    def _shared_reduction(self) -> list[str]:
        """Return lines for `PARTIALS` strided sums, then their sum in order: any number of threads gives the same bits.

        One block of a group does it: the others meet it where they need the sum.
        """
        section, last, name = self.section, len(self.dims) - 1, self.section.dtype.name
        places = [section.partials(PARTIALS, i) for i in range(len(self.loop.writes))]
        shared = list(zip(places, self._totals(), strict=True))
        kept = [f"i{d} = 0" for d in range(self.loop.kept)]
        inner = [f"for i{last} in range(p, {self.counts[last]}, {PARTIALS}):"]
        inner = self._around(range(self.loop.kept, last), [*inner, *indented([*self.values(), *self._folds()])])
        store = [f"shared_store_{name}({at} + p * {section.item}, {t})" for at, t in shared]
        some = [*self.entries(), *kept, f"for p in range(x, {PARTIALS}, nx):"]
        some += indented([*self._started(), *inner, *store])
        some += ["cuda.syncthreads()", "if x == 0 and e + y < rows:"]
        total = [f"{t} = shared_load_{name}({at})" for at, t in shared]
        total += [f"for p in range(1, {PARTIALS}):"]
        total += [f"    {self._fold(t, f'shared_load_{name}({at} + p * {section.item})')}" for at, t in shared]
        some += [*indented([*total, *self._put()]), "cuda.syncthreads()"]
        lines = section.around_all_entries(some)
        return ["if part == 0:", *indented(lines)] if section.section == STEP else lines
