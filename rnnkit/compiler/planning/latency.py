"""How long the choices of a plan by rows wait for what they choose, in cycles of a processor, for one row at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rnnkit.compiler.ir.operations import OPERATIONS
from rnnkit.compiler.ir.plan import Element, Look, Pointwise, Put, RowLine, RowLoop, RowPlan, Slot, all_lines, read_by

_CYCLES = {"divide": 11, "sqrt": 14}
_EXPENSIVE, _ARITHMETIC, _LOGIC, _LOAD = 40, 4, 1, 5
_LOOP = 60  # a loop of the step, of as many rounds as a row wants


def waits(plan: RowPlan, most: int) -> dict[str, int]:
    """Return how long each choice waits for its condition, or for one value, after the other value is known.

    A choice that waits longer than `most` is taken for a jump: what reads it waits for its values alone.
    """
    after = {b.attr: names for b, names in plan.writes if b.kind == "next" and not isinstance(names, Slot)}
    states = {
        line.name: after[line.buffer.attr][line.index]
        for line in plan.lines
        if isinstance(line, Element) and line.buffer.kind == "state" and line.buffer.attr in after
    }
    timing = _Timing(most)
    timing.settle(plan.lines, states)
    return timing.waits


class _Timing:
    """When values are known, after the first of those that a step or a round of a loop begins with."""

    def __init__(self, most: int):
        self.most = most
        self.known: dict[str, int] = {}
        self.waits: dict[str, int] = {}

    def settle(self, lines: Iterable[RowLine], nexts: Mapping[str, str]) -> None:
        """Read lines that are repeated: once for when each value is known, once with what the next round waits for."""
        begin = dict.fromkeys(nexts, 0)
        for _ in range(2):
            self.known |= begin
            for line in lines:
                self._read(line)
            ends = {name: self.known.get(value, 0) for name, value in nexts.items()}
            first = min(ends.values(), default=0)
            begin = {name: end - first for name, end in ends.items()}

    def _read(self, line: RowLine) -> None:
        if isinstance(line, Pointwise):
            times = [self.known.get(arg, 0) for arg in line.args]
            last = max(times, default=0)
            self.known[line.name] = last + _cycles(line)
            if line.op == "where":
                self.waits[line.name] = last - min(times[1:])
                if self.waits[line.name] >= self.most:
                    self.known[line.name] = max(times[1:])
        elif isinstance(line, Look):
            self.known[line.name] = self.known.get(line.index, 0) + _LOAD if line.index else 0
        elif isinstance(line, RowLoop):
            begins = max((self.known.get(name, 0) for name in read_by(line)), default=0)
            self.settle(line.lines, {one.name: one.next for one in line.carried})
            self.known |= dict.fromkeys((line.name, *(one.name for one in line.carried)), begins + _LOOP)


def _cycles(line: Pointwise) -> int:
    if line.op in OPERATIONS and OPERATIONS[line.op].expensive:
        return _EXPENSIVE
    return _CYCLES.get(line.op, _ARITHMETIC if line.kind == "float" and line.op != "where" else _LOGIC)


def places(plan: RowPlan) -> set[str]:
    """Return the values by which a place in memory is found, but for what counts places from the end."""
    lines = {line.name: line for line in all_lines(plan.lines) if isinstance(line, Pointwise)}
    left = [line.index for line in all_lines(plan.lines) if isinstance(line, (Look, Put)) and line.index]
    found: set[str] = set()
    while left:
        name = left.pop()
        line = lines.get(name)
        if name in found or line is None or line.kind != "int64":
            continue
        if line.op != "where":
            found.add(name)
            left += line.args
        elif _from_the_end(line, lines):
            left.append(line.args[2])
        else:
            found.add(name)
            left += line.args[1:]
    return found


def _from_the_end(line: Pointwise, lines: Mapping[str, Pointwise]) -> bool:
    """Whether a choice is a place below 0, counted from the end, or the place."""
    condition, added, place = line.args
    asked, total = lines.get(condition), lines.get(added)
    return asked is not None and total is not None and asked.args[0] == place and place in total.args
