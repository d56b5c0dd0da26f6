"""Rows of tables, and the best or the summed paths through a few hidden states."""

import math

import numpy as np
from numba import prange

from .recurrence import Recurrence

LENGTH = 12
MATCH, MISMATCH, GAP = 1.0, -1.0, 1.5
REGIMES, LAG = 3, 8
STAY = np.log(np.where(np.eye(REGIMES) > 0, 0.9, 0.05))
MEANS, WIDTH = np.array([-1.5, 0.0, 1.5]), 0.8
HIDDEN = 4
MOVES = np.where(np.eye(HIDDEN) > 0, 0.85, 0.05)
LEVELS = np.array([-2.0, -0.5, 0.5, 2.0])
LABELS = 5
PAIRS = np.cos(1.7 * np.arange(LABELS * LABELS)).reshape(LABELS, LABELS)


def dtw(x, states, constants):
    """A row of dynamic time warping: the cost of a template up to its end (Sakoe and Chiba 1978)."""
    (template,) = constants
    row = np.empty(LENGTH + 1)
    row[0] = np.inf
    for j in range(1, LENGTH + 1):
        cost = abs(x[0] - template[j - 1])
        row[j] = cost + min(states.row[j], row[j - 1], states.row[j - 1])
    return row[LENGTH], (row,)


def dtw_loop(x, template):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        row = np.full(LENGTH + 1, np.inf).astype(x.dtype)
        row[0] = 0
        for t in range(steps):
            value, corner = x[b, t, 0], row[0]
            row[0] = np.inf
            for j in range(1, LENGTH + 1):
                above = row[j]
                row[j] = abs(value - template[b, j - 1]) + min(above, row[j - 1], corner)
                corner = above
            out[b, t] = row[LENGTH]
    return out


def dtw_jax(x, states, constants):
    import jax
    import jax.numpy as jnp

    costs = abs(x[0] - constants[0])

    def along(before, here):
        cost, above, corner = here
        value = cost + jnp.minimum(jnp.minimum(above, before), corner)
        return value, value

    start = jnp.full_like(costs[0], jnp.inf)
    last, row = jax.lax.scan(along, start, (costs, states.row[1:], states.row[:-1]))
    return last, (jnp.concatenate([start[None], row]),)


def templates(rng, rows, steps, dtype):
    """A noisy signal, and a template by row."""
    signal = np.sin(np.arange(steps) / 3)[:, None] + rng.normal(0, 0.3, (rows, steps, 1))
    template = np.sin(np.arange(LENGTH) / 3) + rng.normal(0, 0.3, (rows, LENGTH))
    return signal.astype(dtype), (template.astype(dtype),)


def needleman_wunsch(x, states, constants):
    """A row of the table of global alignment (Needleman and Wunsch 1970)."""
    (other,) = constants
    row = np.empty(LENGTH + 1)
    row[0] = states.row[0] - GAP
    for j in range(1, LENGTH + 1):
        best = states.row[j - 1] + (MATCH if x[0] == other[j - 1] else MISMATCH)
        if states.row[j] - GAP > best:
            best = states.row[j] - GAP
        if row[j - 1] - GAP > best:
            best = row[j - 1] - GAP
        row[j] = best
    return row[LENGTH], (row,)


def needleman_wunsch_loop(x, other):
    rows, steps, _ = x.shape
    real = x.dtype.type
    match, mismatch, gap = real(MATCH), real(MISMATCH), real(GAP)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        row = np.empty(LENGTH + 1, x.dtype)
        for j in range(LENGTH + 1):
            row[j] = -gap * real(j)
        for t in range(steps):
            symbol, corner = x[b, t, 0], row[0]
            left = corner - gap
            row[0] = left
            for j in range(1, LENGTH + 1):
                above = row[j]
                best = corner + (match if symbol == other[b, j - 1] else mismatch)
                left = max(best, above - gap, left - gap)
                row[j] = left
                corner = above
            out[b, t] = left
    return out


def sequences(rng, rows, steps, dtype):
    """Sequences of four letters, the other one with letters of the first."""
    letters = rng.integers(0, 4, (rows, steps, 1))
    other = rng.integers(0, 4, (rows, LENGTH))
    other[:, : min(steps, LENGTH)] = letters[:, :LENGTH, 0]
    return letters.astype(dtype), (other.astype(dtype),)


def viterbi(x, states):
    """The likeliest regime a few steps ago, by pointers back (Viterbi 1967; Rabiner 1989, eq. 32 to 35)."""
    delta, back, t = np.empty(REGIMES), states.back.copy(), int(states.t)
    for j in range(REGIMES):
        best, most = 0, states.delta[0] + STAY[0, j]
        for i in range(1, REGIMES):
            value = states.delta[i] + STAY[i, j]
            if value > most:
                best, most = i, value
        away = (x[0] - MEANS[j]) / WIDTH
        delta[j] = most - 0.5 * away * away
        back[t % LAG, j] = best
    delta -= delta.max()
    regime = int(np.argmax(delta))
    for k in range(min(t, LAG - 1)):
        regime = int(back[(t - k) % LAG, regime])
    return float(regime), (delta, back, t + 1)


def viterbi_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    stay, means, width, half = STAY.astype(x.dtype), MEANS.astype(x.dtype), real(WIDTH), real(0.5)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        before, delta = np.zeros(REGIMES, x.dtype), np.empty(REGIMES, x.dtype)
        back = np.zeros((LAG, REGIMES), np.int64)
        for t in range(steps):
            regime, position = 0, t % LAG
            for j in range(REGIMES):
                best, most = 0, before[0] + stay[0, j]
                for i in range(1, REGIMES):
                    value = before[i] + stay[i, j]
                    if value > most:
                        best, most = i, value
                away = (x[b, t, 0] - means[j]) / width
                delta[j] = most - half * away * away
                back[position, j] = best
                if delta[j] > delta[regime]:
                    regime = j
            most = delta[regime]
            for j in range(REGIMES):
                before[j] = delta[j] - most
            for _ in range(min(t, LAG - 1)):
                regime = back[position, regime]
                position = position - 1 if position > 0 else LAG - 1
            out[b, t] = regime
    return out


def switching(rng, rows, steps, dtype):
    """Levels that stay for some time, in noise."""
    levels = rng.choice(MEANS, (rows, steps))
    changes = np.maximum.accumulate(np.where(rng.random((rows, steps)) < 0.1, np.arange(steps), 0), axis=1)
    held = np.take_along_axis(levels, changes, axis=1)
    return (held + rng.normal(0, 0.8, (rows, steps)))[..., None].astype(dtype), ()


def hmm_forward(x, states):
    """The forward algorithm with four states: the log likelihood (Rabiner 1989, eq. 19 and 20)."""
    away = x[0] - LEVELS
    alpha = (states.alpha @ MOVES) * np.exp(-0.5 * away**2)
    total = alpha.sum()
    return np.log(total), (alpha / total,)


def hmm_forward_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    moves, levels, half = MOVES.astype(x.dtype), LEVELS.astype(x.dtype), real(-0.5)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        alpha, new = np.empty(HIDDEN, x.dtype), np.empty(HIDDEN, x.dtype)
        for j in range(HIDDEN):
            alpha[j] = real(1 / HIDDEN)
        for t in range(steps):
            total = real(0.0)
            for j in range(HIDDEN):
                reached = real(0.0)
                for i in range(HIDDEN):
                    reached += alpha[i] * moves[i, j]
                away = x[b, t, 0] - levels[j]
                new[j] = reached * math.exp(half * away * away)
                total += new[j]
            for j in range(HIDDEN):
                alpha[j] = new[j] / total
            out[b, t] = math.log(total)
    return out


def hmm_forward_jax(x, states):
    import jax.numpy as jnp

    alpha = (states.alpha @ MOVES) * jnp.exp(-0.5 * (x[0] - LEVELS) ** 2)
    total = alpha.sum()
    return jnp.log(total), (alpha / total,)


def crf_forward(x, states):
    """The partition function of a linear chain, anew at each sentence (Sutton and McCallum 2012)."""
    alpha = np.empty(LABELS)
    for j in range(LABELS):
        if x[LABELS] > 0.5:
            alpha[j] = x[j]
            continue
        most = states.alpha[0] + PAIRS[0, j]
        for i in range(1, LABELS):
            most = max(most, states.alpha[i] + PAIRS[i, j])
        total = 0.0
        for i in range(LABELS):
            total += math.exp(states.alpha[i] + PAIRS[i, j] - most)
        alpha[j] = x[j] + most + math.log(total)
    most = alpha.max()
    scale = most + math.log(np.exp(alpha - most).sum())
    return scale, (alpha - scale,)


def crf_forward_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    pairs = PAIRS.astype(x.dtype)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        before, alpha = np.zeros(LABELS, x.dtype), np.empty(LABELS, x.dtype)
        for t in range(steps):
            begins = x[b, t, LABELS] > 0.5
            for j in range(LABELS):
                alpha[j] = x[b, t, j]
                if not begins:
                    most, total = before[0] + pairs[0, j], real(0.0)
                    for i in range(1, LABELS):
                        most = max(most, before[i] + pairs[i, j])
                    for i in range(LABELS):
                        total += math.exp(before[i] + pairs[i, j] - most)
                    alpha[j] += most + math.log(total)
            most, total = alpha[0], real(0.0)
            for j in range(1, LABELS):
                most = max(most, alpha[j])
            for j in range(LABELS):
                total += math.exp(alpha[j] - most)
            scale = most + math.log(total)
            for j in range(LABELS):
                before[j] = alpha[j] - scale
            out[b, t] = scale
    return out


def crf_forward_jax(x, states):
    import jax
    import jax.numpy as jnp

    reached = jax.nn.logsumexp(states.alpha[:, None] + PAIRS, axis=0)
    alpha = x[:LABELS] + jnp.where(x[LABELS] > 0.5, 0.0, reached)
    scale = jax.nn.logsumexp(alpha)
    return scale, (alpha - scale,)


def sentences(rng, rows, steps, dtype):
    """Scores of five labels, and whether a sentence begins."""
    x = rng.normal(0, 1.5, (rows, steps, LABELS + 1))
    x[..., LABELS] = rng.random((rows, steps)) < 0.1
    x[:, 0, LABELS] = 1
    return x.astype(dtype), ()


RECURRENCES = (
    Recurrence(
        dtw,
        dtw_loop,
        templates,
        states={"row": LENGTH + 1},
        initial={"row": np.append(0.0, np.full(LENGTH, np.inf))},
        constants={"template": (LENGTH,)},
        jax_step=dtw_jax,
    ),
    Recurrence(
        needleman_wunsch,
        needleman_wunsch_loop,
        sequences,
        states={"row": LENGTH + 1},
        initial={"row": -GAP * np.arange(LENGTH + 1)},
        constants={"other": (LENGTH,)},
        differentiable=False,
    ),
    Recurrence(
        viterbi,
        viterbi_loop,
        switching,
        states={"delta": REGIMES, "back": (LAG, REGIMES), "t": ()},
        differentiable=False,
    ),
    Recurrence(
        hmm_forward,
        hmm_forward_loop,
        switching,
        states={"alpha": HIDDEN},
        initial={"alpha": 1 / HIDDEN},
        jax_step=hmm_forward_jax,
    ),
    Recurrence(
        crf_forward,
        crf_forward_loop,
        sentences,
        states={"alpha": LABELS},
        features=LABELS + 1,
        jax_step=crf_forward_jax,
    ),
)
