"""Kernels for pooling and convolution over windows along time, and for means over time: x is ``(B, T, F)`` in C order.

Window w has the steps ``w * stride - before + k * dilation`` for k < size; those outside of the sequence don't count.
"""

from __future__ import annotations

from rnnkit.backends.cpu.kernels.row_copy import clear_bytes
from rnnkit.backends.cpu.kernels.row_copy import used as is_used
from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import double, functions, load_store
from rnnkit.backends.cpu.simd.kinds import FLOATS
from rnnkit.backends.cpu.simd.load_store import fill_float64, first_float64, store
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.simd.vector import select


def _of(name):
    """Return size and lanes of a float, and the functions that make a mask, load and fill its vectors."""
    found = (getattr(load_store, f"{what}_{name}") for what in ("first", "load", "fill"))
    return FLOATS[name].size, LANES.get(name, 1), *found


def define_window_sums(name):
    """Return the kernel of the cotangent of x from that of its windows, to be compiled by itself."""
    size, lanes, first, load, _ = _of(name)

    @compiled
    def run(d, d_x, rows, length, features, count, steps, stride, dilation, before):
        """Add each number of `d` ``(B, L, steps, F)`` to the one of `d_x` that it came from; `d_x` is overwritten."""
        row = features * size
        clear_bytes(d_x, rows * length * row)
        for b in range(rows):
            for k in range(steps):
                for w in range(count):
                    t = w * stride + k * dilation - before
                    if t >= 0 and t < length:
                        source, target = d + ((b * count + w) * steps + k) * row, d_x + (b * length + t) * row
                        for j in range(0, features, lanes):
                            m = first(features - j)
                            at = target + j * size
                            store(at, load(at, m) + load(source + j * size, m), m)

    return run


def define_window_largest(name):
    """Return the kernel of the largest number of each window, to be compiled by itself."""
    return _define_windows(name, False)


def _define_windows(name, means):
    size, lanes, first, load, fill = _of(name)
    maximum = functions.__dict__["maximum"]

    @compiled
    def run(x, y, rows, length, features, count, steps, stride, before):
        """Write y ``(B, L, F)``, means or the largest numbers; NaN is the largest."""
        row = features * size
        for b in range(rows):
            for w in range(count):
                start = w * stride - before
                low, high = max(start, 0), min(start + steps, length)
                for j in range(0, features, lanes):
                    m = first(features - j)
                    at = x + b * length * row + j * size
                    found = fill(0.0) if means else load(at + low * row, m)
                    for t in range(low if means else low + 1, high):
                        found = found + load(at + t * row, m) if means else maximum(found, load(at + t * row, m))
                    store(y + (b * count + w) * row + j * size, found / (high - low) if means else found, m)

    return run


def define_window_largest_back(name):
    """Return the backward kernel of `define_window_largest`, to be compiled by itself."""
    size, lanes, first, load, fill = _of(name)
    maximum = functions.__dict__["maximum"]

    @compiled
    def run(d, x, d_x, rows, length, features, count, steps, stride, before):
        """Write `d_x`: the first step of a window with its largest number gets the window's cotangent."""
        row = features * size
        clear_bytes(d_x, rows * length * row)
        for b in range(rows):
            for w in range(count):
                start = w * stride - before
                low, high = max(start, 0), min(start + steps, length)
                for j in range(0, features, lanes):
                    offset = (b * count + w) * row + j * size
                    left = first(features - j)
                    m, d_y, source = left, load(d + offset, left), x + b * length * row + j * size
                    largest = load(source + low * row, m)
                    for t in range(low + 1, high):
                        largest = maximum(largest, load(source + t * row, m))
                    for t in range(low, high):
                        at = (b * length + t) * row + j * size
                        taken = left & (load(x + at, m) == largest)
                        store(d_x + at, load(d_x + at, m) + select(taken, d_y, fill(0.0)), m)
                        left = left & ~taken

    return run


def define_window_means(name):
    """Return the kernel of the mean of each window, to be compiled by itself."""
    return _define_windows(name, True)


def define_window_means_back(name):
    """Return the backward kernel of `define_window_means`, to be compiled by itself."""
    size, lanes, first, load, _ = _of(name)

    @compiled
    def run(d, d_x, rows, length, features, count, steps, stride, before):
        row = features * size
        clear_bytes(d_x, rows * length * row)
        for b in range(rows):
            for w in range(count):
                start = w * stride - before
                low, high = max(start, 0), min(start + steps, length)
                for j in range(0, features, lanes):
                    m = first(features - j)
                    each = load(d + (b * count + w) * row + j * size, m) / (high - low)
                    for t in range(low, high):
                        at = d_x + (b * length + t) * row + j * size
                        store(at, load(at, m) + each, m)

    return run


@compiled
def _used_steps(used, length):
    """Return the number of `length` bytes that aren't zero; `length` where there are none."""
    count = length
    if used != 0:
        count = 0
        for t in range(length):
            count += is_used(used + t)
    return count


def define_mean_over_time(name):
    """Return the kernel of the mean of a sequence's used steps, added up in float64, to be compiled by itself."""
    size, lanes = FLOATS[name].size, LANES.get("float64", 1)
    load, write = (getattr(double, f"{what}_double_{name}") for what in ("load", "store"))

    @compiled
    def run(x, y, used, rows, length, features):
        """Write y ``(B, F)``; `used` is the address of bytes ``(B, T)``, or 0."""
        row = features * size
        for b in range(rows):
            steps = used + b * length if used != 0 else 0
            count = max(_used_steps(steps, length), 1)
            for j in range(0, features, lanes):
                m = first_float64(features - j)
                total = fill_float64(0.0)
                for t in range(length):
                    if steps == 0 or is_used(steps + t):
                        total = total + load(x + (b * length + t) * row + j * size, m)
                write(y + b * row + j * size, total / count, m)

    return run


def define_mean_over_time_back(name):
    """Return the backward kernel of `define_mean_over_time`, to be compiled by itself."""
    size, lanes, first, load, fill = _of(name)

    @compiled
    def run(d, d_x, used, rows, length, features):
        """Write `d_x`, 0 at steps that aren't used."""
        row = features * size
        for b in range(rows):
            steps = used + b * length if used != 0 else 0
            count = max(_used_steps(steps, length), 1)
            for j in range(0, features, lanes):
                m = first(features - j)
                each = load(d + b * row + j * size, m) / count
                for t in range(length):
                    found = each if steps == 0 or is_used(steps + t) else fill(0.0)
                    store(d_x + (b * length + t) * row + j * size, found, m)

    return run
