"""BatchNormalization in training: each feature by the mean and the variance of its used rows, in float64.

Rows are all axes but that of the features. `used` is the address of an array like x with 0 for each number that doesn't
count, or 0 where all do. `sums` has rows of float64: the mean, the variance, 1 / sqrt(variance + epsilon), and by how
many numbers the sums are divided.
"""

from __future__ import annotations

from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd import double, functions
from rnnkit.backends.cpu.simd.kinds import FLOATS
from rnnkit.backends.cpu.simd.load_store import fill_float64, first_float64, load_float64, load_scalar_float64, store
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.simd.vector import select

_ADDED = 1e-7  # added to the number of used rows where there is a mask, as in Keras


def _memory(name):
    return getattr(double, f"load_double_{name}"), getattr(double, f"store_double_{name}")


def define_batch_normalization(name):
    """Return the kernel of ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, to be compiled by itself."""
    size, lanes, added = FLOATS[name].size, LANES.get("float64", 1), _ADDED
    load, write = _memory(name)
    sqrt = functions.__dict__["sqrt"]

    @compiled
    def run(x, y, used, rows, features, epsilon, gamma, beta, sums):
        """Write y of x, and `sums`; the addresses of gamma and beta may be 0, and epsilon is a float64's."""
        row, feature_bytes = features * size, features * 8
        for j in range(0, features, lanes):
            m = first_float64(features - j)
            at = x + j * size
            total, count = fill_float64(0.0), fill_float64(0.0)
            if used == 0:
                for r in range(rows):
                    total = total + load(at + r * row, m)
                count = count + rows
            else:
                for r in range(rows):
                    counts = load(used + j * size + r * row, m) != 0.0
                    total = total + select(counts, load(at + r * row, m), fill_float64(0.0))
                    count = count + select(counts, fill_float64(1.0), fill_float64(0.0))
                count = count + added
            mean = total / count
            squares = fill_float64(0.0)
            for r in range(rows):
                from_mean = load(at + r * row, m) - mean
                if used != 0:
                    from_mean = select(load(used + j * size + r * row, m) != 0.0, from_mean, fill_float64(0.0))
                squares = squares + from_mean * from_mean
            variance = squares / count
            inverse = 1.0 / sqrt(variance + load_scalar_float64(epsilon))
            store(sums + 8 * j, mean, m)
            store(sums + feature_bytes + 8 * j, variance, m)
            store(sums + 2 * feature_bytes + 8 * j, inverse, m)
            store(sums + 3 * feature_bytes + 8 * j, count, m)
            slope, shift = inverse, fill_float64(0.0)
            if gamma != 0:
                slope = slope * load(gamma + j * size, m)
            if beta != 0:
                shift = load(beta + j * size, m)
            for r in range(rows):
                write(y + j * size + r * row, (load(at + r * row, m) - mean) * slope + shift, m)

    return run


def define_batch_normalization_back(name):
    """Return the backward kernel of `define_batch_normalization`, to be compiled by itself."""
    size, lanes, added = FLOATS[name].size, LANES.get("float64", 1), _ADDED
    load, write = _memory(name)

    @compiled
    def run(d, x, used, rows, features, gamma, sums, d_x, d_gamma, d_beta):
        """Write the cotangents of x, gamma and beta from that of y; the address of gamma may be 0."""
        row, feature_bytes = features * size, features * 8
        for j in range(0, features, lanes):
            m = first_float64(features - j)
            offset = j * size
            mean = load_float64(sums + 8 * j, m)
            inverse = load_float64(sums + 2 * feature_bytes + 8 * j, m)
            count = load_float64(sums + 3 * feature_bytes + 8 * j, m)
            total, along = fill_float64(0.0), fill_float64(0.0)
            for r in range(rows):
                d_y = load(d + offset + r * row, m)
                total = total + d_y
                along = along + d_y * (load(x + offset + r * row, m) - mean)
            along = along * inverse
            write(d_gamma + offset, along, m)
            write(d_beta + offset, total, m)
            slope = inverse
            if gamma != 0:
                slope = slope * load(gamma + offset, m)
            of_square = 0.0 - slope * inverse * along / count
            of_mean = (0.0 - slope * total) / count
            if used != 0:  # the sum of x - mean is 0 except for `_ADDED` in the number of rows
                of_mean = of_mean - of_square * mean * added / count
            for r in range(rows):
                found = load(d + offset + r * row, m) * slope
                by_moments = (load(x + offset + r * row, m) - mean) * of_square + of_mean
                if used != 0:
                    by_moments = select(load(used + offset + r * row, m) != 0.0, by_moments, fill_float64(0.0))
                write(d_x + offset + r * row, found + by_moments, m)

    return run
