"""Random numbers that a step draws anew each time: a counter-based generator, on arrays and on symbols.

The numbers are a function of a row's key, of how many steps it has gone, of the draw and of the place in it: Philox4x32
with ten rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011), computed with the
step's own integers. Key and count are a state, so that a sequence may be split, streamed and resumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.custom_gradients import stop_gradient

STATE = "random"  # the name of the state
SIZE = 4  # two parts of the key, of 24 bits, exact in float32; the steps gone, and how often they passed 2**24
_LEAST = 1 << 24
_MASK = 0xFFFFFFFF
_MULTIPLIERS, _WEYL, _ROUNDS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85), 10
_METHODS = (
    "choice exponential gamma gumbel integers laplace logistic lognormal normal poisson random standard_exponential "
    "standard_gamma standard_normal uniform"
)
_TRIES = 6  # of a gamma distribution, of which one fails in less than a twentieth of all cases
_FEW, _COUNTED = 10.0, 34  # the largest mean of a Poisson distribution whose counts are looked for one by one
NAMES = {"normal": "standard_normal", "uniform": "random", "exponential": "standard_exponential"}


def new_keys(rng: np.random.Generator, shape) -> np.ndarray:
    """Return a key for each row, which a call draws for rows that have none yet."""
    return rng.integers(0, _LEAST, shape)


def begun(state, keys):
    """Return the state of rows at a step, with a key where there was none."""
    fresh = (state[..., 0:1] == 0) & (state[..., 1:2] == 0)
    return np.concatenate([np.where(fresh, keys, state[..., :2]), state[..., 2:]], axis=-1)


def advanced(state):
    """Return the state behind a step."""
    count = state[..., 2:3] + 1.0
    full = count == float(_LEAST)
    carried = state[..., 3:] + np.where(full, 1.0, 0.0)
    return np.concatenate([state[..., :2], np.where(full, 0.0, count), carried], axis=-1)


class StepGenerator:
    """The generator that a draw's function takes: those methods of a `numpy.random.Generator` that a step can have.

    Parameters
    ----------
    state : array (…, 4), or a symbol
    number : int
        Of the draw, among those of a step.
    """

    def __init__(self, state, number: int):
        self._state, self._number, self._calls = state, number, 0

    def __getattr__(self, name):
        raise AttributeError(f"a draw of each step has the methods {', '.join(_METHODS.split())}, and no {name!r}")

    def _bits(self, size) -> Any:
        """Return integers of 32 bits, ``(…, size)``."""
        state, blocks = self._state.astype(np.int64), -(-size // 4)
        steps, beyond = state[..., 2:3], state[..., 3:4]
        index = np.arange(blocks, dtype=np.int64)
        own = np.full(blocks, self._number + (self._calls << 16), np.int64)
        self._calls += 1
        counter = [index + 0 * steps, own + 0 * steps, steps + 0 * index, beyond + 0 * index]
        key = [state[..., 0:1], state[..., 1:2]]
        for _ in range(_ROUNDS):
            (high0, low0), (high1, low1) = (_product(c, m) for c, m in zip(counter[::2], _MULTIPLIERS, strict=True))
            counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
            key = [(k + w) & _MASK for k, w in zip(key, _WEYL, strict=True)]
        return np.concatenate(counter, axis=-1)[..., :size]

    def _open(self, size) -> Any:
        """Return floats between 0 and 1, both excluded; with all of a dtype's bits, and 32 at most."""
        bits = self._bits(size)
        if self._state.dtype == np.float32:
            return ((bits >> 9).astype(self._state.dtype) + 0.5) * 2.0**-23
        return (bits.astype(self._state.dtype) + 0.5) * 2.0**-32

    def _shaped(self, values, size) -> Any:
        shape = _shape(size)
        return values[..., 0] if not shape else values.reshape((*values.shape[:-1], *shape))

    def random(self, size=()) -> Any:
        """Return uniform numbers between 0 and 1."""
        return self._shaped(self._open(math.prod(_shape(size))), size)

    def standard_normal(self, size=()) -> Any:
        """Return standard normal numbers, by Box and Muller, two at a time."""
        count = math.prod(_shape(size))
        half = -(-count // 2)
        uniform = self._open(2 * half)
        radius, angle = np.sqrt(-2.0 * np.log(uniform[..., :half])), (2.0 * math.pi) * uniform[..., half:]
        both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        return self._shaped(both[..., :count], size)

    def standard_exponential(self, size=()) -> Any:
        """Return exponential numbers with mean 1."""
        return -np.log(self.random(size))

    def integers(self, low, high=None, size=()) -> Any:
        """Return integers from `low` on, below `high`."""
        low, high = (0, low) if high is None else (low, high)
        if not 0 < high - low < 2**31:
            raise ValueError(f"expected integers from low up to a higher one, of less than 2**31, got {low} and {high}")
        return self._shaped(((self._bits(math.prod(_shape(size))) * (high - low)) >> 32) + low, size)

    def uniform(self, low=0.0, high=1.0, size=()) -> Any:
        """Return uniform numbers between two numbers or arrays."""
        return low + (high - low) * self.random(size)

    def normal(self, loc=0.0, scale=1.0, size=()) -> Any:
        """Return normal numbers with a mean and a standard deviation."""
        return loc + scale * self.standard_normal(size)

    def lognormal(self, mean=0.0, sigma=1.0, size=()) -> Any:
        """Return the exponential of normal numbers."""
        return np.exp(self.normal(mean, sigma, size))

    def exponential(self, scale=1.0, size=()) -> Any:
        """Return exponential numbers with a mean."""
        return scale * self.standard_exponential(size)

    def gumbel(self, loc=0.0, scale=1.0, size=()) -> Any:
        """Return Gumbel-distributed numbers, the limit of the largest of many."""
        return loc - scale * np.log(self.standard_exponential(size))

    def logistic(self, loc=0.0, scale=1.0, size=()) -> Any:
        """Return logistic numbers with a mean and a scale."""
        u = self.random(size)
        return loc + scale * (np.log(u) - np.log1p(-u))

    def laplace(self, loc=0.0, scale=1.0, size=()) -> Any:
        """Return Laplace-distributed numbers: two exponential distributions back to back."""
        u = self.random(size) - 0.5
        return loc - scale * np.sign(u) * np.log1p(-2.0 * np.abs(u))

    def standard_gamma(self, shape, size=()) -> Any:
        """Return gamma numbers of a shape above 0, by Marsaglia and Tsang (2000); the shape gets no gradient."""
        shape = stop_gradient(shape)
        small = np.less(shape, 1.0)
        d = np.where(small, shape + 1.0, shape) - 1.0 / 3.0
        c = 1.0 / np.sqrt(9.0 * d)
        found, open_still = d + 0.0 * self.random(size), True
        for _ in range(_TRIES):
            x, u = self.standard_normal(size), self.random(size)
            root = 1.0 + c * x
            v = root * root * root
            known = np.where(v > 0, v, 1.0)
            fits = (v > 0) & (np.log(u) < 0.5 * x * x + d - d * known + d * np.log(known)) & open_still
            found = np.where(fits, d * v, found)
            open_still = np.logical_not(fits) & open_still
        lowered = np.where(small, np.power(self.random(size), 1.0 / np.where(small, shape, 1.0)), 1.0)
        return stop_gradient(found * lowered)

    def gamma(self, shape, scale=1.0, size=()) -> Any:
        """Return gamma numbers of a shape and a scale."""
        return scale * self.standard_gamma(shape, size)

    def poisson(self, lam=1.0, size=()) -> Any:
        """Return counts of a mean, by inversion below 10, else by Hörmann (1993); the mean gets no gradient."""
        from scipy.special import gammaln  # takes its time to import

        mean = stop_gradient(lam) + 0.0 * self.random(size)
        few = np.less(mean, _FEW)
        low, high = np.where(few, mean, 1.0), np.where(few, _FEW, mean)
        u, share = self.random(size), np.exp(-low)
        below, found = share, 0.0 * mean
        for k in range(1, _COUNTED):
            found = found + (u > below)
            share = share * low / k
            below = below + share
        b = 0.931 + 2.53 * np.sqrt(high)
        a, sure = 0.02483 * b - 0.059, 0.9277 - 3.6224 / (b - 2.0)
        many, open_still = np.floor(high), True
        for _ in range(_TRIES):
            u, v = self.random(size) - 0.5, self.random(size)
            rest = 0.5 - np.abs(u)
            k = np.floor((2.0 * a / rest + b) * u + high + 0.43)
            known = np.maximum(k, 0.0)
            chance = np.log(v) + np.log(1.1239 + 1.1328 / (b - 3.4)) - np.log(a / (rest * rest) + b)
            fits = chance <= known * np.log(high) - high - gammaln(known + 1.0)
            fits = ((rest >= 0.07) & (v <= sure)) | ((k >= 0) & ((rest >= 0.013) | (v <= rest)) & fits)
            many = np.where(fits & open_still, known, many)
            open_still = np.logical_not(fits) & open_still
        return stop_gradient(np.where(few, found, many))

    def choice(self, a, size=(), p=None) -> Any:
        """Return integers from 0 on, below `a`; with probabilities, which may differ by row, ``(…, a)``."""
        if p is None:
            return self.integers(a, size=size)
        below = np.cumsum(p, axis=-1)[..., : a - 1]
        if np.ndim(p) == self._state.ndim:  # of each row its own
            below = below[(..., *(None,) * len(_shape(size)), slice(None))]
        return np.sum(self.random(size)[..., None] >= below, axis=-1)


def _product(value, factor):
    """Return the upper and the lower half of a product of two integers of 32 bits."""
    whole = value * factor
    return (whole >> 32) & _MASK, whole & _MASK


def _shape(size) -> tuple[int, ...]:
    return tuple(size) if isinstance(size, (tuple, list)) else (size,)


def drawn(draws: dict[str, tuple[Callable, tuple[int, ...]]], state) -> dict[str, Any]:
    """Return the arrays that a step draws, by name, from functions and shapes."""
    return {name: function(StepGenerator(state, i), shape) for i, (name, (function, shape)) in enumerate(draws.items())}


def function_of(name: str) -> Callable:
    """Return the function of a distribution's name; a ValueError for another name."""
    if name not in NAMES:
        raise ValueError(f"expected one of {', '.join(NAMES)}, or a function of a generator and a shape, got {name!r}")
    return lambda rng, shape: getattr(rng, NAMES[name])(shape)
