"""Numbers brought together from anywhere: the weights as programs read them, their gradients as sums leave them."""

from __future__ import annotations

from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import load_store
from rnnkit.backends.cpu.simd.atomic import word


def define_moves(name):
    """The copying of numbers in "float32" or "float64", to be compiled by itself."""
    size = {"float32": 4, "float64": 8}[name]
    load, store = (getattr(load_store, f"{what}_scalar_{name}") for what in ("load", "store"))

    @compiled
    def run(sources, target, count):
        """Number i from the address that stands at place i, to place i from an address on."""
        for i in range(count):
            store(target + i * size, load(word(sources, i)))

    return run
