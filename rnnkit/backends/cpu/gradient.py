"""The gradient of a call: the forward program keeps what the adjoint reads, the adjoint runs from the last step back.

Steps of the adjoint go by *chunks*: some steps by rows or units over the threads, then the weights' sums over these
steps, by columns over the threads. Chunks depend on sizes alone, and so do the bits of every sum.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.moves import moved
from rnnkit.backends.cpu.program import Program, row_blocks
from rnnkit.backends.cpu.simd.aligned import LINE, aligned
from rnnkit.backends.cpu.threads.buffer_pool import borrow
from rnnkit.backends.cpu.weight_sums import OuterProducts, Sums
from rnnkit.backends.shared.call import Gradient, Record, Result, recording_of
from rnnkit.backends.shared.segments import segments
from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.compiler.ir.plan import LARGE, state_of, written
from rnnkit.opaque import opaque

if TYPE_CHECKING:
    from rnnkit.compiler.autodiff.adjoint import Sum
    from rnnkit.compiler.autodiff.weight_gradients import WeightGradients


@dataclass(eq=False)
class Backward:
    """Computes the gradients of one step over records."""

    plain: Program  # the step itself, which keeps nothing
    forward: Program  # the step with what it keeps
    adjoint: Program
    residuals: dict[tuple, int]  # elements of each value that the forward program keeps, by name
    operands: dict[tuple, int]  # the same of the adjoint, for the sums
    sums: list[Sum]
    finish: WeightGradients  # the weights' gradients from the finished sums
    outer_products: OuterProducts  # what sums them; None where there are no sums
    # (rows, steps, size, dtype, lend) to memory for a value of every step, (B, T, size) of any strides
    sequence: Callable[..., np.ndarray] = lambda *arguments: _sequence(*arguments)
    rules = "one rule per operation of the graph"  # by which the adjoint was made
    programs = 2  # compiled ones, besides the step's own

    def vjp(self, record: Record, checkpoint=None, truncate=None) -> Result:
        """Return the results of a call, with `pull`.

        `checkpoint`, "auto" or a number of steps, keeps the states of every so many steps only and computes the steps
        again; `truncate` lets no cotangent of a state pass a multiple of so many steps.
        """
        if checkpoint is None and self._computes_states_again():
            checkpoint = max(1, tuning.SEGMENT_BYTES // max(1, len(record.x) * self.row_bytes()))
        run = _Run(self, *self._arranged(record, checkpoint), record.reverse, checkpoint, truncate)
        return replace(run.result(), pull=run.pull)

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return what is saved and computed, in words; or both programs' graphs and plans, their texts, or all."""
        if source or graph:
            return "\n\n".join(program.explain(source, graph) for program in (self.forward, self.adjoint))
        states = sum(state_of(name) is not None for name in self.residuals)
        numbers = sum(self.residuals.values())
        saved = f"{states} states and {len(self.residuals) - states} values, {numbers:,} numbers a row"
        lines = [f"gradient: {self.rules}", f"saved at each step: {saved}"]
        lines.append("the adjoint, from the last step to the first:")
        lines += [f"  {line}" for line in self.adjoint.words.splitlines()]
        lines.append("summed over rows and steps:")
        for s in self.sums:
            what = "a value" if s.a is None else "outer products"
            where = ", in the adjoint's own steps" if s.b.source == "total" else ""
            lines.append(f"  {what} {' x '.join(map(str, s.shape))}{where}")
        return "\n".join(lines)

    def _computes_states_again(self) -> bool:
        """Tell whether a step costs less than to bring its states from memory: they are large, such as matrices."""
        large = any(size >= LARGE for name, size in self.residuals.items() if state_of(name) is not None)
        return large and self.outer_products is not None and self.plain._step_work < sum(self.residuals.values())

    def _leaves_x(self, record: Record, checkpoint) -> bool:
        """Tell whether nothing reads x behind the call itself, in which no other thread takes part."""
        if not self.plain.plan.scans or checkpoint is not None or record.x.shape[0] != 1:
            return False
        places = [place for s in self.sums for place in (s.a, s.b) if place is not None]
        read = any(b.kind == "x" for b in self.adjoint.plan.buffers) or any(place.source == "x" for place in places)
        return not read and record.x[:, :1].flags.c_contiguous

    def _arranged(self, record: Record, checkpoint) -> tuple[Record, np.ndarray | None]:
        """Return the record in processing order, and the order of its rows if a mask makes another one worth while."""
        record, order = record.in_order(), None
        if record.mask is not None and record.x.shape[1]:
            blocks = row_blocks(len(record.x), get_num_threads())
            order = self.plain._order(record, blocks)[1]
        rows = slice(None) if order is None else order
        record = replace(
            record,
            x=record.x if self._leaves_x(record, checkpoint) else _kept(record.x[rows]),
            mask=None if record.mask is None else record.mask[rows],
            states=tuple(state[rows].copy() for state in record.states),
            constants=tuple(one[rows].copy() for one in record.constants),
            draws={name: draw[rows] for name, draw in record.draws.items()},
            rows=order,
            place=None if order is not None else record.place,
            arranged=True,
        )
        return record, order

    def row_bytes(self) -> int:
        """Return the bytes that the forward program saves of one step of one row."""
        return sum(_line(size, self.plain.dtype) for size in self.residuals.values()) * self.plain.dtype.itemsize


class _Run:
    """One call and its gradient."""

    def __init__(self, backward: Backward, record: Record, order, reverse, checkpoint, truncate):
        self.backward, self.record, self.order = backward, record, order
        self.reverse, self.truncate = reverse, truncate
        self.dtype = backward.plain.dtype
        self.rows, self.steps = record.x.shape[:2]
        self.segments = segments(self.steps, self.rows * backward.row_bytes(), checkpoint)
        self.starts: dict[int, tuple] = {}  # the states before the first step of each
        self.residuals = None  # of the whole, if it is one segment
        self.lend = borrow if record.recording is None else aligned  # what a recording keeps doesn't come back
        if len(self.segments) > 1:
            record.runs_each_time("steps are computed again between its checkpoints")

    def result(self) -> Result:
        """Return the call's own results."""
        if len(self.segments) <= 1:
            result, self.residuals = self._keep(self.record)
        else:
            result = self._in_segments()
        if self.order is None:
            return result
        outputs = None if result.outputs is None else _put_back(result.outputs, self.order)
        states = tuple(_put_back(state, self.order) for state in result.states)
        return Result(outputs, _put_back(result.last, self.order), states)

    def _keep(self, record, lent=None):
        """Return the results of some steps, and all that the adjoint reads of them, in memory that may be `lent`.

        A thread that was left may still write. Its values are right: what it reads are copies, and memory that the rest
        of the call leaves alone. But where a mask holds states, it may undo that, and the steps have to run once more.
        """
        for alone in (False, True):
            residuals = self._places(record, {} if lent is None else lent)
            places = {written(name): residuals[name] for name in self.backward.residuals}
            # With the residuals themselves: the state before a first masked step is read, to be held.
            part = replace(record, placed=places | residuals)
            result = self.backward.forward.run(part, alone)
            if part.abandoned and lent:
                lent.clear()
            if not part.abandoned or part.mask is None:
                break
            record = replace(record, place=part.place)
        return result, residuals

    def _places(self, record, lent: dict) -> dict:
        """Return memory for what the forward program keeps, with the states before the first step in it."""
        steps, residuals = record.x.shape[1], {}
        longest = self.segments[0][1] if self.segments else 0
        for name, size in self.backward.residuals.items():
            state = state_of(name)
            if name not in lent:
                memory = self.backward.sequence(self.rows, longest + (state is not None), size, self.dtype, self.lend)
                lent[name] = np.asarray(memory, like=record.x)
            if state is not None:
                states = lent[name][:, : steps + 1]
                if self.backward.outer_products is not None:  # others begin with it themselves
                    states[:, 0, :size] = record.states[state].reshape(self.rows, size)
                residuals["state", state], residuals[name] = states[:, :-1], states[:, 1:]
            else:
                residuals[name] = lent[name][:, :steps]
        return residuals

    def _in_segments(self) -> Result:
        """Return the results, with no residuals but the states at the cuts."""
        record = self.record
        outputs = None
        if record.sequences:
            shape = self.backward.plain.plan.output_shape
            outputs = np.empty((self.rows, self.steps, *shape), self.dtype)
        states, last = record.states, None
        for start, after in self.segments:
            self.starts[start] = states
            part = replace(record, place=outputs).part(start, after, states)
            result = self.backward.plain.run(part)
            if outputs is not None and result.outputs is not part.place:
                if part.place is None:  # a thread that was stopped may still write there
                    outputs = outputs.copy()
                outputs[:, start:after] = result.outputs
            if last is not None and part.mask is not None:
                held = ~np.logical_or.accumulate(part.mask, axis=1)  # before a part's first used step
                if outputs is not None and not record.zero_masked:
                    rows, places = np.nonzero(held)
                    outputs[rows, start + places] = last[rows]
                result.last[held[:, -1]] = last[held[:, -1]]
            states, last = result.states, result.last
        assert last is not None  # there are segments
        return Result(outputs, last, states)

    def pull(self, outputs=None, last=None, states=None, x=True) -> Gradient:
        """Return the gradient from cotangents of the results, any of which may be None: outputs ``(B, T, *output)`` in
        processing order, last ``(B, *output)``, states ``(B, *state)``; and whether that of x is wanted.
        """
        pull = self._way_back(states)
        pull.wants_x = x
        if self.rows and self.steps:
            d_outputs = self._of_outputs(outputs, last)
            lent: dict = {}
            for start, after in reversed(self.segments):
                pull.segment(start, after, self._residuals(start, after, lent), d_outputs)
        return pull.gradient()

    def _way_back(self, states):
        return _Pull(self, states)

    def _residuals(self, start, after, lent) -> dict:
        """Return what the forward program keeps of some steps, computed again where they were not saved."""
        if self.residuals is not None:
            return self.residuals
        return self._keep(replace(self.record, sequences=False).part(start, after, self.starts[start]), lent)[1]

    def _ordered(self, array):
        return array if self.order is None else array[self.order]

    def _of_outputs(self, outputs, last) -> list[tuple[int, np.ndarray]]:
        """Return the cotangents of each used step's own output, as first steps and arrays ``(B, steps, *output)``.

        A masked step shows the output that the last used one before it put out.
        """
        mask, shape, dtype = self.record.mask, self.backward.plain.plan.output_shape, self.dtype
        apart = self.backward.outer_products is None  # by rows, steps are fetched many at once where they stand apart
        nothing = np.zeros((1, self.steps if apart else 1, *shape), dtype, like=self.record.x)
        outputs, last = (None if a is None else self._ordered(a).astype(dtype, copy=False) for a in (outputs, last))
        if mask is None and last is None:
            whole = np.broadcast_to(nothing, (self.rows, self.steps, *shape)) if outputs is None else outputs
            return [(0, whole)]
        large = self.rows * self.steps * math.prod(shape) * dtype.itemsize > tuning.ZEROS_BYTES
        if mask is None and outputs is None and large:
            before = np.broadcast_to(nothing, (self.rows, self.steps, *shape))[:, :-1]
            return [(0, before), (self.steps - 1, last.astype(dtype, order="C", copy=False)[:, None])]
        if mask is None and outputs is None:
            whole = np.zeros((self.rows, self.steps, *shape), dtype, like=self.record.x)
            whole[:, -1] = last
            return [(0, whole)]

        def added(outputs, last, mask):
            whole = np.zeros((self.rows, self.steps, *shape), dtype) if outputs is None else outputs.copy()
            if mask is None:
                whole[:, -1] += last
                return whole
            if outputs is not None and not self.record.zero_masked:
                _add_to_shown(whole.reshape(self.rows * self.steps, -1), mask)
            if last is not None:
                used = mask.any(axis=1)
                ends = self.steps - 1 - mask[:, ::-1].argmax(axis=1)
                whole[used, ends[used]] += last[used]
            return whole

        return [(0, opaque(added, outputs, last, mask))]


class _Pull:
    """The way back through one call: cotangents of the states, which change as it goes, x's, and the weights' sums."""

    def __init__(self, run: _Run, states):
        self.run, self.backward, self.record = run, run.backward, run.record
        shapes, dtype = self.backward.adjoint.plan.state_shapes, run.dtype
        self.count = len(self.backward.plain.plan.state_shapes)  # then come the constants'
        given = [*(states or [None] * self.count), *[None] * (len(shapes) - self.count)]
        self.cotangents = tuple(
            np.zeros((run.rows, *shape), dtype, like=self.record.x)
            if g is None
            else run._ordered(g).astype(dtype, order="C")
            for g, shape in zip(given, shapes, strict=True)
        )
        self.d_x, self.wants_x = np.empty(self.record.x.shape, dtype), True
        self.sums = Sums(
            self.backward.outer_products, [s for s in self.backward.sums if s.b.source != "total"], run.order
        )

    def gradient(self) -> Gradient:
        """Return the cotangents of all that the call read."""
        d_x, *cotangents = np.asarray(self.d_x, like=self.record.x), *self.cotangents
        if self.run.order is not None:
            d_x, *cotangents = (_put_back(a, self.run.order) for a in (d_x, *cotangents))
        if self.run.reverse and self.wants_x:
            d_x = d_x[:, ::-1].astype(d_x.dtype, order="C", copy=False)
        after_constants = self.count + len(self.record.constants)
        weights = self._of_weights(cotangents[after_constants:])
        states, constants = cotangents[: self.count], cotangents[self.count : after_constants]
        return Gradient(d_x if self.wants_x else None, tuple(states), tuple(constants), weights)

    def _of_weights(self, by_row) -> dict[str, np.ndarray]:
        """Return the weights' gradients, from the sums over all rows, or from those over the steps of each."""
        finish, weights, totals = self.backward.finish, self.record.weights, self.sums.totals()
        members = self.backward.plain.members(weights)
        if members:
            totals = [one.reshape(members, len(one) // members, *one.shape[1:]).sum(axis=1) for one in by_row]
            return opaque(finish.of_members, weights, totals, members)
        if by_row:
            added = iter([np.sum(one, axis=0) for one in by_row])
            others, sums = iter(totals), self.backward.sums
            totals = [next(added if s.b.source == "total" else others) for s in sums] or list(added)
        if self.record.recording is None or not weights:
            return finish(weights, totals)
        if not finish.only_moves or not totals:
            return opaque(finish, weights, totals)
        names, arrays, count = list(weights), [*weights.values(), *totals], len(weights)

        def gradients(*given):
            return list(finish(dict(zip(names, given[:count], strict=True)), list(given[count:])).values())

        return dict(zip(names, moved(gradients, arrays), strict=True))

    def segment(self, first, end, residuals, d_outputs) -> None:
        """Go back over some steps."""
        steps, stop = self.run.steps, self.run.truncate or self.run.steps
        cuts = {first, end, *range(0, steps, self._chunk()), *range(0, steps, stop), *(at for at, _ in d_outputs)}
        chunks = list(itertools.pairwise(sorted(cut for cut in cuts if first <= cut <= end)))
        longest = max(after - start for start, after in chunks)
        operands = self._operands(longest)
        for start, after in reversed(chunks):
            if after % stop == 0 and after < steps:
                states = tuple(np.zeros_like(c) for c in self.cotangents[: self.count])
                self.cotangents = (*states, *self.cotangents[self.count :])
            at, of_outputs = next((at, array) for at, array in reversed(d_outputs) if at <= start)
            placed = {key: array[:, start - first : after - first] for key, array in residuals.items()}
            placed["output"] = of_outputs[:, start - at : after - at]
            operands = self._go_back(start, after, placed, operands)

    def _chunk(self) -> int:
        """Return the number of steps between two sums."""
        row_bytes = sum(_line(n, self.run.dtype) for n in self.backward.operands.values()) * self.run.dtype.itemsize
        several = tuning.CHUNK_BYTES // max(1, self.run.rows * row_bytes)
        return max(1, several, -(-tuning.LEAST_ENTRIES // self.run.rows))

    def _operands(self, steps) -> dict:
        run, operands = self.run, self.backward.operands
        return {name: self.backward.sequence(run.rows, steps, n, run.dtype, run.lend) for name, n in operands.items()}

    def _go_back(self, start, after, placed, operands) -> dict:
        """Go back over a chunk and add it to the sums; return memory for the operands of the next one."""
        for alone in (False, True):
            part = replace(
                self.record.part(start, after, self.cotangents),
                sequences=self.wants_x,
                zero_masked=True,
                place=self.d_x[:, start:after] if self.wants_x else None,
                placed=placed | {written(name): array[:, : after - start] for name, array in operands.items()},
            )
            turned = part.turned()
            result = self.backward.adjoint.run(turned, alone)
            if not turned.abandoned:
                break
            # The next chunk needs memory that no other thread knows; whether this one is right: see `_Run._keep`.
            operands = {name: _copied(array) for name, array in operands.items()}
            self.d_x = self.d_x.copy()
            if part.mask is None:
                if result.outputs is not None:
                    self.d_x[:, start:after] = result.outputs[:, ::-1]
                part.placed |= {written(name): array[:, : after - start] for name, array in operands.items()}
                break
        self.cotangents = result.states
        self.sums.add(part)
        return operands


def _add_to_shown(cotangents, mask) -> None:
    """Add what a masked step's output gets, ``(B * T, elements)``, to the last used step before it, in order of time:
    NumPy's own sum would have other bits for other numbers of masked steps.
    """
    steps = np.arange(mask.shape[1])
    shown = np.maximum.accumulate(np.where(mask, steps, -1), axis=1)
    masked = np.flatnonzero((~mask & (shown >= 0)).reshape(-1))
    masked = masked[cotangents[masked].any(axis=1)]
    distances = (steps - shown).reshape(-1)[masked]
    order = np.argsort(distances, kind="stable")
    for at in np.split(masked[order], np.flatnonzero(np.diff(distances[order])) + 1):
        if at.size:
            cotangents[at - (steps - shown).reshape(-1)[at[0]]] += cotangents[at]


def _line(size, dtype) -> int:
    """Return the elements from row to row of a residual: an odd number of cache lines, which no two rows share."""
    line = LINE // dtype.itemsize
    return (-(-size // line) | 1) * line


def _sequence(rows, steps, size, dtype, lend) -> np.ndarray:
    """Return memory for a value of every step: ``(B, T, elements)``, a step's rows side by side."""
    width = _line(size, dtype)
    memory = lend(steps * rows * width + LINE, dtype)[: steps * rows * width]
    return memory.reshape(steps, rows, width).swapaxes(0, 1)


def _copied(sequence) -> np.ndarray:
    """Return the same in other memory that is laid out as `_sequence` does it."""
    rows, steps, size = sequence.shape
    copy = _sequence(rows, steps, size, sequence.dtype, borrow)
    copy[...] = sequence
    return copy


def _kept(array) -> np.ndarray:
    """Return a copy whose features stand side by side, a large one in memory of the pool; equal rows stay one."""
    if len(array) > 1 and not array.strides[0]:
        return np.broadcast_to(_kept(array[:1]), array.shape)
    if recording_of(array) is not None or array.nbytes < tuning.POOLED:
        return array.copy()
    copy = borrow(array.size, array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _put_back(array, order) -> np.ndarray:
    """Return rows in the order in which they were given."""
    found = np.empty_like(array)
    found[order] = array
    return found
