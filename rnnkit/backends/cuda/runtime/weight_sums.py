"""The sums over rows and steps that the gradients of weights are made of, on a GPU, without atomics.

C[m, n] = Σ A[k, m] B[k, n] over the entries k, every row at every used step in order. A block of threads sums one slice
of the entries for one tile of C; then the slices are added in order. Where the slices are depends on sizes alone, so
that a call has the same bits each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnnkit.backends.cuda.memory.array import DeviceArray, download, empty, upload, zeros
from rnnkit.backends.cuda.memory.availability import simulated

if TYPE_CHECKING:
    from rnnkit.compiler.autodiff.adjoint import Place, Sum

SLICE, FEWEST, SLICES = 2048, 128, 256  # entries that a block sums at most and at least; how many blocks are wanted
MOST = 65535  # slices, which are a grid's third axis
TILE, THREAD, DEPTH = 64, 4, 16  # columns of a tile, of a thread, entries that stand in shared memory at once

_OUTER = '''"""Sums of outer products in {dtype}: a slice of the entries for a tile of the result."""

import numpy as np
from numba import cuda, float64

from rnnkit.backends.cuda.device.words import *


@cuda.jit
def run(table):
    a, a_row, a_step, a_inner = word(table, 0), word(table, 1), word(table, 2), word(table, 3)
    b, b_row, b_step, b_inner = word(table, 4), word(table, 5), word(table, 6), word(table, 7)
    M, N, K, rows, inner = word(table, 8), word(table, 9), word(table, 10), word(table, 11), word(table, 12)
    mask, mask_row, mask_step, slices = word(table, 13), word(table, 14), word(table, 15), word(table, 16)
    slice, tile = word(table, 17), {threads} * {thread}
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    shared_a = shared_start(cuda.shared.array(0, float64, 16))
    shared_b = shared_a + {depth} * tile * {item}
    m0, n0 = cuda.blockIdx.y * tile, cuda.blockIdx.x * tile
    low = cuda.blockIdx.z * slice
    high = min(low + slice, K)
{zero}
    for start in range(low, high, {depth}):
        for i in range(y * {threads} + x, {depth} * tile, {threads} * {threads}):
            k, column = start + i // tile, i % tile
            value_a, value_b = np.{dtype}(0), np.{dtype}(0)
            if k < high:
                entry = k // inner
                q = k - entry * inner
                t = entry // rows
                r = entry - t * rows
                used = True
                if mask != 0:
                    used = byte(mask + r * mask_row + t * mask_step)
                if used and m0 + column < M:
                    value_a = np.{dtype}(1)
                    if a != 0:
                        value_a = fixed_{dtype}(a + r * a_row + t * a_step + q * a_inner + (m0 + column) * {item})
                if used and n0 + column < N:
                    value_b = fixed_{dtype}(b + r * b_row + t * b_step + q * b_inner + (n0 + column) * {item})
            shared_store_{dtype}(shared_a + i * {item}, value_a)
            shared_store_{dtype}(shared_b + i * {item}, value_b)
        cuda.syncthreads()
        for k in range({depth}):
{read}
{chain}
        cuda.syncthreads()
    to = word(table, 18) + cuda.blockIdx.z * M * N * {item}
{store}
'''
_ADD = '''"""Slices of a sum in {dtype}, added in order to what there is."""

import numpy as np
from numba import cuda

from rnnkit.backends.cuda.device.words import *


@cuda.jit
def run(table):
    slices, size, total, count = word(table, 0), word(table, 1), word(table, 2), word(table, 3)
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < size:
        value = load_{dtype}(total + i * {item})
        for k in range(count):
            value = add(value, fixed_{dtype}(slices + (k * size + i) * {item}))
        store_{dtype}(total + i * {item}, value)
'''


def texts(dtype) -> tuple[str, str, int]:
    """Return the texts of both kernels, and the threads that a block of the first has along each side."""
    threads, thread = (2, 2) if simulated() else (TILE // THREAD, THREAD)
    item, name = np.dtype(dtype).itemsize, np.dtype(dtype).name
    places = [(i, j) for i in range(thread) for j in range(thread)]
    zero = [f"    sum_{i}_{j} = np.{name}(0)" for i, j in places]
    read = [
        f"            {one}_{i} = shared_load_{name}(shared_{one} + (k * tile + {at} + {i} * {threads}) * {item})"
        for one, at in (("a", "y"), ("b", "x"))
        for i in range(thread)
    ]
    chain = [f"            sum_{i}_{j} = fma(a_{i}, b_{j}, sum_{i}_{j})" for i, j in places]
    store = []
    for i, j in places:
        m, n = f"m0 + y + {i * threads}", f"n0 + x + {j * threads}"
        store.append(f"    if {m} < M and {n} < N:")
        store.append(f"        store_{name}(to + (({m}) * N + {n}) * {item}, sum_{i}_{j})")
    lines = {"zero": zero, "read": read, "chain": chain, "store": store}
    given = {key: "\n".join(value) for key, value in lines.items()}
    outer = _OUTER.format(dtype=name, item=item, depth=DEPTH, threads=threads, thread=thread, **given)
    return outer, _ADD.format(dtype=name, item=item), threads


class CudaSums:
    """The wanted sums, to which the steps of a call are added by the kernels that `load` gives for texts."""

    def __init__(self, load, dtype, wanted: list[Sum], stream):
        self.load, self.dtype, self.wanted, self.stream = load, np.dtype(dtype), wanted, stream
        self.sums: dict[Sum, DeviceArray] = {}
        for s in wanted:
            if s not in self.sums:
                size = (s.a.depth if s.a else 1) * s.b.depth
                self.sums[s] = zeros((size,), dtype, stream)

    def add(self, part) -> None:
        rows, steps = part.x.shape[:2]
        for s, total in self.sums.items():
            self._add(s, total, part, rows, steps)

    def _add(self, s: Sum, total: DeviceArray, part, rows: int, steps: int):
        outer, add, threads = texts(self.dtype)
        inner, entries = s.b.rows, rows * steps * s.b.rows
        M, N = (s.a.depth if s.a else 1), s.b.depth
        if not (entries and M and N):
            return
        tile = threads * (2 if simulated() else THREAD)
        tiles = -(-N // tile), -(-M // tile)
        each = slice_of(entries, tiles[0] * tiles[1])
        slices = -(-entries // each)
        parts = empty((slices, M * N), self.dtype, self.stream)
        mask = [0, 0, 0] if part.mask is None else [part.mask.address, *part.mask.strides]
        a = [0, 0, 0, 0] if s.a is None else self._place(s.a, part)
        numbers = [*a, *self._place(s.b, part), M, N, entries, rows, inner, *mask, 0, each, parts.address]
        table = upload(np.array(numbers, np.int64), self.stream)
        shared = 2 * DEPTH * tile * self.dtype.itemsize
        self.load(outer).launch((*tiles, slices), (threads, threads), shared, self.stream, table.address)
        table = upload(np.array([parts.address, M * N, total.address, slices], np.int64), self.stream)
        across = 4 if simulated() else 256
        self.load(add).launch((-(-M * N // across),), (across,), 0, self.stream, table.address)

    def _place(self, place: Place, part) -> list[int]:
        array, item = place.array(part), self.dtype.itemsize
        return [array.address + place.offset * item, *array.strides[:2], place.stride * item]

    def totals(self) -> list[np.ndarray]:
        found = {s: download(total, self.stream) for s, total in self.sums.items()}
        return [found[s].reshape(s.shape) for s in self.wanted]


def slice_of(entries: int, tiles: int) -> int:
    """Return the number of entries that a block sums: few where there are few tiles, so that the whole GPU has work."""
    wanted = -(-entries * tiles // (SLICES * DEPTH)) * DEPTH
    return max(min(SLICE, max(FEWEST, wanted)), -(-entries // MOST))
