"""SIMD values in programs: arithmetic as NumPy's, and no access to memory that isn't theirs."""

import ast
import ctypes
import mmap
import os
import textwrap
from fractions import Fraction

import numpy as np
import processes
import pytest
from programs_under_test import program

from rnnkit.backends.cpu.simd import vector

DTYPES = ("float32", "float64")

ARITHMETIC = """
def run(x, y, count, row, step, bits):
    mask = first_DT(count)
    a, b = load_DT(x, mask), load_DT(y, mask)
    for result in (a + b, a - b, a * b, a / b, -a, 2 - a, a * 0.5, 1.5 + a, 3 / a, fma(a, b, a), absolute(a),
                   sqrt(a), floor(a), ceil(a), trunc(a), rint(a), copysign(a, b), minimum(a, b), maximum(a, b),
                   minimum(a, 0.25), select(a < b, a, b), select(a < b, 1.0, b), fill_DT(7), splat_DT(y)):
        store(row, result, mask)
        row += step
    row = bits
    for test in (a < b, a <= b, a > b, a >= b, a == b, a != b, a < 1, 0.5 >= a, (a < b) & (a > 0), (a < b) | (a > 0),
                 (a < b) ^ (a > 0), ~(a < b), to_mask(a), (a < b) & True):
        store(row, to_vector_DT(test), mask)
        row += step
"""
MEMORY = """
def run(source, table, target, count, stride):
    mask = first_DT(count)
    store(target, load_DT(source, mask), mask)
    store_strided(target, load_strided_DT(source, stride, mask), stride, mask)
    store(target, load_table_DT(source, table, mask), mask)
"""
REDUCTIONS = """
def run(x, out):
    a = load_full_DT(x)
    store_scalar_DT(out, reduce_add(a))
    store_scalar_DT(out + SIZE, reduce_multiply(a))
    store_scalar_DT(out + 2 * SIZE, reduce_minimum(a))
    store_scalar_DT(out + 3 * SIZE, reduce_maximum(a))
    store_scalar_DT(out + 4 * SIZE, reduce_add(load_scalar_DT(x)))
"""


def compiled(text, dtype):
    """The program of a text, in which a loop over values stands for as many statements."""
    lines = []
    tree = ast.parse(text.replace("DT", dtype).replace("SIZE", str(np.dtype(dtype).itemsize)))
    (function,) = tree.body
    for statement in function.body:
        if isinstance(statement, ast.For):
            name, body = statement.target.id, "\n".join(map(ast.unparse, statement.body))
            for value in statement.iter.elts:
                lines += [f"{name}_{len(lines)} = {ast.unparse(value)}", body.replace(name, f"{name}_{len(lines)}")]
        else:
            lines.append(ast.unparse(statement))
    head = f"def run({ast.unparse(function.args)}):\n"
    return program(head + textwrap.indent("\n".join(lines), "    ") + "\n", len(function.args.args))


def fused(a, b, c):
    """a * b + c, rounded once."""

    def one(x, y, z):
        return float(Fraction(x) * Fraction(y) + Fraction(z)) if np.isfinite([x, y, z]).all() else x * y + z

    return np.array([one(*numbers) for numbers in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)], a.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_and_comparisons_are_numpys(dtype):
    run = compiled(ARITHMETIC, dtype)
    lanes = vector.LANES[dtype]
    values = np.array(
        [0.3, -0.0, 0.0, 2.5, -2.5, 3.5, np.nan, np.inf, -np.inf, 1.0, 0.25, 2.0**90, -7.2, 0.5, -1, 2], dtype
    )
    for shift in range(0, 16, 3):
        a, b = np.resize(values, lanes), np.resize(np.roll(values, shift), lanes)
        with np.errstate(all="ignore"):
            expected = [
                a + b, a - b, a * b, a / b, -a, 2 - a, a * 0.5, 1.5 + a, 3 / a, fused(a, b, a), abs(a), np.sqrt(a),
                np.floor(a), np.ceil(a), np.trunc(a), np.rint(a), np.copysign(a, b), np.minimum(a, b), np.maximum(a, b),
                np.minimum(a, 0.25), np.where(a < b, a, b), np.where(a < b, 1.0, b), np.full(lanes, 7.0),
                np.full(lanes, b[0]),
            ]  # fmt: skip
        tests = [
            a < b, a <= b, a > b, a >= b, a == b, a != b, a < 1, a <= 0.5, (a < b) & (a > 0), (a < b) | (a > 0),
            (a < b) ^ (a > 0), ~(a < b), a != 0, a < b,
        ]  # fmt: skip
        for count in {lanes, 1, lanes - 1}:
            out, bits = np.full((len(expected), lanes), -99, dtype), np.full((len(tests), lanes), -99, dtype)
            run(a, b, count, out, out.strides[0], bits)
            np.testing.assert_array_equal(out[:, :count], np.array(expected, dtype)[:, :count])
            np.testing.assert_array_equal(bits[:, :count], np.array(tests, dtype)[:, :count])
            assert (out[:, count:] == -99).all()
            assert (bits[:, count:] == -99).all()


def page_with_a_wall():
    """(memory, address of its end): beyond the end nothing may be read or written."""
    size = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * size)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert protect(start + size, size, 0) == 0
    return memory, start + size


@pytest.mark.skipif(os.name != "posix", reason="mprotect")
@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_outside_the_mask_touch_no_memory(dtype):
    run = compiled(MEMORY, dtype)
    size = np.dtype(dtype).itemsize
    memory, end = page_with_a_wall()
    other, other_end = page_with_a_wall()
    for count in range(vector.LANES[dtype]):
        for stride in (size, 3 * size):
            values = np.arange(1, 3 * count + 1, dtype=dtype)
            ctypes.memmove(end - values.nbytes, values.ctypes.data, values.nbytes)
            # the offsets, too, end at the wall
            table = (np.arange(count)[::-1] * size).astype("int32")
            ctypes.memmove(other_end - table.nbytes, table.ctypes.data, table.nbytes)
            reach = ((count - 1) * stride + size) if count else 0
            run(end - reach, other_end - table.nbytes, end - reach, count, stride)
            # nothing before the first lane was touched, and the last store reversed what the strided one had written
            got = np.frombuffer(memory, dtype, mmap.PAGESIZE // size)
            untouched = values[: values.size - reach // size]
            np.testing.assert_array_equal(got[got.size - values.size :][: untouched.size], untouched)
            if stride == size:
                np.testing.assert_array_equal(got[got.size - count :], values[values.size - count :][::-1])
            del got


@pytest.mark.parametrize("dtype", DTYPES)
def test_reductions_take_halves_in_a_fixed_order(dtype):
    run = compiled(REDUCTIONS, dtype)
    x = np.random.default_rng(3).normal(1, 0.3, vector.LANES[dtype]).astype(dtype)
    out = np.empty(5, dtype)
    run(x, out)
    halves, products = x, x
    while halves.size > 1:
        half = halves.size // 2
        halves, products = halves[:half] + halves[half:], products[:half] * products[half:]
    np.testing.assert_array_equal(out, [halves[0], products[0], x.min(), x.max(), x[0]])
    x[1] = np.nan
    run(x, out)
    assert np.isnan(out[:4]).all()


WIDTHS = """
import hashlib, numpy as np
from programs_under_test import kernel, program
from rnnkit.backends.cpu.kernels import matmul as product
from rnnkit.backends.cpu.simd import vector
run = program(f'''
def run(x, size, out):
    for i in range(0, size, {vector.LANES["float32"]}):
        mask = first_float32(size - i)
        store(out + 4 * i, softplus(tanh(load_float32(x + 4 * i, mask))), mask)
''', 3)
x = np.random.default_rng(0).normal(0, 3, (7, 33)).astype("float32")
w = np.random.default_rng(1).normal(0, 3, (33, 50)).astype("float32")
width = product.packed_width(50, "float32")
packed, c, out = product.pack(w), np.empty((7, width), "float32"), np.empty_like(x)
run(x, x.size, out)
kernel("matmul", "define_matmul", "float32", 11)(
    x.ctypes.data, 0, 1, x.strides[0], 7, packed.ctypes.data, 33, 50, c.ctypes.data, 0, c.strides[0])
print(vector.FEATURES.split()[0], hashlib.sha1(out.tobytes() + c[:, :50].tobytes()).hexdigest())
"""


def test_the_width_of_a_vector_changes_no_bit():
    answers = [processes.with_vectors(WIDTHS, features)[0] for features in ("avx512", "avx2", "generic")]
    assert [name for name, _ in answers] == ["avx512", "avx2", "generic"]
    assert len({digest for _, digest in answers}) == 1


def test_an_unknown_width_is_told_at_its_first_use():
    _, error = processes.with_vectors(
        "from rnnkit.backends.cpu.kernels import matmul; print(matmul.packed_width(3, 'f4'))", "sse"
    )
    assert "ValueError: RNNKIT_VECTOR is 'sse': expected one of avx512, avx2, neon, generic" in error
    _, error = processes.with_vectors("from rnnkit.backends.cpu.kernels import matmul", "sse")
    assert not error
