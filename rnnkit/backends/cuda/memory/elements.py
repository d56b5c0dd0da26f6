"""Kernels that go over arrays element by element: copies between any strides, sums, products."""

from __future__ import annotations

import math
import warnings
from functools import cache

try:
    from numba import cuda
except ImportError:  # not used without the extra, though tools may import this module
    cuda = None

_THREADS = 256


def move(target, source, count, to, at, shape, target_strides, source_strides):
    """Copy elements; both arrays cover the span of their strides, and places and strides count elements."""
    i = cuda.grid(1)
    if i < count:
        rest = i
        for back in range(len(shape)):
            axis = len(shape) - 1 - back
            place = rest % shape[axis]
            to += place * target_strides[axis]
            at += place * source_strides[axis]
            rest //= shape[axis]
        target[to] = source[at]


def add(target, first, second):
    i = cuda.grid(1)
    if i < target.size:
        target[i] = first[i] + second[i]


def multiply(target, first, second):
    i = cuda.grid(1)
    if i < target.size:
        target[i] = first[i] * second[i]


def scale(target, first, factor):
    i = cuda.grid(1)
    if i < target.size:
        target[i] = first[i] * factor


@cache
def kernel(function):
    """Return the function as a kernel, compiled for each dtype and number of axes at its first use."""
    return cuda.jit(function)


def _launch(function, count, stream, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's, that few blocks don't fill a GPU: few elements take no more
        configured = kernel(function)[-(-count // _THREADS), _THREADS, _stream(stream)]
    configured(*arguments)


def _stream(handle: int):
    return cuda.external_stream(handle) if handle else 0


def launch_move(target, source, shape, target_strides, source_strides, itemsize, stream) -> None:
    """Copy from address to address in the order of a stream; strides in bytes, multiples of an element's size."""
    if count := math.prod(shape):
        steps = [[stride // itemsize for stride in strides] for strides in (target_strides, source_strides)]
        shape, *joint = joined(shape, *steps)
        spans = [span(shape, one) for one in joint]
        places = zip((target, source), spans, strict=True)
        arrays = [_view(at + low * itemsize, high - low + 1, f"<u{itemsize}") for at, (low, high) in places]
        _launch(move, count, stream, *arrays, count, *(-low for low, _ in spans), shape, *joint)


def launch_pointwise(name, target, first, second, count, dtype, stream) -> None:
    """Run a named function on contiguous memory at addresses; `second` is an address or, as a float, a number."""
    if count:
        last = _view(second, count, dtype.str) if isinstance(second, int) else second
        _launch(globals()[name], count, stream, _view(target, count, dtype.str), _view(first, count, dtype.str), last)


def joined(shape, *strides) -> tuple[tuple[int, ...], ...]:
    """Return sizes and strides of the same elements in the same order with as few axes as possible, at least one."""
    found: list[tuple[int, ...]] = []
    for size, *steps in zip(shape, *strides, strict=True):
        if size == 1:
            continue
        if found and all(before == size * step for before, step in zip(found[-1][1:], steps, strict=True)):
            found[-1] = (found[-1][0] * size, *steps)
        else:
            found.append((size, *steps))
    return tuple(zip(*(found or [(1,) * (1 + len(strides))]), strict=True))


def span(shape, strides) -> tuple[int, int]:
    """Return the places of the lowest and the highest element, relative to the first one."""
    ends = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
    return sum(min(end, 0) for end in ends), sum(max(end, 0) for end in ends)


def _view(address: int, count: int, typestr: str):
    found = {"shape": (count,), "typestr": typestr, "data": (address, False), "version": 3}
    return cuda.from_cuda_array_interface(found, sync=False)
