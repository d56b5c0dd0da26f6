"""Cells made at random in C: what the plain loop in NumPy gives."""

import numpy as np
import pytest
from c_code_runs import Library, needs_compiler
from random_steps import SIZES, random_cell

import rnnkit as rk

STEPS = 6
MOST = 16.0  # times a cell's roundings, as for the compiled programs


def arguments(cell, seed):
    rng = np.random.default_rng((cell.number, seed))
    x = rng.normal(0, 0.7, (1, STEPS, *cell.features)).astype(cell.dtype)
    return x, [rng.normal(0, 0.7, (1, *shape)).astype(cell.dtype) for shape in cell.constants] or None


def are_right(numbers, folder):
    layers = {}
    with rk.eager():  # which compiles no program
        for number in numbers:
            cell = random_cell(number)
            layer = rk.RNN(cell, return_sequences=True, dtype=cell.dtype)
            layer.build((None, None, *cell.features))
            layers[f"cell_{number}"] = layer, {"constants": arguments(cell, 0)[1]}
        library = Library(layers, folder)
        for number in numbers:
            layer = layers[f"cell_{number}"][0]
            x, constants = arguments(layer.cell, 1)
            want = layer(x, constants=constants)[0]
            sequence = library.sequence(
                f"cell_{number}", layer.dtype, [(want.shape[1:], True)], [c[0] for c in constants or []]
            )
            unit = np.finfo(layer.dtype).eps * np.abs(want).max(initial=1.0)
            off = np.abs(sequence.run(x[0]) - want).max(initial=0) / unit
            allowed = MOST * layer.cell.roundings * STEPS
            assert off <= allowed, f"off by {off:.0f}\n{layer.cell.describe()}"


@needs_compiler
def test_random_cells(tmp_path):
    are_right(range(SIZES), tmp_path)


@needs_compiler
@pytest.mark.sweep
@pytest.mark.parametrize("first", range(300, 1500, 60))
def test_many_random_cells(tmp_path, first):
    are_right(range(first, first + 60), tmp_path)
