"""C text of a network: its structs, and the functions that begin sequences and take steps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np

from rnnkit.c_code.network import Mask, Network, Operation, Signal
from rnnkit.c_code.operations import helpers
from rnnkit.c_code.row_source import RowUnitWriter
from rnnkit.c_code.text import REAL, comment, declaration, indented, number, without_comments
from rnnkit.c_code.unit_source import Field, UnitWriter, over


class NetworkWriter:
    """A writer of the C text of the network `name`."""

    def __init__(self, network: Network, name: str):
        self.network, self.name = network, name
        self.dtype, self.real = network.dtype.name, REAL[network.dtype.name]
        self.units = {one: (RowUnitWriter if one.rows else UnitWriter)(one, name) for one in network.units}
        self.x = self._parameters("x", network.inputs)
        self.y = self._parameters("y", network.outputs)
        self._masks: dict[Mask, str] = {}
        self._lines: list[str] = []
        self._places = dict(zip(network.inputs, self.x, strict=True))
        self._outputs: list[Field] = []
        self._values: list[Field] = []
        self._place_signals()

    @staticmethod
    def _parameters(letter: str, signals: list[Signal]) -> list[str]:
        return [letter] if len(signals) == 1 else [f"{letter}_{i}" for i in range(len(signals))]

    # Memory of signals

    def _place_signals(self):
        """Assign memory: outputs of recurrent layers are kept for masked steps, others go to the caller's array."""
        wanted = {signal.root(): y for signal, y in reversed(list(zip(self.network.outputs, self.y, strict=True)))}
        for one in self.network.operations:
            signal = one.output
            if one.kind == "recurrent":
                self._outputs.append((self.real, one.name, max(signal.size, 1)))
                self._places[signal] = f"s->outputs.{one.name}"
            elif signal in wanted:
                self._places[signal] = wanted[signal]
            else:
                self._values.append((self.real, one.name, max(signal.size, 1)))
                self._places[signal] = f"s->values.{one.name}"

    def _place(self, signal: Signal) -> str:
        return self._places[signal.root()]

    def c_type(self, signal: Signal) -> str:
        return "int32_t" if signal.root().ids else self.real

    # Functions

    def parameters(self, plain_pointers: bool = False) -> list[str]:
        """Return the inputs and outputs of a step, as parameters."""
        given = zip(self.network.inputs, self.x, strict=True)
        restrict = " *" if plain_pointers else " *restrict "
        found = [f"const {self.c_type(signal)}{restrict}{x}" for signal, x in given]
        return [*found, *self.written(plain_pointers)]

    def written(self, plain_pointers: bool = False) -> list[str]:
        """Return the outputs of a step, as parameters."""
        restrict = " *" if plain_pointers else " *restrict "
        return [f"{self.real}{restrict}{y}" for y in self.y]

    def constants(self) -> list[str]:
        """Return the constants, as parameters of reset."""
        return [f"const {self.real} *constant_{i}" for i in range(len(self.network.constants))]

    def source(self) -> list[str]:
        """Return all functions, the public ones last."""
        blocks = [block for writer in self.units.values() for block in (writer.start(), writer.step()) if block]
        blocks += [self._advance(), self._reset()]
        functions = [line for block in blocks for line in ["", *block]][1:] + self._public()
        tables = [line for writer in self.units.values() for line in writer.tables]
        called = helpers("\n".join(functions), self.dtype).splitlines()
        return [*([*called, ""] if called else []), *([*tables, ""] if tables else []), *functions]

    def _advance(self) -> list[str]:
        """Return the function of one step; `used` is 0 at a masked step."""
        for one in self.network.operations:
            self._lines += ["", comment(f"{one.layer.name!r} ({type(one.layer).__name__})")]
            self._lines += getattr(self, f"_{one.kind}")(one)
        put = []
        for signal, y in zip(self.network.outputs, self.y, strict=True):
            if self._place(signal) != y:
                put += over(signal.size, f"{y}[i] = {self._place(signal)}[i];")
        lines = [*self._lines, *([""] if put else []), *put]
        text = "\n".join(lines)
        unused = [name for name in ("s", *self.x, *self.y, "used") if name not in _words(text)]
        lines += [f"(void){name};" for name in unused]
        parameters = [f"{self.name}_state *restrict s", *self.parameters(), "int used"]
        body = indented(lines[1:] if lines[0] == "" else lines)
        return [*declaration("static void advance", parameters), "{", *body, "}"]

    def _reset(self) -> list[str]:
        lines: list[str] = []
        for one in self.network.operations:
            if one.unit is None:
                continue
            writer = self.units[one.unit]
            lines += writer.reset(f"s->{one.name}")
            if one.kind == "recurrent":
                lines += over(one.output.size, f"s->outputs.{one.name}[i] = 0;")
            for i in range(len(self.network.constants)):
                if (found := writer.constant(i)) is not None:
                    lines += over(found[1], f"s->{one.name}.{found[0]}[i] = constant_{i}[i];")
            if "prepare" in writer.taken:
                lines.append(writer.call("prepare", s=f"&s->{one.name}", t=f"&s->scratch.{one.unit.name}"))
        text = "\n".join(lines)
        names = ["s", *(f"constant_{i}" for i in range(len(self.network.constants)))]
        lines += [f"(void){name};" for name in names if name not in _words(text)]
        return [*self.heads("")["reset"], "{", *indented(lines), "}"]

    def heads(self, end: str) -> dict[str, list[str]]:
        """Return the heads of the public functions, followed by `end`."""
        state, x, y = f"{self.name}_state *s", self.parameters(True)[: len(self.x)], self.written(True)
        parameters = {
            "reset": [state, *self.constants()],
            "step": [state, *x, *y],
            "skip": [state, *y],
            "run": [state, *x, "size_t steps", *y],
        }
        return {name: declaration(f"void {self.name}_{name}", given, end) for name, given in parameters.items()}

    def _public(self) -> list[str]:
        heads, x_and_y = self.heads(""), ", ".join([*self.x, *self.y])
        lines = ["", *heads["step"], "{", f"    advance(s, {x_and_y}, 1);", "}", ""]
        nothing = [f"nothing_{x}" if x in self._read_when_masked() else "0" for x in self.x]
        lines += [*heads["skip"], "{"]
        for signal, x, zeros in zip(self.network.inputs, self.x, nothing, strict=True):
            if zeros != "0":
                lines.append(f"    static const {self.c_type(signal)} nothing_{x}[{max(signal.size, 1)}] = {{0}};")
        lines += [f"    advance(s, {', '.join([*nothing, *self.y])}, 0);", "}", ""]
        lines += [*heads["run"], "{", "    for (size_t t = 0; t < steps; ++t) {"]
        at_x = [f"{x} + t * {signal.size}" for x, signal in zip(self.x, self.network.inputs, strict=True)]
        at_y = [
            f"{y} + t * {signal.size}" if signal.in_time else y
            for y, signal in zip(self.y, self.network.outputs, strict=True)
        ]
        return [*lines, f"        advance(s, {', '.join([*at_x, *at_y])}, 1);", "    }", "}"]

    def _read_when_masked(self) -> set[str]:
        """Return the inputs that a masked step reads."""
        always = [one for one in self.network.operations if one.kind != "recurrent" or one.used is None]
        found = {signal.root() for one in always for signal in one.inputs}
        found |= {signal.root() for signal in self.network.outputs}
        found |= {signal.root() for mask in self._masks for signal in mask.signals}
        return {x for x, signal in zip(self.x, self.network.inputs, strict=True) if signal in found}

    # Operations

    def _call(self, one: Operation, x: list[str], y: str) -> str:
        assert one.unit is not None
        writer = self.units[one.unit]
        place = {"s": f"&s->{one.name}", "t": f"&s->scratch.{one.unit.name}"}
        return writer.call("advance", **place, **dict(zip(writer.x, x, strict=True)), y=y)

    def _recurrent(self, one: Operation) -> list[str]:
        place = self._place(one.output)
        call = self._call(one, [self._cast(one.inputs[0])], place)
        if one.used is None:
            return [call]
        other = ["}"]
        if one.zeros:
            other = ["} else {", *indented(over(one.output.size, f"{place}[i] = 0;")), "}"]
        return [f"if ({self._mask(one.used)}) {{", f"    {call}", *other]

    def _memoryless(self, one: Operation) -> list[str]:
        signal, unit = one.inputs[0], one.unit
        assert unit is not None
        rows, width = math.prod(signal.shape[:-1]), signal.shape[-1]
        x, y = self._cast(signal), self._place(one.output)
        if rows == 1:
            return [self._call(one, [x], y)]
        return over(rows, self._call(one, [f"{x} + {width} * r"], f"{y} + {unit.output_size} * r"), "r")

    def _masking(self, one: Operation) -> list[str]:
        assert one.used is not None
        mask = self._mask(one.used)
        text = f"{self._place(one.output)}[i] = {mask} ? {self._place(one.inputs[0])}[i] : 0;"
        return over(one.output.size, text)

    def _lookup(self, one: Operation) -> list[str]:
        (ids,), table = one.inputs, self.network.tables[one.table]
        count, width = table.shape
        at = f"{self._place(ids)}[r]"
        inside = f"const int32_t id = {at if ids.root().ids else f'(int32_t){at}'};"
        row = f"{self._place(one.output)}[{width} * r + i]"
        found = f"{self.name}_weights.{one.table}[{width} * id + i]"
        put = over(width, f"{row} = id >= 0 && id < {count} ? {found} : 0;")
        return [f"for (int32_t r = 0; r < {ids.size}; ++r) {{", *indented([inside, *put]), "}"]

    def _function(self, one: Operation) -> list[str]:
        return [self._call(one, [self._place(signal) for signal in one.inputs], self._place(one.output))]

    def _cast(self, signal: Signal) -> str:
        """Return the memory that a unit reads a signal from; integers are refused."""
        if not signal.root().ids:
            return self._place(signal)
        raise ValueError("expected integers to go into an Embedding only; make the Input one of floats")

    # Masks

    def _mask(self, mask: Mask) -> str:
        """Return the variable of a mask, computed before its first use."""
        if mask.kind == "input":
            return "used"
        if mask not in self._masks:
            parts = [self._mask(part) for part in mask.masks]
            name = f"mask_{len(self._masks)}"
            self._masks[mask] = name
            if mask.kind in ("and", "or"):
                self._lines.append(f"const int {name} = {(' & ' if mask.kind == 'and' else ' | ').join(parts)};")
            else:
                self._lines += self._mask_of(mask, name)
        return self._masks[mask]

    def _mask_of(self, mask: Mask, name: str) -> list[str]:
        (signal,) = mask.signals
        place = self._place(signal)
        if mask.kind == "ids":
            return [f"const int {name} = {place}[0] != 0;"]
        value = number(float(np.asarray(mask.value, self.dtype)), self.dtype)
        return [f"int {name} = 0;", *over(signal.size, f"{name} |= {place}[i] != {value};")]

    # Structs

    def structs(self) -> list[str]:
        lines: list[str] = []
        for unit, writer in self.units.items():
            for kind, fields in zip(writer.types(), (writer.kept, writer.scratch), strict=True):
                if fields:
                    lines += [f"{kind} {{ {comment(unit.title)}", *indented(_fields(fields)), "};", ""]
        members: list[str] = []
        for one in self.network.operations:
            if one.unit is not None and self.units[one.unit].kept:
                members.append(f"{self.units[one.unit].types()[0]} {one.name};")
        for name, fields in (("outputs", self._outputs), ("values", self._values)):
            if fields:
                members += ["struct {", *indented(_fields(fields)), f"}} {name};"]
        scratch = [f"{writer.types()[1]} {unit.name};" for unit, writer in self.units.items() if writer.scratch]
        if scratch:
            members += ["union {", *indented(scratch), "} scratch;"]
        return [*lines, "typedef struct {", *indented(members or ["char nothing;"]), f"}} {self.name}_state;"]

    def state_bytes(self) -> int:
        """Return the size of the struct of states, with its scratch memory."""
        count = _bytes([*self._outputs, *self._values])
        count += sum(_bytes(self.units[one.unit].kept) for one in self.network.operations if one.unit is not None)
        return count + max((_bytes(writer.scratch) for writer in self.units.values()), default=0) or 1


def _fields(fields: Iterable[Field]) -> list[str]:
    return [f"{kind} {name}[{size}];" for kind, name, size in fields]


def _bytes(fields: Iterable[Field]) -> int:
    return sum(size * (8 if kind in ("double", "int64_t") else 4) for kind, _, size in fields)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", without_comments(text)))
