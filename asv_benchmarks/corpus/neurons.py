"""Neurons that spike."""

import math

import numpy as np
from numba import prange

from .recurrence import Recurrence

REST, THRESHOLD, RESET, REFRACTORY, MEMBRANE = -65.0, -50.0, -68.0, 4.0, 0.1
DECAY, ADAPTATION, RISE = 0.9, 0.98, 0.6
SUBSTEPS, DT = 2, 0.5
CAPACITY, SODIUM, POTASSIUM, LEAK = 1.0, 120.0, 36.0, 0.3
E_SODIUM, E_POTASSIUM, E_LEAK = 50.0, -77.0, -54.387


def lif(x, states):
    """A leaky integrate-and-fire neuron with a refractory time (Gerstner et al. 2014, section 1.3)."""
    if states.wait > 0:
        return RESET, (RESET, states.wait - 1)
    v = states.v + MEMBRANE * (REST - states.v + x[0])
    if v >= THRESHOLD:
        return v, (RESET, REFRACTORY)
    return v, (v, 0.0)


def lif_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    rest, threshold, reset, membrane = real(REST), real(THRESHOLD), real(RESET), real(MEMBRANE)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        v, wait = rest, 0
        for t in range(steps):
            if wait > 0:
                wait -= 1
                out[b, t] = reset
                continue
            v += membrane * (rest - v + x[b, t, 0])
            out[b, t] = v
            if v >= threshold:
                v, wait = reset, int(REFRACTORY)
    return out


def lif_jax(x, states):
    import jax.numpy as jnp

    waits = states.wait > 0
    v = states.v + MEMBRANE * (REST - states.v + x[0])
    fires = v >= THRESHOLD
    output = jnp.where(waits, RESET, v)
    wait = jnp.where(waits, states.wait - 1, jnp.where(fires, REFRACTORY, 0.0))
    return output, (jnp.where(waits | fires, RESET, v), wait)


def currents(rng, rows, steps, dtype):
    """Input around what makes a neuron fire, in mV."""
    level = rng.uniform(14, 26, (rows, 1, 1))
    return (level + rng.normal(0, 8, (rows, steps, 1))).astype(dtype), ()


def alif(x, states):
    """A spiking unit whose threshold rises with each spike (ALIF; Bellec et al. 2018)."""
    threshold = 1.0 + RISE * states.a
    v = DECAY * states.v + x[0]
    a = ADAPTATION * states.a
    if v > threshold:
        v -= threshold
        a += 1 - ADAPTATION
    return v - threshold, (v, a)


def alif_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    one, decay, adaptation, rise = real(1.0), real(DECAY), real(ADAPTATION), real(RISE)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        v, a = real(0.0), real(0.0)
        for t in range(steps):
            threshold = one + rise * a
            v = decay * v + x[b, t, 0]
            a = adaptation * a
            if v > threshold:
                v -= threshold
                a += one - adaptation
            out[b, t] = v - threshold
    return out


def alif_jax(x, states):
    import jax.numpy as jnp

    threshold = 1.0 + RISE * states.a
    v = DECAY * states.v + x[0]
    fires = v > threshold
    v = jnp.where(fires, v - threshold, v)
    a = ADAPTATION * states.a + jnp.where(fires, 1 - ADAPTATION, 0.0)
    return v - threshold, (v, a)


def small_currents(rng, rows, steps, dtype):
    return rng.gamma(1.0, 0.25, (rows, steps, 1)).astype(dtype), ()


def izhikevich(x, states):
    """Two equations and a reset, in half steps of a millisecond (Izhikevich 2003, eq. 1 to 3)."""
    v, u = states
    for _ in range(SUBSTEPS):
        v += DT * (0.04 * v * v + 5 * v + 140 - u + x[0])
    u += 0.02 * (0.2 * v - u)
    if v < 30:
        return v, (v, u)
    return 30.0, (-65.0, u + 8)


def izhikevich_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    dt, quadratic, five, offset = real(DT), real(0.04), real(5.0), real(140.0)
    a, b_, peak, reset, rise = real(0.02), real(0.2), real(30.0), real(-65.0), real(8.0)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        v, u = reset, real(-13.0)
        for t in range(steps):
            for _ in range(SUBSTEPS):
                v += dt * (quadratic * v * v + five * v + offset - u + x[b, t, 0])
            u += a * (b_ * v - u)
            if v < peak:
                out[b, t] = v
            else:
                out[b, t] = peak
                v, u = reset, u + rise
    return out


def izhikevich_jax(x, states):
    import jax.numpy as jnp

    v, u = states
    for _ in range(SUBSTEPS):
        v = v + DT * (0.04 * v * v + 5 * v + 140 - u + x[0])
    u = u + 0.02 * (0.2 * v - u)
    fires = v >= 30
    return jnp.where(fires, 30.0, v), (jnp.where(fires, -65.0, v), jnp.where(fires, u + 8, u))


def thalamic(rng, rows, steps, dtype):
    return (rng.uniform(3, 8, (rows, 1, 1)) + rng.normal(0, 3, (rows, steps, 1))).astype(dtype), ()


def ratio(u):
    """u / (1 - exp(-u)), by its series near 0."""
    if abs(u) < 0.1:
        return 1 + u / 2 + u * u / 12
    return u / (1 - math.exp(-u))


def hodgkin_huxley(x, states):
    """The squid's axon: gates by exponential Euler, the potential by Euler (Hodgkin and Huxley 1952, eq. 26)."""
    v, m, h, n = states
    dt = 0.02
    a_m = ratio((v + 40) / 10)
    b_m = 4 * math.exp(-(v + 65) / 18)
    a_h = 0.07 * math.exp(-(v + 65) / 20)
    b_h = 1 / (1 + math.exp(-(v + 35) / 10))
    a_n = 0.1 * ratio((v + 55) / 10)
    b_n = 0.125 * math.exp(-(v + 65) / 80)
    m += (a_m / (a_m + b_m) - m) * (1 - math.exp(-dt * (a_m + b_m)))
    h += (a_h / (a_h + b_h) - h) * (1 - math.exp(-dt * (a_h + b_h)))
    n += (a_n / (a_n + b_n) - n) * (1 - math.exp(-dt * (a_n + b_n)))
    current = SODIUM * m**3 * h * (v - E_SODIUM) + POTASSIUM * n**4 * (v - E_POTASSIUM) + LEAK * (v - E_LEAK)
    v += dt / CAPACITY * (x[0] - current)
    return v, (v, m, h, n)


def hodgkin_huxley_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    one, dt, small = real(1.0), real(0.02), real(0.1)
    sodium, potassium, leak = real(SODIUM), real(POTASSIUM), real(LEAK)
    e_sodium, e_potassium, e_leak = real(E_SODIUM), real(E_POTASSIUM), real(E_LEAK)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        v, m, h, n = real(-65.0), real(0.053), real(0.596), real(0.318)
        for t in range(steps):
            u = (v + real(40.0)) * real(0.1)
            a_m = one + u * real(0.5) + u * u * real(1 / 12) if abs(u) < small else u / (one - math.exp(-u))
            u = (v + real(55.0)) * real(0.1)
            a_n = one + u * real(0.5) + u * u * real(1 / 12) if abs(u) < small else u / (one - math.exp(-u))
            a_n = real(0.1) * a_n
            b_m = real(4.0) * math.exp(-(v + real(65.0)) * real(1 / 18))
            a_h = real(0.07) * math.exp(-(v + real(65.0)) * real(0.05))
            b_h = one / (one + math.exp(-(v + real(35.0)) * real(0.1)))
            b_n = real(0.125) * math.exp(-(v + real(65.0)) * real(0.0125))
            m += (a_m / (a_m + b_m) - m) * (one - math.exp(-dt * (a_m + b_m)))
            h += (a_h / (a_h + b_h) - h) * (one - math.exp(-dt * (a_h + b_h)))
            n += (a_n / (a_n + b_n) - n) * (one - math.exp(-dt * (a_n + b_n)))
            current = sodium * (m * m * m) * h * (v - e_sodium) + potassium * (n * n * n * n) * (v - e_potassium)
            v += dt * (x[b, t, 0] - (current + leak * (v - e_leak)))
            out[b, t] = v
    return out


def hodgkin_huxley_jax(x, states):
    import jax.numpy as jnp

    def ratio(u):
        near = abs(u) < 0.1
        far = jnp.where(near, 1.0, u)
        return jnp.where(near, 1 + u / 2 + u * u / 12, far / (1 - jnp.exp(-far)))

    v, m, h, n = states
    dt = 0.02
    a_m, b_m = ratio((v + 40) / 10), 4 * jnp.exp(-(v + 65) / 18)
    a_h, b_h = 0.07 * jnp.exp(-(v + 65) / 20), 1 / (1 + jnp.exp(-(v + 35) / 10))
    a_n, b_n = 0.1 * ratio((v + 55) / 10), 0.125 * jnp.exp(-(v + 65) / 80)
    m += (a_m / (a_m + b_m) - m) * (1 - jnp.exp(-dt * (a_m + b_m)))
    h += (a_h / (a_h + b_h) - h) * (1 - jnp.exp(-dt * (a_h + b_h)))
    n += (a_n / (a_n + b_n) - n) * (1 - jnp.exp(-dt * (a_n + b_n)))
    current = SODIUM * m**3 * h * (v - E_SODIUM) + POTASSIUM * n**4 * (v - E_POTASSIUM) + LEAK * (v - E_LEAK)
    v += dt / CAPACITY * (x[0] - current)
    return v, (v, m, h, n)


def strong_currents(rng, rows, steps, dtype):
    """Current densities that raise the potential to a spike within a hundred steps of 0.02 ms."""
    return (rng.uniform(20, 60, (rows, 1, 1)) + rng.normal(0, 20, (rows, steps, 1))).astype(dtype), ()


RECURRENCES = (
    Recurrence(
        lif, lif_loop, currents, states={"v": (), "wait": ()}, initial={"v": REST}, fixed=("wait",), jax_step=lif_jax
    ),
    Recurrence(alif, alif_loop, small_currents, states={"v": (), "a": ()}, jax_step=alif_jax),
    Recurrence(
        izhikevich,
        izhikevich_loop,
        thalamic,
        states={"v": (), "u": ()},
        initial={"v": -65.0, "u": -13.0},
        jax_step=izhikevich_jax,
    ),
    Recurrence(
        hodgkin_huxley,
        hodgkin_huxley_loop,
        strong_currents,
        states={"v": (), "m": (), "h": (), "n": ()},
        initial={"v": -65.0, "m": 0.053, "h": 0.596, "n": 0.318},
        jax_step=hodgkin_huxley_jax,
    ),
)
