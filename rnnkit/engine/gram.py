"""Sums of outer products of rows, as in the gradient of a weight: register tiles, the same bits however they are cut.

C[m, n] = Σ A[k, m] B[k, n] over pairs of rows that may stand anywhere, in the order in which they are listed. `CHUNK`
of them at a time are one chain of multiply-adds, started from 0, and then added to C. So an element has the same bits
in whatever tile and on whatever thread it is computed, and however many calls add to it, if all but the last of them
add multiples of `CHUNK`; and its rounding errors don't grow as those of one long chain would.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnkit.backends.formulas.value import Value, broadcast, fma
from rnnkit.backends.shared.numba_pipeline import compiled
from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.engine.atomic import word
from rnnkit.engine.checking import CHECKED, Checked
from rnnkit.engine.crew import Crew
from rnnkit.engine.memory import load_unaligned, store_unaligned
from rnnkit.engine.product import PANEL_VECTORS, ROWS, aligned, packed_width
from rnnkit.engine.registers import LANES, LLVM_FLOATS

CHUNK = 128  # rows of a panel of B and of a tile's part of A, which stay together in a first-level cache
# Vectors of columns that a tile has; a panel is as wide as the widest.
_WIDTHS = [1 << i for i in reversed(range(PANEL_VECTORS.bit_length()))]
_FEW_ROWS = 2  # tiles of so few rows take two panels: else the multiply-adds' latency isn't hidden
_SMALL = 1 << 21  # multiply-adds of a call below which another thread costs more than it saves
_BLOCKS = 2  # for each thread: what one that comes late leaves to the others
_POINTERS = 6  # words of `p`; those of `n` follow
_I64 = ir.IntType(64)


class _Tile:
    """Writes a loop of LLVM whose sums stay in registers."""

    def __init__(self, builder, dtype):
        self.builder = builder
        self.element = LLVM_FLOATS[dtype]
        self.size = dtype.bitwidth // 8
        self.vector = ir.VectorType(self.element, LANES[str(dtype)])
        self.vector_bytes = self.size * LANES[str(dtype)]

    def write(self, rows, vectors, a, last, follows, b, pairs, count, before, before_row, c, c_row):
        """C[rows, vectors] = before + the sum over `count` pairs; the last row of A is at `last`, or stays there."""
        builder = self.builder
        places = [(row, vector) for row in range(rows) for vector in range(vectors)]
        entry = builder.block
        loop, done = builder.append_basic_block("k"), builder.append_basic_block("done")
        builder.branch(loop)

        builder.position_at_end(loop)
        k = builder.phi(_I64)
        k.add_incoming(_I64(0), entry)
        sums = [builder.phi(self.vector) for _ in places]
        pair = pairs + Value(builder, k) * 16
        a_offset, b_offset = (Value(builder, load_unaligned(builder, (pair + i).value, _I64, 8)) for i in (0, 8))
        line = [self.load(b + b_offset + vector * self.vector_bytes) for vector in range(vectors)]
        elements = [self.splat(a + a_offset + row * self.size) for row in range(rows - 1)]
        elements.append(self.splat(last + (a_offset & follows)))
        new = [
            fma(elements[row], line[vector], Value(builder, total))
            for (row, vector), total in zip(places, sums, strict=True)
        ]
        following = Value(builder, k) + 1
        k.add_incoming(following.value, loop)
        zero = ir.Constant(self.vector, [0.0] * self.vector.count)
        for total, value in zip(sums, new, strict=True):
            total.add_incoming(zero, entry)
            total.add_incoming(value.value, loop)
        builder.cbranch((following < count).value, loop, done)

        builder.position_at_end(done)
        for (row, vector), value in zip(places, new, strict=True):
            column = vector * self.vector_bytes
            total = self.load(before + before_row * row + column) + value
            store_unaligned(builder, (c + c_row * row + column).value, total.value, self.size)

    def load(self, address):
        return Value(self.builder, load_unaligned(self.builder, address.value, self.vector, self.size))

    def splat(self, address):
        number = load_unaligned(self.builder, address.value, self.element, self.size)
        return Value(self.builder, broadcast(self.builder, number, self.vector.count))


def _define_tiles(dtype):
    """A function for jitted code: `shape` is `ROWS` * the place of a width + rows, from 1 on; widest are two panels."""
    shapes = [(rows, width) for width in _WIDTHS for rows in range(1, ROWS + 1)]
    shapes += [(rows, 2 * PANEL_VECTORS) for rows in range(1, _FEW_ROWS + 1)]

    @intrinsic
    def tile(typingctx, shape, a, last, follows, b, pairs, count, before, before_row, c, c_row):
        def generate(context, builder, signature, arguments):
            values = [Value(builder, argument) for argument in arguments[1:]]
            end = builder.append_basic_block("end")
            switch = builder.switch(arguments[0], end)
            for case, (rows, vectors) in enumerate(shapes, 1):
                block = builder.append_basic_block(f"tile{rows}x{vectors}")
                switch.add_case(case, block)
                builder.position_at_end(block)
                _Tile(builder, dtype).write(rows, vectors, *values)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 11), generate

    return tile


def define_gram(name):
    """A sum of outer products of its own, in "float32" or "float64", to be compiled by itself."""
    dtype = getattr(types, name)
    size = dtype.bitwidth // 8
    vector_bytes = size * LANES.get(name, 0)
    tile, most_rows, few_rows, chunk = _define_tiles(dtype), ROWS, _FEW_ROWS, CHUNK
    panel, widths = PANEL_VECTORS, len(_WIDTHS)

    @compiled
    def run(p, n, first, units, scratch, part, parts, gang):
        """Units `first` … of C = before + the sum; a unit is a panel of columns, or one of `groups` of its tiles.

        Row M of C, if `ones` is 1, is that of an A of ones.
        """
        a, b, pairs, before, c, one = word(p, 0), word(p, 1), word(p, 2), word(p, 3), word(p, 4), word(p, 5)
        M, N, K, ones, groups = word(n, 0), word(n, 1), word(n, 2), word(n, 3), word(n, 4)
        before_row, c_row = word(n, 5), word(n, 6)
        height, vectors = M + ones, (N * size + vector_bytes - 1) // vector_bytes
        tiles = (height + most_rows - 1) // most_rows
        for start in range(0, K, chunk):
            count = min(chunk, K - start)
            unit = first
            while unit < first + units:
                v, group = unit // groups * panel, unit % groups
                both = height <= few_rows and unit + 1 < first + units and vectors - v >= 2 * panel
                left = min(vectors - v, 2 * panel if both else panel)
                unit += 2 if both else 1
                while left > 0:
                    width, place = 2 * panel if both else panel, widths if both else 0
                    while width > left:
                        width, place = width // 2, place + 1
                    for t in range(tiles * group // groups, tiles * (group + 1) // groups):
                        r, after = height * t // tiles, height * (t + 1) // tiles
                        last, follows = a + (after - 1) * size, -1
                        if after > M:
                            last, follows = one, 0
                        shape = most_rows * place + after - r
                        from_at, to = before + r * before_row + v * vector_bytes, c + r * c_row + v * vector_bytes
                        tile(
                            shape, a + r * size, last, follows, b + v * vector_bytes, pairs + 16 * start, count,
                            from_at, before_row, to, c_row,
                        )  # fmt: skip
                    v += width
                    left -= width
            before, before_row = c, c_row

    return run


@dataclass(eq=False)
class OuterProducts:
    """The compiled sum of a dtype, and the threads that may share it; see `rnnkit.execution.pipeline.outer_products`."""

    function: Callable
    address: int
    dtype: np.dtype
    crew: Crew


class Gram:
    """A sum of outer products of rows, and of the rows of B themselves, that calls add to.

    Rows of B are read fastest where they start at cache lines, up to a fifth slower elsewhere, and are an odd number of
    lines apart: with powers of two they take each other's places in a first-level cache.

    Parameters
    ----------
    compiled : OuterProducts
    rows, columns : int
        M and N, the lengths of A's and B's rows; either may be 0.
    sums : bool
        Whether there is a row M: the sums of B's columns, as from an A of ones.

    Attributes
    ----------
    total : ndarray (M, N) or (M + 1, N)
        The sum so far; the next call may overwrite it.
    """

    def __init__(self, compiled: OuterProducts, rows: int, columns: int, sums: bool = False):
        self.compiled, self.rows, self.columns, self.sums = compiled, rows, columns, sums
        dtype, width = compiled.dtype, packed_width(columns, compiled.dtype)
        self._one, zeros = np.ones(1, dtype), aligned(width, dtype)
        zeros[:] = 0
        self._sum = np.broadcast_to(zeros, (rows + sums, width))  # until the first call
        self._spare = None
        self._tiles, self._panels = -(-len(self._sum) // ROWS), -(-width // (PANEL_VECTORS * LANES[dtype]))

    @property
    def total(self) -> np.ndarray:
        return self._sum[:, : self.columns]

    def add(self, a, b, pairs, keep=()) -> None:
        """Add outer(A, B) of every pair of rows.

        Parameters
        ----------
        a, b : ndarray or int
            Arrays of `compiled.dtype`, or addresses, from where rows are counted: M neighbouring elements each, and N,
            of which memory is read up to `packed_width(N)`.
        pairs : ndarray (K, 2), int64
            Where a row of A and one of B start, in bytes from `a` and `b`.
        keep
            Whatever holds the arrays at these addresses.
        """
        work = self._sum.size * len(pairs)
        if not work:
            return
        pairs = np.ascontiguousarray(pairs, np.int64)
        keep = (a, b, pairs, keep, self._sum, self._one)
        threads = get_num_threads() if work > _SMALL else 1
        if threads > 1 and self._share(a, b, pairs, threads, keep):
            return
        target = self._sum if self._sum.flags.writeable else self._memory()
        words, units = self._words(a, b, pairs, target, 1)
        at = _address(words)
        with Checked((keep, words, target)) if CHECKED else nullcontext():
            self.compiled.function(at, at + 8 * _POINTERS, 0, units, 0, 0, 1, 0)
        self._sum = target

    def _share(self, a, b, pairs, threads, keep) -> bool:
        """Add in other memory, which becomes the sum unless a thread was stopped and may still write there."""
        crew, before = self.compiled.crew, self._sum
        crew.prepare()
        target = self._memory() if self._spare is None else self._spare
        words, units = self._words(a, b, pairs, target, threads)
        p, n, blocks = words[:_POINTERS], words[_POINTERS:], min(units, _BLOCKS * threads)
        keep = (keep, words, target)
        with Checked(keep) if CHECKED else nullcontext():
            done = crew.run(self.compiled.address, p, n, units, blocks, 0, False, threads, keep)
            if CHECKED:
                crew.settle()
        if done:
            self._sum, self._spare = target, before if before.flags.writeable else None
        else:
            self._spare = target if done is None else None
        return bool(done)

    def _memory(self) -> np.ndarray:
        return aligned(self._sum.size, self.compiled.dtype).reshape(self._sum.shape)

    def _words(self, a, b, pairs, target, threads):
        """Addresses, then numbers; and how many units there are."""
        groups = 1 if threads == 1 else min(self._tiles, -(-_BLOCKS * threads // self._panels))
        a, b = (_address(at) if isinstance(at, np.ndarray) else int(at) for at in (a, b))
        words = [a, b, _address(pairs), _address(self._sum), _address(target), _address(self._one)]
        words += [self.rows, self.columns, len(pairs), self.sums, groups, self._sum.strides[0], target.strides[0]]
        return np.array(words, np.int64), self._panels * groups


def _address(array) -> int:
    return array.__array_interface__["data"][0]
