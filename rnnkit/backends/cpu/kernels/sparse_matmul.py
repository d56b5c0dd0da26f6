"""Products of rows with a sparse weight: what is 0 is neither stored nor multiplied.

The nonzeros of a group of neighbouring columns, one column to a lane, are taken from the top down. A *slot* is one
multiply-add in each lane: lanes take the next nonzero of their column if its row lies in the slot's *window*, a few
neighbouring rows that begin with the uppermost one wanted; other lanes wait. So the elements of the operand that a slot
needs stand in few registers, where a permutation finds them in a tenth of a gather's time, and an index is one byte.
A lane that waits multiplies 0 by 0: no NaN and no infinity of a row that its column doesn't have reaches it.

An element of the result is one chain of multiply-adds over its column's nonzeros from the top down, started from 0. So
it has the same bits in any batch, and where the operand is finite those of `rnnkit.backends.cpu.kernels.matmul`.
"""

import numpy as np
from llvmlite import ir

from rnnkit.backends.cpu.kernels.tile import Tile, choice
from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd.aligned import aligned
from rnnkit.backends.cpu.simd.atomic import word
from rnnkit.backends.cpu.simd.kinds import FLOATS
from rnnkit.backends.cpu.simd.load_store import gather, lane_numbers, load_unaligned, masked_load
from rnnkit.backends.cpu.simd.registers import FEATURE_SET, LANES
from rnnkit.backends.cpu.tuning import SPARSE_ROWS
from rnnkit.backends.formulas.value import BIT, Value, call_intrinsic, select

GROUP = 4  # vectors of columns with windows in common; an integer of 32 bits holds an index for each
_WINDOW_VECTORS = 4
_HEAD = 2  # numbers before the table: groups of columns, rows K
_ENTRY = 5  # numbers for each group: vectors, slots, and where its values, indices and windows start


def _tables(dtype):
    """Return the number of registers that the host's permutation reads; 0 where a gather reads the window in memory."""
    if FEATURE_SET == "avx2":
        return int(np.dtype(dtype) == np.float32)
    return 2 if FEATURE_SET == "avx512" else 0


def window_rows(dtype):
    """Return the number of rows of a window. The next index stands for a 0, for lanes that wait."""
    return _WINDOW_VECTORS * LANES[np.dtype(dtype)] - 1 if _tables(dtype) else 127


def group_columns(dtype):
    return GROUP * LANES[np.dtype(dtype)]


def pack_sparse(weight):
    """Lay out a weight ``(K, N)`` for the sparse product, in bytes.

    First come int64: the groups of columns, K, and for each group its vectors, its slots and where its parts start.
    Then the parts: values ``(slots, vectors, lanes)``, indices ``(slots, lanes, GROUP)`` as bytes, and the first rows
    of windows ``(slots,)`` as int32.
    """
    lanes, groups = LANES[weight.dtype], -(-weight.shape[1] // group_columns(weight.dtype))
    vectors = -(-weight.shape[1] // lanes)
    values, indices, windows, slots = _fill_slots(weight, groups, lanes)
    numbers, parts = [groups, weight.shape[0]], []
    end = 8 * (_HEAD + _ENTRY * groups)
    for group in range(groups):
        wide, used = min(GROUP, vectors - group * GROUP), slots[group]
        numbers += [wide, used]
        for part in (values[:used, group, :wide], indices[:used, group], windows[:used, group]):
            start = -(-end // 64) * 64
            numbers.append(start)
            parts.append((start, part))
            end = start + part.nbytes
    packed = aligned(end, np.uint8)
    packed[: 8 * len(numbers)] = np.array(numbers, np.int64).view(np.uint8)
    for start, part in parts:
        packed[start : start + part.nbytes] = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
    return packed


def _fill_slots(weight, groups, lanes):
    """Return values, indices and windows of all groups' slots, and the number of slots of each group."""
    K, N = weight.shape
    width, window = group_columns(weight.dtype), window_rows(weight.dtype)
    columns, rows = np.nonzero(weight.T)
    nonzeros = np.append(weight[rows, columns], weight.dtype.type(0))
    rows = np.append(rows, K)  # read by columns that are done
    counts = np.bincount(columns, minlength=groups * width)
    ends = np.cumsum(counts).reshape(groups, width)
    following = ends - counts.reshape(groups, width)
    values, indices, windows, slots = [], [], [], np.zeros(groups, np.int64)
    while True:
        wanted = np.where(following < ends, rows[following], K)
        first = wanted.min(axis=1)
        if (first == K).all():
            break
        slots += first < K
        # Windows begin where a vector of an aligned operand does; the last ones end with the operand.
        first = np.maximum(np.minimum(first // lanes * lanes, K - window), 0)
        takes = (wanted < K) & (wanted < first[:, None] + window)
        index = np.where(takes, wanted - first[:, None], window)
        values.append(np.where(takes, nonzeros[following], weight.dtype.type(0)))
        indices.append(index.astype(np.uint8).reshape(groups, GROUP, lanes).swapaxes(1, 2))
        windows.append(first)
        following = following + takes
    return (
        np.array(values, weight.dtype).reshape(len(values), groups, GROUP, lanes),
        np.array(indices, np.uint8).reshape(len(indices), groups, lanes, GROUP),
        np.array(windows, np.int32).reshape(len(windows), groups),
        slots,
    )


class _Tile(Tile):
    def __init__(self, builder, kind):
        super().__init__(builder, kind)
        self.tables, self.waits = _tables(kind.name), window_rows(kind.name)

    def write(self, rows, vectors, length, a, a_stride, slots, values, indices, windows, c, c_stride):
        """Write C[rows, columns of a group] = A[rows, :length] @ the group, which has so many `vectors`."""
        places = [(row, vector) for row in range(rows) for vector in range(vectors)]
        self.find_lanes(length)

        def factors(slot):
            own = values + slot * (vectors * self.vector_bytes)
            weights = [self.load(own + vector * self.vector_bytes) for vector in range(vectors)]
            index = self.integers(indices + slot * (4 * self.lanes))
            first = load_unaligned(self.builder, (windows + slot * 4).value, ir.IntType(32), 4)
            first = Value(self.builder, self.builder.sext(first, ir.IntType(64))) * self.size
            seen = [self.window(a + a_stride * row + first) for row in range(rows)]
            return ((self.pick(seen[row], index, vector), weights[vector]) for row, vector in places)

        for (row, vector), total in zip(places, self.sums("slot", slots, places, factors), strict=True):
            self.store(c + c_stride * row + vector * self.vector_bytes, total)

    def integers(self, address):
        """Return the indices of a slot: in each lane a byte for each vector, the first one's lowest."""
        numbers = load_unaligned(self.builder, address.value, ir.VectorType(ir.IntType(32), self.lanes), 4)
        wide = ir.VectorType(ir.IntType(8 * self.size), self.lanes)
        return Value(self.builder, numbers if self.size == 4 else self.builder.zext(numbers, wide))

    def find_lanes(self, length):
        """Find the lanes of a window's registers to load: those before its end, or before a shorter operand's."""
        if not self.tables:
            return
        i32 = ir.IntType(32)
        least = select(length < self.waits, length, length.constant(self.waits))
        count = Value(self.builder, self.builder.trunc(least.value, i32))
        starts = range(0, _WINDOW_VECTORS * self.lanes, self.lanes)
        self.loaded = [lane_numbers(self.builder, i32, self.lanes, start) < count for start in starts]

    def window(self, address):
        """Return a window's elements in registers, a 0 behind them; only its address where they are gathered."""
        if not self.tables:
            return address
        addresses = [address + i * self.vector_bytes for i in range(len(self.loaded))]
        loads = zip(addresses, self.loaded, strict=True)
        found = (masked_load(self.builder, at.value, self.vector, lanes.value, self.size) for at, lanes in loads)
        return [Value(self.builder, window) for window in found]

    def pick(self, window, index, vector):
        """Return the elements of a window that a vector of columns takes, 0 where a lane waits."""
        shifted = index >> (8 * vector)
        if not self.tables:
            place = shifted & 127
            takes = place != self.waits
            return select(takes, self.gather(window, select(takes, place, 0)), 0.0)
        found = [self.permuted(window[i : i + self.tables], shifted) for i in range(0, len(window), self.tables)]
        bit = self.tables * self.lanes << 8 * vector
        while len(found) > 1:
            pairs = zip(found[::2], found[1::2], strict=True)
            found, bit = [select((index & bit) != 0, high, low) for low, high in pairs], 2 * bit
        return found[0]

    def permuted(self, tables, index):
        """Return elements of one register or two; the bits of an index above those that tell them apart are ignored."""
        if self.tables == 1:
            name, arguments = "llvm.x86.avx2.permps", [tables[0].value, index.value]
        else:
            name = f"llvm.x86.avx512.vpermi2var.{'ps' if self.size == 4 else 'pd'}.512"
            arguments = [tables[0].value, index.value, tables[1].value]
        return Value(self.builder, call_intrinsic(self.builder, name, self.vector, arguments))

    def gather(self, address, place):
        builder = self.builder
        places = Value(builder, builder.sext(place.value, ir.VectorType(ir.IntType(64), self.lanes)))
        everywhere = ir.Constant(ir.VectorType(BIT, self.lanes), [1] * self.lanes)
        return Value(builder, gather(builder, address + places * self.size, everywhere, self.vector, self.size))


def define_sparse_matmul(name):
    """Return the kernel of a sparse product in "float32" or "float64", to be compiled by itself."""
    kind, most_rows = FLOATS[name], SPARSE_ROWS
    vector_bytes = kind.size * LANES.get(name, 0)

    def tile(rows):
        """Return the choice of tiles for a group of 1 to `GROUP` vectors and so many rows."""
        shapes = [(rows, vectors) for vectors in range(1, GROUP + 1)]
        return choice(_Tile, kind, shapes, 9)

    one, several = tile(1), tile(SPARSE_ROWS)
    group_width = GROUP * LANES.get(name, 0)
    group_bytes, head, entry_numbers = GROUP * vector_bytes, _HEAD, _ENTRY

    @compiled
    def sparse_product(a, a_outer, outer, a_inner, inner, packed, first, after, c, c_outer, c_inner):
        """Write the groups of columns of A @ W that begin in columns `first` … `after` - 1 to their places in C.

        Rows (o, i) of A are at `a` + o * `a_outer` + i * `a_inner`, those of C likewise. So parts of a product meet
        wherever they are cut; a group's columns are whole vectors.
        """
        if outer > inner:
            outer, inner = inner, outer
            a_outer, a_inner = a_inner, a_outer
            c_outer, c_inner = c_inner, c_outer
        first_group, after_group = (first + group_width - 1) // group_width, (after + group_width - 1) // group_width
        length = word(packed, 1)
        for o in range(outer):
            i = 0
            while i < inner:
                rows = most_rows if inner - i >= most_rows else 1
                at = a + o * a_outer + i * a_inner
                for group in range(first_group, after_group):
                    entry = packed + 8 * (head + entry_numbers * group)
                    vectors, slots = word(entry, 0), word(entry, 1)
                    values, indices = packed + word(entry, 2), packed + word(entry, 3)
                    windows = packed + word(entry, 4)
                    to = c + o * c_outer + i * c_inner + group * group_bytes
                    if rows == 1:
                        one(vectors, length, at, a_inner, slots, values, indices, windows, to, c_inner)
                    else:
                        several(vectors, length, at, a_inner, slots, values, indices, windows, to, c_inner)
                i += rows

    return sparse_product
