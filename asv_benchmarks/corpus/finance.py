"""Likelihoods, back-tests and markets."""

import math

import numpy as np
from numba import prange

from .recurrence import Recurrence, between

OMEGA, ALPHA, GAMMA, BETA = 0.05, 0.03, 0.1, 0.88
STOP, ENTRY = 0.04, 0.03
LEVELS = 10


def returns(rng, rows, steps, dtype):
    """Daily returns in percent, with fat tails."""
    return (rng.standard_t(5, (rows, steps, 1)) * 0.8).astype(dtype)


def returns_only(rng, rows, steps, dtype):
    return returns(rng, rows, steps, dtype), ()


def gjr_garch(x, states):
    """GJR-GARCH: a variance that rises more after losses, and its likelihood (Glosten, Jagannathan and Runkle 1993)."""
    if states.e < 0:
        slope = ALPHA + GAMMA
    else:
        slope = ALPHA
    h = OMEGA + slope * states.e * states.e + BETA * states.h
    return -0.5 * (math.log(h) + x[0] * x[0] / h), (h, x[0])


def gjr_garch_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    omega, alpha, gamma, beta, half = real(OMEGA), real(ALPHA), real(GAMMA), real(BETA), real(0.5)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        h, e = real(1.0), real(0.0)
        for t in range(steps):
            slope = alpha + gamma if e < 0 else alpha
            h = omega + slope * e * e + beta * h
            e = x[b, t, 0]
            out[b, t] = -half * (math.log(h) + e * e / h)
    return out


def gjr_jax(x, states):
    import jax.numpy as jnp

    slope = jnp.where(states.e < 0, ALPHA + GAMMA, ALPHA)
    h = OMEGA + slope * states.e * states.e + BETA * states.h
    return -0.5 * (jnp.log(h) + x[0] * x[0] / h), (h, x[0])


def gjr_where(x, states):
    """GJR-GARCH without a branch, as one writes it in NumPy (Glosten, Jagannathan and Runkle 1993)."""
    h, e = states
    h = OMEGA + np.where(e < 0, ALPHA + GAMMA, ALPHA) * e**2 + BETA * h
    return -0.5 * (np.log(h) + x[0] ** 2 / h), (h, x[0])


def garch(x, states, constants):
    """GARCH(1, 1) with parameters by row: the log likelihood (Bollerslev 1986)."""
    omega, alpha, beta = constants
    h = omega + alpha * states.e * states.e + beta * states.h
    return -0.5 * (math.log(h) + x[0] * x[0] / h), (h, x[0])


def garch_loop(x, omega, alpha, beta):
    rows, steps, _ = x.shape
    real = x.dtype.type
    half = real(0.5)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        h, e = real(1.0), real(0.0)
        o, a, p = omega[b], alpha[b], beta[b]
        for t in range(steps):
            h = o + a * e * e + p * h
            e = x[b, t, 0]
            out[b, t] = -half * (math.log(h) + e * e / h)
    return out


def garch_jax(x, states, constants):
    import jax.numpy as jnp

    omega, alpha, beta = constants
    h = omega + alpha * states.e * states.e + beta * states.h
    return -0.5 * (jnp.log(h) + x[0] * x[0] / h), (h, x[0])


def garch_data(rng, rows, steps, dtype):
    ranges = ((0.02, 0.1), (0.02, 0.1), (0.8, 0.88))
    return returns(rng, rows, steps, dtype), tuple(between(rng, *ends, rows, dtype) for ends in ranges)


def trailing_stop(x, states):
    """A position that is left when the price falls 4 % below its peak, and taken again after a rise (Kaufman 2013)."""
    price = x[0]
    profit = 0.0
    if states.holding > 0:
        profit = price - states.last
        peak = max(states.extreme, price)
        if price < peak * (1 - STOP):
            return profit, (0.0, price, price)
        return profit, (1.0, peak, price)
    low = min(states.extreme, price)
    if price > low * (1 + ENTRY):
        return profit, (1.0, price, price)
    return profit, (0.0, low, price)


def trailing_stop_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    down, up = real(1 - STOP), real(1 + ENTRY)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        holding, extreme, last = False, real(100.0), real(100.0)
        for t in range(steps):
            price = x[b, t, 0]
            if holding:
                out[b, t] = price - last
                extreme = max(extreme, price)
                if price < extreme * down:
                    holding, extreme = False, price
            else:
                out[b, t] = real(0.0)
                extreme = min(extreme, price)
                if price > extreme * up:
                    holding, extreme = True, price
            last = price
    return out


def trailing_stop_jax(x, states):
    import jax.numpy as jnp

    price, held = x[0], states.holding > 0
    extreme = jnp.where(held, jnp.maximum(states.extreme, price), jnp.minimum(states.extreme, price))
    turn = jnp.where(held, price < extreme * (1 - STOP), price > extreme * (1 + ENTRY))
    holding = jnp.where(turn, 1.0 - states.holding, states.holding)
    profit = jnp.where(held, price - states.last, 0.0)
    return profit, (holding, jnp.where(turn, price, extreme), price)


def prices(rng, rows, steps, dtype):
    """Prices that go up and down by two percent a step, held near 100."""
    noise = rng.normal(0, 0.02, (rows, steps, 1))
    log = np.empty_like(noise)
    value = np.zeros((rows, 1))
    for t in range(steps):
        value = 0.97 * value + noise[:, t]
        log[:, t] = value
    return (100 * np.exp(log)).astype(dtype), ()


def drawdown(x, states):
    """Loss since the highest value, and how long it has lasted (Magdon-Ismail and Atiya 2004)."""
    value = states.value * (1 + x[0] / 100)
    if value >= states.peak:
        return np.array([0.0, 0.0]), (value, value, 0.0)
    duration = states.duration + 1
    return np.array([1 - value / states.peak, duration]), (value, states.peak, duration)


def drawdown_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    one, percent = real(1.0), real(100.0)
    out = np.empty((rows, steps, 2), x.dtype)
    for b in prange(rows):
        value, peak, duration = one, one, 0
        for t in range(steps):
            value = value * (one + x[b, t, 0] / percent)
            if value >= peak:
                peak, duration = value, 0
                out[b, t, 0] = real(0.0)
            else:
                duration += 1
                out[b, t, 0] = one - value / peak
            out[b, t, 1] = duration
    return out


def drawdown_jax(x, states):
    import jax.numpy as jnp

    value = states.value * (1 + x[0] / 100)
    above = value >= states.peak
    peak = jnp.where(above, value, states.peak)
    duration = jnp.where(above, 0.0, states.duration + 1)
    return jnp.stack([jnp.where(above, 0.0, 1 - value / peak), duration]), (value, peak, duration)


def order_book(x, states):
    """A limit order meets those of the other side, the best price first; the rest of it stays (Gould et al. 2013)."""
    side, level, quantity = x[0], int(x[1]), x[2]
    assert 0 <= level < LEVELS
    bids, asks = states.bids.copy(), states.asks.copy()
    paid = 0.0
    if side > 0:
        for k in range(level + 1):
            if quantity <= 0:
                break
            traded = min(quantity, asks[k])
            asks[k] -= traded
            quantity -= traded
            paid += traded * k
        bids[level] += quantity
    else:
        k = LEVELS - 1
        while k >= level and quantity > 0:
            traded = min(quantity, bids[k])
            bids[k] -= traded
            quantity -= traded
            paid += traded * k
            k -= 1
        asks[level] += quantity
    return paid, (bids, asks)


def order_book_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        bids, asks = np.zeros(LEVELS, x.dtype), np.zeros(LEVELS, x.dtype)
        for t in range(steps):
            level, quantity, paid = int(x[b, t, 1]), x[b, t, 2], real(0.0)
            if x[b, t, 0] > 0:
                k = 0
                while k <= level and quantity > 0:
                    traded = min(quantity, asks[k])
                    asks[k] -= traded
                    quantity -= traded
                    paid += traded * real(k)
                    k += 1
                bids[level] += quantity
            else:
                k = LEVELS - 1
                while k >= level and quantity > 0:
                    traded = min(quantity, bids[k])
                    bids[k] -= traded
                    quantity -= traded
                    paid += traded * real(k)
                    k -= 1
                asks[level] += quantity
            out[b, t] = paid
    return out


def orders(rng, rows, steps, dtype):
    """Buyers a little below sellers, some across."""
    x = np.empty((rows, steps, 3))
    x[..., 0] = np.where(rng.random((rows, steps)) < 0.5, 1, -1)
    x[..., 1] = np.clip(np.round(rng.normal(4.5 - x[..., 0], 2)), 0, LEVELS - 1)
    x[..., 2] = rng.integers(1, 20, (rows, steps))
    return x.astype(dtype), ()


VARIANCE = {"states": {"h": (), "e": ()}, "initial": {"h": 1.0}}
RECURRENCES = (
    Recurrence(gjr_garch, gjr_garch_loop, returns_only, **VARIANCE, jax_step=gjr_jax),
    Recurrence(gjr_where, gjr_garch_loop, returns_only, **VARIANCE, jax_step=gjr_jax),
    Recurrence(
        garch,
        garch_loop,
        garch_data,
        **VARIANCE,
        constants={"omega": (), "alpha": (), "beta": ()},
        jax_step=garch_jax,
    ),
    Recurrence(
        trailing_stop,
        trailing_stop_loop,
        prices,
        states={"holding": (), "extreme": (), "last": ()},
        initial={"extreme": 100.0, "last": 100.0},
        fixed=("holding",),
        jax_step=trailing_stop_jax,
    ),
    Recurrence(
        drawdown,
        drawdown_loop,
        returns_only,
        states={"value": (), "peak": (), "duration": ()},
        initial={"value": 1.0, "peak": 1.0},
        output=(2,),
        jax_step=drawdown_jax,
    ),
    Recurrence(
        order_book,
        order_book_loop,
        orders,
        states={"bids": LEVELS, "asks": LEVELS},
        features=3,
        differentiable=False,
    ),
)
