"""BFGS on many small problems at once."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from rnnkit.optimizers.rowwise import minimize_rows


def quadratics(count, size, seed=0):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(count, size, size)) / np.sqrt(size)
    curvature = roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(size)
    aims = rng.normal(size=(count, size))

    def function(rows, x):
        off = x - aims[rows]
        slope = np.einsum("nij,nj->ni", curvature[rows], off)
        return 0.5 * (off * slope).sum(axis=1), slope

    return function, aims


@pytest.mark.parametrize("size", [1, 3, 9])
def test_quadratics_are_solved(size):
    function, aims = quadratics(20, size)
    found = minimize_rows(function, np.zeros((20, size)), iterations=300, tolerance=1e-14)
    np.testing.assert_allclose(found.x, aims, atol=1e-4)


def test_a_row_does_not_depend_on_the_others():
    function, _ = quadratics(7, 4)
    start = np.random.default_rng(1).normal(size=(7, 4))
    whole = minimize_rows(function, start, iterations=40)
    for row in range(7):
        alone = minimize_rows(lambda rows, x, row=row: function(rows + row, x), start[row : row + 1], iterations=40)
        np.testing.assert_allclose(alone.x[0], whole.x[row], rtol=1e-9, atol=1e-12)


def test_a_curved_valley():
    starts = np.random.default_rng(2).uniform(-1.5, 1.5, (12, 2))
    function = lambda rows, x: (np.array([rosen(p) for p in x]), np.array([rosen_der(p) for p in x]))
    found = minimize_rows(function, starts, iterations=400, tolerance=1e-12)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)


def test_values_never_rise_and_what_is_not_finite_is_not_taken():
    def function(rows, x):
        with np.errstate(invalid="ignore"):
            value = np.where(x[:, 0] > 0, x[:, 0] - np.log(np.maximum(x[:, 0], 1e-300)), np.inf)
        return value, (1 - 1 / x)

    start = np.array([[0.05], [8.0], [1.0]])
    first = function(None, start)[0]
    found = minimize_rows(function, start, iterations=100)
    assert (found.value <= first).all() and np.isfinite(found.value).all()
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)


def test_converged_rows_are_left_alone():
    seen = []

    def function(rows, x):
        seen.append(len(rows))
        hard = np.where(rows == 0, 1.0, 1e-3)[:, None]
        return (hard * (x - 3) ** 4).sum(axis=1), 4 * hard * (x - 3) ** 3

    found = minimize_rows(function, np.array([[0.0], [3.0], [3.0]]), iterations=50)
    assert seen[0] == 3 and seen[-1] == 1 and found.evaluations == sum(seen)


def test_the_start_stays():
    function, _ = quadratics(3, 2)
    start = np.zeros((3, 2))
    minimize_rows(function, start)
    assert not start.any()


def test_hopeless_rows_end_early_and_change_no_other():
    function, _ = quadratics(20, 6)
    found = minimize_rows(function, np.zeros((20, 6)), iterations=200)
    fewer = minimize_rows(function, np.zeros((20, 6)), iterations=200, hopeless=lambda rows, values: rows % 2 == 1)
    np.testing.assert_array_equal(fewer.x[::2], found.x[::2])
    assert fewer.evaluations < found.evaluations
