"""The arithmetic of attention: masks of pairs, weights from scores, sums with them, and the backward functions."""

from __future__ import annotations

import numpy as np

from rnnkit.custom_gradients import by_kernels, custom_gradient


def near(queries: int, keys: int, window: int) -> np.ndarray:
    """Return the mask of pairs ``(queries, keys)`` that are fewer steps apart than a window has."""
    return np.abs(np.arange(queries)[:, None] - np.arange(keys)) < window


def both(first, second):
    """Return the pairs that two masks use; None uses all."""
    if first is None or second is None:
        return second if first is None else first
    return np.logical_and(first, second)


class Finite:
    """An array ``(B, T, F)`` with 0 in place of NaN and infinity, where a mask may leave these out.

    A product with a weight of 0 would let NaN through. So it is computed without, and every pair or sum that uses such
    a step, one of `bad` ``(B, T)``, is NaN afterwards.
    """

    def __init__(self, x, masked: bool):
        self.values, self.bad = x, None
        if masked:
            self.values, self.bad = _finite(x), np.logical_not(np.isfinite(x).all(axis=-1))


@custom_gradient
def _finite(x):
    return np.where(np.isfinite(x), x, 0.0), lambda d: d


@custom_gradient
def _spoiled(where, x):
    return np.where(where, np.nan, x), lambda d: (None, d)


def spoiled_scores(scores, used, query: Finite, key: Finite):
    """Return scores ``(B, …, T, S)`` with NaN for used pairs of which a step isn't finite."""
    for bad, axis in ((query.bad, -1), (key.bad, -2)):
        if bad is not None:
            there = np.expand_dims(bad, (*range(1, scores.ndim - 2), axis))
            scores = _spoiled(np.logical_and(used, there), scores)
    return scores


def spoiled_sums(sums, used, value: Finite):
    """Return sums ``(B, …, T, F)`` with NaN where they use a value that isn't finite."""
    if value.bad is None:
        return sums
    there = np.expand_dims(value.bad, tuple(range(1, sums.ndim - 1)))
    return _spoiled(np.logical_and(used, there).any(axis=-1)[..., None], sums)


@by_kernels(lambda x, used: np.where(used, x, 0), lambda d, shape, used: np.where(used, d, 0), "shape")
def where_used(x, used):
    """Return x where it is used, else 0."""
    return np.where(used, x, 0.0)


def _softmax(scores, pairs=None, relative=False, empty=False):
    from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

    pairs, sizes, strides = _with_strides(pairs, scores.shape)
    given = scores, New(scores.shape), pairs, *sizes, *strides, int(relative), int(empty)
    return run_kernel("softmax.softmax", scores.dtype, *given)


def _softmax_back(d, weights, pairs=None, relative=False, empty=False):
    from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

    pairs, sizes, strides = _with_strides(None if relative else pairs, d.shape)
    return run_kernel("softmax.softmax_back", d.dtype, d, weights, New(d.shape), pairs, *sizes, *strides)


@by_kernels(_softmax, _softmax_back, "y")
def softmax(scores, pairs=None, relative: bool = False, empty: bool = False):
    """Return weights of sum 1 along the last axis of scores ``(B, …, T, S)``, new; of no scores no weights.

    Pairs that don't count have the weight 0. Where no pair of a query counts, all have a score of -1e9 instead, as in
    Keras, their score - 1e9 if `relative`, or with `empty` the weight 0.
    """
    if not scores.shape[-1]:
        return scores
    kept = scores
    if pairs is not None:
        kept = np.where(pairs, scores, -np.inf)
        some = kept.max(axis=-1, keepdims=True) > -np.inf
        kept = np.where(some, kept, np.where(pairs, scores, scores - 1e9 if relative else -1e9))
    exponents = np.exp(kept - kept.max(axis=-1, keepdims=True))
    shares = exponents / exponents.sum(axis=-1, keepdims=True)
    return np.where(pairs, shares, 0.0) if empty and pairs is not None else shares


def _with_strides(pairs, shape) -> tuple:
    """Return pairs with a contiguous last axis, four sizes of scores, and strides of pairs for the first three."""
    sizes = shape if len(shape) == 4 else (shape[0], 1, *shape[1:])
    if pairs is None:
        return None, sizes, (0, 0, 0)
    own = pairs.shape if len(shape) == 4 else (pairs.shape[0], 1, *pairs.shape[1:])
    if own[3] != sizes[3]:
        own = (*own[:3], sizes[3])
        pairs = np.broadcast_to(pairs, (*pairs.shape[:-1], sizes[3])).copy()
    inside = own[1] * own[2] * own[3], own[2] * own[3], own[3]
    return pairs, sizes, tuple(stride if size > 1 else 0 for size, stride in zip(own, inside, strict=False))
