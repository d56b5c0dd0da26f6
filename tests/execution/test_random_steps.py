"""Random cells, compiled: the plain loop's numbers, and the laws bit for bit.

A failure prints the cell; ``pytest tests/execution/test_random_steps.py -m "" -k cell_1234`` runs it again.
"""

import processes
import pytest
from random_runs import OTHERS, USUAL, cells, check, check_gradient, numbered
from random_steps import SIZES


@numbered(USUAL)
def test_a_random_cell(number):
    check(number)


@pytest.mark.sweep
@numbered(OTHERS)
def test_many_random_cells(number):
    check(number)


@numbered([SIZES * text + text % SIZES for text in range(2, 60, 8)])
def test_the_adjoint_of_a_random_cell(number):
    check_gradient(number, compiled=False)


@numbered(cells(1, 18)[::4])
def test_gradient_of_a_random_cell(number):
    check_gradient(number)


@pytest.mark.sweep
@numbered(OTHERS)
def test_gradients_of_many_random_cells(number):
    check_gradient(number)


@pytest.mark.parametrize("features", ["avx2", "generic"])
def test_random_cells_in_narrower_vectors(features):
    numbers = cells(41)
    said, error = processes.with_vectors(f"from random_runs import check; print(*map(check, {numbers}))", features)
    assert len(said) == len(numbers), error
