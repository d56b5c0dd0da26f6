"""Attention as arithmetic: which pairs of steps count, weights from scores, sums with them, and the ways back."""

from __future__ import annotations

import numpy as np

FAR = 1e9  # what keeps a pair that a mask leaves out from all weight, in Keras too


def causal(queries: int, keys: int) -> np.ndarray:
    """Pairs ``(queries, keys)`` in which the key isn't later than the query."""
    return np.tri(queries, keys, dtype=bool)


def both(first, second):
    """The pairs that two masks use; None uses all."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


class Finite:
    """An array ``(B, T, F)`` with 0 for what isn't finite, where a mask may leave that out.

    A product with a weight of 0 would let NaN through. So it is computed without, and every pair or sum that uses such
    a step is NaN afterwards.

    Attributes
    ----------
    values : ndarray (B, T, F)
    bad : ndarray (B, T) or None
        Steps with an entry that was replaced.
    """

    def __init__(self, x: np.ndarray, masked: bool):
        self.values, self.bad = x, None
        if masked and not (finite := np.isfinite(x)).all():
            self.values, self.bad = np.where(finite, x, 0), ~finite.all(axis=-1)


def spoil_scores(scores: np.ndarray, used, query: Finite, key: Finite) -> None:
    """Put NaN into scores ``(B, …, T, S)`` of used pairs of which a step isn't finite."""
    for bad, axis in ((query.bad, -1), (key.bad, -2)):
        if bad is not None:
            there = np.expand_dims(bad, (*range(1, scores.ndim - 2), axis))
            scores[np.broadcast_to(used & there, scores.shape)] = np.nan


def spoil_sums(sums: np.ndarray, used, value: Finite) -> None:
    """Put NaN into sums ``(B, …, T, F)`` that use a value that isn't finite."""
    if value.bad is not None:
        there = np.expand_dims(value.bad, tuple(range(1, sums.ndim - 1)))
        sums[np.broadcast_to((used & there).any(axis=-1), sums.shape[:-1])] = np.nan


def softmax(scores: np.ndarray) -> np.ndarray:
    """Weights of sum 1 along the last axis, new; of no scores no weights."""
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
        weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def softmax_back(weights: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The cotangent of scores, of that of their weights."""
    return weights * (d - (d * weights).sum(axis=-1, keepdims=True))


def turned(x: np.ndarray) -> np.ndarray:
    """The last two axes in the other order."""
    return x.swapaxes(-1, -2)
