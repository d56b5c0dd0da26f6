"""Rain, snow, soil and rivers, a day at a time."""

import math

import numpy as np
from numba import prange

from .recurrence import Recurrence, between

FREEZING, DEGREE, FIELD, BASE = 0.5, 3.0, 80.0, 0.03
DELAY = 2.2
REFREEZE, HELD, CORRECTION, SHAPE, WILTING = 0.05, 0.1, 0.9, 3.0, 0.6
SOIL, PERCOLATION, K0, K1, K2, QUICK = 60.0, 1.5, 0.4, 0.1, 0.02, 15.0


def shares(curve, count):
    """Shares of a unit hydrograph by day, from its S-curve."""
    return np.diff([curve(min(day / DELAY, 2.0)) for day in range(count + 1)])


FIRST = shares(lambda t: min(t, 1.0) ** 2.5, 3)
SECOND = shares(lambda t: 0.5 * t**2.5 if t <= 1 else 1 - 0.5 * (2 - t) ** 2.5, 5)


def weather(rng, rows, steps, dtype):
    """Rain in mm, temperature in °C and potential evaporation in mm, with a year of 60 days."""
    season = np.sin(2 * np.pi * (np.arange(steps) / 60 - 0.2))
    temperature = 4 + 9 * season + rng.normal(0, 3, (rows, steps))
    rain = 0.01 + rng.gamma(0.8, 12.0, (rows, steps)) * (rng.random((rows, steps)) < 0.5)
    evaporation = np.maximum(0.2, 2.2 + 1.8 * season + rng.normal(0, 0.3, (rows, steps)))
    return np.stack([rain, temperature, evaporation], axis=-1).astype(dtype), ()


def snow_and_soil(x, states):
    """Snow by degree-days above a soil that overflows, a bucket each (Hock 2003; Manabe 1969)."""
    snow, soil = states
    rain, temperature, evaporation = x
    if temperature < FREEZING:
        snow += rain
    else:
        melt = min(snow, DEGREE * (temperature - FREEZING))
        snow -= melt
        soil += rain + melt
    runoff = 0.0
    if soil > FIELD:
        runoff = soil - FIELD
        soil = FIELD
    soil -= min(soil, evaporation * soil * (1 / FIELD))
    base = BASE * soil
    return runoff + base, (snow, soil - base)


def snow_and_soil_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    freezing, degree, field, share, part = real(FREEZING), real(DEGREE), real(FIELD), real(1 / FIELD), real(BASE)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        snow, soil = real(0.0), real(40.0)
        for t in range(steps):
            rain, temperature, evaporation = x[b, t, 0], x[b, t, 1], x[b, t, 2]
            if temperature < freezing:
                snow += rain
            else:
                melt = min(snow, degree * (temperature - freezing))
                snow -= melt
                soil += rain + melt
            runoff = real(0.0)
            if soil > field:
                runoff = soil - field
                soil = field
            soil -= min(soil, evaporation * soil * share)
            base = part * soil
            soil -= base
            out[b, t] = runoff + base
    return out


def snow_and_soil_jax(x, states):
    import jax.numpy as jnp

    rain, temperature, evaporation = x
    cold = temperature < FREEZING
    melt = jnp.where(cold, 0.0, jnp.minimum(states.snow, DEGREE * (temperature - FREEZING)))
    snow = states.snow - melt + jnp.where(cold, rain, 0.0)
    soil = states.soil + melt + jnp.where(cold, 0.0, rain)
    runoff = jnp.maximum(soil - FIELD, 0.0)
    soil = jnp.minimum(soil, FIELD)
    soil -= jnp.minimum(soil, evaporation * soil / FIELD)
    base = BASE * soil
    return runoff + base, (snow, soil - base)


def gr4j(x, states, constants):
    """GR4J: a production store, two unit hydrographs and a routing store (Perrin et al. 2003, eq. 1 to 22)."""
    x1, x2, x3 = constants
    store, routing = states.store, states.routing
    rain, evaporation = x[0], x[2]
    full = store / x1
    if rain >= evaporation:
        wet = math.tanh((rain - evaporation) / x1)
        stored = x1 * (1 - full * full) * wet / (1 + full * wet)
        store += stored
        effective = rain - evaporation - stored
    else:
        dry = math.tanh((evaporation - rain) / x1)
        store -= store * (2 - full) * dry / (1 + (1 - full) * dry)
        effective = 0.0
    percolated = store * (1 - (1 + (4 / 9 * store / x1) ** 4) ** -0.25)
    store -= percolated
    effective += percolated
    first = 0.9 * effective * FIRST
    first[:-1] += states.first[1:]
    second = 0.1 * effective * SECOND
    second[:-1] += states.second[1:]
    exchange = x2 * (routing / x3) ** 3.5
    routing = max(0.0, routing + first[0] + exchange)
    outflow = routing * (1 - (1 + (routing / x3) ** 4) ** -0.25)
    direct = max(0.0, second[0] + exchange)
    return outflow + direct, (store, routing - outflow, first, second)


def gr4j_loop(x, x1, x2, x3):
    rows, steps, _ = x.shape
    real = x.dtype.type
    zero, one, two, power = real(0.0), real(1.0), real(2.0), real(-0.25)
    shares1, shares2 = FIRST.astype(x.dtype), SECOND.astype(x.dtype)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        first, second = np.zeros(3, x.dtype), np.zeros(5, x.dtype)
        store, routing = real(100.0), real(30.0)
        a, c, inverse1, inverse3 = x1[b], x2[b], one / x1[b], one / x3[b]
        for t in range(steps):
            rain, evaporation = x[b, t, 0], x[b, t, 2]
            full = store * inverse1
            if rain >= evaporation:
                wet = math.tanh((rain - evaporation) * inverse1)
                stored = a * (one - full * full) * wet / (one + full * wet)
                store += stored
                effective = rain - evaporation - stored
            else:
                dry = math.tanh((evaporation - rain) * inverse1)
                store -= store * (two - full) * dry / (one + (one - full) * dry)
                effective = zero
            ratio = real(4 / 9) * store * inverse1
            ratio *= ratio
            percolated = store * (one - (one + ratio * ratio) ** power)
            store -= percolated
            effective += percolated
            for k in range(2):
                first[k] = first[k + 1] + real(0.9) * effective * shares1[k]
            first[2] = real(0.9) * effective * shares1[2]
            for k in range(4):
                second[k] = second[k + 1] + real(0.1) * effective * shares2[k]
            second[4] = real(0.1) * effective * shares2[4]
            exchange = c * (routing * inverse3) ** real(3.5)
            routing = max(zero, routing + first[0] + exchange)
            ratio = routing * inverse3
            ratio *= ratio
            outflow = routing * (one - (one + ratio * ratio) ** power)
            routing -= outflow
            out[b, t] = outflow + max(zero, second[0] + exchange)
    return out


def gr4j_jax(x, states, constants):
    import jax.numpy as jnp

    x1, x2, x3 = constants
    net = x[0] - x[2]
    full = states.store / x1
    wet = jnp.tanh(jnp.maximum(net, 0.0) / x1)
    dry = jnp.tanh(jnp.maximum(-net, 0.0) / x1)
    stored = x1 * (1 - full * full) * wet / (1 + full * wet)
    store = states.store + stored - states.store * (2 - full) * dry / (1 + (1 - full) * dry)
    percolated = store * (1 - (1 + (4 / 9 * store / x1) ** 4) ** -0.25)
    effective = jnp.where(net >= 0, net - stored, 0.0) + percolated
    first = jnp.append(states.first[1:], 0.0) + 0.9 * effective * FIRST
    second = jnp.append(states.second[1:], 0.0) + 0.1 * effective * SECOND
    exchange = x2 * (states.routing / x3) ** 3.5
    routing = jnp.maximum(0.0, states.routing + first[0] + exchange)
    outflow = routing * (1 - (1 + (routing / x3) ** 4) ** -0.25)
    return outflow + jnp.maximum(0.0, second[0] + exchange), (store - percolated, routing - outflow, first, second)


def catchments(rng, rows, steps, dtype):
    x, _ = weather(rng, rows, steps, dtype)
    return x, tuple(between(rng, *ends, rows, dtype) for ends in ((150, 500), (-1.5, 1.5), (40, 120)))


def hbv(x, states):
    """HBV: snow with liquid water in it, soil and two boxes of groundwater (Seibert and Vis 2012)."""
    snow, liquid, soil, upper, lower = states
    rain, temperature, evaporation = x
    if temperature < FREEZING:
        frozen = min(liquid, REFREEZE * DEGREE * (FREEZING - temperature))
        snow += CORRECTION * rain + frozen
        liquid -= frozen
    else:
        melt = min(snow, DEGREE * (temperature - FREEZING))
        snow -= melt
        liquid += rain + melt
    water = 0.0
    if liquid > HELD * snow:
        water = liquid - HELD * snow
        liquid = HELD * snow
    recharge = water * (soil / SOIL) ** SHAPE
    soil += water - recharge
    if soil > SOIL:
        recharge += soil - SOIL
        soil = SOIL
    soil -= evaporation if soil > WILTING * SOIL else evaporation * soil / (WILTING * SOIL)
    upper += recharge
    down = min(PERCOLATION, upper)
    upper -= down
    lower += down
    outflow = K1 * upper
    if upper > QUICK:
        outflow += K0 * (upper - QUICK)
    base = K2 * lower
    return outflow + base, (snow, liquid, soil, upper - outflow, lower - base)


def hbv_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    zero, freezing, degree, refreeze = real(0.0), real(FREEZING), real(DEGREE), real(REFREEZE * DEGREE)
    held, correction, shape, field, dry = real(HELD), real(CORRECTION), real(SHAPE), real(SOIL), real(WILTING * SOIL)
    share, wilting = real(1 / SOIL), real(1.0) / dry
    percolation, k0, k1, k2, quick = real(PERCOLATION), real(K0), real(K1), real(K2), real(QUICK)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        snow, liquid, soil, upper, lower = zero, zero, real(40.0), real(5.0), real(10.0)
        for t in range(steps):
            rain, temperature, evaporation = x[b, t, 0], x[b, t, 1], x[b, t, 2]
            if temperature < freezing:
                frozen = min(liquid, refreeze * (freezing - temperature))
                snow += correction * rain + frozen
                liquid -= frozen
            else:
                melt = min(snow, degree * (temperature - freezing))
                snow -= melt
                liquid += rain + melt
            water = zero
            if liquid > held * snow:
                water = liquid - held * snow
                liquid = held * snow
            recharge = water * (soil * share) ** shape
            soil += water - recharge
            if soil > field:
                recharge += soil - field
                soil = field
            soil -= evaporation if soil > dry else evaporation * soil * wilting
            upper += recharge
            down = min(percolation, upper)
            upper -= down
            lower += down
            outflow = k1 * upper
            if upper > quick:
                outflow += k0 * (upper - quick)
            base = k2 * lower
            upper -= outflow
            lower -= base
            out[b, t] = outflow + base
    return out


def hbv_jax(x, states):
    import jax.numpy as jnp

    snow, liquid, soil, upper, lower = states
    rain, temperature, evaporation = x
    cold = temperature < FREEZING
    frozen = jnp.where(cold, jnp.minimum(liquid, REFREEZE * DEGREE * (FREEZING - temperature)), 0.0)
    melt = jnp.where(cold, 0.0, jnp.minimum(snow, DEGREE * (temperature - FREEZING)))
    snow += jnp.where(cold, CORRECTION * rain, 0.0) + frozen - melt
    liquid += jnp.where(cold, 0.0, rain) + melt - frozen
    water = jnp.maximum(liquid - HELD * snow, 0.0)
    recharge = water * (soil / SOIL) ** SHAPE
    soil += water - recharge
    recharge += jnp.maximum(soil - SOIL, 0.0)
    soil = jnp.minimum(soil, SOIL)
    soil -= jnp.where(soil > WILTING * SOIL, evaporation, evaporation * soil / (WILTING * SOIL))
    upper += recharge
    down = jnp.minimum(PERCOLATION, upper)
    upper, lower = upper - down, lower + down
    outflow = K1 * upper + K0 * jnp.maximum(upper - QUICK, 0.0)
    base = K2 * lower
    return outflow + base, (snow, liquid - jnp.where(water > 0, water, 0.0), soil, upper - outflow, lower - base)


RECURRENCES = (
    Recurrence(
        snow_and_soil,
        snow_and_soil_loop,
        weather,
        states={"snow": (), "soil": ()},
        initial={"soil": 40.0},
        features=3,
        jax_step=snow_and_soil_jax,
    ),
    Recurrence(
        gr4j,
        gr4j_loop,
        catchments,
        states={"store": (), "routing": (), "first": 3, "second": 5},
        initial={"store": 100.0, "routing": 30.0},
        constants={"x1": (), "x2": (), "x3": ()},
        features=3,
        jax_step=gr4j_jax,
    ),
    Recurrence(
        hbv,
        hbv_loop,
        weather,
        states={"snow": (), "liquid": (), "soil": (), "upper": (), "lower": ()},
        initial={"soil": 40.0, "upper": 5.0, "lower": 10.0},
        features=3,
        jax_step=hbv_jax,
    ),
)
