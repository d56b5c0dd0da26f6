"""Sums of outer products of rows, as in the gradient of a weight: register tiles, the same bits however they are cut.

C[m, n] = Σ A[k, m] B[k, n] over pairs of rows that may stand anywhere, in the order in which they are listed. `CHUNK`
of them at a time are one chain of multiply-adds, started from 0, and then added to C. So an element has the same bits
in whatever tile and on whatever thread it is computed, and however many calls add to it, if all but the last of them
add multiples of `CHUNK`; and its rounding errors don't grow as those of one long chain would.
"""

from __future__ import annotations

from llvmlite import ir

from rnnkit.backends.cpu.kernels.matmul import PANEL_VECTORS
from rnnkit.backends.cpu.kernels.tile import Tile, choice
from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd.atomic import word
from rnnkit.backends.cpu.simd.kinds import FLOATS
from rnnkit.backends.cpu.simd.load_store import load_unaligned
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.tuning import CHUNK, FEW_ROWS, TILE_ROWS
from rnnkit.backends.formulas.value import Value

# Vectors of columns that a tile has; a panel is as wide as the widest.
_WIDTHS = [1 << i for i in reversed(range(PANEL_VECTORS.bit_length()))]
_I64 = ir.IntType(64)


class _Tile(Tile):
    def write(self, rows, vectors, a, last, follows, b, pairs, count, before, before_row, c, c_row):
        """Write C[rows, vectors] = before + the sum over `count` pairs; A's last row begins at `last`."""
        places = [(row, vector) for row in range(rows) for vector in range(vectors)]

        def factors(k):
            pair = (pairs + k * 16).value, (pairs + k * 16 + 8).value
            a_offset, b_offset = (Value(self.builder, load_unaligned(self.builder, at, _I64, 8)) for at in pair)
            line = [self.load(b + b_offset + vector * self.vector_bytes) for vector in range(vectors)]
            elements = [self.splat(a + a_offset + row * self.size) for row in range(rows - 1)]
            elements.append(self.splat(last + (a_offset & follows)))
            return ((elements[row], line[vector]) for row, vector in places)

        for (row, vector), value in zip(places, self.sums("k", count, places, factors, some=True), strict=True):
            column = vector * self.vector_bytes
            total = self.load(before + before_row * row + column) + value
            self.store(c + c_row * row + column, total)


def define_outer_sum(name):
    """Return the kernel of a sum of outer products in "float32" or "float64", to be compiled by itself."""
    size = FLOATS[name].size
    vector_bytes = size * LANES.get(name, 0)
    most_rows, few_rows, chunk = TILE_ROWS, FEW_ROWS, CHUNK
    # `TILE_ROWS` * a width's place + rows, from 1 on; the widest are two panels.
    shapes = [(rows, width) for width in _WIDTHS for rows in range(1, TILE_ROWS + 1)]
    shapes += [(rows, 2 * PANEL_VECTORS) for rows in range(1, FEW_ROWS + 1)]
    tile = choice(_Tile, FLOATS[name], shapes, 10)
    panel, widths = PANEL_VECTORS, len(_WIDTHS)

    @compiled
    def run(p, n, first, units, scratch, part, parts, barrier):
        """Compute units `first` … of C = before + the sum; a unit is a panel of columns, or one of `groups` of tiles.

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
