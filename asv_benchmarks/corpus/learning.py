"""Agents and particles that learn from what they see."""

import math

import numpy as np
from numba import prange

from .recurrence import Recurrence

FEATURES, RATE, DISCOUNT, FADE = 4, 0.05, 0.95, 0.8
PLACES, EXPLORE, SLIP, COST, LEARN = 6, 0.3, 0.1, -0.05, 0.2
PARTICLES, SPREAD, MEASURED, OUTLIER = 8, 0.4, 0.5, 1e-4


def td_lambda(x, states):
    """TD(λ) with a linear value and eligibility traces: the error of the value (Sutton and Barto 2018, 12.2)."""
    phi, reward, ended = x[:FEATURES], x[FEATURES], x[FEATURES + 1] > 0.5
    target = reward
    if not ended:
        target += DISCOUNT * (states.w @ phi)
    error = target - states.w @ states.phi
    w = states.w + RATE * error * states.trace
    trace = phi if ended else DISCOUNT * FADE * states.trace + phi
    return error, (w, trace, phi)


def td_lambda_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    rate, discount, fade = real(RATE), real(DISCOUNT), real(DISCOUNT) * real(FADE)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        w, trace, phi = np.zeros(FEATURES, x.dtype), np.zeros(FEATURES, x.dtype), np.zeros(FEATURES, x.dtype)
        for t in range(steps):
            ended = x[b, t, FEATURES + 1] > 0.5
            value, following = real(0.0), real(0.0)
            for k in range(FEATURES):
                value += w[k] * phi[k]
                following += w[k] * x[b, t, k]
            error = x[b, t, FEATURES] - value
            if not ended:
                error += discount * following
            for k in range(FEATURES):
                phi[k] = x[b, t, k]
                w[k] += rate * error * trace[k]
                trace[k] = phi[k] if ended else fade * trace[k] + phi[k]
            out[b, t] = error
    return out


def td_lambda_jax(x, states):
    import jax.numpy as jnp

    phi, reward, ended = x[:FEATURES], x[FEATURES], x[FEATURES + 1] > 0.5
    error = reward + jnp.where(ended, 0.0, DISCOUNT * (states.w @ phi)) - states.w @ states.phi
    trace = jnp.where(ended, phi, DISCOUNT * FADE * states.trace + phi)
    return error, (states.w + RATE * error * states.trace, trace, phi)


def episodes(rng, rows, steps, dtype):
    """Features, rewards, and ends of episodes."""
    x = rng.normal(0, 0.7, (rows, steps, FEATURES + 2))
    x[..., FEATURES] += x[..., 0]
    x[..., FEATURES + 1] = rng.random((rows, steps)) < 0.1
    return x.astype(dtype), ()


def q_learning(x, states):
    """Tabular Q-learning in a corridor that may slip: the sum of reward and new value (Watkins and Dayan 1992)."""
    q = states.q.copy()
    place = int(states.place)
    if x[0] < EXPLORE:
        action = 0 if x[1] < 0.5 else 1
    else:
        action = 0 if q[place, 0] > q[place, 1] else 1
    new = place
    if x[2] >= SLIP:
        new += 1 if action == 1 else -1
    if new < 0:
        new = 0
    if new == PLACES - 1:
        reward, best = 1.0, 0.0
    else:
        reward, best = COST, max(q[new, 0], q[new, 1])
    q[place, action] += LEARN * (reward + DISCOUNT * best - q[place, action])
    return reward + q[place, action], (q, 0.0 if new == PLACES - 1 else float(new))


def q_learning_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    explore, slip, cost, discount, learn = real(EXPLORE), real(SLIP), real(COST), real(DISCOUNT), real(LEARN)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        q, place = np.zeros((PLACES, 2), x.dtype), 0
        for t in range(steps):
            action = 1
            if x[b, t, 0] < explore:
                if x[b, t, 1] < 0.5:
                    action = 0
            elif q[place, 0] > q[place, 1]:
                action = 0
            new = place
            if x[b, t, 2] >= slip:
                new = place + 1 if action == 1 else max(place - 1, 0)
            reward, best = real(1.0), real(0.0)
            if new < PLACES - 1:
                reward, best = cost, max(q[new, 0], q[new, 1])
            value = q[place, action] + learn * (reward + discount * best - q[place, action])
            q[place, action] = value
            out[b, t] = reward + value
            place = new if new < PLACES - 1 else 0
    return out


def chances(rng, rows, steps, dtype):
    return rng.random((rows, steps, 3)).astype(dtype), ()


def particles(x, states):
    """A particle filter with systematic resampling where few weights are left (Kitagawa 1996)."""
    places = states.places + SPREAD * x[2:]
    weights = states.weights.copy()
    for i in range(PARTICLES):
        away = x[0] - places[i]
        weights[i] *= math.exp(-0.5 * away * away / MEASURED) + OUTLIER
    total = weights.sum()
    assert total > 0
    weights /= total
    mean, squares = 0.0, 0.0
    for i in range(PARTICLES):
        mean += weights[i] * places[i]
        squares += weights[i] ** 2
    if 1 / squares < PARTICLES / 2:
        chosen = np.empty(PARTICLES)
        j, reached = 0, weights[0]
        for i in range(PARTICLES):
            while (i + x[1]) / PARTICLES > reached:
                j += 1
                reached += weights[j]
            chosen[i] = places[j]
        places = chosen
        weights = np.full(PARTICLES, 1 / PARTICLES)
    return mean, (places, weights)


def particles_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    spread, measured, outlier, half, count = real(SPREAD), real(1 / MEASURED), real(OUTLIER), real(0.5), real(PARTICLES)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        places, chosen = np.zeros(PARTICLES, x.dtype), np.empty(PARTICLES, x.dtype)
        weights = np.empty(PARTICLES, x.dtype)
        for i in range(PARTICLES):
            weights[i] = real(1.0) / count
        for t in range(steps):
            total, mean, squares = real(0.0), real(0.0), real(0.0)
            for i in range(PARTICLES):
                places[i] += spread * x[b, t, 2 + i]
                away = x[b, t, 0] - places[i]
                weights[i] *= math.exp(-half * away * away * measured) + outlier
                total += weights[i]
            total = real(1.0) / total
            for i in range(PARTICLES):
                weights[i] *= total
                mean += weights[i] * places[i]
                squares += weights[i] * weights[i]
            out[b, t] = mean
            if real(1.0) / squares < half * count:
                j, reached = 0, weights[0]
                for i in range(PARTICLES):
                    while (real(i) + x[b, t, 1]) / count > reached:
                        j += 1
                        reached += weights[j]
                    chosen[i] = places[j]
                for i in range(PARTICLES):
                    places[i] = chosen[i]
                    weights[i] = real(1.0) / count
    return out


def tracked(rng, rows, steps, dtype):
    """A measured random walk, a place to begin in the weights, and a move for each particle."""
    x = rng.standard_normal((rows, steps, PARTICLES + 2))
    level = np.zeros(rows)
    for t in range(steps):
        level = 0.95 * level + 0.4 * rng.standard_normal(rows)
        x[:, t, 0] = level + 0.7 * x[:, t, 0]
    x[..., 1] = rng.uniform(0, 0.99, (rows, steps))
    return x.astype(dtype), ()


RECURRENCES = (
    Recurrence(
        td_lambda,
        td_lambda_loop,
        episodes,
        states={"w": FEATURES, "trace": FEATURES, "phi": FEATURES},
        features=FEATURES + 2,
        jax_step=td_lambda_jax,
    ),
    Recurrence(
        q_learning, q_learning_loop, chances, states={"q": (PLACES, 2), "place": ()}, features=3, differentiable=False
    ),
    Recurrence(
        particles,
        particles_loop,
        tracked,
        states={"places": PARTICLES, "weights": PARTICLES},
        initial={"weights": 1 / PARTICLES},
        features=PARTICLES + 2,
    ),
)
