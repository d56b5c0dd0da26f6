"""Matrix products of rows with a packed weight: register tiles whose results don't depend on the tiling.

An element of the result is one chain of multiply-adds over k = 0, 1, …, K - 1, started from 0, in whatever
tile it is computed. So a row has the same bits in a batch of one as in a batch of a thousand, in any block of
rows, on any number of threads.
"""

import numpy as np

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.kernels.tile import Tile, choice
from rnnkit.backends.cpu.language.function import compiled, directing
from rnnkit.backends.cpu.simd.aligned import aligned
from rnnkit.backends.cpu.simd.atomic import call_at
from rnnkit.backends.cpu.simd.kinds import FLOATS
from rnnkit.backends.cpu.simd.registers import LANES, REGISTERS
from rnnkit.backends.cpu.tuning import PIECE_RESULT, PIECE_WEIGHTS, SINGLE_ROW_VECTORS, TILE_ROWS

PANEL_VECTORS = tuning.PANEL_VECTORS[REGISTERS]


def packed_width(columns, dtype):
    """Return the number of columns of a row of the product in memory: `columns`, filled up to whole vectors."""
    lanes = LANES[np.dtype(dtype)]
    return -(-columns // lanes) * lanes


def pack(weight):
    """Lay out a weight ``(K, N)`` for the product, ``(K * packed_width(N),)`` in all.

    Panels of `PANEL_VECTORS` vectors of columns, (K, panel) each, come first, then panels of one vector; columns
    beyond N are 0. It starts at a cache line: with one row the product takes twice as long where vectors straddle two.
    """
    rows, columns = weight.shape
    lanes = LANES[weight.dtype]
    width = packed_width(columns, weight.dtype)
    padded = np.zeros((rows, width), weight.dtype)
    padded[:, :columns] = weight
    panel = PANEL_VECTORS * lanes
    wide = width // panel * panel
    broad = padded[:, :wide].reshape(rows, wide // panel, panel).swapaxes(0, 1)
    narrow = padded[:, wide:].reshape(rows, (width - wide) // lanes, lanes).swapaxes(0, 1)
    packed = aligned(rows * width, weight.dtype)
    packed[: rows * wide].reshape(broad.shape)[:] = broad
    packed[rows * wide :].reshape(narrow.shape)[:] = narrow
    return packed


def arrange(weight, gates, units):
    """Return the columns ``g … g + units - 1`` of a weight for each g of ``gates``, a vector of each gate in turn, as
    ``(K, vectors of units * gates * lanes)``; columns that fill up the last vectors are 0.
    """
    lanes = LANES[weight.dtype]
    vectors = -(-units // lanes)
    arranged = np.zeros((len(weight), len(gates), vectors * lanes), weight.dtype)
    for place, gate in enumerate(gates):
        arranged[:, place, :units] = weight[:, gate : gate + units]
    arranged = arranged.reshape(len(weight), len(gates), vectors, lanes).swapaxes(1, 2)
    return arranged.reshape(len(weight), vectors * len(gates) * lanes)


class _Tile(Tile):
    def write(self, rows, panels, vectors, a, a_stride, packed, panel_bytes, length, c, c_stride):
        """Write C[rows, panels * vectors] = A[rows, :length] @ `panels` neighbouring panels."""
        columns = [(panel, vector) for panel in range(panels) for vector in range(vectors)]
        places = [(row, *column) for row in range(rows) for column in columns]
        a_rows = [a + a_stride * row for row in range(rows)]

        def factors(k):
            line = packed + k * (vectors * self.vector_bytes)
            weights = {(p, v): self.load(line + panel_bytes * p + v * self.vector_bytes) for p, v in columns}
            elements = [self.splat(start + k * self.size) for start in a_rows]
            return ((elements[row], weights[panel, vector]) for row, panel, vector in places)

        for (row, panel, vector), total in zip(places, self.sums("k", length, places, factors), strict=True):
            column = (panel * vectors + vector) * self.vector_bytes
            self.store(c + c_stride * row + column, total)


def define_matmul(name):
    """Return the kernel of a product in "float32" or "float64", to be compiled by itself."""
    kind = FLOATS[name]
    size = kind.size
    vector_bytes = size * LANES.get(name, 0)
    vectors, most_rows, in_flight = PANEL_VECTORS, TILE_ROWS, SINGLE_ROW_VECTORS

    def tiles(vectors, shapes):
        """Return the choice of tiles: 1 for the first of `shapes` = (rows, panels), 2 for the second …"""
        return choice(_Tile, kind, [(*shape, vectors) for shape in shapes], 7)

    several_rows = [(rows, 1) for rows in range(2, most_rows + 1)]
    wide, narrow = tiles(vectors, several_rows), tiles(1, several_rows)
    wide_row = tiles(vectors, [(1, panels) for panels in range(1, in_flight // vectors + 1)])
    narrow_row = tiles(1, [(1, panels) for panels in range(1, vectors)])

    @compiled
    def product(a, a_outer, outer, a_inner, inner, packed, K, N, c, c_outer, c_inner):
        """Write A @ W, rows (o, i) of A at `a` + o * `a_outer` + i * `a_inner`, to `packed_width(N)` columns of C."""
        if outer > inner:
            outer, inner = inner, outer
            a_outer, a_inner = a_inner, a_outer
            c_outer, c_inner = c_inner, c_outer
        left = (N * size + vector_bytes - 1) // vector_bytes
        while left > 0:
            width = vectors if left >= vectors else 1
            panels = min(left // width, in_flight // width) if inner == 1 else 1
            panel_bytes = K * vector_bytes * width
            for o in range(outer):
                i = 0
                while i < inner:
                    rows = min(inner - i, most_rows)
                    at, to = a + o * a_outer + i * a_inner, c + o * c_outer + i * c_inner
                    if rows > 1:
                        if width > 1:
                            wide(rows - 1, at, a_inner, packed, panel_bytes, K, to, c_inner)
                        else:
                            narrow(rows - 1, at, a_inner, packed, panel_bytes, K, to, c_inner)
                    elif width > 1:
                        wide_row(panels, at, a_inner, packed, panel_bytes, K, to, c_inner)
                    else:
                        narrow_row(panels, at, a_inner, packed, panel_bytes, K, to, c_inner)
                    i += rows
            packed += panels * panel_bytes
            c += panels * vector_bytes * width
            left -= panels * width

    return product


# Call a product that was compiled before: its address, then its arguments.
call_matmul = call_at(11)


@directing
def piece_of(rows, units, gates, depth, vector_bytes):
    """Return how many vectors of units of a product's `gates` to compute at once: results and weights stay cached."""
    width = gates * vector_bytes
    piece = max(PIECE_RESULT // (rows * width), PIECE_WEIGHTS // (max(depth, 1) * width))
    if rows == 1:
        piece = max(piece, SINGLE_ROW_VECTORS // gates)
    return min(max(piece, 1), units)
