"""The lines of a plan by rows as text."""

from __future__ import annotations

import numpy as np

from rnnkit.backends.cpu.codegen.loop_source import operation_text
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.kinds import carrier
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, OPERATIONS
from rnnkit.compiler.ir.plan import (
    CALL,
    EFFECTS,
    PREPACK,
    Branch,
    Buffer,
    Check,
    Element,
    Fill,
    Look,
    Number,
    Pointwise,
    Put,
    RowLine,
    RowLoop,
    RowPlan,
    Slot,
    all_lines,
)  # fmt: skip

# Python's own operators, for integers and conditions that all rows share.
_UNIFORM = {
    "maximum": "max({0}, {1})", "minimum": "min({0}, {1})", "logical_not": "not {0}", "where": "{1} if {0} else {2}",
    "remainder": "{0} % {1}", "floor_divide": "{0} // {1}",
}  # fmt: skip


class RowLines:
    """Translator of a row plan's lines into text for groups of `lanes` rows; subclasses place elements of buffers."""

    coded = False  # whether each step keeps a number that says why a row failed

    def __init__(self, plan: RowPlan, dtype, lanes: int):
        self.plan, self.lanes, self.dtype = plan, lanes, np.dtype(dtype)
        self.item = self.dtype.itemsize
        self.uniform = plan.uniform  # values that are one number in the text, not lanes
        self.kinds: dict[str, str] = {}
        self.single: set[str] = set()  # numbers that need not be in lanes
        self.going: list[str] = []  # masks of the rows that go on, of the loops around a line
        self.alike: dict[object, set[str]] = {}  # numbers that are mostly the same in these rows, see `alike_in_rows`
        self._comment = ""
        self._note(plan.lines)

    def _note(self, lines) -> None:
        """Find the kinds of all values, and the values that all rows share."""
        self.kinds, self.single = {}, set()
        for line in all_lines(lines):
            if isinstance(line, RowLoop):
                self.kinds |= {one.name: one.kind for one in line.carried} | {line.name: "int64"}
            elif isinstance(line, Branch):
                self.kinds |= {name: kind for name, *_, kind in line.joined}
            elif not isinstance(line, EFFECTS):
                self.kinds[line.name] = line.kind
        for line in all_lines(lines):
            if not isinstance(line, (*EFFECTS, Branch, RowLoop)) and self._is_single(line):
                self.single.add(line.name)

    def element(self, line: Element) -> str:
        """The text of an element of a buffer."""
        raise NotImplementedError

    def place(self, place: Slot | Buffer) -> tuple[str, bool]:
        """Return an array's address, and whether the array holds each number once for every lane."""
        if isinstance(place, Slot):
            return f"slot_{place.name}", True
        return f"at_{place.name}", False

    def text(self, lines) -> list[str]:
        return [one for line in lines for one in self.line(line)]

    def line(self, line: RowLine) -> list[str]:
        """Return the text of a line, below a comment with the step's own text where that changes."""
        if isinstance(line, RowLoop):
            return self._loop(line)
        if isinstance(line, Fill):
            store, item = self._function("store", line.slot), self._item(line.slot) * self.lanes
            at = f"slot_{line.slot.name}"
            return [f"{store}({at} + {i * item}, {self.full(name)})" for i, name in enumerate(line.names)]
        if isinstance(line, Put):
            return self._put_element(line)
        if isinstance(line, Branch):
            return self._branch(line)
        if isinstance(line, Check):
            return self.failed(f"mask({line.fails})")
        if isinstance(line, Element) and line.buffer.kind == "state":
            slot = self.plan.resident.get(line.buffer.attr)
            if slot is None:
                return []  # read at the beginning of the step
            at = f"slot_{slot.name} + {line.index * self._item(slot) * self.lanes}"
            return [f"{line.name} = {self._function('load', slot)}({at})"]
        comment = self.plan.comments.get(line.name, self._comment)
        lines = [f"# {comment}"] if comment != self._comment else []
        self._comment = comment
        if isinstance(line, Look) and line.index in self.alike and isinstance(line.place, Slot):
            return [*lines, *self._look_together(line)]
        return [*lines, f"{line.name} = {self._value(line)}"]

    def _value(self, line) -> str:
        if isinstance(line, Number):
            if line.kind == "float":
                return f"number({_text(line.number)})"
            return str(line.number) if line.name in self.uniform else f"fill_{carrier(line.kind)}({line.number})"
        if isinstance(line, Pointwise):
            return self._operation(line)
        if isinstance(line, Look):
            return self._look(line)
        text = self.element(line)
        return f"{text} != 0.0" if line.kind == "bool" else text

    def _operation(self, line: Pointwise) -> str:
        if line.op == "same":
            return line.args[0]
        if line.op == "fma":
            return "fma({}, {}, {})".format(*line.args)
        if line.name in self.uniform:
            return _UNIFORM.get(line.op, (INTEGER_OPERATIONS.get(line.op) or OPERATIONS[line.op]).text).format(
                *line.args
            )
        if line.op == "to_float":
            return f"to_lanes({line.args[0]})"
        numbers = [name for name in line.args if self.kinds[name] != "bool"]
        args = list(line.args)
        if line.op == "cast" and numbers:
            args = [self.full(name) for name in args]
        if numbers and all(name in self.uniform for name in numbers):  # at least one operand has to be in lanes
            args = [self.full(name) if name in numbers else name for name in args]
        kind = carrier(line.kind)
        return operation_text(line, args, self.kinds[line.args[-1]], self.dtype.name, kind)

    def _is_single(self, line) -> bool:
        if isinstance(line, Pointwise):
            whole = carrier(line.kind) != "float" or line.op == "to_float"  # always in lanes
            return not whole and self.single.union(self.uniform).issuperset(line.args)
        if isinstance(line, Look):
            return isinstance(line.place, Buffer) and line.index in ("", *self.uniform)
        return isinstance(line, Number) or self.plan.sections[line.name] in (PREPACK, CALL)

    def full(self, name: str) -> str:
        """Return the text of a value in all lanes; conditions become numbers."""
        kind = self.kinds[name]
        if kind == "bool":
            return f"to_lanes({name})"
        if carrier(kind) != "float":
            return f"fill_{carrier(kind)}({name})" if name in self.uniform | self.single else name
        return f"fill({name})" if name in self.single else name

    def _branch(self, line: Branch) -> list[str]:
        """Return the text of a branch of one row, with the lines of both sides."""
        uniform, comment, lines = self.uniform, self._comment, []
        test = line.condition if line.condition in uniform else f"jump(mask({line.condition}))"
        for i, (word, side) in enumerate(((f"if {test}:", line.then), ("else:", line.otherwise))):
            own = self.text(side)
            for name, *values, kind in line.joined:
                value = values[i] if name in uniform else self._in_lanes(values[i], kind)
                own.append(f"{name} = {value}")
            self._comment = comment
            lines += [word, *indented(own or ["pass"])] if own or not i else []
        return lines

    def _item(self, place: Slot | Buffer) -> int:
        kind = _carrier_of(place)
        return self.item if kind == "float" else np.dtype(kind).itemsize

    def _function(self, word: str, place: Slot | Buffer) -> str:
        kind = _carrier_of(place)
        return word if kind == "float" else f"{word}_{kind}"

    def _address(self, place: Slot | Buffer, offset: int, stride: int, index: str) -> tuple[str, str]:
        """Return an element's address and "", or, where each row has an index, the base and the index's stride."""
        item = self._item(place)
        at, of_lane = self.place(place)
        step = item * self.lanes if of_lane else item
        at = f"{at} + {offset * step}"
        if index in self.uniform:
            return f"{at} + {index} * {stride * step}", ""
        return at, str(stride * step) if index else ""

    def _look(self, line: Look) -> str:
        at, strides = self._address(line.place, line.offset, line.stride, line.index)
        if not self.place(line.place)[1]:
            arguments = f"{at}, {line.index}, {strides}" if strides else at
            text = f"{self._function('look_up' if strides else 'splat', line.place)}({arguments})"
        else:
            word = "look" if strides else "load"
            text = f"{self._function(word, line.place)}({at}{f', {line.index}, {strides}' if strides else ''})"
        return f"{text} != 0.0" if line.kind == "bool" else text

    def _look_together(self, line: Look) -> list[str]:
        rows = [*self.going[-1:], *self.bounds(), *(f"mask({one})" for one in sorted(self.alike[line.index]))]
        load = f"{self._function('load', line.place)}(place){' != 0.0' * (line.kind == 'bool')}"
        return self._by_place(
            line, line.place, " & ".join(rows), f"{line.name} = {load}", f"{line.name} = {self._look(line)}"
        )

    def _by_place(self, line: Look | Put, place: Slot | Buffer, rows: str, at_one: str, at_each: str) -> list[str]:
        """Return lines for `rows` that all have the same index, whose element is at ``place``, and for others."""
        at, strides = self._address(place, line.offset, line.stride, line.index)
        rows = rows or "mask(True)"
        return [
            f"index = first({line.index}, {rows})",
            f"place = {at} + index * {strides}",
            f"if together({line.index}, index, {rows}):",
            *indented([at_one]),
            "else:",
            *indented([at_each]),
        ]

    def _put_element(self, line: Put) -> list[str]:
        at, strides = self._address(line.slot, line.offset, line.stride, line.index)
        value = self.full(line.value)
        used = self.bounds() if line.slot in self.plan.resident.values() else []
        going = " & ".join([*self.going[-1:], *used, *([f"mask({line.under})"] if line.under else [])])
        if strides:
            put = f"{self._function('put', line.slot)}({at}, {line.index}, {strides}, {value}, {going or 'mask(True)'})"
            if line.index not in self.alike:
                return [put]
            load, store = (self._function(word, line.slot) for word in ("load", "store"))
            chosen = f"select({going}, {value}, {load}(place))" if going else value
            return self._by_place(line, line.slot, going, f"{store}(place, {chosen})", put)
        if going:
            value = f"select({going}, {value}, {self._function('load', line.slot)}({at}))"
        return [f"{self._function('store', line.slot)}({at}, {value})"]

    def _loop(self, loop: RowLoop) -> list[str]:
        """Return the text of a loop: rounds until no row goes on."""
        if loop.back is not None:
            return self._undone(loop, loop.back)
        lines, same = self._started(loop, "0"), loop.go in self.uniform
        going, around = f"going_{loop.name}", [*self.going[-1:], *self.bounds()]
        begun = self.lanes > 1 and not same  # a row that is done doesn't go on, whatever its lane computes
        if begun:
            lines.append(f"{going} = {' & '.join(around) or 'mask(True)'}")
            around = [going]
            self.going.append(going)
        body = self.text(loop.lines[: loop.first])
        if same:
            body += [f"if not {loop.go}:", "    break"]
        else:
            body += [f"{going} = {' & '.join([f'mask({loop.go})', *around])}", f"if not some({going}):", "    break"]
            self.going += [going] * (not begun)
        body += self._tape(loop)
        body += self.text(loop.lines[loop.first :])
        body += [*self._carry(loop), f"{loop.name} += 1"]
        if loop.limit:
            going = " & ".join([*self.going[-1:], *(self.bounds() if same else [])]) or "mask(True)"
            body += [f"if {loop.name} >= {loop.limit}:", *indented(self.exceeded(loop, going)), "    break"]
        if not same:
            self.going.pop()
        return [*lines, "while True:", *indented(body)]

    def _tape(self, loop: RowLoop) -> list[str]:
        """Return lines that keep the values a loop carries at the beginning of a round."""
        lines = []
        for tape in loop.tapes:
            item = self._item(tape.slot) * self.lanes
            at, put = f"slot_{tape.slot.name} + {loop.name} * {tape.size * item}", self._function("store", tape.slot)
            for j in range(tape.size):
                if isinstance(tape.source, Slot):
                    value = f"{self._function('load', tape.source)}(slot_{tape.source.name} + {j * item})"
                else:
                    value = self.full(tape.source[j])
                lines.append(f"{put}({at} + {j * item}, {value})")
        if loop.going is not None and loop.go not in self.uniform:
            at = f"slot_{loop.going.name} + {loop.name} * {self.item * self.lanes}"
            lines.append(f"store({at}, to_lanes({self.going[-1]}))")
        return lines

    def _carry(self, loop: RowLoop) -> list[str]:
        lines = []
        for i, one in enumerate(loop.carried):
            following = one.next if one.name in self.uniform else self._kept(one)
            lines.append(f"next_{i}_{loop.name} = {following}")
        return lines + [f"{one.name} = next_{i}_{loop.name}" for i, one in enumerate(loop.carried)]

    def _undone(self, loop: RowLoop, forward: RowLoop) -> list[str]:
        """Return the text of a backward loop: the rounds of `forward`, the last one first."""
        lines = self._started(loop, forward.name)
        body, going = [f"{loop.name} += -1"], None if forward.go in self.uniform else forward.going
        if going is not None:
            at = f"slot_{going.name} + {loop.name} * {self.item * self.lanes}"
            around = "".join(f" & {one}" for one in self.going[-1:])
            body.append(f"going_{loop.name} = (load({at}) != 0.0){around}")
            self.going.append(f"going_{loop.name}")
        body += [*self.text(loop.lines), *self._carry(loop)]
        if going is not None:
            self.going.pop()
        return [*lines, f"while {loop.name} > 0:", *indented(body)]

    def _in_lanes(self, name: str, kind: str) -> str:
        return f"mask({name})" if kind == "bool" else self.full(name)

    def _started(self, loop: RowLoop, rounds: str) -> list[str]:
        """Return lines with the first values of what a loop counts and carries."""
        lines = [f"{loop.name} = {rounds}"]
        for one in loop.carried:
            initial = one.initial if one.name in self.uniform else self._in_lanes(one.initial, one.kind)
            lines.append(f"{one.name} = {initial}")
        return lines

    def _kept(self, one) -> str:
        following = self._in_lanes(one.next, one.kind)
        return f"select({self.going[-1]}, {following}, {one.name})" if self.going else following

    def bounds(self) -> list[str]:
        """Return the conditions under which a row loops or fails at all."""
        return []

    def failed(self, fails: str) -> list[str]:
        """Return lines that note the rows in the mask `fails` as failed."""
        return [f"failed = failed | ({' & '.join([fails, *self.bounds()])})"]

    def exceeded(self, loop: RowLoop, going: str) -> list[str]:
        """Return lines for the rows in `going`, which reached the loop's limit of rounds."""
        if not self.coded:
            return self.failed(going)
        return [f"failing = select({going} & (failing == 0.0), number({float(loop.code)}), failing)"]


def _carrier_of(place: Slot | Buffer) -> str:
    return carrier(place.kind) if isinstance(place, Slot) else place.elements


def _text(number: float) -> str:
    text = repr(float(number))
    return text if np.isfinite(number) else text.replace("inf", "np.inf").replace("nan", "np.nan")
