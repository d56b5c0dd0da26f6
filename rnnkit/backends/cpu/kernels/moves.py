"""Kernels that gather numbers from anywhere: weights as programs read them, and gradients from the sums' layout."""

from __future__ import annotations

from rnnkit.backends.cpu.kernels.row_copy import copy_bytes
from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import load_store
from rnnkit.backends.cpu.simd.atomic import word


def define_moves(name):
    """Return the kernel that copies numbers in "float32" or "float64", to be compiled by itself."""
    size = {"float32": 4, "float64": 8}[name]
    load, store = (getattr(load_store, f"{what}_scalar_{name}") for what in ("load", "store"))

    @compiled
    def run(sources, target, count):
        """Copy number i from the i-th address in the table `sources` to place i of `target`."""
        for i in range(count):
            store(target + i * size, load(word(sources, i)))

    return run


def define_array_copies():
    """Return the kernel that copies whole arrays, to be compiled by itself."""

    @compiled
    def run(sources, targets, sizes, count):
        """Copy for each of `count` places in three tables so many bytes from one address to another."""
        for i in range(count):
            copy_bytes(word(targets, i), word(sources, i), word(sizes, i))

    return run


def define_finite(name):
    """Return the kernel that tests whether numbers in "float32" or "float64" are finite, to be compiled by itself."""
    size = {"float32": 4, "float64": 8}[name]
    load = getattr(load_store, f"load_scalar_{name}")

    @compiled
    def run(source, count):
        """Return 1 if all of `count` numbers from an address on are finite, else 0."""
        for i in range(count):
            number = load(source + i * size)
            if number - number != number - number:
                return 0
        return 1

    return run
