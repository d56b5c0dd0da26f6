"""The gradient of a call: the forward program keeps what the adjoint reads, the adjoint runs from the last step back.

Steps of the adjoint go by *chunks*: some steps by rows or units over the threads, then the weights' sums over these
steps, by columns over the threads. Chunks depend on sizes alone, and so do the bits of every sum.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rnnkit.engine.gram import Gram, OuterProducts
from rnnkit.engine.lent import lend
from rnnkit.engine.memory_limit import get_memory_limit
from rnnkit.engine.program import Program, row_blocks
from rnnkit.engine.record import Gradient, Record, Result
from rnnkit.engine.threads import get_num_threads

_LINE = 64  # bytes of a cache line
_CHUNK_BYTES = 1 << 20  # of what the adjoint keeps for the sums of a chunk, to find it in the cache
_LEAST_ENTRIES = 256  # rows and steps of a chunk at least: sums in registers are worth their start


@dataclass(eq=False)
class Backward:
    """Computes the gradients of one step over records.

    Attributes
    ----------
    plain : Program
        The step itself, which keeps nothing.
    forward, adjoint : Program
        The step with what it keeps, and its adjoint.
    kept : dict of int to int
        Elements of each value that the forward program keeps, by number.
    own : dict of int to int
        The same of the adjoint, for the sums.
    states : frozenset of int
        Which states the adjoint reads.
    sums : list of Sum
        See `rnnkit.compiler.gradient`.
    finish : callable
        ``(weights, sums) -> dict``: the weights' gradients from the finished sums.
    outer_products : OuterProducts
        What sums them, see `rnnkit.engine.gram`.
    """

    plain: Program
    forward: Program
    adjoint: Program
    kept: dict[int, int]
    own: dict[int, int]
    states: frozenset[int]
    sums: list
    finish: Callable
    outer_products: OuterProducts

    def vjp(self, record: Record, checkpoint=None, truncate=None) -> Result:
        """The results of a call, with `pull`.

        Parameters
        ----------
        record : Record
            As for a plain call; a trajectory isn't asked for.
        checkpoint : None, "auto" or int
            Keep the states of every so many steps only and compute the steps again.
        truncate : None or int
            Let no cotangent of a state pass a multiple of so many steps.
        """
        run = _Run(self, *self._arranged(record), record.reverse, checkpoint, truncate)
        return replace(run.result(), pull=run.pull)

    def _arranged(self, record):
        """A copy of the record in processing order, and its rows in another order if a mask makes that worth while."""
        if record.reverse:
            mask = None if record.mask is None else record.mask[:, ::-1]
            record = replace(record, x=record.x[:, ::-1], mask=mask, reverse=False)
        order = None
        if record.mask is not None and record.x.shape[1]:
            blocks = row_blocks(len(record.x), get_num_threads())
            order = self.plain._order(record, blocks)[1]
        rows = slice(None) if order is None else order
        record = replace(
            record,
            x=np.array(record.x[rows]),
            mask=None if record.mask is None else record.mask[rows],
            states=tuple(np.array(state[rows]) for state in record.states),
            constants=tuple(np.array(constant[rows]) for constant in record.constants),
            draws={name: draw[rows] for name, draw in record.draws.items()},
            place=None if order is not None else record.place,
            arranged=True,
        )
        return record, order

    def row_bytes(self) -> int:
        """What the forward program keeps of one step of one row."""
        sizes = [*self.kept.values(), *(self._state_size(i) for i in self.states)]
        return sum(_line(size, self.plain.dtype) for size in sizes) * self.plain.dtype.itemsize

    def _state_size(self, i) -> int:
        return math.prod(self.plain.plan.state_shapes[i])


class _Run:
    """One call and its gradient."""

    def __init__(self, backward: Backward, record: Record, order, reverse, checkpoint, truncate):
        self.backward, self.record, self.order = backward, record, order
        self.reverse, self.truncate = reverse, truncate
        self.dtype = backward.plain.dtype
        self.rows, self.steps = record.x.shape[:2]
        if checkpoint == "auto":
            large = self.rows * self.steps * backward.row_bytes() > get_memory_limit()
            checkpoint = math.isqrt(self.steps) if large else None
        length = checkpoint or max(self.steps, 1)
        self.cuts = [*range(0, self.steps, length), self.steps]
        self.starts: list = []  # the states at the cuts
        self.residuals = None  # of the whole, if it is one segment

    def result(self) -> Result:
        """The call's own results."""
        if len(self.cuts) <= 2:
            result, self.residuals = self._keep(self.record)
        else:
            result = self._in_segments()
        if self.order is None:
            return result
        outputs = None if result.outputs is None else _put_back(result.outputs, self.order)
        states = tuple(_put_back(state, self.order) for state in result.states)
        return Result(outputs, _put_back(result.last, self.order), states)

    def _keep(self, record):
        """Results of some steps, and all that the adjoint reads of them."""
        backward, steps = self.backward, record.x.shape[1]
        kept = {("kept", k): _sequence(self.rows, steps, n, self.dtype) for k, n in backward.kept.items()}
        places: list = [None] * len(backward.plain.plan.state_shapes)
        for i in sorted(backward.states):
            size = backward._state_size(i)
            states = _sequence(self.rows, steps + 1, size, self.dtype)
            states[:, 0, :size] = record.states[i].reshape(self.rows, size)
            kept["state", i], kept["after", i] = states[:, :-1], states[:, 1:]
            places[i] = kept["after", i]
        written = {("write", key[1]): array for key, array in kept.items() if key[0] == "kept"}
        places = tuple(places) if backward.states else ()
        return backward.forward.run(replace(record, places=places, placed=written)), kept

    def _in_segments(self) -> Result:
        """The results, with nothing kept but the states at the cuts."""
        record = self.record
        outputs = None
        if record.sequences:
            shape = self.backward.plain.plan.output_shape
            outputs = np.empty((self.rows, self.steps, *shape), self.dtype)
        states, last = record.states, None
        for start, after in itertools.pairwise(self.cuts):
            self.starts.append(states)
            part = replace(record, place=outputs).part(start, after, states)
            result = self.backward.plain.run(part)
            if outputs is not None and result.outputs is not part.place:
                outputs = outputs.copy()  # a thread that was stopped may still write to what it was
                outputs[:, start:after] = result.outputs
            if last is not None and part.mask is not None:
                held = ~np.logical_or.accumulate(part.mask, axis=1)  # before a part's first used step
                if outputs is not None and not record.zero_masked:
                    rows, places = np.nonzero(held)
                    outputs[rows, start + places] = last[rows]
                result.last[held[:, -1]] = last[held[:, -1]]
            states, last = result.states, result.last
        return Result(outputs, last, states)

    def pull(self, outputs=None, last=None, states=None) -> Gradient:
        """The gradient from cotangents of the results, any of which may be None.

        Parameters
        ----------
        outputs : ndarray (B, T, *output), in processing order
        last : ndarray (B, *output)
        states : sequence of ndarray (B, *state) or None
        """
        record, backward, dtype = self.record, self.backward, self.dtype
        shapes = backward.adjoint.plan.state_shapes
        count = len(backward.plain.plan.state_shapes)
        given = [*(states or [None] * count), *[None] * (len(shapes) - count)]
        cotangents = tuple(
            np.zeros((self.rows, *shape), dtype) if g is None else self._ordered(g).astype(dtype, copy=True)
            for g, shape in zip(given, shapes, strict=True)
        )
        d_x = np.empty(record.x.shape, dtype)
        sums = _Sums(self)
        if self.rows and self.steps:
            d_outputs = self._of_outputs(outputs, last)
            for start, after in reversed(list(itertools.pairwise(self.cuts))):
                residuals = self.residuals
                if residuals is None:
                    states = self.starts[self.cuts.index(start)]
                    _, residuals = self._keep(replace(record, sequences=False).part(start, after, states))
                cotangents, d_x = self._segment(start, after, residuals, d_outputs, cotangents, d_x, sums)
        if self.order is not None:
            d_x, *cotangents = (_put_back(a, self.order) for a in (d_x, *cotangents))
        d_x = np.ascontiguousarray(d_x[:, ::-1]) if self.reverse else d_x
        return Gradient(
            d_x, tuple(cotangents[:count]), tuple(cotangents[count:]), backward.finish(record.weights, sums.totals())
        )

    def _ordered(self, array):
        return array if self.order is None else array[self.order]

    def _of_outputs(self, outputs, last) -> list[tuple[int, np.ndarray]]:
        """What the outputs' cotangents say of each used step's own output: first steps and arrays (B, steps, *output).

        A masked step shows the output that the last used one before it put out.
        """
        mask, shape, dtype = self.record.mask, self.backward.plain.plan.output_shape, self.dtype
        nothing = np.zeros((1, 1, *shape), dtype)
        outputs, last = (None if a is None else self._ordered(a).astype(dtype, copy=False) for a in (outputs, last))
        if mask is None and last is None:
            whole = np.broadcast_to(nothing, (self.rows, self.steps, *shape)) if outputs is None else outputs
            return [(0, whole)]
        if mask is None and outputs is None:
            before = np.broadcast_to(nothing, (self.rows, self.steps - 1, *shape))
            return [(0, before), (self.steps - 1, np.ascontiguousarray(last)[:, None])]
        whole = np.zeros((self.rows, self.steps, *shape), dtype) if outputs is None else outputs.copy()
        if mask is None:
            whole[:, -1] += last
            return [(0, whole)]
        if outputs is not None and not self.record.zero_masked:
            starts = mask.copy()
            starts[:, 0] = True
            flat = whole.reshape(self.rows * self.steps, -1)
            flat[starts.reshape(-1)] = np.add.reduceat(flat, np.flatnonzero(starts), axis=0)
        if last is not None:
            used = mask.any(axis=1)
            ends = self.steps - 1 - mask[:, ::-1].argmax(axis=1)
            whole[used, ends[used]] += last[used]
        return [(0, whole)]

    def _chunk(self) -> int:
        """Steps between two sums."""
        row_bytes = sum(_line(n, self.dtype) for n in self.backward.own.values()) * self.dtype.itemsize
        several = _CHUNK_BYTES // max(1, self.rows * row_bytes)
        return max(1, several, -(-_LEAST_ENTRIES // self.rows))

    def _segment(self, first, end, residuals, d_outputs, cotangents, d_x, sums):
        """The adjoint over some steps, from the last to the first; new cotangents of the states, and that of x."""
        backward, record = self.backward, self.record
        chunk, stop = self._chunk(), self.truncate or self.steps
        cuts = {first, end, *range(0, self.steps, chunk), *range(0, self.steps, stop), *(at for at, _ in d_outputs)}
        cuts = sorted(cut for cut in cuts if first <= cut <= end)
        longest = max(after - start for start, after in itertools.pairwise(cuts))
        own = self._own(longest)
        count = len(backward.plain.plan.state_shapes)
        for start, after in reversed(list(itertools.pairwise(cuts))):
            if after % stop == 0 and after < self.steps:
                cotangents = (*(np.zeros_like(c) for c in cotangents[:count]), *cotangents[count:])
            at, of_outputs = next((at, array) for at, array in reversed(d_outputs) if at <= start)
            placed = {key: array[:, start - first : after - first] for key, array in residuals.items()}
            placed["output"] = of_outputs[:, start - at : after - at]
            placed |= {("write", k): array[:, : after - start] for k, array in own.items()}
            part = replace(
                record.part(start, after, cotangents),
                sequences=True,
                zero_masked=True,
                place=d_x[:, start:after],
                placed=placed,
            )
            turned = _turned(part)
            result = backward.adjoint.run(turned)
            sums.add(part)
            if turned.place is None:  # a thread that was stopped may still write to what these were
                d_x, own = d_x.copy(), self._own(longest)
            if not np.may_share_memory(result.outputs, d_x):
                d_x[:, start:after] = result.outputs[:, ::-1]
            cotangents = result.states
        return cotangents, d_x

    def _own(self, steps) -> dict:
        """Memory for what the adjoint keeps for the sums."""
        return {k: _sequence(self.rows, steps, n, self.dtype) for k, n in self.backward.own.items()}


class _Sums:
    """The sums over rows and steps that the weights' gradients are made of."""

    def __init__(self, run: _Run):
        self.run = run
        self.pairs: dict = {}
        self.grams: dict = {}
        compiled, wanted = run.backward.outer_products, run.backward.sums
        alone = {s.b for s in wanted if s.a is None}
        for s in wanted:
            if s.a is not None:
                self.grams[s] = Gram(compiled, *s.shape, sums=s.b in alone)
                alone.discard(s.b)
        self.grams |= {s: Gram(compiled, 0, *s.shape, sums=True) for s in wanted if s.a is None and s.b in alone}

    def add(self, part) -> None:
        """Add what these steps give."""
        entries = None
        for s, gram in self.grams.items():
            a, b = self._array(s.a or s.b, part), self._array(s.b, part)
            key = s, part.x.shape[1], a.strides, b.strides
            pairs = self.pairs.get(key)
            if pairs is None:
                entries = self._entries(part) if entries is None else entries
                pairs = np.stack([_offsets(s.a or s.b, a, *entries), _offsets(s.b, b, *entries)], axis=1)
                if part.mask is None:
                    self.pairs[key] = pairs
            gram.add(a, b, pairs, keep=part)

    def _entries(self, part):
        """Steps and rows that are used, in an order that no other order of the rows changes."""
        rows, steps = part.x.shape[:2]
        if part.mask is None:
            return np.divmod(np.arange(steps * rows), rows)
        order = self.run.order
        if order is None:
            return np.nonzero(part.mask.T)
        step, row = np.nonzero(_put_back(part.mask, order).T)
        return step, np.argsort(order)[row]

    @staticmethod
    def _array(place, part) -> np.ndarray:
        """The array that a place is in, ``(B, T, …)`` with the rest contiguous."""
        if place.source == "x":
            return part.x
        return part.placed["write" if place.source == "own" else place.source, place.key]

    def totals(self) -> list[np.ndarray]:
        """The finished sums, in order."""
        rows = {s.b: gram.total[-1] for s, gram in self.grams.items() if gram.sums}
        return [rows[s.b] if s.a is None else self.grams[s].total[: s.shape[0]] for s in self.run.backward.sums]


def _offsets(place, array, step, row) -> np.ndarray:
    """Bytes from the start of an array to each of a place's rows."""
    inner = (place.offset + place.stride * np.arange(place.rows)) * array.itemsize
    return ((row * array.strides[0] + step * array.strides[1])[:, None] + inner).reshape(-1)


def _turned(record: Record) -> Record:
    """The same steps from the last to the first."""
    return replace(
        record,
        x=record.x[:, ::-1],
        mask=None if record.mask is None else record.mask[:, ::-1],
        place=record.place[:, ::-1],
        placed={key: array[:, ::-1] for key, array in record.placed.items()},
    )


def _line(size, dtype) -> int:
    """Elements from row to row of a kept value: an odd number of cache lines, which no two rows share."""
    line = _LINE // dtype.itemsize
    return (-(-size // line) | 1) * line


def _sequence(rows, steps, size, dtype) -> np.ndarray:
    """Memory for a value of every step: ``(B, T, elements)``, a step's rows side by side."""
    width = _line(size, dtype)
    memory = lend(steps * rows * width + _LINE, dtype)[: steps * rows * width]
    return memory.reshape(steps, rows, width).swapaxes(0, 1)


def _put_back(array, order) -> np.ndarray:
    """Rows in the order in which they were given."""
    found = np.empty_like(array)
    found[order] = array
    return found
