"""Sums of groups of rows, for the gradient of an embedding's table."""

from __future__ import annotations

from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import load_store
from rnnkit.backends.cpu.simd.atomic import word
from rnnkit.backends.cpu.simd.kinds import FLOATS
from rnnkit.backends.cpu.simd.load_store import store
from rnnkit.backends.cpu.simd.registers import LANES


def define_row_sums(name):
    """Return the kernel of sums of groups of rows, to be compiled by itself."""
    size, lanes = FLOATS[name].size, LANES.get(name, 1)
    first, load, fill = (getattr(load_store, f"{what}_{name}") for what in ("first", "load", "fill"))

    @compiled
    def run(rows, order, bounds, sums, count, features, together):
        """Sum group i, the rows ``order[bounds[i]:bounds[i + 1]]``; `together` of them are added up at a time."""
        row = features * size
        for i in range(count):
            for j in range(0, features, lanes):
                m, total = first(features - j), fill(0.0)
                for start in range(word(bounds, i), word(bounds, i + 1), together):
                    part = fill(0.0)
                    for k in range(start, min(start + together, word(bounds, i + 1))):
                        part = part + load(rows + word(order, k) * row + j * size, m)
                    total = total + part
                store(sums + i * row + j * size, total, m)

    return run
