"""Statistics of all samples so far, or of the last ones."""

import math

import numba
import numpy as np
from numba import prange

from .recurrence import Recurrence

DECAY = 0.9
QUANTILE = 0.75
SHARES = np.array([0.0, QUANTILE / 2, QUANTILE, (1 + QUANTILE) / 2, 1.0])
WINDOW = 9
RANKED, RANK = 7, 5
BLOCKS = 8


def skewed(rng, rows, steps, dtype):
    """Log-normal samples with a few far out."""
    return np.exp(rng.normal(0, 2.0, (rows, steps, 1))).astype(dtype), ()


def plain_noise(rng, rows, steps, dtype):
    return rng.standard_normal((rows, steps, 1)).astype(dtype), ()


def gapped(rng, rows, steps, dtype):
    """A slow wave in noise, of which a fifth is missing."""
    wave = np.sin(np.arange(steps) / 15)[:, None] + rng.normal(0, 0.4, (rows, steps, 1))
    return np.where(rng.random(wave.shape) < 0.2, np.nan, wave).astype(dtype), ()


def welford(x, states):
    """Standard deviation of all samples so far, without a sum of squares (Welford 1962)."""
    n = states.n + 1
    before = x[0] - states.mean
    mean = states.mean + before / n
    squares = states.squares + before * (x[0] - mean)
    deviation = 0.0 if n < 2 else math.sqrt(squares / (n - 1))
    return deviation, (n, mean, squares)


def welford_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        mean, squares = real(0.0), real(0.0)
        for t in range(steps):
            value = x[b, t, 0]
            before = value - mean
            mean += before / real(t + 1)
            squares += before * (value - mean)
            out[b, t] = math.sqrt(squares / real(t)) if t > 0 else real(0.0)
    return out


def welford_jax(x, states):
    import jax.numpy as jnp

    n = states.n + 1
    before = x[0] - states.mean
    mean = states.mean + before / n
    squares = states.squares + before * (x[0] - mean)
    inside = jnp.where(n < 2, 1.0, squares / jnp.where(n < 2, 1.0, n - 1))
    return jnp.where(n < 2, 0.0, jnp.sqrt(inside)), (n, mean, squares)


def ewma(x, states):
    """Exponential mean with weights that add up to one and gaps left out (pandas' ewm; Hunter 1986)."""
    weight, mean = DECAY * states.weight, states.mean
    if math.isnan(x[0]):
        return mean, (weight, mean)
    weight += 1
    mean += (x[0] - mean) / weight
    return mean, (weight, mean)


def ewma_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    decay, one = real(DECAY), real(1.0)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        weight, mean = real(0.0), real(0.0)
        for t in range(steps):
            value = x[b, t, 0]
            weight *= decay
            if not math.isnan(value):
                weight += one
                mean += (value - mean) / weight
            out[b, t] = mean
    return out


def ewma_jax(x, states):
    import jax.numpy as jnp

    gap = jnp.isnan(x[0])
    value = jnp.where(gap, 0.0, x[0])
    weight = DECAY * states.weight + jnp.where(gap, 0.0, 1.0)
    mean = states.mean + jnp.where(gap, 0.0, (value - states.mean) / jnp.where(gap, 1.0, weight))
    return mean, (weight, mean)


def p2_quantile(x, states):
    """The P² algorithm: a quantile of all samples from five markers (Jain and Chlamtac 1985, box 1)."""
    q, n = states.q.copy(), states.n.copy()
    count, value = int(states.count), x[0]
    if count < 5:
        k = count
        while k > 0 and q[k - 1] > value:
            q[k] = q[k - 1]
            k -= 1
        q[k] = value
        return q[count // 2], (q, n, count + 1)
    if value < q[0]:
        q[0] = value
        k = 0
    elif value >= q[4]:
        q[4] = value
        k = 3
    else:
        k = 0
        while value >= q[k + 1]:
            k += 1
    for i in range(k + 1, 5):
        n[i] += 1
    for i in range(1, 4):
        away = 1 + count * SHARES[i] - n[i]
        if (away >= 1 and n[i + 1] - n[i] > 1) or away <= -1:  # with room below, then
            s = 1 if away > 0 else -1
            rise = (q[i + 1] - q[i]) / (n[i + 1] - n[i])
            fall = (q[i] - q[i - 1]) / (n[i] - n[i - 1])
            parabola = q[i] + s * ((n[i] - n[i - 1] + s) * rise + (n[i + 1] - n[i] - s) * fall) / (n[i + 1] - n[i - 1])
            if q[i - 1] < parabola < q[i + 1]:
                q[i] = parabola
            else:
                q[i] += s * (q[i + s] - q[i]) / (n[i + s] - n[i])
            n[i] += s
    return q[2], (q, n, count + 1)


def p2_quantile_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    one, shares = real(1.0), SHARES.astype(x.dtype)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        q, n = np.zeros(5, x.dtype), np.empty(5, x.dtype)
        for i in range(5):
            n[i] = i + 1
        for t in range(steps):
            value = x[b, t, 0]
            if t < 5:
                k = t
                while k > 0 and q[k - 1] > value:
                    q[k] = q[k - 1]
                    k -= 1
                q[k] = value
                out[b, t] = q[t // 2]
                continue
            if value < q[0]:
                q[0] = value
                k = 0
            elif value >= q[4]:
                q[4] = value
                k = 3
            else:
                k = 0
                while value >= q[k + 1]:
                    k += 1
            for i in range(k + 1, 5):
                n[i] += one
            for i in range(1, 4):
                away = one + real(t) * shares[i] - n[i]
                above, below = n[i + 1] - n[i], n[i] - n[i - 1]
                if (away >= one and above > one) or away <= -one:
                    up = away > 0
                    s = one if up else -one
                    rise, fall = (q[i + 1] - q[i]) / above, (q[i] - q[i - 1]) / below
                    parabola = q[i] + s * ((below + s) * rise + (above - s) * fall) / (above + below)
                    if q[i - 1] < parabola < q[i + 1]:
                        q[i] = parabola
                    else:
                        j = i + 1 if up else i - 1
                        q[i] += s * (q[j] - q[i]) / (n[j] - n[i])
                    n[i] += s
            out[b, t] = q[2]
    return out


def running_median(x, states):
    """Median of the last nine samples, which are kept in order by insertion (Knuth 1998, section 5.2.1)."""
    window, ranked = states.window.copy(), states.ranked.copy()
    position = int(states.position)
    old, new = window[position], x[0]
    window[position] = new
    i = 0
    while i < WINDOW - 1 and ranked[i] < old:
        i += 1
    while i < WINDOW - 1 and ranked[i + 1] < new:
        ranked[i] = ranked[i + 1]
        i += 1
    while i > 0 and ranked[i - 1] > new:
        ranked[i] = ranked[i - 1]
        i -= 1
    ranked[i] = new
    return ranked[WINDOW // 2], (window, ranked, (position + 1) % WINDOW)


def running_median_loop(x):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        window, ranked, position = np.zeros(WINDOW, x.dtype), np.zeros(WINDOW, x.dtype), 0
        for t in range(steps):
            old, new = window[position], x[b, t, 0]
            window[position] = new
            position = position + 1 if position < WINDOW - 1 else 0
            i = 0
            while i < WINDOW - 1 and ranked[i] < old:
                i += 1
            while i < WINDOW - 1 and ranked[i + 1] < new:
                ranked[i] = ranked[i + 1]
                i += 1
            while i > 0 and ranked[i - 1] > new:
                ranked[i] = ranked[i - 1]
                i -= 1
            ranked[i] = new
            out[b, t] = ranked[WINDOW // 2]
    return out


@numba.njit
def rank(window, i):
    """How many entries come before entry `i` in order."""
    smaller = 0
    for j in range(len(window)):
        if window[j] < window[i] or (window[j] == window[i] and j < i):
            smaller += 1
    return smaller


def rank_filter(x, states):
    """The entry of a given rank among the last seven samples (Huang et al. 1979)."""
    window = np.append(states.window[1:], x[0])
    i = 0
    while rank(window, i) != RANK:
        i += 1
    return window[i], (window,)


def rank_filter_loop(x):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        window = np.zeros(RANKED, x.dtype)
        for t in range(steps):
            for j in range(RANKED - 1):
                window[j] = window[j + 1]
            window[RANKED - 1] = x[b, t, 0]
            for i in range(RANKED):
                value, smaller = window[i], 0
                for j in range(i):
                    smaller += window[j] <= value
                for j in range(i + 1, RANKED):
                    smaller += window[j] < value
                if smaller == RANK:
                    out[b, t] = value
                    break
    return out


def isotonic(x, states):
    """A rising fit by pooling what violates it, the oldest of eight blocks forgotten (Ayer et al. 1955)."""
    means, counts = states.means.copy(), states.counts.copy()
    top = int(states.top)
    if top == BLOCKS:
        means[:-1] = means[1:]
        counts[:-1] = counts[1:]
        top -= 1
    means[top], counts[top] = x[0], 1.0
    while top > 0 and means[top - 1] >= means[top]:
        n = counts[top - 1] + counts[top]
        means[top - 1] += (means[top] - means[top - 1]) * counts[top] / n
        counts[top - 1] = n
        top -= 1
    return means[top], (means, counts, top + 1)


def isotonic_loop(x):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        means, counts, top = np.zeros(BLOCKS, x.dtype), np.zeros(BLOCKS, x.dtype), 0
        for t in range(steps):
            if top == BLOCKS:
                for k in range(BLOCKS - 1):
                    means[k] = means[k + 1]
                    counts[k] = counts[k + 1]
                top -= 1
            mean, count = x[b, t, 0], x.dtype.type(1.0)
            while top > 0 and means[top - 1] >= mean:
                n = counts[top - 1] + count
                mean = means[top - 1] + (mean - means[top - 1]) * count / n
                count = n
                top -= 1
            means[top], counts[top] = mean, count
            top += 1
            out[b, t] = mean
    return out


def rising(rng, rows, steps, dtype):
    """A trend in noise."""
    return (0.2 * np.arange(steps)[:, None] + rng.normal(0, 0.5, (rows, steps, 1))).astype(dtype), ()


RECURRENCES = (
    Recurrence(
        welford,
        welford_loop,
        plain_noise,
        states={"n": (), "mean": (), "squares": ()},
        fixed=("n",),
        jax_step=welford_jax,
    ),
    Recurrence(ewma, ewma_loop, gapped, states={"weight": (), "mean": ()}, jax_step=ewma_jax),
    Recurrence(
        p2_quantile,
        p2_quantile_loop,
        skewed,
        states={"q": 5, "n": 5, "count": ()},
        initial={"n": np.arange(1.0, 6.0)},
        fixed=("n", "count"),
    ),
    Recurrence(
        running_median,
        running_median_loop,
        plain_noise,
        states={"window": WINDOW, "ranked": WINDOW, "position": ()},
        fixed=("window", "ranked", "position"),
    ),
    Recurrence(rank_filter, rank_filter_loop, plain_noise, states={"window": RANKED}, fixed=("window",)),
    Recurrence(isotonic, isotonic_loop, rising, states={"means": BLOCKS, "counts": BLOCKS, "top": ()}, fixed=("top",)),
)
