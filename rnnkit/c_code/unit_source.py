"""C function of a unit: a call per product and a loop per loop, with the step's own lines as comments."""

from __future__ import annotations

import numpy as np

from rnnkit.c_code.operations import cast, expression, integer_expression
from rnnkit.c_code.text import REAL, comment, declaration, identifier, indented, number, static_array, without_comments
from rnnkit.c_code.unit import Array, Unit
from rnnkit.compiler.ir.kinds import INTEGERS, carrier
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, REDUCTIONS
from rnnkit.compiler.ir.plan import CALL, Buffer, Load, Loop, Number, Pointwise, Product, SparseProduct, Value
from rnnkit.compiler.ir.strides import Walk

Field = tuple[str, str, int]  # element type, name, number of elements


class UnitWriter:
    """A writer of one unit of the network `name`.

    `kept` and `scratch` are the unit's fields in the state of a sequence and in the memory of a step, `tables` the
    lines of constant tables of indices, `x` the inputs' names, `taken` the parameters of each written function.
    """

    def __init__(self, unit: Unit, name: str):
        self.unit, self.name = unit, name
        self.dtype, self.real = unit.dtype.name, REAL[unit.dtype.name]
        self.x = [f"x_{i}" for i in range(len(unit.ids))] or ["x"]
        self.once = set() if unit.ids else {CALL}  # what is computed of constants alone, before the first step
        self.kept: list[Field] = []
        self.scratch: list[Field] = []
        self.tables: list[str] = []
        self._known_tables: dict[bytes, str] = {}
        self._places: dict[Buffer, str] = {}
        self.taken: dict[str, list[str]] = {}
        self._place_all()

    @property
    def weights(self) -> str:
        """The struct of the unit's weights."""
        return f"{self.name}_weights.{self.unit.name}"

    def step(self) -> list[str]:
        """Return the function of a step, ``advance_<unit>``."""
        sections = {part.section for part in self.unit.parts} - self.once
        return self._function("advance", [*self._parts(sections), *self._takeover()], io=True)

    def start(self) -> list[str]:
        """Return the function of computations on constants alone, ``prepare_<unit>``, if there are any."""
        body = self._parts(self.once)
        return self._function("prepare", body, io=False) if body else []

    def call(self, title: str, **given: str) -> str:
        """Return a call of one of the functions, with `given` arguments for ``s``, ``t``, the inputs and ``y``."""
        return f"{title}_{self.unit.name}({', '.join(given[letter] for letter in self.taken[title])});"

    def _parts(self, sections) -> list[str]:
        lines: list[str] = []
        for part in self.unit.parts:
            if part.section in sections:
                lines += [comment(line) for line in part.lines]
                lines += self._product(part) if isinstance(part, Product) else self._loop(part)
        return lines

    def _function(self, title: str, body: list[str], io: bool) -> list[str]:
        text = without_comments("\n".join(body))
        kept, scratch = self.types()
        given = {"s": f"{kept} *restrict s", "t": f"{scratch} *restrict t"}
        given = {letter: one for letter, one in given.items() if f"{letter}->" in text}
        if io:
            types = ["int32_t" if ids else self.real for ids in self.unit.ids or (False,)]
            given |= {x: f"const {kind} *restrict {x}" for x, kind in zip(self.x, types, strict=True)}
            given |= {"y": f"{self.real} *restrict y"}
        self.taken[title] = list(given)
        head = declaration(f"static void {title}_{self.unit.name}", list(given.values()))
        return [*head, "{", *indented(body), "}"]

    def types(self) -> tuple[str, str]:
        """Return the types of the kept struct and of the memory of a step."""
        kept = f"struct {self.name}_{self.unit.name}"
        return kept, f"{kept}_scratch"

    def reset(self, at: str) -> list[str]:
        """Return the lines that initialize the states at `at`."""
        lines = []
        for i in self.unit.states():
            start = next((array for array in self.unit.arrays.values() if array.name == f"start_{i}"), None)
            value = f"{self.weights}.{start.name}[i]" if start else "0"
            lines += over(self.unit.initial[i].size, f"{at}.state_{i}[i] = {value};")
        return lines

    # Memory

    def _place_all(self):
        unit = self.unit
        for i in unit.states():
            self.kept.append((self.real, f"state_{i}", unit.initial[i].size))
        names: set[str] = {f"state_{i}" for i in unit.states()}
        for buffer in unit.buffers():
            if buffer.kind in ("x", "output"):
                self._places[buffer] = self.x[0] if buffer.kind == "x" else "y"
            elif buffer is unit.direct:
                self._places[buffer] = "y"
            elif buffer.kind == "constant" and unit.ids:
                self._places[buffer] = self.x[buffer.attr + 1]
            elif buffer.kind == "state":
                self._places[buffer] = f"s->state_{buffer.attr}"
            elif buffer.kind != "prepacked":
                kept = buffer.kind == "constant" or buffer.section in self.once
                field = identifier(buffer.name, names)
                names.add(field)
                (self.kept if kept else self.scratch).append((self._type(buffer.elements), field, max(buffer.size, 1)))
                self._places[buffer] = f"{'s' if kept else 't'}->{field}"

    def constant(self, i: int) -> tuple[str, int] | None:
        """Return the field of a constant and its size; None if the step doesn't read it."""
        for buffer, place in self._places.items():
            if buffer.kind == "constant" and buffer.attr == i and not self.unit.ids:
                return place.removeprefix("s->"), buffer.size
        return None

    def _of(self, array: Array) -> str:
        return f"{self.weights}.{array.name}"

    def _takeover(self) -> list[str]:
        """Return the lines that copy the new states to the states."""
        lines = []
        places = {buffer.attr: place for buffer, place in self._places.items() if buffer.kind == "next"}
        for k, i in enumerate(self.unit.changing):
            lines += over(self.unit.initial[i].size, f"s->state_{i}[i] = {places[k]}[i];")
        used = " ".join(self._places.values())
        unused = [p for p in (*self.x, "y") if p not in used.split()]
        return [*lines, *(f"(void){p};" for p in unused)]

    # Stages

    def _product(self, part: Product) -> list[str]:
        arrays = self.unit.panels[part.panels]
        rows = max(part.rows, 1)
        columns = part.result.size // rows
        function, weights = "rk_product", [self._of(arrays[""])]
        if isinstance(part, SparseProduct):
            function = "rk_sparse_product"
        weights += [self._of(arrays[role]) for role in ("starts", "columns") if role in arrays]
        operand, result = self._places[part.operand], self._places[part.result]
        inner = f"{part.row_stride} * r" if rows > 1 else ""
        operand = " + ".join([operand, *([str(part.offset)] if part.offset else []), *([inner] if inner else [])])
        result = f"{result} + {columns} * r" if rows > 1 else result
        call = f"{function}({', '.join([operand, *weights, result, str(part.depth), str(columns)])});"
        return over(rows, call, "r") if rows > 1 else [call]

    def _loop(self, loop: Loop) -> list[str]:
        names = _names(loop, self.x)
        kinds = {value.name: value.kind for value in loop.values}
        body = [self._line(value, names, loop.dims, kinds) for value in loop.values]
        if loop.reduction is None:
            for name, buffer, walk in loop.writes:
                body.append(f"{self._element(buffer, walk, loop.dims)} = {self._stored(loop, name, names)};")
            return nested(loop.dims, body)
        return self._reduction(loop, names, body, kinds)

    def _reduction(self, loop: Loop, names: dict[str, str], body: list[str], kinds: dict[str, str]) -> list[str]:
        """Return a reduction; sums and products along the last axis have the parts and order of the CPU's vectors."""
        kept, reduced = loop.dims[: loop.kept], loop.dims[loop.kept :]
        in_lanes = loop.reduction in ("sum", "prod") and loop.along_last and reduced[-1] > 1
        start, ends, reduction = [], [], REDUCTIONS[str(loop.reduction)]
        nothing = f"{reduction.start:g}".replace("inf", "INFINITY")
        for i, (name, buffer, walk) in enumerate(loop.writes):
            value, part = self._stored(loop, name, names), f"r{i}"
            result = part
            if kinds[name] in INTEGERS:
                first = reduction.of_nothing(carrier(kinds[name]))
                start.append(f"{self._type(kinds[name])} r{i} = {cast(str(first), 'int64', kinds[name], self.dtype)};")
                total = integer_expression(reduction.combine, (part, value), kinds[name])
                body.append(f"{part} = {total};")
                ends.append(f"{self._element(buffer, walk, kept)} = {result};")
                continue
            if in_lanes:
                start += [f"{self.real} r{i}[RK_LANES];", *over("RK_LANES", f"r{i}[i] = {nothing};")]
                part, result = f"r{i}[i{len(loop.dims) - 1} % RK_LANES]", f"rk_{loop.reduction}_of_lanes(r{i})"
            else:
                start.append(f"{self.real} r{i} = {nothing};")
            body.append(f"{part} = {expression(reduction.combine, (part, value), self.dtype)};")
            ends.append(f"{self._element(buffer, walk, kept)} = {result};")
        inner = nested(reduced, body, loop.kept) if 0 not in reduced else []
        return nested(kept, [*start, *inner, *ends])

    def _type(self, kind: str) -> str:
        return self.real if carrier(kind) == "float" else f"{carrier(kind)}_t"

    def _line(self, value: Value, names: dict[str, str], dims, kinds: dict[str, str]) -> str:
        kind = "int" if value.kind == "bool" else self._type(value.kind)
        if isinstance(value, Number):
            text = number(value.number, self.dtype)
        elif isinstance(value, Load):
            text = self._element(value.buffer, value.walk, dims)
            text = f"{text} != 0" if value.kind == "bool" else text
        else:
            text = self._operation(value, [names[name] for name in value.args], kinds)
        return f"const {kind} {names[value.name]} = {text};"

    def _operation(self, value: Pointwise, operands: list[str], kinds: dict[str, str]) -> str:
        given = kinds[value.args[-1]]
        if value.op == "cast":
            return cast(operands[0], given, value.kind, self.dtype)
        if given in INTEGERS and value.op in INTEGER_OPERATIONS:
            return integer_expression(value.op, operands, given)
        text = expression(value.op, operands, self.dtype) or ""
        return f"(float)({text})" if value.kind == "float32" else text

    def _stored(self, loop: Loop, name: str, names) -> str:
        kind = next(value.kind for value in loop.values if value.name == name)
        return f"({self.real}){names[name]}" if kind == "bool" else names[name]

    def _element(self, buffer: Buffer, walk: Walk, dims) -> str:
        if buffer.kind == "prepacked":
            found = self.unit.prepacked[buffer]
            if isinstance(found, int):
                return f"INT64_C({found})" if found > -(2**63) else "INT64_MIN"
            if isinstance(found, float):
                return number(found, self.dtype)
            place = self._of(found)
        else:
            place = self._places[buffer]
        moving = [(d, stride) for d, stride in enumerate(walk.strides) if stride and dims[d] > 1]
        steps = [f"i{d}" if stride == 1 else f"{stride} * i{d}" for d, stride in moving]
        if walk.table is not None:
            return f"{place}[{self._table(walk.table)}[{' + '.join(steps) or 0}]]"
        return f"{place}[{' + '.join([*([str(walk.offset)] if walk.offset else []), *steps]) or 0}]"

    def _table(self, table: np.ndarray) -> str:
        key = table.tobytes()
        if key not in self._known_tables:
            name = f"{self.unit.name}_places_{len(self._known_tables)}"
            self._known_tables[key] = name
            self.tables += static_array("int32_t", name, table, np.int32)
        return self._known_tables[key]


def _names(loop: Loop, x: list[str]) -> dict[str, str]:
    """Return C names of a loop's values, different from those of parameters and counters."""
    taken = {"s", "t", *x, "y", *(f"i{d}" for d in range(len(loop.dims))), *(f"r{i}" for i in range(len(loop.writes)))}
    names: dict[str, str] = {}
    for value in loop.values:
        names[value.name] = identifier(value.name, taken)
        taken.add(names[value.name])
    return names


def nested(dims, body: list[str], first: int = 0) -> list[str]:
    """Return loops around a body, one for each axis longer than 1; a block if there is none.

    Counters are ``i0``, ``i1`` …, from `first` on.
    """
    lines, around = body, [(d, n) for d, n in enumerate(dims, first) if n != 1]
    for d, n in reversed(around):
        lines = [f"for (int32_t i{d} = 0; i{d} < {n}; ++i{d}) {{", *indented(lines), "}"]
    return lines if around else ["{", *indented(lines), "}"]


def over(count: int | str, line: str, counter: str = "i") -> list[str]:
    """Return a line for every one of `count` indices; no line for 0."""
    if not count:
        return []
    return [f"for (int32_t {counter} = 0; {counter} < {count}; ++{counter}) {{", f"    {line}", "}"]
