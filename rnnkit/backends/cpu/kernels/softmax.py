"""Weights of sum 1 from scores ``(B, H, T, S)`` in C order, where some pairs of steps may be left out.

`pairs` is the address of bytes that say which pairs count, or 0 where all do; the bytes of S follow each other, and the
other axes have the strides `pairs_b`, `pairs_h` and `pairs_t`.
"""

from __future__ import annotations

from llvmlite import ir

from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import functions, load_store
from rnnkit.backends.cpu.simd.intrinsic import intrinsic
from rnnkit.backends.cpu.simd.kinds import FLOATS, INT, mask
from rnnkit.backends.cpu.simd.load_store import masked_load, store
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.simd.vector import reduce_add, reduce_maximum, select

_FAR = 1e9  # where no pair of a row counts, each scores -1e9, or 1e9 less, as in Keras


def _define_counting(lanes):
    """Return an intrinsic that tests which bytes aren't zero, as a mask of `lanes` lanes."""
    bytes_of = ir.VectorType(ir.IntType(8), lanes)
    bits = mask(lanes)

    @intrinsic(bits, INT, bits)
    def counting(builder, address, m):
        """Return the lanes in `m` whose byte isn't zero; no other memory is touched."""
        found = masked_load(builder, address, bytes_of, m, 1)
        return builder.icmp_unsigned("!=", found, ir.Constant(bytes_of, [0] * lanes))

    return counting


def _of(name):
    lanes = LANES.get(name, 1)
    found = (getattr(load_store, f"{what}_{name}") for what in ("first", "load", "fill"))
    return FLOATS[name].size, lanes, _define_counting(lanes), *found


def define_softmax(name):
    """Return the kernel of the softmax over S of scores, to be compiled by itself."""
    size, lanes, counting, first, load, fill = _of(name)
    maximum, exp = (functions.__dict__[one] for one in ("maximum", "exp"))
    far, least = _FAR, -float("inf")

    @compiled
    def run(scores, weights, pairs, b_count, h_count, t_count, length, pairs_b, pairs_h, pairs_t, relative, empty):
        """Write the weights; a pair that is left out has weight 0.

        Where no pair of a row counts, all score -1e9, with `relative` 1 their score - 1e9, and with `empty` 1 their
        weight is 0.
        """
        row = length * size
        for b in range(b_count):
            for h in range(h_count):
                for t in range(t_count):
                    place = ((b * h_count + h) * t_count + t) * row
                    source, target = scores + place, weights + place
                    used = pairs + b * pairs_b + h * pairs_h + t * pairs_t
                    largest, counted = fill(least), fill(least)
                    if pairs != 0:
                        for j in range(0, length, lanes):
                            m = first(length - j)
                            counted = maximum(counted, select(counting(used + j, m), fill(0.0), fill(least)))
                    some = reduce_maximum(counted) == 0.0
                    for j in range(0, length, lanes):
                        m = first(length - j)
                        score = load(source + j * size, m)
                        if pairs != 0:
                            low = fill(least) if some else score - far if relative else fill(0.0 - far)
                            score = select(counting(used + j, m), score, low)
                        store(target + j * size, score, m)
                        largest = maximum(largest, select(m, score, fill(least)))
                    most = reduce_maximum(largest)
                    total = fill(0.0)
                    for j in range(0, length, lanes):
                        m = first(length - j)
                        share = exp(load(target + j * size, m) - most)
                        store(target + j * size, share, m)
                        total = total + select(m, share, fill(0.0))
                    sums = reduce_add(total)
                    for j in range(0, length, lanes):
                        m = first(length - j)
                        share = load(target + j * size, m) / sums
                        if pairs != 0 and empty:
                            share = select(counting(used + j, m), share, fill(0.0))
                        store(target + j * size, share, m)

    return run


def define_softmax_back(name):
    """Return the backward kernel of `define_softmax`, to be compiled by itself."""
    size, lanes, counting, first, load, fill = _of(name)

    @compiled
    def run(d, weights, d_scores, pairs, b_count, h_count, t_count, length, pairs_b, pairs_h, pairs_t):
        """Write the cotangent of scores, 0 where a pair is left out, from that of their weights."""
        row = length * size
        for b in range(b_count):
            for h in range(h_count):
                for t in range(t_count):
                    place = ((b * h_count + h) * t_count + t) * row
                    used = pairs + b * pairs_b + h * pairs_h + t * pairs_t
                    total = fill(0.0)
                    for j in range(0, length, lanes):
                        m, at = first(length - j), place + j * size
                        total = total + load(d + at, m) * load(weights + at, m)
                    along = reduce_add(total)
                    for j in range(0, length, lanes):
                        m, at = first(length - j), place + j * size
                        found = load(weights + at, m) * (load(d + at, m) - along)
                        if pairs != 0:
                            found = select(counting(used + j, m), found, fill(0.0))
                        store(d_scores + at, found, m)

    return run
