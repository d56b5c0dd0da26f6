"""Controllers and stores with limits."""

import numpy as np
from numba import prange

from .recurrence import Recurrence

GAIN, INTEGRAL, DERIVATIVE, LEAST, MOST = 0.6, 0.5, 2.0, -1.0, 1.0
LAG = 0.15
CAPACITY, POWER, CHARGING, DISCHARGING, GRID = 8.0, 2.0, 0.95, 0.93, 3.0
CHEAP, DEAR = 0.2, 0.35


def pid(x, states):
    """PID with anti-windup by conditional integration, and its plant (Åström and Murray 2008, section 10.4)."""
    error = x[0] - states.plant
    integral = states.integral + INTEGRAL * error
    wanted = GAIN * error + integral + DERIVATIVE * (error - states.error)
    if wanted > MOST:
        u = MOST
        if error > 0:
            integral = states.integral
    elif wanted < LEAST:
        u = LEAST
        if error < 0:
            integral = states.integral
    else:
        u = wanted
    plant = states.plant + LAG * (1.5 * u - states.plant)
    return u, (plant, integral, error)


def pid_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    gain, rate, derivative, lag, force = real(GAIN), real(INTEGRAL), real(DERIVATIVE), real(LAG), real(1.5)
    least, most = real(LEAST), real(MOST)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        plant, integral, before = real(0.0), real(0.0), real(0.0)
        for t in range(steps):
            error = x[b, t, 0] - plant
            summed = integral + rate * error
            u = gain * error + summed + derivative * (error - before)
            if u > most:
                u = most
                if error < 0 or error == 0:
                    integral = summed
            elif u < least:
                u = least
                if error > 0 or error == 0:
                    integral = summed
            else:
                integral = summed
            before = error
            plant += lag * (force * u - plant)
            out[b, t] = u
    return out


def pid_jax(x, states):
    import jax.numpy as jnp

    error = x[0] - states.plant
    integral = states.integral + INTEGRAL * error
    wanted = GAIN * error + integral + DERIVATIVE * (error - states.error)
    wound = ((wanted > MOST) & (error > 0)) | ((wanted < LEAST) & (error < 0))
    u = jnp.clip(wanted, LEAST, MOST)
    plant = states.plant + LAG * (1.5 * u - states.plant)
    return u, (plant, jnp.where(wound, states.integral, integral), error)


def setpoints(rng, rows, steps, dtype):
    """A target that jumps, further than the plant can follow at times."""
    jumps = rng.normal(0, 1.0, (rows, steps, 1)) * (rng.random((rows, steps, 1)) < 0.05)
    return (2 * np.sin(np.cumsum(jumps, axis=1)) + rng.normal(0, 0.05, jumps.shape)).astype(dtype), ()


def battery(x, states):
    """A battery behind a meter: surplus first, prices then, within power, charge and grid (Nottrott et al. 2013)."""
    surplus, price = x[0], x[1]
    if surplus > 0:
        power = min(surplus, POWER)
    elif price < CHEAP:
        power = min(POWER, GRID + surplus)
    elif price > DEAR:
        power = max(surplus, -POWER)
    else:
        power = 0.0
    if power > 0:
        room = (CAPACITY - states.charge) / CHARGING
        power = min(power, room)
        charge = states.charge + CHARGING * power
    else:
        power = max(power, -states.charge * DISCHARGING)
        charge = states.charge + power / DISCHARGING
    exchange = surplus - power
    if not -GRID <= exchange <= GRID:
        exchange = GRID if exchange > 0 else -GRID
    cost = states.cost - price * exchange
    return cost, (charge, cost)


def battery_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    capacity, most, into, outof, grid = real(CAPACITY), real(POWER), real(CHARGING), real(DISCHARGING), real(GRID)
    cheap, dear, zero = real(CHEAP), real(DEAR), real(0.0)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        charge, cost = real(4.0), zero
        for t in range(steps):
            surplus, price = x[b, t, 0], x[b, t, 1]
            if surplus > 0:
                power = min(surplus, most)
            elif price < cheap:
                power = min(most, grid + surplus)
            elif price > dear:
                power = max(surplus, -most)
            else:
                power = zero
            if power > 0:
                power = min(power, (capacity - charge) / into)
                charge += into * power
            else:
                power = max(power, -charge * outof)
                charge += power / outof
            exchange = min(max(surplus - power, -grid), grid)
            cost -= price * exchange
            out[b, t] = cost
    return out


def battery_jax(x, states):
    import jax.numpy as jnp

    surplus, price = x
    bought = jnp.minimum(POWER, GRID + surplus)
    sold = jnp.where(price > DEAR, jnp.maximum(surplus, -POWER), 0.0)
    power = jnp.where(surplus > 0, jnp.minimum(surplus, POWER), jnp.where(price < CHEAP, bought, sold))
    charging = jnp.minimum(power, (CAPACITY - states.charge) / CHARGING)
    discharging = jnp.maximum(power, -states.charge * DISCHARGING)
    change = jnp.where(power > 0, CHARGING * charging, discharging / DISCHARGING)
    power = jnp.where(power > 0, charging, discharging)
    cost = states.cost - price * jnp.clip(surplus - power, -GRID, GRID)
    return cost, (states.charge + change, cost)


def households(rng, rows, steps, dtype):
    """Surplus of a roof's power over a day of 24 steps, and prices by the hour."""
    hour = np.arange(steps) % 24
    sun = np.maximum(0, np.sin((hour - 6) / 12 * np.pi)) * rng.uniform(1, 7, (rows, steps))
    surplus = sun - rng.gamma(3, 0.5, (rows, steps))
    price = 0.28 + 0.1 * np.sin((hour - 12) / 12 * np.pi) + rng.normal(0, 0.05, (rows, steps))
    return np.stack([surplus, price], axis=-1).astype(dtype), ()


RECURRENCES = (
    Recurrence(pid, pid_loop, setpoints, states={"plant": (), "integral": (), "error": ()}, jax_step=pid_jax),
    Recurrence(
        battery,
        battery_loop,
        households,
        states={"charge": (), "cost": ()},
        initial={"charge": 4.0},
        features=2,
        jax_step=battery_jax,
    ),
)
