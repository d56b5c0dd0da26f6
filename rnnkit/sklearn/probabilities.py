"""Conversion of scores of classes to probabilities."""

from __future__ import annotations

import numpy as np


def softmax(scores) -> np.ndarray:
    """Return probabilities ``(n, classes)`` for scores of any size."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


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
