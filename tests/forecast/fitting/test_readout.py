"""The readout: a ridge regression for each lead, from sums."""

import numpy as np

from rnnkit.forecast.fitting.readout import NormalEquations


def test_normal_equations_solve_the_ridge_problem(rng):
    features = np.column_stack([np.ones(60), rng.standard_normal((60, 4))])
    targets = rng.standard_normal((60, 3))
    targets[rng.random((60, 3)) < 0.3] = np.nan
    equations = NormalEquations(5, 3)
    for start in range(0, 60, 7):
        equations.add(features[start : start + 7], targets[start : start + 7])
    weights = equations.solve(2.5)
    for lead in range(3):
        rows = ~np.isnan(targets[:, lead])
        # a ridge is least squares with rows that ask for zero; none asks it of the intercept
        wanted = np.linalg.lstsq(
            np.vstack([features[rows], np.sqrt(2.5) * np.eye(5)[1:]]),
            np.append(targets[rows, lead], np.zeros(4)),
            rcond=None,
        )[0]
        np.testing.assert_allclose(weights[:, lead], wanted, rtol=1e-9, atol=1e-12)
        error = np.mean((features[rows] @ weights[:, lead] - targets[rows, lead]) ** 2)
        np.testing.assert_allclose(equations.error(weights)[lead], error, rtol=1e-9)


def test_sums_of_parts_are_the_sums_of_the_whole(rng):
    features, targets = rng.standard_normal((50, 4)), rng.standard_normal((50, 2))
    targets[3, 1] = np.nan
    parts = [NormalEquations(4, 2) for _ in range(3)]
    for part, rows in zip(parts, (slice(0, 10), slice(10, 30), slice(30, 50)), strict=True):
        part.add(features[rows], targets[rows])
    whole = NormalEquations(4, 2)
    whole.add(features, targets)
    total = parts[0] + parts[1] + parts[2]
    for lead in range(2):
        np.testing.assert_allclose(total.gram(lead), whole.gram(lead), atol=1e-12)
    assert total.count.tolist() == whole.count.tolist() == [50, 49]
    np.testing.assert_allclose(total.solve(1.0), whole.solve(1.0), atol=1e-12)
