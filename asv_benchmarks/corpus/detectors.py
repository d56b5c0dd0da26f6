"""Changes, levels and periods found as the samples come in."""

import math

import numba
import numpy as np
from numba import prange

from .recurrence import Recurrence

DRIFT, LIMIT = 0.3, 4.0
TOLERANCE, ALARM = 0.1, 6.0
RADII = (0.2, 0.5, 1.0, 1.6)
SHARES = (0.4, 0.3, 0.2, 0.1)
UPPER, LOWER, BOUNCE = 0.5, -0.5, 2
WINDOW, SHORTEST, LONGEST, QUIET = 12, 4, 16, 0.15
KEPT = WINDOW + LONGEST


def shifting(rng, rows, steps, dtype):
    """Noise whose mean changes now and then."""
    jumps = rng.normal(0, 1.5, (rows, steps, 1)) * (rng.random((rows, steps, 1)) < 0.04)
    level = np.cumsum(jumps, axis=1)
    return (np.sin(level) * 1.5 + rng.normal(0, 0.7, level.shape)).astype(dtype), ()


def cusum(x, states):
    """Two-sided CUSUM that starts anew after an alarm (Page 1954)."""
    up = max(0.0, states.up + x[0] - DRIFT)
    down = max(0.0, states.down - x[0] - DRIFT)
    if up > LIMIT:
        return LIMIT, (0.0, 0.0)
    if down > LIMIT:
        return -LIMIT, (0.0, 0.0)
    return up - down, (up, down)


def cusum_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    zero, drift, limit = real(0.0), real(DRIFT), real(LIMIT)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        up, down = zero, zero
        for t in range(steps):
            up = max(zero, up + x[b, t, 0] - drift)
            down = max(zero, down - x[b, t, 0] - drift)
            if up > limit:
                out[b, t] = limit
                up, down = zero, zero
            elif down > limit:
                out[b, t] = -limit
                up, down = zero, zero
            else:
                out[b, t] = up - down
    return out


def cusum_jax(x, states):
    import jax.numpy as jnp

    up = jnp.maximum(0.0, states.up + x[0] - DRIFT)
    down = jnp.maximum(0.0, states.down - x[0] - DRIFT)
    output = jnp.where(up > LIMIT, LIMIT, jnp.where(down > LIMIT, -LIMIT, up - down))
    alarm = (up > LIMIT) | (down > LIMIT)
    return output, (jnp.where(alarm, 0.0, up), jnp.where(alarm, 0.0, down))


def page_hinkley(x, states):
    """Page-Hinkley test of a mean that rises, which forgets all after an alarm (Hinkley 1971; Gama et al. 2014)."""
    n = states.n + 1
    mean = states.mean + (x[0] - states.mean) / n
    total = states.total + x[0] - mean - TOLERANCE
    low = min(states.low, total)
    statistic = total - low
    if statistic > ALARM:
        n = mean = total = low = 0.0
    return statistic, (n, mean, total, low)


def page_hinkley_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    zero, one, tolerance, alarm = real(0.0), real(1.0), real(TOLERANCE), real(ALARM)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        n, mean, total, low = zero, zero, zero, zero
        for t in range(steps):
            value = x[b, t, 0]
            n += one
            mean += (value - mean) / n
            total = total + value - mean - tolerance
            low = min(low, total)
            statistic = total - low
            out[b, t] = statistic
            if statistic > alarm:
                n, mean, total, low = zero, zero, zero, zero
    return out


def page_hinkley_jax(x, states):
    import jax.numpy as jnp

    n = states.n + 1
    mean = states.mean + (x[0] - states.mean) / n
    total = states.total + x[0] - mean - TOLERANCE
    low = jnp.minimum(states.low, total)
    alarm = total - low > ALARM
    return total - low, tuple(jnp.where(alarm, 0.0, value) for value in (n, mean, total, low))


def hysteresis(x, states):
    """Hysteresis as a sum of play operators of several widths (Prandtl-Ishlinskii; Visintin 1994, chapter III)."""
    play = states.play.copy()
    total = 0.0
    for k, radius in enumerate(RADII):
        if x[0] - radius > play[k]:
            play[k] = x[0] - radius
        elif x[0] + radius < play[k]:
            play[k] = x[0] + radius
        total += SHARES[k] * play[k]
    return total, (play,)


def hysteresis_loop(x):
    rows, steps, _ = x.shape
    radii, shares = np.array(RADII).astype(x.dtype), np.array(SHARES).astype(x.dtype)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        play = np.zeros(4, x.dtype)
        for t in range(steps):
            value, total = x[b, t, 0], x.dtype.type(0.0)
            for k in range(4):
                if value - radii[k] > play[k]:
                    play[k] = value - radii[k]
                elif value + radii[k] < play[k]:
                    play[k] = value + radii[k]
                total += shares[k] * play[k]
            out[b, t] = total
    return out


def hysteresis_jax(x, states):
    import jax.numpy as jnp

    play = jnp.clip(states.play, x[0] - np.array(RADII), x[0] + np.array(RADII))
    return (np.array(SHARES) * play).sum(), (play,)


def comparator(upper, lower, bounce):
    """Give the step of a Schmitt trigger."""

    def schmitt_trigger(x, states):
        """A comparator with two thresholds for an input that bounces (Schmitt 1938), and its pulses."""
        level, waited, pulses = states
        crossed = x[0] > upper if level == 0 else x[0] < lower
        if not crossed:
            waited = 0.0
        else:
            waited += 1
            if waited >= bounce:
                level, waited = 1 - level, 0.0
                if level == 1:
                    pulses += 1
        return pulses if level == 1 else -pulses, (level, waited, pulses)

    return schmitt_trigger


def schmitt_trigger_loop(x):
    rows, steps, _ = x.shape
    upper, lower = x.dtype.type(UPPER), x.dtype.type(LOWER)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        level, waited, pulses = False, 0, 0
        for t in range(steps):
            if x[b, t, 0] < lower if level else x[b, t, 0] > upper:
                waited += 1
                if waited >= BOUNCE:
                    level, waited = not level, 0
                    if level:
                        pulses += 1
            else:
                waited = 0
            out[b, t] = pulses if level else -pulses
    return out


def run_lengths(x, states):
    """The current run of rises or of falls, beside the longest so far (Wald and Wolfowitz 1940)."""
    rise = x[0] - states.before
    if rise == 0:
        return np.array([states.length, states.longest]), (x[0], states.sign, states.length, states.longest)
    sign = 1.0 if rise > 0 else -1.0
    length = states.length + 1 if sign == states.sign else 1.0
    longest = length if length > states.longest else states.longest
    return np.array([length, longest]), (x[0], sign, length, longest)


def run_lengths_loop(x):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps, 2), x.dtype)
    for b in prange(rows):
        before, sign, length, longest = x.dtype.type(0.0), 0, 0, 0
        for t in range(steps):
            rise = x[b, t, 0] - before
            before = x[b, t, 0]
            if rise != 0:
                turned = 1 if rise > 0 else -1
                length = length + 1 if turned == sign else 1
                sign = turned
                longest = max(longest, length)
            out[b, t, 0] = length
            out[b, t, 1] = longest
    return out


def rounded(rng, rows, steps, dtype):
    """A random walk in whole numbers, with ties."""
    return np.cumsum(np.round(rng.normal(0, 1.2, (rows, steps, 1))), axis=1).astype(dtype), ()


@numba.njit
def difference(buffer, position, lag):
    """Mean absolute difference of the last samples and those `lag` before."""
    total = 0.0
    for k in range(WINDOW):
        i = position - k
        total += abs(buffer[i % KEPT] - buffer[(i - lag) % KEPT])
    return total / WINDOW


def pitch_detector(x, states):
    """The first lag at which the signal nearly repeats itself (AMDF; Ross et al. 1974), 0 where it doesn't."""
    buffer = states.buffer.copy()
    position = int(states.position)
    buffer[position] = x[0]
    level = 0.0
    for value in buffer:
        level += abs(value)
    found = 0.0
    lag = SHORTEST
    while lag <= LONGEST:
        if difference(buffer, position, lag) < QUIET * level / KEPT:
            found = float(lag)
            break
        lag += 1
    return found, (buffer, float((position + 1) % KEPT))


def pitch_detector_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        buffer, position = np.zeros(KEPT, x.dtype), 0
        for t in range(steps):
            buffer[position] = x[b, t, 0]
            level = real(0.0)
            for k in range(KEPT):
                level += abs(buffer[k])
            limit = real(QUIET) * level / real(KEPT)
            found = 0
            for lag in range(SHORTEST, LONGEST + 1):
                total = real(0.0)
                i, j = position, position - lag
                if j < 0:
                    j += KEPT
                for _ in range(WINDOW):
                    total += abs(buffer[i] - buffer[j])
                    i = i - 1 if i > 0 else KEPT - 1
                    j = j - 1 if j > 0 else KEPT - 1
                if total / real(WINDOW) < limit:
                    found = lag
                    break
            out[b, t] = found
            position = position + 1 if position + 1 < KEPT else 0
    return out


def tones(rng, rows, steps, dtype):
    """Tones whose periods change, with pauses of noise."""
    period = 4 + 10 * rng.random((rows, steps // 50 + 1)).repeat(50, axis=1)[:, :steps]
    loud = (rng.random((rows, steps // 50 + 1)) < 0.8).repeat(50, axis=1)[:, :steps]
    signal = loud * np.sin(np.cumsum(2 * math.pi / period, axis=1)) + rng.normal(0, 0.03, (rows, steps))
    return signal[..., None].astype(dtype), ()


RECURRENCES = (
    Recurrence(cusum, cusum_loop, shifting, states={"up": (), "down": ()}, jax_step=cusum_jax),
    Recurrence(
        page_hinkley,
        page_hinkley_loop,
        shifting,
        states={"n": (), "mean": (), "total": (), "low": ()},
        jax_step=page_hinkley_jax,
    ),
    Recurrence(hysteresis, hysteresis_loop, shifting, states={"play": 4}, jax_step=hysteresis_jax),
    Recurrence(
        comparator(UPPER, LOWER, BOUNCE),
        schmitt_trigger_loop,
        shifting,
        states={"level": (), "waited": (), "pulses": ()},
        differentiable=False,
    ),
    Recurrence(
        run_lengths,
        run_lengths_loop,
        rounded,
        states={"before": (), "sign": (), "length": (), "longest": ()},
        output=(2,),
        differentiable=False,
    ),
    Recurrence(
        pitch_detector,
        pitch_detector_loop,
        tones,
        states={"buffer": KEPT, "position": ()},
        differentiable=False,
    ),
)
