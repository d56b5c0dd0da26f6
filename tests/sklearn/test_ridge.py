"""The ridge regression of the readouts, beside scikit-learn's and beside leaving rows out."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV

from rnnkit.activations import softmax
from rnnkit.sklearn.ridge import fitted, slope

ALPHAS = (0.01, 1.0, 100.0)


def problem(rows, features, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features))
    return x, x[:, :3] @ rng.normal(size=(3, 2)) + rng.normal(size=(rows, 2))


@pytest.mark.parametrize("rows,features", [(40, 6), (12, 30)], ids=["tall", "wide"])
def test_it_is_that_of_scikit_learn(rows, features):
    x, y = problem(rows, features)
    found = fitted(x, y, np.ones(rows), ALPHAS)
    theirs = RidgeCV(ALPHAS).fit(x, y)
    assert found.alpha == theirs.alpha_
    np.testing.assert_allclose(found.coefficients.T, theirs.coef_, rtol=1e-8)
    np.testing.assert_allclose(found.intercept, theirs.intercept_, rtol=1e-8)
    np.testing.assert_allclose(-found.error, theirs.best_score_, rtol=1e-8)


@pytest.mark.parametrize("rows,features", [(40, 6), (12, 30)], ids=["tall", "wide"])
def test_what_a_row_gets_without_itself(rows, features):
    x, y = problem(rows, features)
    weights = np.random.default_rng(1).integers(1, 4, size=rows).astype(float)
    found = fitted(x, y, weights, ALPHAS)
    for row in range(rows):
        less = weights.copy()
        less[row] -= 1.0
        without = Ridge(found.alpha).fit(x, y, sample_weight=less)
        np.testing.assert_allclose(found.left_out[row], without.predict(x[row : row + 1])[0], rtol=1e-7)


def test_a_weight_is_a_row_that_comes_so_often():
    x, y = problem(20, 30)
    weights = np.random.default_rng(1).integers(1, 4, size=20)
    rows = np.repeat(np.arange(20), weights)
    found, repeated = fitted(x, y, weights.astype(float), ALPHAS), fitted(x[rows], y[rows], np.ones(len(rows)), ALPHAS)
    assert found.alpha == repeated.alpha
    np.testing.assert_allclose(found.coefficients, repeated.coefficients, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.error, repeated.error, rtol=1e-8)


def test_features_that_say_nothing_leave_the_mean():
    found = fitted(np.zeros((5, 3)), np.arange(5.0)[:, None], np.ones(5), ALPHAS)
    assert found.alpha == 100.0 and not found.coefficients.any() and found.intercept == [2.0]


def test_the_slope_is_the_most_likely():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 3))
    codes = np.array([rng.choice(3, p=row) for row in softmax(2.5 * scores)])
    assert slope(scores, codes, np.ones(4000)) == pytest.approx(2.5, rel=0.1)
    assert slope(np.zeros((4, 2)), np.array([0, 1, 0, 1]), np.ones(4)) == 1e-3  # scores that say nothing
    apart = np.eye(2)[[0, 1] * 10]
    sure = softmax(slope(apart, np.array([0, 1] * 10), np.ones(20)) * apart)
    assert sure.max() == pytest.approx(21 / 22)
