"""Filters, fixed and adaptive."""

import math

import numpy as np
from numba import prange

from .recurrence import Recurrence, between

SECTIONS = 4
TAPS, RATE, DEAD = 8, 0.5, 0.05
ORDER, FORGET = 4, 0.98
LAGS, MEMORY, REFLECTION = 7, 0.95, 0.98
DT, NOISE, MEASURED = 0.1, 0.05, 0.4
ADVANCE = np.eye(4) + DT * np.eye(4, k=2)
SPREAD = NOISE * np.array([[DT**2, 0, DT, 0], [0, DT**2, 0, DT], [DT, 0, 1, 0], [0, DT, 0, 1.0]])
BASE, PHASE_GAIN, FREQUENCY_GAIN, TURN = 1.6, 0.15, 0.01, 2 * math.pi


def butterworth(frequency):
    """Coefficients b0, b1, b2, a1, a2 of four sections, a low-pass of order eight by the bilinear transform."""
    w = math.tan(math.pi * frequency)
    rows = []
    for k in range(SECTIONS):
        damping = 2 * math.cos(math.pi * (2 * k + 1) / (4 * SECTIONS)) * w
        scale = 1 + damping + w * w
        b = w * w / scale
        rows.append([b, 2 * b, b, 2 * (w * w - 1) / scale, (1 - damping + w * w) / scale])
    return np.array(rows)


SOS = butterworth(0.1)


def noise(rng, rows, steps, dtype):
    return rng.standard_normal((rows, steps, 1)).astype(dtype), ()


def biquads(x, states):
    """A Butterworth low-pass of order eight as four biquads (Oppenheim and Schafer 2009, section 6.3)."""
    z = states.z.copy()
    y = x[0]
    for k in range(SECTIONS):
        b0, b1, b2, a1, a2 = SOS[k]
        u = y
        y = b0 * u + z[k, 0]
        z[k, 0] = b1 * u - a1 * y + z[k, 1]
        z[k, 1] = b2 * u - a2 * y
    return y, (z,)


def biquads_loop(x):
    rows, steps, _ = x.shape
    sos = SOS.astype(x.dtype)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        z = np.zeros((SECTIONS, 2), x.dtype)
        for t in range(steps):
            y = x[b, t, 0]
            for k in range(SECTIONS):
                u = y
                y = sos[k, 0] * u + z[k, 0]
                z[k, 0] = sos[k, 1] * u - sos[k, 3] * y + z[k, 1]
                z[k, 1] = sos[k, 2] * u - sos[k, 4] * y
            out[b, t] = y
    return out


def biquads_jax(x, states):
    import jax.numpy as jnp

    y, z = x[0], []
    for k in range(SECTIONS):
        b0, b1, b2, a1, a2 = map(float, SOS[k])
        u = y
        y = b0 * u + states.z[k, 0]
        z.append(jnp.stack([b1 * u - a1 * y + states.z[k, 1], b2 * u - a2 * y]))
    return y, (jnp.stack(z),)


def kalman_gaps(x, states, constants):
    """A Kalman filter of a level that walks, where measurements are missing (Durbin and Koopman 2012, section 2.7)."""
    q, r = constants
    variance = states.variance + q
    if math.isnan(x[0]):
        return states.level, (states.level, variance)
    gain = variance / (variance + r)
    level = states.level + gain * (x[0] - states.level)
    return level, (level, (1 - gain) * variance)


def kalman_gaps_loop(x, q, r):
    rows, steps, _ = x.shape
    real = x.dtype.type
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        level, variance = real(0.0), real(10.0)
        moved, measured = q[b], r[b]
        for t in range(steps):
            value = x[b, t, 0]
            variance += moved
            if not math.isnan(value):
                gain = variance / (variance + measured)
                level += gain * (value - level)
                variance *= real(1.0) - gain
            out[b, t] = level
    return out


def kalman_gaps_jax(x, states, constants):
    import jax.numpy as jnp

    q, r = constants
    gap = jnp.isnan(x[0])
    variance = states.variance + q
    gain = jnp.where(gap, 0.0, variance / (variance + r))
    level = states.level + gain * (jnp.where(gap, 0.0, x[0]) - states.level)
    return level, (level, (1 - gain) * variance)


def levels_with_gaps(rng, rows, steps, dtype):
    level = np.cumsum(rng.normal(0, 0.3, (rows, steps, 1)), axis=1) + rng.normal(0, 1, (rows, steps, 1))
    gaps = rng.random(level.shape) < 0.15
    x = np.where(gaps, np.nan, level).astype(dtype)
    return x, (between(rng, 0.05, 0.2, rows, dtype), between(rng, 0.5, 1.5, rows, dtype))


def kalman(x, states):
    """A Kalman filter of place and speed in the plane: the log likelihood (Särkkä 2013, theorem 4.2)."""
    m = ADVANCE @ states.m
    p = ADVANCE @ states.p @ ADVANCE.T + SPREAD
    v = x - m[:2]
    a, b, c = p[0, 0] + MEASURED, p[0, 1], p[1, 1] + MEASURED
    determinant = a * c - b * b
    inverse = np.array([[c, -b], [-b, a]]) / determinant
    gain = p[:, :2] @ inverse
    m = m + gain @ v
    p = p - gain @ p[:2]
    return -0.5 * (v @ inverse @ v + math.log(determinant)), (m, p)


def kalman_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    advance, spread = ADVANCE.astype(x.dtype), SPREAD.astype(x.dtype)
    out = np.empty((rows, steps), x.dtype)
    for row in prange(rows):
        m, p = np.zeros(4, x.dtype), np.zeros((4, 4), x.dtype)
        for i in range(4):
            p[i, i] = real(1.0)
        predicted, product, gain = np.empty(4, x.dtype), np.empty((4, 4), x.dtype), np.empty((4, 2), x.dtype)
        for t in range(steps):
            for i in range(4):
                total = real(0.0)
                for k in range(4):
                    total += advance[i, k] * m[k]
                predicted[i] = total
                for j in range(4):
                    total = real(0.0)
                    for k in range(4):
                        total += advance[i, k] * p[k, j]
                    product[i, j] = total
            for i in range(4):
                for j in range(4):
                    total = spread[i, j]
                    for k in range(4):
                        total += product[i, k] * advance[j, k]
                    p[i, j] = total
            v0, v1 = x[row, t, 0] - predicted[0], x[row, t, 1] - predicted[1]
            a, b, c = p[0, 0] + real(MEASURED), p[0, 1], p[1, 1] + real(MEASURED)
            determinant = a * c - b * b
            inverse = real(1.0) / determinant
            for i in range(4):
                gain[i, 0] = (p[i, 0] * c - p[i, 1] * b) * inverse
                gain[i, 1] = (p[i, 1] * a - p[i, 0] * b) * inverse
                m[i] = predicted[i] + gain[i, 0] * v0 + gain[i, 1] * v1
            for j in range(4):
                p0, p1 = p[0, j], p[1, j]
                for i in range(4):
                    p[i, j] -= gain[i, 0] * p0 + gain[i, 1] * p1
            distance = (c * v0 * v0 - real(2.0) * b * v0 * v1 + a * v1 * v1) * inverse
            out[row, t] = real(-0.5) * (distance + math.log(determinant))
    return out


def kalman_jax(x, states):
    import jax.numpy as jnp

    m = ADVANCE @ states.m
    p = ADVANCE @ states.p @ ADVANCE.T + SPREAD
    v = x - m[:2]
    a, b, c = p[0, 0] + MEASURED, p[0, 1], p[1, 1] + MEASURED
    determinant = a * c - b * b
    inverse = jnp.array([[c, -b], [-b, a]]) / determinant
    gain = p[:, :2] @ inverse
    return -0.5 * (v @ inverse @ v + jnp.log(determinant)), (m + gain @ v, p - gain @ p[:2])


def tracks(rng, rows, steps, dtype):
    speed = np.cumsum(rng.normal(0, 0.2, (rows, steps, 2)), axis=1)
    return (np.cumsum(DT * speed, axis=1) + rng.normal(0, 0.6, speed.shape)).astype(dtype), ()


def phase_locked_loop(x, states):
    """A phase-locked loop of second order and the frequency that it follows (Gardner 2005, chapter 2)."""
    error = x[0] * math.cos(states.phase)
    frequency = states.frequency + FREQUENCY_GAIN * error
    phase = states.phase + BASE + frequency + PHASE_GAIN * error
    while phase > math.pi:
        phase -= TURN
    return frequency, (phase, frequency)


def phase_locked_loop_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    base, first, second, half, turn = real(BASE), real(PHASE_GAIN), real(FREQUENCY_GAIN), real(math.pi), real(TURN)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        phase, frequency = real(0.0), real(0.0)
        for t in range(steps):
            error = x[b, t, 0] * math.cos(phase)
            frequency += second * error
            phase = phase + base + frequency + first * error
            while phase > half:
                phase -= turn
            out[b, t] = frequency
    return out


def phase_locked_loop_jax(x, states):
    import jax.numpy as jnp

    error = x[0] * jnp.cos(states.phase)
    frequency = states.frequency + FREQUENCY_GAIN * error
    phase = states.phase + BASE + frequency + PHASE_GAIN * error
    return frequency, (jnp.where(phase > math.pi, phase - TURN, phase), frequency)


def carriers(rng, rows, steps, dtype):
    """Sines near the loop's frequency, in noise."""
    frequency = BASE + 0.1 * np.sin(np.arange(steps) / 60) + rng.normal(0, 0.05, (rows, 1))
    signal = np.sin(np.cumsum(frequency, axis=1)) + rng.normal(0, 0.2, (rows, steps))
    return signal[..., None].astype(dtype), ()


def lms(x, states):
    """Normalized least mean squares with a dead zone: the error of an echo's estimate (Haykin 2014, chapter 7)."""
    taps = np.append(x[0], states.taps[:-1])
    error = x[1] - states.w @ taps
    if abs(error) < DEAD:
        return error, (states.w, taps)
    return error, (states.w + RATE * error / (0.1 + taps @ taps) * taps, taps)


def lms_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        w, taps = np.zeros(TAPS, x.dtype), np.zeros(TAPS, x.dtype)
        for t in range(steps):
            for k in range(TAPS - 1, 0, -1):
                taps[k] = taps[k - 1]
            taps[0] = x[b, t, 0]
            predicted, power = real(0.0), real(0.1)
            for k in range(TAPS):
                predicted += w[k] * taps[k]
                power += taps[k] * taps[k]
            error = x[b, t, 1] - predicted
            if abs(error) >= real(DEAD):
                change = real(RATE) * error / power
                for k in range(TAPS):
                    w[k] += change * taps[k]
            out[b, t] = error
    return out


def lms_jax(x, states):
    import jax.numpy as jnp

    taps = jnp.append(x[0], states.taps[:-1])
    error = x[1] - states.w @ taps
    change = jnp.where(abs(error) < DEAD, 0.0, RATE * error / (0.1 + taps @ taps))
    return error, (states.w + change * taps, taps)


def echoes(rng, rows, steps, dtype):
    """A sound, and its echo through a few taps that differ by row."""
    sound = rng.standard_normal((rows, steps + TAPS))
    path = rng.normal(0, 0.4, (rows, TAPS)) * 0.7 ** np.arange(TAPS)
    echo = sum(path[:, k, None] * sound[:, TAPS - k : TAPS - k + steps] for k in range(4))
    pair = [sound[:, TAPS:], echo + rng.normal(0, 0.05, (rows, steps))]
    return np.stack(pair, axis=-1).astype(dtype), ()


def rls(x, states):
    """Recursive least squares with forgetting: the error of the prediction (Haykin 2014, chapter 10)."""
    taps = np.append(x[0], states.taps[:-1])
    seen = states.p @ taps
    gain = seen * (1 / (FORGET + taps @ seen))
    error = x[1] - states.w @ taps
    return error, (states.w + gain * error, (states.p - np.outer(gain, seen)) * (1 / FORGET), taps)


def rls_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        w, taps, seen = np.zeros(ORDER, x.dtype), np.zeros(ORDER, x.dtype), np.empty(ORDER, x.dtype)
        p = np.zeros((ORDER, ORDER), x.dtype)
        for i in range(ORDER):
            p[i, i] = real(10.0)
        for t in range(steps):
            for k in range(ORDER - 1, 0, -1):
                taps[k] = taps[k - 1]
            taps[0] = x[b, t, 0]
            error, scale = x[b, t, 1], real(FORGET)
            for i in range(ORDER):
                total = real(0.0)
                for k in range(ORDER):
                    total += p[i, k] * taps[k]
                seen[i] = total
                scale += taps[i] * total
                error -= w[i] * taps[i]
            scale = real(1.0) / scale
            for i in range(ORDER):
                gain = seen[i] * scale
                w[i] += gain * error
                for j in range(ORDER):
                    p[i, j] = (p[i, j] - gain * seen[j]) * real(1 / FORGET)
            out[b, t] = error
    return out


def rls_jax(x, states):
    import jax.numpy as jnp

    taps = jnp.append(x[0], states.taps[:-1])
    seen = states.p @ taps
    gain = seen / (FORGET + taps @ seen)
    error = x[1] - states.w @ taps
    return error, (states.w + gain * error, (states.p - jnp.outer(gain, seen)) / FORGET, taps)


def levinson(x, states):
    """Prediction of the next sample: autocorrelations that fade, and Levinson's recursion (Durbin 1960)."""
    last = np.append(x[0], states.last[:-1])
    r = MEMORY * states.r + x[0] * last
    a = np.zeros(LAGS)
    a[0] = 1.0
    error = r[0] + 0.05
    for i in range(1, LAGS):
        total = r[i]
        for j in range(1, i):
            total += a[j] * r[i - j]
        k = -total / error
        if abs(k) > REFLECTION:
            break
        for j in range(1, i // 2 + 1):
            a[j], a[i - j] = a[j] + k * a[i - j], a[i - j] + k * a[j]
        a[i] = k
        error *= 1 - k * k
    predicted = 0.0
    for j in range(1, LAGS):
        predicted -= a[j] * last[j - 1]
    return predicted, (last, r)


def levinson_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    memory, most = real(MEMORY), real(REFLECTION)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        last, r, a = np.zeros(LAGS, x.dtype), np.zeros(LAGS, x.dtype), np.zeros(LAGS, x.dtype)
        for t in range(steps):
            for k in range(LAGS - 1, 0, -1):
                last[k] = last[k - 1]
            last[0] = x[b, t, 0]
            for k in range(LAGS):
                r[k] = memory * r[k] + last[0] * last[k]
                a[k] = real(0.0)
            error = r[0] + real(0.05)
            for i in range(1, LAGS):
                total = r[i]
                for j in range(1, i):
                    total += a[j] * r[i - j]
                k_i = -total / error
                if abs(k_i) > most:
                    break
                for j in range(1, i // 2 + 1):
                    low, high = a[j], a[i - j]
                    a[j] = low + k_i * high
                    a[i - j] = high + k_i * low
                a[i] = k_i
                error *= real(1.0) - k_i * k_i
            predicted = real(0.0)
            for j in range(1, LAGS):
                predicted -= a[j] * last[j - 1]
            out[b, t] = predicted
    return out


def voices(rng, rows, steps, dtype):
    """Sums of two sines that swell, with little noise."""
    t = np.arange(steps)
    swell = 1 + np.sin(t / 25)
    tones = sum(np.sin(rng.uniform(0.1, 0.8, (rows, 1)) * t) for _ in range(2))
    return (swell * tones + rng.normal(0, 0.02, (rows, steps)))[..., None].astype(dtype), ()


RECURRENCES = (
    Recurrence(biquads, biquads_loop, noise, states={"z": (SECTIONS, 2)}, jax_step=biquads_jax),
    Recurrence(
        kalman_gaps,
        kalman_gaps_loop,
        levels_with_gaps,
        states={"level": (), "variance": ()},
        initial={"variance": 10.0},
        constants={"q": (), "r": ()},
        jax_step=kalman_gaps_jax,
    ),
    Recurrence(
        kalman,
        kalman_loop,
        tracks,
        states={"m": 4, "p": (4, 4)},
        initial={"p": np.eye(4)},
        features=2,
        jax_step=kalman_jax,
    ),
    Recurrence(
        phase_locked_loop,
        phase_locked_loop_loop,
        carriers,
        states={"phase": (), "frequency": ()},
        jax_step=phase_locked_loop_jax,
    ),
    Recurrence(lms, lms_loop, echoes, states={"w": TAPS, "taps": TAPS}, features=2, jax_step=lms_jax),
    Recurrence(
        rls,
        rls_loop,
        echoes,
        states={"w": ORDER, "p": (ORDER, ORDER), "taps": ORDER},
        initial={"p": 10 * np.eye(ORDER)},
        features=2,
        jax_step=rls_jax,
    ),
    Recurrence(levinson, levinson_loop, voices, states={"last": LAGS, "r": LAGS}),
)
