"""Transpositions of rows to lanes and back: ``[row][number]`` to ``[number][row]``.

The processor foresees what comes behind the numbers of a few rows, not of many: they are fetched while a program
computes with those before them.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import load_store
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.simd.row_lanes import define_prefetch, define_transpose


@cache
def define_transposes(name: str, lanes: int) -> SimpleNamespace:
    """Return the transpositions in both directions, for so many rows at a time."""
    item, side = {"float32": 4, "float64": 8}[name], LANES[name]
    transpose = define_transpose(name)
    fetch, fetch_to_write = (define_prefetch(name, write) for write in (False, True))
    load, put = (getattr(load_store, f"{what}_scalar_{name}") for what in ("load", "store"))

    @compiled
    def take(source, source_row, numbers, rows, target):
        """Bring `numbers` contiguous numbers of each row to the lanes; lanes behind the last row repeat it."""
        for r in range(0, lanes, side):
            done = 0
            if r + side <= rows:
                while done + side <= numbers:
                    at = target + (done * lanes + r) * item
                    transpose(source + r * source_row + done * item, source_row, at, lanes * item)
                    fetch(source + r * source_row + (numbers + done) * item, source_row)
                    done += side
                if done < numbers and numbers >= side:  # the last ones, with some before them again
                    done = numbers - side
                    at = target + (done * lanes + r) * item
                    transpose(source + r * source_row + done * item, source_row, at, lanes * item)
                    done = numbers
            for row in range(r, r + side):
                from_row = source + min(row, rows - 1) * source_row
                for j in range(done, numbers):
                    put(target + (j * lanes + row) * item, load(from_row + j * item))

    @compiled
    def give(source, target, target_row, numbers, rows):
        for r in range(0, lanes, side):
            done = 0
            if r + side <= rows:
                while done + side <= numbers:
                    at = source + (done * lanes + r) * item
                    transpose(at, lanes * item, target + r * target_row + done * item, target_row)
                    fetch_to_write(target + r * target_row + (numbers + done) * item, target_row)
                    done += side
                if done < numbers and numbers >= side:
                    done = numbers - side
                    at = source + (done * lanes + r) * item
                    transpose(at, lanes * item, target + r * target_row + done * item, target_row)
                    done = numbers
            for row in range(r, min(r + side, rows)):
                for j in range(done, numbers):
                    put(target + row * target_row + j * item, load(source + (j * lanes + row) * item))

    @compiled
    def run(action, a, b, c, d, e, f, g, h):
        """Run one of the two, for modules of `rnnkit.backends.cpu.threads.shared_functions`."""
        if action == 0:
            take(a, b, c, d, e)
        else:
            give(a, b, c, d, e)
        return 0

    return SimpleNamespace(take=take, give=give, run=run)
