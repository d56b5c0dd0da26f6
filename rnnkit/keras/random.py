"""Random arrays, as Keras's functions draw them: from a seed, a `SeedGenerator`, or the program's own seed."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rnnkit import initializers
from rnnkit.keras import settings
from rnnkit.layers.noise import Drawn
from rnnkit.layers.support import symbolic
from rnnkit.models.call_trace import CallTrace


class SeedGenerator:
    """Generator of seeds, with a new one for each draw.

    Parameters
    ----------
    seed : int, optional
    name : str, optional
    """

    def __init__(self, seed=None, name=None):
        self.seed, self.name = seed, name
        self._sequence = np.random.SeedSequence(seed)

    def next(self, ordered=True) -> np.random.SeedSequence:
        """Return the next seed."""
        return self._sequence.spawn(1)[0]

    next_seed = next


def _draw(function, shape, dtype, seed) -> Any:
    trace = symbolic.tracing.get()
    if not isinstance(trace, CallTrace):
        return _cast(function(_rng(seed), shape), dtype)
    rows, *sizes = shape
    if rows is not None:
        raise ValueError(f"expected draws in `call` of a shape that begins with ops.shape(x)[0], got {tuple(shape)}")
    seed = seed.next() if isinstance(seed, SeedGenerator) else settings.next_seed() if seed is None else seed
    zeros = symbolic.RECORD[0]("rows", (trace.first, np.zeros((1, *sizes))), {})
    return Drawn(function, seed)(zeros, training=True)


def _rng(seed) -> np.random.Generator:
    if isinstance(symbolic.tracing.get(), CallTrace):
        raise ValueError("expected keras.random.normal, truncated_normal or uniform in `call`, which is read once")
    if isinstance(seed, SeedGenerator):
        seed = seed.next()
    return np.random.default_rng(settings.next_seed() if seed is None else seed)


def _cast(values, dtype):
    return np.asarray(values).astype(getattr(dtype, "name", dtype) or settings.floatx())


def _normal(mean, stddev, rng, shape):
    return rng.normal(mean, stddev, shape)


def _truncated(mean, stddev, rng, shape):
    return initializers.TruncatedNormal(mean, stddev)(tuple(shape), rng)


def _uniform(least, most, rng, shape):
    return rng.uniform(least, most, shape)


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None) -> np.ndarray:
    """Normal numbers."""
    return _draw(partial(_normal, mean, stddev), shape, dtype, seed)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None) -> np.ndarray:
    """Normal numbers that are at most two standard deviations from the mean."""
    return _draw(partial(_truncated, mean, stddev), shape, dtype, seed)


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None) -> np.ndarray:
    """Numbers between two bounds."""
    return _draw(partial(_uniform, minval, maxval), shape, dtype, seed)


def randint(shape, minval, maxval, dtype="int32", seed=None) -> np.ndarray:
    """Integers from `minval` to below `maxval`."""
    return _cast(_rng(seed).integers(minval, maxval, shape), dtype)


def binomial(shape, counts, probabilities, dtype=None, seed=None) -> np.ndarray:
    """Numbers of successes."""
    return _cast(_rng(seed).binomial(np.asarray(counts, int), probabilities, shape), dtype)


def beta(shape, alpha, beta, dtype=None, seed=None) -> np.ndarray:
    """Numbers of a beta distribution."""
    return _cast(_rng(seed).beta(alpha, beta, shape), dtype)


def gamma(shape, alpha, dtype=None, seed=None) -> np.ndarray:
    """Numbers of a gamma distribution."""
    return _cast(_rng(seed).gamma(alpha, size=shape), dtype)


def categorical(logits, num_samples, dtype="int32", seed=None) -> np.ndarray:
    """Classes drawn by their logits ``(batch, classes)``: ``(batch, num_samples)``."""
    logits = np.asarray(logits, np.float64)
    noise = _rng(seed).gumbel(size=(logits.shape[0], num_samples, logits.shape[1]))
    return _cast(np.argmax(logits[:, None] + noise, axis=-1), dtype)


def shuffle(x, axis=0, seed=None) -> np.ndarray:
    """Return the entries along an axis in a new order."""
    return _rng(seed).permutation(np.asarray(x), axis=axis)


def dropout(inputs, rate, noise_shape=None, seed=None) -> np.ndarray:
    """Return an array with a share of its entries at 0, and the others scaled up."""
    inputs = np.asarray(inputs)
    kept = _rng(seed).random(inputs.shape if noise_shape is None else noise_shape) >= rate
    return inputs * kept.astype(inputs.dtype) / (1 - rate or 1)
