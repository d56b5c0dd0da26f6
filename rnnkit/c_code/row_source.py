"""C function of a unit planned by rows: a variable per number, and C loops for the step's loops."""

from __future__ import annotations

import re

from rnnkit.c_code.operations import CALLED
from rnnkit.c_code.text import comment, identifier, indented, number, without_comments
from rnnkit.c_code.unit import Array
from rnnkit.c_code.unit_source import UnitWriter, over
from rnnkit.compiler.ir import plan as ir
from rnnkit.compiler.ir.kinds import FLOATS


class RowUnitWriter(UnitWriter):
    """A writer of a unit with loops or computed indices."""

    def _place_all(self):
        super()._place_all()
        assert self.unit.rows is not None
        self.plan = plan = self.unit.rows
        fields: set[str] = set()
        self._slots = {slot: f"s->state_{i}" for i, slot in plan.resident.items()}
        for slot in plan.slots:
            if slot not in self._slots:
                field = identifier(slot.name, fields)
                fields.add(field)
                self.scratch.append((self._type(slot.kind), field, max(slot.size, 1)))
                self._slots[slot] = f"t->{field}"
        self._kinds: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._told = ""
        self._taken = {"s", "t", "x", "y", "i", *CALLED}
        for line in ir.all_lines(plan.lines):
            known = {}
            if isinstance(line, ir.RowLoop):
                known = {line.name: "int64", **{one.name: one.kind for one in line.carried}}
            elif not isinstance(line, ir.EFFECTS):
                known = {line.name: line.kind}
            for name, kind in known.items():
                self._kinds[name] = kind
                self._names[name] = self._literal_of(line) or self._named(name.rstrip("_"))

    def _named(self, wanted: str) -> str:
        name = identifier(wanted, self._taken)
        self._taken.add(name)
        return name

    def _literal_of(self, line: ir.RowLine) -> str:
        """Return the text of a line that is a constant number; "" for others."""
        value: object = None
        if isinstance(line, ir.Number):
            value = line.number
        elif isinstance(line, ir.Element) and line.buffer.kind == "prepacked":
            value = self.unit.prepacked[line.buffer]
        if not isinstance(line, (ir.Number, ir.Element)) or not isinstance(value, (int, float)):
            return ""
        if line.kind in FLOATS:
            text = number(value, self.dtype)
        else:
            text = str(int(value)) if abs(value) < 2**31 else f"INT64_C({value})" if value > -(2**63) else "INT64_MIN"
        return f"({text})" if text.startswith("-") else text

    def step(self) -> list[str]:
        """Return the function of a step, ``advance_<unit>``."""
        body = [one for line in self.plan.lines for one in self._text(line)]
        body += self._written()
        words = set(re.findall(r"\w+", without_comments("\n".join(body))))
        unused = [f"(void){name};" for name in ("x", "y") if name not in words]
        return self._function("advance", [*body, *unused], io=True)

    def start(self) -> list[str]:
        """Return no function, as values of constants alone are computed in the step."""
        return []

    def _written(self) -> list[str]:
        """Return the writes of the output and the new states; all values are read before the first write."""
        taken, given = [], []
        for buffer, names in self.plan.writes:
            place = self._places[buffer] if buffer.kind == "output" else f"s->state_{buffer.attr}"
            if not isinstance(names, ir.Slot):
                given += [f"{place}[{j}] = {self._number(name)};" for j, name in enumerate(names)]
            elif not self._slots[names].startswith("s->"):
                given += over(names.size, f"{place}[i] = {self._slots[names]}[i];")
            elif self._slots[names] != place:
                numbers = [self._named(f"after_{buffer.attr}_{j}") for j in range(names.size)]
                taken += [f"const {self.real} {one} = {self._slots[names]}[{j}];" for j, one in enumerate(numbers)]
                given += [f"{place}[{j}] = {one};" for j, one in enumerate(numbers)]
        return [*taken, *given]

    # Lines

    def _text(self, line: ir.RowLine) -> list[str]:
        if isinstance(line, ir.RowLoop):
            return self._rounds(line)
        if isinstance(line, ir.Fill):
            place = self._slots[line.slot]
            return [f"{place}[{j}] = {self._number(name)};" for j, name in enumerate(line.names)]
        if isinstance(line, ir.Put):
            under = f"if ({self._names[line.under]}) " if line.under else ""
            return [f"{under}{self._at(line.slot, line)} = {self._number(line.value)};"]
        assert not isinstance(line, (ir.Branch, ir.Check))  # not in steps for C
        if self._literal_of(line):
            return []
        told = self.plan.comments.get(line.name, self._told)
        lines, self._told = [comment(told)] if told != self._told else [], told
        return [*lines, f"const {self._variable(line.kind)} {self._names[line.name]} = {self._value(line)};"]

    def _value(self, line) -> str:
        if isinstance(line, ir.Element):
            text = self._element_at(line.buffer, str(line.index))
        elif isinstance(line, ir.Look):
            text = self._at(line.place, line)
        elif line.op == "fma":
            return f"rk_fma({', '.join(self._names[name] for name in line.args)})"
        else:
            return self._operation(line, [self._names[name] for name in line.args], self._kinds)
        return f"{text} != 0" if line.kind == "bool" else text

    def _variable(self, kind: str) -> str:
        return "int" if kind == "bool" else self._type(kind)

    def _number(self, name: str) -> str:
        return f"({self.real}){self._names[name]}" if self._kinds[name] == "bool" else self._names[name]

    def _at(self, place: ir.Slot | ir.Buffer, line: ir.Look | ir.Put) -> str:
        """Return an element at a computed index."""
        index = self._names.get(line.index, "")
        if index and self._kinds[line.index] in FLOATS:
            index = f"(int32_t){index}"
        parts = [index if line.stride == 1 else f"{line.stride} * {index}"] if index else []
        parts = [*([str(line.offset)] if line.offset or not parts else []), *parts]
        return self._element_at(place, " + ".join(parts))

    def _element_at(self, place: ir.Slot | ir.Buffer, at: str) -> str:
        if isinstance(place, ir.Slot):
            return f"{self._slots[place]}[{at}]"
        if place.kind != "prepacked":
            return f"{self._places[place]}[{at}]"
        found = self.unit.prepacked[place]
        assert isinstance(found, Array)
        return f"{self._of(found)}[{at}]"

    def _rounds(self, loop: ir.RowLoop) -> list[str]:
        """Return a loop of the step, with its condition and carried values."""
        names, mutable = self._names, {one.name for one in loop.carried}
        lines = [f"int64_t {names[loop.name]} = 0;"]
        lines += [f"{self._variable(one.kind)} {names[one.name]} = {names[one.initial]};" for one in loop.carried]
        body = [one for line in loop.lines[: loop.first] for one in self._text(line)]
        body += [f"if (!{names[loop.go]}) {{", "    break;", "}"]
        body += [one for line in loop.lines[loop.first :] for one in self._text(line)]
        ends = {one.name: names[one.next] for one in loop.carried if one.next != one.name}
        for one in loop.carried:  # the old value of another variable
            if one.name in ends and one.next in mutable:
                ends[one.name] = self._named(f"next_{names[one.name]}")
                body.append(f"const {self._variable(one.kind)} {ends[one.name]} = {names[one.next]};")
        body += [f"{names[name]} = {end};" for name, end in ends.items()]
        return [*lines, "for (;;) {", *indented([*body, f"++{names[loop.name]};"]), "}"]
