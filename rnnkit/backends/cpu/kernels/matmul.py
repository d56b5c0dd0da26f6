"""Matrix products of rows with a packed weight: register tiles whose results don't depend on the tiling.

An element of the result is one chain of multiply-adds over k = 0, 1, …, K - 1, started from 0, in whatever
tile it is computed. So a row has the same bits in a batch of one as in a batch of a thousand, in any block of
rows, on any number of threads.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.simd.aligned import aligned
from rnnkit.backends.cpu.simd.atomic import define_call
from rnnkit.backends.cpu.simd.load_store import load_unaligned, store_unaligned
from rnnkit.backends.cpu.simd.registers import LANES, LLVM_FLOATS, REGISTERS
from rnnkit.backends.cpu.tuning import PIECE_RESULT, PIECE_WEIGHTS, SINGLE_ROW_VECTORS, TILE_ROWS
from rnnkit.backends.formulas.value import Value, broadcast, fma
from rnnkit.backends.shared.numba_pipeline import compiled

PANEL_VECTORS = tuning.PANEL_VECTORS[REGISTERS]


def packed_width(columns, dtype):
    """How many columns a row of the product has in memory: `columns`, filled up to whole vectors."""
    lanes = LANES[np.dtype(dtype)]
    return -(-columns // lanes) * lanes


def pack(weight):
    """Lay out a weight for the product.

    Parameters
    ----------
    weight : ndarray (K, N), float32 or float64

    Returns
    -------
    ndarray (K * packed_width(N),)
        Panels of `PANEL_VECTORS` vectors of columns, (K, panel) each, then panels of one vector; columns beyond N
        are 0. It starts at a cache line: with one row the product takes twice as long where vectors straddle two.
    """
    rows, columns = weight.shape
    lanes = LANES[weight.dtype]
    width = packed_width(columns, weight.dtype)
    padded = np.zeros((rows, width), weight.dtype)
    padded[:, :columns] = weight
    panel = PANEL_VECTORS * lanes
    wide = width // panel * panel
    packed = aligned(rows * width, weight.dtype)
    broad = padded[:, :wide].reshape(rows, wide // panel, panel)
    packed[: rows * wide].reshape(broad.shape[1], rows, panel)[:] = broad.swapaxes(0, 1)
    narrow = padded[:, wide:].reshape(rows, (width - wide) // lanes, lanes)
    packed[rows * wide :].reshape(narrow.shape[1], rows, lanes)[:] = narrow.swapaxes(0, 1)
    return packed


def arrange(weight, gates, units):
    """The columns ``g … g + units - 1`` of a weight for each g of ``gates``, a vector of each gate in turn.

    Returns
    -------
    ndarray (K, vectors of units * gates * lanes)
        Columns that fill up the last vectors are 0.
    """
    lanes = LANES[weight.dtype]
    vectors = -(-units // lanes)
    arranged = np.zeros((len(weight), len(gates), vectors * lanes), weight.dtype)
    for place, gate in enumerate(gates):
        arranged[:, place, :units] = weight[:, gate : gate + units]
    arranged = arranged.reshape(len(weight), len(gates), vectors, lanes).swapaxes(1, 2)
    return arranged.reshape(len(weight), vectors * len(gates) * lanes)


class _Builder:
    """Writes a loop of LLVM whose sums stay in registers."""

    def __init__(self, builder, dtype):
        self.builder = builder
        self.element = LLVM_FLOATS[dtype]
        self.size = dtype.bitwidth // 8
        self.lanes = LANES[str(dtype)]
        self.vector = ir.VectorType(self.element, self.lanes)
        self.vector_bytes = self.size * self.lanes

    def tile(self, rows, panels, vectors, a, a_stride, packed, panel_bytes, length, c, c_stride):
        """C[rows, panels * vectors] = A[rows, :length] @ `panels` neighbouring panels."""
        builder, i64 = self.builder, ir.IntType(64)
        places = [(row, panel, vector) for row in range(rows) for panel in range(panels) for vector in range(vectors)]
        a_rows = [a + a_stride * row for row in range(rows)]
        entry = builder.block
        loop, done = builder.append_basic_block("k"), builder.append_basic_block("done")
        builder.cbranch((length > 0).value, loop, done)

        builder.position_at_end(loop)
        k = builder.phi(i64)
        k.add_incoming(i64(0), entry)
        sums = [builder.phi(self.vector) for _ in places]
        at = Value(builder, k)
        line = packed + at * (vectors * self.vector_bytes)
        weights = {
            (panel, vector): Value(builder, self.load(line + panel_bytes * panel + vector * self.vector_bytes))
            for panel in range(panels)
            for vector in range(vectors)
        }
        elements = [self.splat(start + at * self.size) for start in a_rows]
        new = [
            fma(elements[row], weights[panel, vector], Value(builder, total)).value
            for (row, panel, vector), total in zip(places, sums, strict=True)
        ]
        following = at + 1
        k.add_incoming(following.value, loop)
        builder.cbranch((following < length).value, loop, done)

        builder.position_at_end(done)
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        results = []
        for total, value in zip(sums, new, strict=True):
            results.append(builder.phi(self.vector))
            for phi in (total, results[-1]):
                phi.add_incoming(zero, entry)
                phi.add_incoming(value, loop)
        for (row, panel, vector), result in zip(places, results, strict=True):
            column = (panel * vectors + vector) * self.vector_bytes
            store_unaligned(builder, (c + c_stride * row + column).value, result, self.size)

    def load(self, address):
        return load_unaligned(self.builder, address.value, self.vector, self.size)

    def splat(self, address):
        number = load_unaligned(self.builder, address.value, self.element, self.size)
        return Value(self.builder, broadcast(self.builder, number, self.lanes))


def _define_tiles(dtype, vectors, shapes):
    """A function for jitted code: with `shape` = 1 for the first of `shapes` = (rows, panels), 2 for the second …"""

    @intrinsic
    def tile(typingctx, shape, a, a_stride, packed, panel_bytes, length, c, c_stride):
        def generate(context, builder, signature, arguments):
            values = [Value(builder, argument) for argument in arguments[1:]]
            end = builder.append_basic_block("end")
            switch = builder.switch(arguments[0], end)
            for case, (rows, panels) in enumerate(shapes, 1):
                block = builder.append_basic_block(f"tile{rows}x{panels}")
                switch.add_case(case, block)
                builder.position_at_end(block)
                _Builder(builder, dtype).tile(rows, panels, vectors, *values)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), generate

    return tile


def define_matmul(name):
    """A product of its own, in "float32" or "float64", for jitted code or to be compiled by itself."""
    dtype = getattr(types, name)
    size = dtype.bitwidth // 8
    vector_bytes = size * LANES.get(str(dtype), 0)
    vectors, most_rows, in_flight = PANEL_VECTORS, TILE_ROWS, SINGLE_ROW_VECTORS
    several_rows = [(rows, 1) for rows in range(1, most_rows + 1)]
    wide = _define_tiles(dtype, vectors, several_rows)
    narrow = _define_tiles(dtype, 1, several_rows)
    wide_row = _define_tiles(dtype, vectors, [(1, panels) for panels in range(1, in_flight // vectors + 1)])
    narrow_row = _define_tiles(dtype, 1, [(1, panels) for panels in range(1, vectors)])

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
                    if inner > 1:
                        if width > 1:
                            wide(rows, at, a_inner, packed, panel_bytes, K, to, c_inner)
                        else:
                            narrow(rows, at, a_inner, packed, panel_bytes, K, to, c_inner)
                    elif width > 1:
                        wide_row(panels, at, a_inner, packed, panel_bytes, K, to, c_inner)
                    else:
                        narrow_row(panels, at, a_inner, packed, panel_bytes, K, to, c_inner)
                    i += rows
            packed += panels * panel_bytes
            c += panels * vector_bytes * width
            left -= panels * width

    return product


@intrinsic
def call_matmul(typingctx, address, a, a_outer, outer, a_inner, inner, packed, K, N, c, c_outer, c_inner):
    """Call a product that was compiled before, at its address; its code is then in no program twice."""
    return define_call(11)


@compiled
def piece_of(rows, units, gates, depth, vector_bytes):
    """How many vectors of units of a product's `gates` to compute at once, so that results and weights stay near."""
    width = gates * vector_bytes
    piece = max(PIECE_RESULT // (rows * width), PIECE_WEIGHTS // (max(depth, 1) * width))
    if rows == 1:
        piece = max(piece, SINGLE_ROW_VECTORS // gates)
    return min(max(piece, 1), units)
