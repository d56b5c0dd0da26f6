"""Storages of a product's packed weight: the floats it is computed with, or fewer bits, widened in registers.

A program computes where a panel begins from sizes alone, in rows of vectors of floats. A panel of fewer bits is a whole
fraction of that: `share` of its numbers take the place of one float. So programs are given its address times `share`,
add their offsets, and the kernel divides. Scales stand before a panel's first row; programs count them as `rows` more.

Where `share` vectors of a row stand side by side, the numbers of a lane share a word of 32 bits, and a shift or a mask
takes a vector out of a register: to widen numbers that follow each other costs a permutation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from rnnkit.backends.cpu.simd.load_store import load_unaligned
from rnnkit.backends.formulas.value import Value
from rnnkit.stored_weights import bfloat16_bits, to_int8


@dataclass(frozen=True)
class Storage:
    """A way to store weights."""

    name: str = ""  # "" for the floats themselves
    share: int = 1  # how many of its elements take the place of one float
    rows: int = 0  # rows of its elements that the scales of a panel take

    def encode(self, panels: np.ndarray, lanes: int) -> np.ndarray:
        """Return panels ``(panels, K, columns)`` as bytes, one after the other."""
        if self.name == "bfloat16":
            return self.side_by_side(bfloat16_bits(panels), lanes).reshape(-1).view(np.uint8)
        numbers, scales = to_int8(panels)
        numbers = self.side_by_side(numbers, lanes).view(np.uint8)
        numbers = numbers.reshape(len(panels), numbers[:1].size)
        return np.concatenate([scales.view(np.uint8), numbers], axis=1).reshape(-1)

    def side_by_side(self, numbers: np.ndarray, lanes: int) -> np.ndarray:
        """Return rows of vectors ``(…, vectors * lanes)``, with those of a lane in one word where words are full."""
        *lead, columns = numbers.shape
        if columns % (self.share * lanes):
            return np.ascontiguousarray(numbers)
        apart = numbers.reshape(*lead, columns // (self.share * lanes), self.share, lanes)
        return np.ascontiguousarray(apart.swapaxes(-1, -2)).reshape(*lead, columns)

    def load(self, tile, address: Value, vectors: int) -> list[Value]:
        """Load so many vectors of a row of weights in a tile's floats; int8 without its scale, see `scaled`."""
        if not self.name:
            return [tile.load(address + vector * tile.vector_bytes) for vector in range(vectors)]
        builder, word = tile.builder, ir.VectorType(ir.IntType(32), tile.lanes)
        bits, found = 32 // self.share, []
        if vectors % self.share:
            narrow = ir.VectorType(ir.IntType(bits), tile.lanes)
            for vector in range(vectors):
                at = address + vector * (tile.vector_bytes // self.share)
                wide = builder.zext(load_unaligned(builder, at.value, narrow, bits // 8), word)
                found.append(Value(builder, wide) << (32 - bits))
        else:
            for vector in range(0, vectors, self.share):
                at = address + vector * (tile.vector_bytes // self.share)
                both = Value(builder, load_unaligned(builder, at.value, word, 4))
                top = -1 << (32 - bits)
                found += [both << (32 - bits), *((both << shift) & top for shift in range(32 - 2 * bits, 0, -bits))]
                found.append(both & top)
        if self.name == "bfloat16":
            return [Value(builder, builder.bitcast(one.value, tile.vector)) for one in found]
        return [Value(builder, builder.sitofp(one.value, tile.vector)) for one in found]

    def scaled(self, total: Value, scale: Value | None) -> Value:
        """Return a sum of products with the result of `load`, whose int8 are in the upper bits, times its scale."""
        return total if scale is None else total * (scale * 2.0**-24)


STORAGES = {one.name: one for one in (Storage(), Storage("bfloat16", 2), Storage("int8", 4, 4))}
