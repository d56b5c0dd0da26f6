"""The sums over rows and steps that the gradients of weights are made of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.kernels.matmul import PANEL_VECTORS, packed_width
from rnnkit.backends.cpu.language.addresses import address
from rnnkit.backends.cpu.simd.aligned import aligned
from rnnkit.backends.cpu.simd.bounds_check import CHECKED, Checked, checked
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.threads.team import ThreadTeam
from rnnkit.backends.shared.call import Record
from rnnkit.backends.shared.thread_pool import get_num_threads

if TYPE_CHECKING:
    from rnnkit.compiler.autodiff.adjoint import Sum

_POINTERS = 6  # words of `p`; those of `n` follow


class Sums:
    """Sums that the steps of a call are added to; `order` is where the rows of the records stood before."""

    def __init__(self, compiled: OuterProducts, wanted: list[Sum], order: np.ndarray | None):
        self.wanted, self.order = wanted, order
        self.outer_sums: dict[Sum, OuterSum] = {}
        alone = {s.b for s in wanted if s.a is None}
        for s in wanted:
            if s.a is not None and s not in self.outer_sums:  # two kernels of one operand, added, have the same sum
                self.outer_sums[s] = OuterSum(compiled, s.a.depth, s.b.depth, sums=s.b in alone)
                alone.discard(s.b)
        self.outer_sums |= {
            s: OuterSum(compiled, 0, s.b.depth, sums=True) for s in wanted if s.a is None and s.b in alone
        }

    def add(self, part: Record) -> None:
        """Add what these steps give."""
        rows, steps = part.x.shape[:2]
        mask, recording = part.mask, part.recording
        if recording is not None:
            mask = recording.plain(mask)
        used = None if mask is None else self._used(mask)
        for s, outer_sum in self.outer_sums.items():
            a, b = (s.a or s.b).array(part), s.b.array(part)
            places = (s.a or s.b, a.strides[:2]), (s.b, b.strides[:2])
            if used is None:
                pairs = _all_pairs(*places, rows, steps, a.itemsize)
            else:
                pairs = _pairs(*places, *used, a.itemsize)
            if recording is None:
                outer_sum.add(a, b, pairs, keep=part)
            elif used is None:
                outer_sum.record(recording, a, b, pairs)
            else:
                again = partial(self._pairs_again, mask, *places, a.itemsize)
                outer_sum.record(recording, a, b, pairs, again, mask)

    def _pairs_again(self, mask, a, b, itemsize) -> np.ndarray:
        return _pairs(a, b, *self._used(mask), itemsize)

    def _used(self, mask) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and rows that are used, in an order that no other order of the rows changes."""
        if self.order is None:
            step, row = np.nonzero(mask.T)
            return step, row
        places = np.argsort(self.order)
        step, row = np.nonzero(mask[places].T)
        return step, places[row]

    def totals(self) -> list[np.ndarray]:
        """Return the finished sums, in order."""
        rows = {s.b: outer_sum.total[-1] for s, outer_sum in self.outer_sums.items() if outer_sum.sums}
        return [
            (rows[s.b] if s.a is None else self.outer_sums[s].total[: s.a.depth]).reshape(s.shape) for s in self.wanted
        ]


@lru_cache(maxsize=32)
def _all_pairs(a, b, rows, steps, itemsize) -> np.ndarray:
    """`_pairs` for every row of every step: it takes as long as a small sum."""
    step, row = np.divmod(np.arange(steps * rows), rows)
    return _pairs(a, b, step, row, itemsize)


def _pairs(a, b, step, row, itemsize) -> np.ndarray:
    """Return the bytes from the starts of two arrays, each a place and strides, to their rows that belong together."""
    pairs = np.empty((len(step), a[0].rows, 2), np.int64)
    for i, (place, (along_rows, along_steps)) in enumerate((a, b)):
        inner = (place.offset + place.stride * np.arange(place.rows)) * itemsize
        np.add((row * along_rows + step * along_steps)[:, None], inner, out=pairs[:, :, i])
    return pairs.reshape(-1, 2)


@dataclass(eq=False)
class OuterProducts:
    """The compiled sum of a dtype, and the threads that may share it."""

    function: Callable
    address: int
    dtype: np.dtype
    team: ThreadTeam


class OuterSum:
    """A sum of outer products of rows, and of the rows of B themselves, that calls add to: `total`, (M, N) or, if
    `sums`, (M + 1, N) with a row of the sums of B's columns; the next call may overwrite it.

    Rows of B are read fastest where they start at cache lines, up to a fifth slower elsewhere, and are an odd number of
    lines apart: with powers of two they take each other's places in a first-level cache.
    """

    def __init__(self, compiled: OuterProducts, rows: int, columns: int, sums: bool = False):
        self.compiled, self.rows, self.columns, self.sums = compiled, rows, columns, sums
        dtype, width = compiled.dtype, packed_width(columns, compiled.dtype)
        self._one, zeros = np.ones(1, dtype), aligned(width, dtype)
        zeros[:] = 0
        self._sum = np.broadcast_to(zeros, (rows + sums, width))  # until the first call
        self._spare: np.ndarray | None = None
        self._tiles, self._panels = -(-len(self._sum) // tuning.TILE_ROWS), -(-width // (PANEL_VECTORS * LANES[dtype]))

    @property
    def total(self) -> np.ndarray:
        return self._sum[:, : self.columns]

    def add(self, a, b, pairs, keep=()) -> None:
        """Add outer(A, B) of every pair of rows, which start at bytes ``pairs (K, 2)`` from `a` and `b`.

        `a` and `b` are arrays, or addresses that `keep` keeps alive, of rows of M neighbouring elements, and of N, of
        which memory is read up to `packed_width(N)`.
        """
        work = self._sum.size * len(pairs)
        if not work:
            return
        pairs = np.ascontiguousarray(pairs, np.int64)
        keep = (a, b, pairs, keep, self._sum, self._one)
        threads = get_num_threads() if work > tuning.SMALL_SUM else 1
        if threads > 1 and self._share(a, b, pairs, threads, keep):
            return
        target = self._sum if self._sum.flags.writeable else self._memory()
        words, units = self._words(a, b, pairs, target, 1)
        at = address(words)
        with Checked((keep, words, target)) if CHECKED else nullcontext():
            self.compiled.function(at, at + 8 * _POINTERS, 0, units, 0, 0, 1, 0)
        self._sum = target

    def record(self, recording: Any, a, b, pairs, again: Callable[[], np.ndarray] | None = None, *reads) -> None:
        """Add as `add` does, as an operation of a recording that reads `reads`, too; `again` gives the pairs of a
        repetition, where they differ.
        """
        threads = get_num_threads() if self._sum.size * len(pairs) > max(tuning.SMALL_SUM, recording.alone) else 1
        if threads > 1 and (not recording.shares or CHECKED):
            recording.refuse("threads share its sums")
        before = self._sum
        target = before if before.flags.writeable else self._memory()
        words, units = self._words(a, b, pairs, target, threads)
        self._sum, team = target, self.compiled.team
        at, kept = address(words), [pairs]
        once = partial(self.compiled.function, at, at + 8 * _POINTERS, 0, units, 0, 0, 1, 0)
        alone = checked(once, a, b, kept, before, target, words, self._one)
        add: Callable[[], Any] = alone

        def share():
            p, n, blocks = words[:_POINTERS], words[_POINTERS:], min(units, tuning.SUM_BLOCKS * threads)
            given: tuple = a, b, kept[0], before, target, words, self._one
            return team.run(self.compiled.address, p, n, units, blocks, 0, threads, given)

        if threads > 1:
            team.prepare()
            add = partial(recording.share, share, alone)

        def run(add=add, again=again):
            if again is not None:
                kept[0] = found = np.ascontiguousarray(again(), np.int64)
                words[2], words[_POINTERS + 2] = address(found), len(found)
            if len(kept[0]):
                add()
            else:
                target[...] = before

        run(alone, None)
        if self._sum.size:
            recording.constant(words, pairs, self._one, *([] if before is target else [before]))
            recording.note(run, [a, b, before, *reads], [target])

    def _share(self, a, b, pairs, threads, keep) -> bool:
        """Add in other memory, which becomes the sum unless a thread was stopped and may still write there."""
        team, before = self.compiled.team, self._sum
        team.prepare()
        target = self._memory() if self._spare is None else self._spare
        words, units = self._words(a, b, pairs, target, threads)
        p, n, blocks = words[:_POINTERS], words[_POINTERS:], min(units, tuning.SUM_BLOCKS * threads)
        keep = (keep, words, target)
        with Checked(keep) if CHECKED else nullcontext():
            done = team.run(self.compiled.address, p, n, units, blocks, 0, threads, keep)
            if CHECKED:
                team.settle()
        if done:
            self._sum, self._spare = target, before if before.flags.writeable else None
        else:
            self._spare = target if done is None else None
        return bool(done)

    def _memory(self) -> np.ndarray:
        return aligned(self._sum.size, self.compiled.dtype).reshape(self._sum.shape)

    def _words(self, a, b, pairs, target, threads):
        """Return the addresses, then the numbers, and how many units there are."""
        groups = 1 if threads == 1 else min(self._tiles, -(-tuning.SUM_BLOCKS * threads // self._panels))
        a, b = (address(at) if isinstance(at, np.ndarray) else int(at) for at in (a, b))
        words = [a, b, address(pairs), address(self._sum), address(target), address(self._one)]
        words += [self.rows, self.columns, len(pairs), self.sums, groups, self._sum.strides[0], target.strides[0]]
        return np.array(words, np.int64), self._panels * groups
