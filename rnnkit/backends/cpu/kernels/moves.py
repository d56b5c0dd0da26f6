"""Numbers brought together from anywhere: the weights as programs read them, their gradients as sums leave them."""

from __future__ import annotations

from rnnkit.backends.cpu.kernels.row_copy import copy_bytes
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


def define_array_copies():
    """The copying of whole arrays to where they stand side by side, to be compiled by itself."""

    @compiled
    def run(sources, targets, sizes, count):
        """For each of some places in three tables: so many bytes from an address to another."""
        for i in range(count):
            copy_bytes(word(targets, i), word(sources, i), word(sizes, i))

    return run


def define_finite(name):
    """Whether numbers in "float32" or "float64" are finite, to be compiled by itself."""
    size = {"float32": 4, "float64": 8}[name]
    load = getattr(load_store, f"load_scalar_{name}")

    @compiled
    def run(source, count):
        """1 if all of so many numbers from an address on are finite, else 0."""
        for i in range(count):
            number = load(source + i * size)
            if number - number != number - number:
                return 0
        return 1

    return run
