"""Instructions as text: what LLVM makes of it, and what is written once."""

import numpy as np
import pytest
from programs_under_test import program

from rnnkit.backends.cpu.language.function import read
from rnnkit.backends.cpu.language.translate import translate
from rnnkit.backends.cpu.simd.registers import LANES

HEAD = """
from rnnkit.backends.cpu.language.function import compiled, directing
from rnnkit.backends.cpu.simd.atomic import word
from rnnkit.backends.cpu.simd.vector import *
"""


def lines_of(body: str, decorator="compiled", arguments=3) -> list[str]:
    """The instructions of the function ``run``."""
    modules = translate(read(f"{HEAD}@{decorator}\n{body.lstrip()}"), "run", arguments)
    module = next(module for module in modules if module.directs == (decorator == "directing"))
    return [line.strip() for line in str(module.globals["run"]).splitlines()]


def count(lines, operation) -> int:
    return sum(f" = {operation} " in line for line in lines)


def test_a_value_is_computed_once_in_a_block():
    lines = lines_of("def run(a, b, c):\n    return (a * b + c) ^ ((a * b + c) // 7)\n")
    assert count(lines, "mul") == 1 and count(lines, "add") == 1


def test_a_value_of_another_block_is_not_taken():
    """It may not be there on the way that was taken."""
    lines = lines_of("def run(a, b, c):\n    x = 0\n    if c > 0:\n        x = a * b\n    return x + a * b\n")
    assert count(lines, "mul") == 2


def test_memory_is_read_each_time():
    """Another thread, or the line between, may have written it."""
    lines = lines_of("def run(a, b, c):\n    return word(a, 1) + word(a, 1)\n")
    assert count(lines, "load") == 2


@pytest.mark.parametrize("text", ["3 + 4 * 5 - 6", "word(a, 0) * 0 + 17", "(a + 0) * 1 - a + 17"])
def test_sums_of_numbers_are_numbers(text):
    run, memory = program(f"def run(a):\n    return {text}\n", 1), np.array([5], np.int64)
    assert run(memory) == 17
    assert count(lines_of("def run(a, b, c):\n    return (a + 0) * 1 + 3 * 4\n"), "mul") == 0


def test_variables_of_a_directing_function_are_on_the_stack():
    """Only those that are assigned more than once; no phi remains but that of a counted loop."""
    body = """
def run(a, b, c):
    x, y = a, b
    for i in range(c):
        if i > y:
            x += i
    return x
"""
    lines = lines_of(body, "directing")
    assert count(lines, "alloca") == 1 and count(lines, "phi") == 1
    assert count(lines_of(body), "alloca") == 0


def test_an_address_of_numbers_is_none_of_vectors():
    """To LLVM both are the same pointer."""
    body = """
def run(x, y):
    store_full(y, load_full_float32(x) + splat_float32(x))
"""
    x, y = np.arange(1, 17, dtype=np.float32), np.zeros(16, np.float32)
    program(body, 2)(x, y)
    lanes = LANES["float32"]
    np.testing.assert_array_equal(y[:lanes], x[:lanes] + 1)


def test_zeros_keep_their_signs():
    """Constants are kept by their digits, not by their values."""
    body = """
def run(x, y):
    m = first_float32(2)
    store(y, load_float32(x, m) * 0.0, m)
    store(y + 8, load_float32(x, m) * -0.0, m)
"""
    x, y = np.array([1.0, -1.0], np.float32), np.zeros(4, np.float32)
    program(body, 2)(x, y)
    np.testing.assert_array_equal(np.signbit(y), [False, True, True, False])
