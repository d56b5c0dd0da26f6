"""Programs whose lanes are rows: one for each kind of call, by the number of rows and whether there is a mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import is_

import numpy as np

from rnnkit.backends.cpu.codegen.row_source import Kind, RowSource
from rnnkit.backends.cpu.program import Program
from rnnkit.backends.cpu.simd.bounds_check import CHECKED
from rnnkit.backends.cpu.simd.registers import LANES, REGISTERS
from rnnkit.backends.shared.call import Differentiable, GradientExecutor, Record, Result
from rnnkit.backends.shared.failures import raise_first
from rnnkit.backends.shared.once import once
from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.compiler.ir.evaluate import ByMember
from rnnkit.compiler.ir.graph import FAILED
from rnnkit.compiler.ir.plan import (
    Look,
    Put,
    RowLoop,
    RowPlan,
    Slot,
    all_lines,
    given_by,
    read_by,
    written,
    written_names,
)
from rnnkit.compiler.planning.side_by_side import is_expensive
from rnnkit.opaque import opaque

MOST_VECTORS = 4  # registers of a value: their instructions don't wait for each other
SIDE_BY_SIDE = 3.5  # instructions of a step that don't wait for each other either, from which two registers do
COSTLY = 12  # cost of an expensive operation, or of an access by a row's own index, in lines
ROUNDS = 8  # assumed rounds of a loop
LONG = 64  # instructions that wait for each other, and the processor with them


class RowProgram(Program):
    plan: RowPlan
    source: RowSource
    tell: Callable[[Record], None] | None = None  # raises the failure of a row

    def run(self, record: Record, alone: bool = False) -> Result:
        """Return the results of one call; `record` is marked if a row has failed."""
        return self._run_unchecked(record, alone)

    def _may_be_longer(self, record):
        return record.mask is None and not (record.reverse or record.trajectory or record.placed or CHECKED)

    def _watched(self, again, p, record):
        if not self.plan.messages and not self.plan.whole:
            return again
        then, recording = p.copy(), record.recording

        def checked():
            again()
            if p[-1]:
                p[-1] = 0
                if (p != then).any():
                    recording.refuse("its arrays are not those of the record")
                assert self.tell is not None
                self.tell(record)
                recording.refuse("its numbers are none that the program of one row computes with")

        return checked

    def __post_init__(self):
        super().__post_init__()
        self._work = _work(self.plan)
        self._own: tuple = (), 0, {}  # of which weights, of how many rows, what these have of them

    @once
    def _by_member(self) -> ByMember:
        return ByMember(self.plan.own.values(), self.dtype)

    def own(self, record: Record, members: int) -> dict:
        """Return the weights of each row as draws, where a set is that of many rows one after the other."""
        weights, rows = record.weights, len(record.x)
        given, keeps = tuple(weights.values()), record.recording is None and not self.plan.code  # or they may change
        known, count, found = self._own
        if keeps and count == rows and len(known) == len(given) and all(map(is_, known, given)):
            return found

        def expanded(*given):
            arrays = self._by_member({("weight", n): array for n, array in zip(weights, given, strict=True)}, members)
            flat = (np.asarray(one, self.dtype).reshape(members, -1) for one in arrays)
            return [np.repeat(one, rows // members, axis=0) for one in flat]

        found = {buffer.attr: array for buffer, array in zip(self.plan.own, opaque(expanded, *given), strict=True)}
        if keeps:
            self._own = given, rows, found
        return found

    def _groups(self, rows):
        return -(-rows // self.source.lanes)

    def _order(self, record, blocks):
        """Return the mask with rows side by side, as many as lanes may read."""
        if record.mask is None:
            return None, None

        def beside(mask):
            rows, steps = mask.shape
            wide = np.zeros((steps, rows + MOST_VECTORS * LANES[self.dtype]), bool)
            wide[:, :rows] = mask.T[::-1] if record.reverse else mask.T
            return wide.T

        return opaque(beside, record.mask), None


def _work(plan: RowPlan) -> int:
    """Return the instructions of a step, a loop's as if it went `ROUNDS` rounds."""

    def of(line):
        return ROUNDS * sum(map(of, line.lines)) if isinstance(line, RowLoop) else _cost(line)

    return sum(map(of, plan.lines))


def _cost(line) -> int:
    each = isinstance(line, (Look, Put)) and line.index  # an address for each row
    return COSTLY if each or is_expensive(line) else 1


@dataclass(eq=False)
class RowPrograms(Differentiable):
    """The programs of one plan by rows, each made when the first call needs it.

    Attributes
    ----------
    make : callable
        From a `Kind` to a `RowProgram`.
    """

    make: Callable[[Kind], RowProgram]
    plan: RowPlan
    dtype: np.dtype
    words: str
    gradient: Callable[[RowPrograms], GradientExecutor] | None = None
    found: dict[Kind, RowProgram] = field(default_factory=dict)
    floats: bool = False  # whether a call has begun with other states than programs with integers go on with

    def __post_init__(self):
        self.most = vectors(self.plan, self.gradient is None) * LANES[self.dtype]
        self._shapes = {node.attr: node.shape for node in self.plan.graph.nodes if node.op == "weight"}

    def of(self, rows: int, lanes: int = 0, **of_call: bool) -> RowProgram:
        """Return a call's program, for groups of as many rows as registers hold and a thread has at most."""
        kind = Kind(lanes or self.lanes(rows), floats=self.floats, **of_call)
        if kind not in self.found:
            made = self.make(kind)
            made.tell = self._tell
            self.found[kind] = made
        return self.found[kind]

    def lanes(self, rows: int) -> int:
        side = LANES[self.dtype]
        mine = -(-rows // get_num_threads())
        lanes = 1 if mine <= 1 else min(self.most, -(-mine // side) * side)
        while lanes & (lanes - 1):
            lanes += side
        lanes = min(lanes, self.most)
        while lanes > side and mine > lanes and -mine % lanes > mine // 3:  # lanes without rows
            lanes //= 2
        return lanes

    @property
    def how(self) -> str:
        return self.of(1).how

    def run(self, record: Record, alone: bool = False) -> Result:
        """Return the results of one call.

        Raises
        ------
        StepFailed
            If a row fails at a step, see `rnnkit.backends.shared.failures`.
        """
        kept = (b for b in self.plan.buffers if b.kind == "residual" and b.size)
        lanes = next((record.placed[b.attr].shape[2] // b.size for b in kept), 0)
        program, given = self._for(record, lanes)
        result = program.run(given, alone)
        record.abandoned, record.place, record.failed = given.abandoned, given.place, given.failed
        return self._again(record, lanes) if record.failed else result

    def members(self, weights) -> int:
        """Return the number of sets of weights, each of as many rows one after the other; 0 for one of all rows."""
        given = ((weights[name], shape) for name, shape in self._shapes.items())
        return next((len(array) for array, shape in given if array.ndim > len(shape)), 0)

    @once
    def takes_members(self) -> bool:
        """Return whether rows may have weights of their own: what they decide by has to be numbers."""
        return all(node.kind == "float" or node.op == "literal" for node in self.plan.prepacked.values())  # type: ignore[union-attr]

    def _for(self, record: Record, lanes: int = 0, **of_call: bool) -> tuple[RowProgram, Record]:
        """Return the program of a call, and the record as it takes it."""
        rows, members = len(record.x), self.members(record.weights)
        of_call |= {"masked": record.mask is not None, "traced": bool(record.trajectory), "own": bool(members)}
        program = self.of(rows, lanes, **of_call)
        if not members:
            return program, record
        return program, replace(record, draws=record.draws | program.own(record, members))

    def _tell(self, record: Record) -> None:
        """Raise the failure of a call, if there is one."""
        self._again(replace(record, place=None))

    def _again(self, record: Record, lanes: int = 0) -> Result:
        """Run a call again with codes after its program stopped at a failure.

        Raises
        ------
        StepFailed
            If a row fails.
        """
        rows, steps = record.x.shape[:2]
        shape = -(-rows // self.lanes(rows)), steps, self.lanes(rows)
        codes = np.zeros(shape, self.dtype)
        again = replace(record, placed=record.placed | {written(FAILED): codes}, failed=False)
        program, given = self._for(again, lanes, coded=True)
        result = program.run(given, True)
        by_row = codes.transpose(0, 2, 1).reshape(-1, steps)[:rows]
        raise_first(by_row, record, self.plan.messages)
        self.floats = True
        return result

    def sequence(self, rows, steps, size, dtype, lend) -> np.ndarray:
        """Return memory for a value of every step, ``(groups, T, size * lanes)``: a group's numbers side by side."""
        lanes = self.lanes(rows)
        shape = -(-rows // lanes), steps, size * lanes
        return lend(math.prod(shape), dtype)[: math.prod(shape)].reshape(shape)

    def explain(self, source: bool = False, graph: bool = False) -> str:
        return self.of(1 << 20).explain(source, graph)

    def _order(self, record, blocks):
        return record.mask, None


def vectors(plan: RowPlan, keeps: bool) -> int:
    """Return the number of registers of a value.

    There are `MOST_VECTORS` where lines mostly wait for each other, in the order of a step or for a loop to end. Where
    they don't, more registers only bring more values to memory and back; where values fill the first-level cache, any.
    If a plan keeps values for a gradient, or reads such, all that are alive at once fit into registers.
    """
    living = _living(plan)
    if keeps:
        return max(1, min(MOST_VECTORS, 1 << (REGISTERS // max(1, living)).bit_length() >> 1))
    loops, depth = any(isinstance(line, RowLoop) for line in plan.lines), _depth(plan.lines)
    waits = loops or depth > LONG or SIDE_BY_SIDE * depth >= _work(plan)
    if living <= MOST_VECTORS * REGISTERS and waits:
        return MOST_VECTORS
    return 2 if living <= REGISTERS else 1


def _living(plan: RowPlan) -> int:
    """Return the most values that are alive at once."""
    lines = list(all_lines(plan.lines))
    last = {name: at for at, line in enumerate(lines) for name in read_by(line)}
    last |= dict.fromkeys(written_names(plan), len(lines))
    living, most = 0, 0
    ends: dict[int, int] = {}
    for at, line in enumerate(lines):
        for name in given_by(line):
            if name in last:
                living += 1
                ends[last[name]] = ends.get(last[name], 0) + 1
        most = max(most, living)
        living -= ends.pop(at, 0)
    return most


def _depth(lines) -> int:
    """Return the instructions of the longest chain of lines that wait for each other."""
    ends: dict[object, int] = {}
    for line in lines:
        waits = max((ends.get(name, 0) for name in (*read_by(line), *_slot_of(line))), default=0)
        ends |= dict.fromkeys((*given_by(line), *_slot_of(line)), waits + _cost(line))
    return max(ends.values(), default=0)


def _slot_of(line) -> tuple[Slot, ...]:
    place = getattr(line, "slot", getattr(line, "place", None))
    return (place,) if isinstance(place, Slot) else ()
