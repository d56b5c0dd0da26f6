"""Functions that only move numbers, replaced by one call of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from rnnkit.backends.cpu.language.addresses import address, write_addresses
from rnnkit.backends.cpu.language.programs import kernel, load
from rnnkit.backends.cpu.layer_kernels import Into, run_kernel
from rnnkit.backends.cpu.simd.aligned import LINE, aligned
from rnnkit.backends.cpu.simd.bounds_check import checked


def finite_test(array: np.ndarray) -> Callable[[], int]:
    """Return a function that tells whether all numbers of an array in C order are finite when it is called."""
    run = checked(load(kernel("moves.finite", array.dtype.name), 2).function, array)
    at, count = address(array), array.size
    return lambda: run(at, count) if array is not None else 0  # the reference keeps the array alive


class Copies:
    """Copies of arrays into memory of known addresses, all in one call of compiled code: `run` copies `sources`, a call
    copies other arrays. All are in C order.
    """

    def __init__(self, targets: Sequence[np.ndarray], sources: Sequence[np.ndarray] = ()):
        self._kept = targets, sources
        words = [list(map(address, targets)), [array.nbytes for array in targets], range(len(targets))]
        self._words = np.array([[0] * len(targets), *words], np.int64)
        self._sources, self._targets, self._sizes, self._places = (address(row) for row in self._words)
        self._words[0, : len(sources)] = list(map(address, sources))
        copies = load(kernel("moves.array_copies"), 4).function
        self._run = partial(copies, self._sources, self._targets, self._sizes, len(targets))
        self.run = checked(self._run, self._kept, self._words)

    def __call__(self, arrays: Sequence[np.ndarray] = ()) -> None:
        """Copy arrays, each of its target's shape and dtype and in C order."""
        if arrays:
            write_addresses(self._sources, self._places, arrays)
            checked(self._run, arrays, self._kept, self._words)()
        else:
            self.run()


def moved(function: Callable[..., Sequence[np.ndarray]], arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Return the results of a function that moves numbers of arrays to other places, by one call of compiled code.

    The function may add zeros. It is called once with the numbers of the places, which shows where each number goes.
    """
    dtype = arrays[0].dtype
    if sum(array.size for array in arrays) >= 2 ** np.finfo(dtype).nmant:  # more than can be counted in them
        return function(*arrays)
    zero = np.zeros(1, dtype, like=arrays[0])
    sources, numbers, count = [np.array([address(zero)])], [], 1
    for array in arrays:
        sources.append(_addresses(array).reshape(-1))
        numbers.append(np.arange(count, count + array.size, dtype=dtype).reshape(array.shape))
        count += array.size
    places = [np.asarray(found).astype(np.int64) for found in function(*numbers)]
    line = LINE // dtype.itemsize
    starts = np.cumsum([0, *(-(-place.size // line) * line for place in places)])
    target = aligned(int(starts[-1]), dtype)
    wanted = np.zeros(len(target), np.int64)
    for start, place in zip(starts, places, strict=False):
        wanted[start : start + place.size] = place.reshape(-1)
    table = np.concatenate(sources)[wanted]
    table.flags.writeable = False
    table = np.asarray(table, like=arrays[0])
    target = run_kernel("moves.moves", dtype, table, Into(target), len(target), reads=[*arrays, zero])
    return [
        target[start : start + place.size].reshape(place.shape) for start, place in zip(starts, places, strict=False)
    ]


def _addresses(array: np.ndarray) -> np.ndarray:
    found = np.full(array.shape, address(array), np.int64)
    for axis, (size, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
        found += (np.arange(size) * stride).reshape(size, *(1,) * (array.ndim - axis - 1))
    return found
