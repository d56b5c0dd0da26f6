"""Ridge regression with its strength chosen by leave-one-out, and probabilities by its errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnkit.activations import softmax


@dataclass(frozen=True)
class Ridge:
    """Weights of a ridge regression, and each row's prediction by a fit without the row, or without 1 of its weight."""

    coefficients: np.ndarray  # (features, targets)
    intercept: np.ndarray  # (targets,)
    alpha: float  # the strength with the least leave-one-out error
    left_out: np.ndarray  # (rows, targets)
    error: float  # the mean squared error of `left_out`, by weight


def fitted(features, targets, weights, alphas) -> Ridge:
    """Minimise the sum of ``weight * |target - prediction|² + alpha * |coefficients|²``; the intercept isn't shrunk.

    A weight of 2 equals a repeated row, also in the choice of the strength. All strengths share one
    decomposition: with the left singular vectors U of the centred rows, the row i has the leverage
    ``h_i = 1 / Σw + Σ_k u_ik² s_k² / (s_k² + alpha)``, and leaving it out multiplies its residual by ``1 / (1 - h_i)``
    (Golub, Heath and Wahba 1979, "Generalized cross-validation as a method for choosing a good ridge parameter",
    equation 2.3).

    Features ``(rows, features)`` and targets ``(rows, targets)`` are of float64, weights ``(rows,)`` and alphas above
    0. Of equally good alphas the largest counts.
    """
    total, root = weights.sum(), np.sqrt(weights)[:, None]
    centre, level = weights @ features / total, weights @ targets / total
    rows = root * (features - centre)
    u, squares = _directions(rows)
    projected = u.T @ (root * (targets - level))
    taken = np.minimum(weights, 1.0) / weights  # the share of a row's weight that is left out
    best = None
    for alpha in sorted(alphas, reverse=True):
        shrunk = squares / (squares + alpha)
        residual = targets - level - (u @ (shrunk[:, None] * projected)) / root
        leverage = weights / total + u**2 @ shrunk
        apart = residual / np.maximum(1.0 - taken * leverage, 1e-10)[:, None]
        error = float((weights @ apart**2).mean() / total)
        if best is None or error < best[0]:
            best = error, alpha, targets - apart
    assert best is not None
    error, alpha, left_out = best
    coefficients = rows.T @ (u @ (projected / (squares + alpha)[:, None]))
    return Ridge(coefficients, level - centre @ coefficients, alpha, left_out, error)


def _directions(rows) -> tuple[np.ndarray, np.ndarray]:
    """Return left singular vectors and squared singular values, without those that are rounding errors."""
    from scipy.linalg import eigh

    wide = rows.shape[0] <= rows.shape[1]
    squares, vectors = eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = squares > 1e-13 * max(squares[-1], 1e-300)
    squares, vectors = squares[kept], vectors[:, kept]
    return (vectors if wide else rows @ (vectors / np.sqrt(squares))), squares


def slope(scores, codes, weights) -> float:
    """Return the factor of the scores with the most likely softmax, with one more example counted for each class.

    The scores ``(rows, classes)`` are of left-out rows, so that probabilities match the accuracy of predictions. (Platt
    1999, "Probabilistic outputs for support vector machines", section 2.2, has such targets.)
    """
    from scipy.optimize import brentq

    count, classes = weights.sum(), scores.shape[1]
    targets = (np.eye(classes)[codes] * count + 1.0) / (count + classes)

    def downhill(factor):
        return float(weights @ ((softmax(factor * scores) - targets) * scores).sum(axis=1))

    least, most = 1e-3, 1e3
    if downhill(least) >= 0:
        return least
    return most if downhill(most) <= 0 else brentq(downhill, least, most, xtol=1e-12)
