"""A compiled program and the arrays of one call: addresses, sizes and scratch memory for every block of rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.codegen.tables import Source
from rnnkit.backends.cpu.kernels.matmul import PANEL_VECTORS, arrange, pack, packed_width
from rnnkit.backends.cpu.kernels.sparse_matmul import pack_sparse
from rnnkit.backends.cpu.language.addresses import Called, address, address_writer, write_addresses
from rnnkit.backends.cpu.language.programs import Code, Wanted
from rnnkit.backends.cpu.moves import moved
from rnnkit.backends.cpu.simd import bounds_check
from rnnkit.backends.cpu.simd.aligned import LINE, aligned
from rnnkit.backends.cpu.simd.bounds_check import CHECKED, Checked
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.threads.buffer_pool import borrow
from rnnkit.backends.cpu.threads.team import ABANDONED, ThreadTeam, line_start, own_memory
from rnnkit.backends.cpu.threads.trials import Trials
from rnnkit.backends.shared.call import Differentiable, GradientExecutor, Record, Result
from rnnkit.backends.shared.failures import checked
from rnnkit.backends.shared.once import once
from rnnkit.backends.shared.prepack import Layout, literals, only_moves
from rnnkit.backends.shared.processor import second_level_cache
from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.compiler.ir.plan import OF_CALL, SEQUENCES, STEP, Buffer, Plan
from rnnkit.opaque import opaque

_OF_RECORD = ("x", "output", "last", "mask", "order")  # pointers to one array each
_OF_STATES = ("initial", "final", "trajectory")  # to one array for each state
_SMALL_WEIGHT = 1 << 14  # elements up to which packing a weight takes less time than to find its places
_MOST_HEADS = 64  # tables of numbers that a program keeps

__all__ = ["LANES", "PANEL_VECTORS", "Program", "packed_width"]


class ProgramCode(NamedTuple):
    """Machine code."""

    function: Callable[..., int]  # `run` of the program's text
    address: int  # of its machine code
    products: dict[str, Code]  # the compiled products that it calls: "product" and "sparse_product"


@dataclass(eq=False)
class Program(Differentiable):
    """A compiled step that runs over records."""

    load: Callable[[], ProgramCode]  # compiles the text, or finds it compiled, at the first call
    source: Source
    plan: Plan
    # weights by name to the arrays that the plan wants computed once, in the order of `plan.prepacked`
    prepack: Callable[[dict[str, np.ndarray]], list[np.ndarray]]
    dtype: np.dtype
    team: ThreadTeam
    show: Callable[[], str]  # graph and plan as text
    words: str = ""  # the plan in words
    how: str = "traced"
    reason: str = "the step was recorded as a graph, from which rnnkit compiles loops over many rows at once"
    gradient: Callable[[Program], GradientExecutor] | None = None  # of a step's own program, to its `Backward`
    wanted: Sequence[Wanted] = ()  # the texts that `load` compiles

    def __post_init__(self):
        plan, item = self.plan, self.dtype.itemsize
        self._bound: tuple = (None, ())
        self._step_work = sum(p.work for p in plan.products() if p.section == STEP)
        self._work = sum(p.work for p in plan.products())
        self._work += tuning.ELEMENT * sum(b.size for b in plan.buffers if b.kind in ("scratch", "next"))
        self._numbers = list(self.source.numbers)
        self._tables = [what for what in self.source.pointers if isinstance(what, np.ndarray)]
        self._trials: defaultdict[int, Trials] = defaultdict(Trials)  # by the number of rows
        self._heads: dict[tuple, tuple[np.ndarray, int]] = {}
        states = range(len(plan.state_shapes))
        self._placed = [b for b in self.source.pointers if isinstance(b, Buffer) and b.kind in SEQUENCES]
        self._of_call = [b for b in self.source.pointers if isinstance(b, Buffer) and b.kind in OF_CALL]
        changing = [*_OF_RECORD, *plan.prepacked, *((role, i) for role in _OF_STATES for i in states)]
        changing += [*self._placed, *self._of_call]
        # An array that no loop reads has no place; its address is written behind the end of the table.
        pointers, behind = self.source.pointers, len(self.source.pointers)
        places: dict[Any, int] = {one: i for i, one in enumerate(pointers) if not isinstance(one, np.ndarray)}
        self._places = np.array([places.get(what, behind) for what in changing], np.int64)
        self._places_at, self._x_at = address(self._places), places["x"]
        self._free: list[tuple[np.ndarray, int, int]] = []  # tables of addresses for the next calls
        self._state_sizes = [math.prod(shape) * item for shape in plan.state_shapes]

    @once
    def code(self) -> ProgramCode:
        return self.load()

    takes_members = False  # whether rows may have weights of their own, see `RowPrograms.members`

    def members(self, weights) -> int:
        """Return the number of sets of weights that the rows have, or 0."""
        return 0

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how the step runs and the plan in words; or graph and plan node by node, the text, or both."""
        texts = [*([self.show()] if graph else []), *([self.source.text] if source else [])]
        return "\n\n".join(texts) or f"{self.how}: {self.reason}\n{self.words}"

    def _prepacked(self, record: Record) -> tuple:
        """Return the arrays that depend on weights alone, computed again when a weight was replaced."""
        weights, recording = record.weights, record.recording
        if recording is not None and recording.changes(*weights.values()):
            return self._prepacked_again(weights, recording)
        weights = weights if recording is None else recording.plain(weights)
        bound, arrays = self._bound
        given = tuple(weights.values())
        if bound is None or len(bound) != len(given) or any(a is not b for a, b in zip(bound, given, strict=True)):
            arrays = tuple(self.prepack(weights))
            self._bound = given, arrays
        if recording is not None:
            recording.constant(*arrays)
        return arrays

    def _prepacked_again(self, weights, recording) -> tuple:
        """Return the same arrays for weights that change, computed in each repetition of a recording."""
        if not self.plan.prepacked:
            return ()
        if only_moves(self.plan):
            names, fixed = list(weights), literals(self.plan)

            def packed(*arrays):
                found = self.prepack(dict(zip(names, arrays, strict=True)))
                return [one for one, literal in zip(found, fixed, strict=True) if not literal]

            moves = iter(() if all(fixed) else moved(packed, list(weights.values())))
            found = [one if literal else next(moves) for one, literal in zip(self.prepack(weights), fixed, strict=True)]
            recording.constant(*(one for one, literal in zip(found, fixed, strict=True) if literal))
        else:
            found = opaque(lambda *arrays: self.prepack(dict(zip(weights, arrays, strict=True))), *weights.values())
        return tuple(found)

    def run(self, record: Record, alone: bool = False) -> Result:
        """Return the results of one call, which `alone` keeps in this thread; `StepFailed` if a row fails at a step."""
        if self.plan.messages:
            record.runs_each_time("its steps are checked")
            codes = partial(np.zeros, dtype=self.dtype)
            return checked(partial(self._run_unchecked, alone=alone), record, self.plan.messages, codes)
        return self._run_unchecked(record, alone)

    def _run_unchecked(self, record: Record, alone: bool) -> Result:
        rows, steps = record.x.shape[:2]
        work, recording = rows * steps * self._work, record.recording
        if alone or work <= max(tuning.SMALL, recording.alone if recording else 0):
            return self._attempt(record, 1)
        threads = get_num_threads()
        units = threads > 1 and self._splits_units(rows, threads)
        if (units and work <= tuning.SMALL * tuning.SMALL_UNITS) or (rows == 1 and not units):
            threads, units = 1, False
        if threads > 1 and ((recording is not None and not recording.shares) or CHECKED):
            record.runs_each_time("threads share its calls")
        if units and recording is None and self._trials[rows].next_is_shared() is None:
            return self._attempt(record, 1)
        if units:
            several = max(1, tuning.PASS // max(1, rows * self._step_work))
            if record.mask is None and not record.trajectory and several < steps:
                return self._in_passes(record, threads, several)
        return self._run(record, threads)

    def _splits_units(self, rows, threads) -> bool:
        """Return whether threads share units, each weight read once for all rows, instead of rows, which never wait."""
        if self.plan.unshared:
            return False
        heavy = tuning.HEAVY * second_level_cache()
        return self._step_work >= tuning.WIDE * rows and rows <= threads * max(1, self._step_work // heavy)

    def _in_passes(self, record, threads, several) -> Result:
        """Return the results of passes of some steps, at which threads meet again after one of them was stopped."""
        x, steps, states, outputs = record.x, record.x.shape[1], record.states, record.place
        if record.sequences and outputs is None:
            outputs = np.empty((len(x), steps, *self.plan.output_shape), self.dtype)
        for start in range(0, steps, several):
            part = record.part(start, min(start + several, steps), states)
            part.place = outputs[:, start : start + several] if record.sequences else None
            result = self._run(part, threads)
            record.abandoned |= part.abandoned
            states = result.states
        return Result(outputs, result.last, states)

    def _run(self, record, threads) -> Result:
        result = self._attempt(record, threads) if threads > 1 else None
        return self._attempt(record, 1) if result is None else result

    def _attempt(self, record: Record, threads: int) -> Any:
        """Return the results; None if threads weren't free, or one was stopped in the middle of a short call."""
        plan, dtype, x, recording = self.plan, self.dtype, record.x, record.recording
        rows, steps = x.shape[:2]
        if threads > 1:
            self.team.prepare()
        outputs = record.place if record.sequences else None
        if record.sequences and outputs is None:
            outputs = np.empty((rows, steps, *plan.output_shape), dtype)
        kept = None
        if record.trajectory:
            kept = tuple(np.empty((rows, steps, *shape), dtype) for shape in plan.state_shapes)
        if not rows or not steps:
            states = tuple(np.array(state, dtype) for state in record.states)
            record.runs_each_time("it has no steps")
            return Result(outputs, np.zeros((rows, *plan.output_shape), dtype), states, kept)
        last = np.empty((rows, *plan.output_shape), dtype)
        initial = [state.astype(dtype, order="C", copy=False) for state in record.states]
        final = tuple(_like(state) for state in initial)
        units, groups = threads > 1 and self._splits_units(rows, threads), self._groups(rows)
        blocks, trials = (1, self._trials[rows]) if units else (row_blocks(groups, threads), None)
        mask, order = self._order(record, blocks)
        arrays = (x, outputs, last, mask, order), (initial, final, kept)
        found, own = self._arrays(record, *arrays)
        p, p_at, _ = table = self._table()
        most = -(-groups // blocks)  # of the largest block; all blocks have as many steps at a time
        step_bytes = self.source.row_bytes["block"] + (self.source.row_bytes["x"] if order is not None else 0)
        block_bytes = tuning.BLOCK_BYTES * (tuning.ALONE if most == 1 else 1)
        block = max(1, min(steps, block_bytes // max(1, most * step_bytes)))
        row_bytes = self.source.row_bytes["call"] + self.source.row_bytes["step"] + block * step_bytes
        memory = most * row_bytes + self.source.gaps + LINE
        n, n_at = self._head(record, outputs, mask, kept, rows, block, memory)
        if recording is not None:
            n = n.copy()
            n_at = address(n)
        if recording is not None:
            scratch = recording.memory(memory + LINE)
            scratch_at = line_start(scratch)
        elif threads == 1:
            scratch, scratch_at = own_memory(memory)
        write_addresses(p_at, self._places_at, found)
        if record.reverse:
            p[self._x_at] += (steps - 1) * x.strides[1]
        keep = (self, record, p, n, own, arrays, self._tables, None if recording is None else recording.lent)
        with Checked(keep) if CHECKED else nullcontext():
            if threads > 1 and recording is None:
                done = self.team.run(self.code.address, p, n, groups, blocks, memory, threads, keep, trials, steps)
                if CHECKED:
                    self.team.settle()
            else:
                numbers = p_at, n_at, 0, groups, scratch_at, 0, 1, 0
                again: Callable = partial(self.code.function, *numbers)
                if blocks > 1:
                    again = partial(self._run_blocks, p_at, n_at, groups, blocks, scratch_at)
                done = True
                again()
                if recording is None:
                    self._free.append(table)  # no other thread has read it
                else:
                    called = None
                    if threads > 1:
                        given = self.code.address, p, n, groups, blocks, memory, threads, keep, trials, steps
                        again = partial(recording.share, partial(self.team.run, *given), again)
                    elif blocks == 1:
                        called = Called(self.code.address, address(p[-1:]), numbers)
                    again = self._watched(bounds_check.checked(again, keep), p, record)
                    self._note(recording, again, record, arrays, own[1], None if CHECKED else (p_at, called, found))
                    recording.constant(p, n)
                    if self._may_be_longer(record):
                        recording.lengths = x, outputs, partial(_set_steps, n, outputs is not None)
        if p[-1]:
            p[-1], record.failed = 0, True
        if done is False:
            record.place = None  # the thread that was stopped may still write there
        record.abandoned |= done is False or done == ABANDONED
        if recording is not None:
            outputs, last, final, kept = recording.noted([outputs, last, final, kept])
        return Result(outputs, last, final, kept) if done else None

    def _may_be_longer(self, record: Record) -> bool:
        """Return whether a recorded call may be repeated with other numbers of steps."""
        return False

    def _groups(self, rows) -> int:
        """Return the number of groups of rows that threads share: here each row is one."""
        return rows

    def _watched(self, again: Callable, p, record: Record) -> Callable:
        """Return a call of compiled code as it is repeated, with this table of addresses."""
        return again

    def _run_blocks(self, p_at, n_at, rows, blocks, scratch) -> None:
        first, run = 0, self.code.function
        for block in range(blocks):
            count = rows // blocks + (block < rows % blocks)
            run(p_at, n_at, first, count, scratch, 0, 1, 0)
            first += count

    def _note(self, recording: Any, again, record: Record, arrays, prepacked, table) -> None:
        """Tell a recording the call that was run, the arrays that it read and wrote, and, if others may take their
        places, the address of its table of addresses, the program if it is all of the call, and the arrays of these.
        """
        (x, outputs, last, mask, _), (initial, final, kept) = arrays
        placed = [(record.placed[buffer.attr], buffer.is_written) for buffer in self._placed]
        of_call = [self._given(record, buffer) for buffer in self._of_call]
        reads = [x, mask, *initial, *of_call, *prepacked, *(array for array, is_written in placed if not is_written)]
        writes = [outputs, last, *final, *(kept or ()), *(array for array, is_written in placed if is_written)]
        reads, writes = ([array for array in some if array is not None] for some in (reads, writes))
        if table is not None:
            *of_table, given = table
            times = Counter(map(id, given))
            places = {id(array): place for array, place in zip(given, self._places.tolist(), strict=True)}
            places = {key: place for key, place in places.items() if times[key] == 1}
            if record.reverse:  # there stands the address of the last step
                places.pop(id(x), None)
            table = partial(address_writer, *of_table), places
        recording.note(again, reads, writes, table=table)

    def _order(self, record, blocks):
        """Return the mask in processing order, and an order of rows with those used late first, or None.

        Masked rows at the end of a block take no work. Each block of rows gets long ones and short ones.
        """
        mask = record.mask
        if mask is None:
            return None, None
        mask = mask[:, ::-1] if record.reverse else mask
        rows, steps = mask.shape
        if rows == 1 or self.plan.scans or record.arranged or record.recording is not None or mask.all():
            return mask, None
        places = np.arange(steps)
        ends = np.where(mask, places + 1, 0).max(axis=1)
        starts = np.where(mask, places, steps).min(axis=1)
        best, least = None, tuning.WORTH_ARRANGING * _rows_computed(mask, np.arange(rows), blocks)
        for order in (np.argsort(-ends, kind="stable"), np.argsort(starts, kind="stable")):
            work = _rows_computed(mask, order, blocks)
            if work < least:
                best, least = order, work
        if best is None:
            return mask, None
        dealt = np.concatenate([best[block::blocks] for block in range(blocks)])
        return mask[dealt], dealt

    @staticmethod
    def _given(record, buffer) -> np.ndarray:
        return (record.constants if buffer.kind == "constant" else record.draws)[buffer.attr]

    def _arrays(self, record, of_record, of_states):
        """Return the arrays whose addresses a call's table has, and those that were made for it."""
        prepacked, order, own = self._prepacked(record), of_record[-1], []
        found = [*of_record, *prepacked]
        for arrays in of_states:
            found += arrays or [None] * len(self._state_sizes)
        for buffer in self._placed:
            found.append(record.placed[buffer.attr])
        for buffer in self._of_call:
            array = self._given(record, buffer)
            if order is not None:
                array = array[order]
                own.append(array)
            found.append(array)
        return found, (own, prepacked)

    def _table(self) -> tuple[np.ndarray, int, int]:
        """Return a table of addresses with those that no call changes, its address, and the team's address in it.

        Another thread may give back a table from before the team was compiled, which is dropped here.
        """
        team = self.team.team_functions
        while self._free:
            try:
                table = self._free.pop()
            except IndexError:  # another thread took it
                break
            if table[2] == team:
                return table
        named = {name: code.address for name, code in self.code.products.items()}
        named |= {"shared": self.team.row_functions.address, "team": team}
        p = np.zeros(len(self.source.pointers) + 2, np.int64)  # an unread word, and one that the program writes
        for i, what in enumerate(self.source.pointers):
            if isinstance(what, np.ndarray):
                p[i] = address(what)
            elif isinstance(what, str):
                p[i] = named.get(what, 0)
        return p, address(p), team

    def _head(self, record, outputs, mask, kept, rows, block, memory) -> tuple[np.ndarray, int]:
        """Return the table of numbers, made once for each kind of call, and its address."""
        x = record.x
        x_step = -x.strides[1] if record.reverse else x.strides[1]
        output = (0, 0) if outputs is None else outputs.strides[:2]
        step = rows * self._step_work
        patience = min(tuning.PATIENCE, step * x.shape[1] // tuning.WORK_OF_PAUSE) + step // tuning.STEP_WORK_OF_PAUSE
        head = [
            *(x.shape[1], x.strides[0], x_step, *output, *((0, 0) if mask is None else mask.strides)),
            *(int(record.zero_masked), block, memory, tuning.FIRST_PATIENCE, patience),
            *([0, 0] * len(self._state_sizes) if kept is None else [n for k in kept for n in k.strides[:2]]),
        ]
        for buffer in self.source.placed:
            head += record.placed[buffer.attr].strides[:2]
        head += [rows] if self.source.of_groups else []
        key = tuple(head)
        made = self._heads.get(key)
        if made is None:
            n = np.array(head + self._numbers, np.int64)
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            made = self._heads[key] = n, address(n)
        return made


def row_blocks(rows: int, threads: int) -> int:
    """Return the number of blocks of rows of a call that threads share by rows."""
    return max(min(threads, rows), -(-rows // tuning.LARGEST_BLOCK))


def _set_steps(n, sequences: bool, steps: int) -> None:
    """Write the number of steps of x and outputs in C order to a table of numbers, see `HEAD`."""
    n[0], n[1] = steps, steps * n[2]
    if sequences:
        n[3] = steps * n[4]


def _like(state) -> np.ndarray:
    if state.nbytes < tuning.POOLED:
        return np.empty_like(state)
    return borrow(state.size, state.dtype).reshape(state.shape)


def _rows_computed(mask, order, blocks) -> int:
    """Return the sum over all steps of the rows of each block up to its last used one."""
    total = 0
    for block in range(blocks):
        used = mask[order[block::blocks]]
        total += int(np.where(used, np.arange(1, len(used) + 1)[:, None], 0).max(axis=0, initial=0).sum())
    return total


def _value(array) -> np.ndarray:
    """Return a copy of a vector with room for a whole vector register beyond its end."""
    padded = aligned(array.size + LANES.get(array.dtype, 0), array.dtype)  # integers are read up to the end
    padded[: array.size] = array
    padded[array.size :] = 0
    return padded


def _dense(weight, gates, units) -> np.ndarray:
    if weight.size > _SMALL_WEIGHT:
        return pack(arrange(weight, gates, units) if gates else weight)
    places, beyond = _packed_places(weight.shape, weight.dtype.char, gates, units)
    packed = aligned(places.size, weight.dtype)
    np.take(weight.reshape(-1), places, out=packed, mode="clip")
    packed[beyond] = 0
    return packed


@lru_cache(256)
def _packed_places(shape, dtype, gates, units) -> tuple[np.ndarray, np.ndarray]:
    """Return a packed weight's source element for each place, and the places that are filled up with 0."""
    numbers = np.arange(1, 1 + math.prod(shape), dtype=dtype).reshape(shape)
    packed = pack(arrange(numbers, gates, units) if gates else numbers)
    return np.maximum(packed.astype(np.int64) - 1, 0), np.flatnonzero(packed == 0)


LAYOUT = Layout(_value, _dense, pack_sparse)
