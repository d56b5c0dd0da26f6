"""Differential equations, solved by hand."""

import math

import numba
import numpy as np
from numba import prange

from .recurrence import Recurrence, between

SIGMA, RHO, BETA, DT = 10.0, 28.0, 8 / 3, 0.02
SITES, FORCE, SITE_DT = 20, 8.0, 0.02
MASSES = np.array([1.0, 0.8, 0.6])
PLACES = np.array([[-0.9, 0.0], [0.9, 0.1], [0.0, 1.3]])
SPEEDS = np.array([[0.1, -0.5], [0.0, 0.6], [-0.4, 0.1]])
BODY_DT, SOFT = 0.02, 0.01
GRAVITY, SWING_DT = 9.81, 0.01
FALL_DT, RESTITUTION, SLOW, KICK = 0.2, 0.8, 1.5, 6.0
STIFFNESS, INTERVAL, TOLERANCE = 4.0, 0.2, 1e-3
FEED, REMOVAL, REACTOR_DT = 1.0, 3.0, 0.1
CELLS, CONDUCTION = 16, 0.6
TURN, CLOSE = 2 * math.pi, 1e-5
CONTACTS, CLOSED_CONTACTS, RECOVERY, WANING, DAYS, HIGH, LOW = 0.5, 0.12, 0.15, 0.02, 10, 0.05, 0.02


def pushes(scale, features=1):
    """Data of small random forces."""

    def data(rng, rows, steps, dtype):
        return rng.normal(0, scale, (rows, steps, features)).astype(dtype), ()

    return data


def lorenz_slope(x, y, z, sigma, rho, beta):
    return sigma * (y - x), x * (rho - z) - y, x * y - beta * z


def lorenz(x, states):
    """Lorenz's equations by a step of Runge and Kutta, the heating in noise (Lorenz 1963, eq. 25 to 27)."""
    rho = RHO + x[0]
    a, b, c = states
    a1, b1, c1 = lorenz_slope(a, b, c, SIGMA, rho, BETA)
    a2, b2, c2 = lorenz_slope(a + DT / 2 * a1, b + DT / 2 * b1, c + DT / 2 * c1, SIGMA, rho, BETA)
    a3, b3, c3 = lorenz_slope(a + DT / 2 * a2, b + DT / 2 * b2, c + DT / 2 * c2, SIGMA, rho, BETA)
    a4, b4, c4 = lorenz_slope(a + DT * a3, b + DT * b3, c + DT * c3, SIGMA, rho, BETA)
    a = a + DT / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
    b = b + DT / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
    c = c + DT / 6 * (c1 + 2 * c2 + 2 * c3 + c4)
    return a, (a, b, c)


lorenz_slope_compiled = numba.njit(lorenz_slope)


def lorenz_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    sigma, beta, half, whole, sixth = real(SIGMA), real(BETA), real(DT / 2), real(DT), real(DT / 6)
    slope, two = lorenz_slope_compiled, real(2.0)
    out = np.empty((rows, steps), x.dtype)
    for row in prange(rows):
        a, b, c = real(1.0), real(1.0), real(20.0)
        for t in range(steps):
            rho = real(RHO) + x[row, t, 0]
            a1, b1, c1 = slope(a, b, c, sigma, rho, beta)
            a2, b2, c2 = slope(a + half * a1, b + half * b1, c + half * c1, sigma, rho, beta)
            a3, b3, c3 = slope(a + half * a2, b + half * b2, c + half * c2, sigma, rho, beta)
            a4, b4, c4 = slope(a + whole * a3, b + whole * b3, c + whole * c3, sigma, rho, beta)
            a += sixth * (a1 + two * a2 + two * a3 + a4)
            b += sixth * (b1 + two * b2 + two * b3 + b4)
            c += sixth * (c1 + two * c2 + two * c3 + c4)
            out[row, t] = a
    return out


def tendency(z, force):
    """How fast each site of Lorenz's ring changes."""
    d = np.empty(SITES)
    for i in range(SITES):
        d[i] = (z[(i + 1) % SITES] - z[i - 2]) * z[i - 1] - z[i] + force
    return d


def lorenz96(x, states):
    """Twenty sites on a ring by a step of Runge and Kutta (Lorenz 1996, eq. 1)."""
    z, force = states.z, FORCE + x[0]
    first = tendency(z, force)
    second = tendency(z + SITE_DT / 2 * first, force)
    third = tendency(z + SITE_DT / 2 * second, force)
    fourth = tendency(z + SITE_DT * third, force)
    z = z + SITE_DT / 6 * (first + 2 * second + 2 * third + fourth)
    return z[0], (z,)


@numba.njit
def tendency_into(z, force, d):
    for i in range(SITES):
        after = z[i + 1] if i + 1 < SITES else z[0]
        d[i] = (after - z[i - 2]) * z[i - 1] - z[i] + force


def lorenz96_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    half, whole, sixth, two = real(SITE_DT / 2), real(SITE_DT), real(SITE_DT / 6), real(2.0)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        z, moved = np.empty(SITES, x.dtype), np.empty(SITES, x.dtype)
        first, second = np.empty(SITES, x.dtype), np.empty(SITES, x.dtype)
        third, fourth = np.empty(SITES, x.dtype), np.empty(SITES, x.dtype)
        for i in range(SITES):
            z[i] = real(FORCE)
        z[0] += real(1.0)
        for t in range(steps):
            force = real(FORCE) + x[b, t, 0]
            tendency_into(z, force, first)
            for i in range(SITES):
                moved[i] = z[i] + half * first[i]
            tendency_into(moved, force, second)
            for i in range(SITES):
                moved[i] = z[i] + half * second[i]
            tendency_into(moved, force, third)
            for i in range(SITES):
                moved[i] = z[i] + whole * third[i]
            tendency_into(moved, force, fourth)
            for i in range(SITES):
                z[i] += sixth * (first[i] + two * second[i] + two * third[i] + fourth[i])
            out[b, t] = z[0]
    return out


def lorenz96_jax(x, states):
    import jax.numpy as jnp

    def tendency(z):
        return (jnp.roll(z, -1) - jnp.roll(z, 2)) * jnp.roll(z, 1) - z + FORCE + x[0]

    z = states.z
    first = tendency(z)
    second = tendency(z + SITE_DT / 2 * first)
    third = tendency(z + SITE_DT / 2 * second)
    fourth = tendency(z + SITE_DT * third)
    z = z + SITE_DT / 6 * (first + 2 * second + 2 * third + fourth)
    return z[0], (z,)


def three_body(x, states):
    """Three masses in the plane by symplectic Euler, the first with a thruster (Hairer et al. 2006, section I.2)."""
    r, v = states.r.copy(), states.v.copy()
    v[0] += x
    for i in range(3):
        for j in range(i):
            dx, dy = r[j, 0] - r[i, 0], r[j, 1] - r[i, 1]
            square = dx * dx + dy * dy + SOFT
            pull = BODY_DT / (square * math.sqrt(square))
            v[i, 0] += pull * MASSES[j] * dx
            v[i, 1] += pull * MASSES[j] * dy
            v[j, 0] -= pull * MASSES[i] * dx
            v[j, 1] -= pull * MASSES[i] * dy
    r += BODY_DT * v
    return r[0], (r, v)


def three_body_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    masses, dt, soft = MASSES.astype(x.dtype), real(BODY_DT), real(SOFT)
    out = np.empty((rows, steps, 2), x.dtype)
    for b in prange(rows):
        r, v = PLACES.astype(x.dtype), SPEEDS.astype(x.dtype)
        for t in range(steps):
            v[0, 0] += x[b, t, 0]
            v[0, 1] += x[b, t, 1]
            for i in range(3):
                for j in range(i):
                    dx, dy = r[j, 0] - r[i, 0], r[j, 1] - r[i, 1]
                    square = dx * dx + dy * dy + soft
                    pull = dt / (square * math.sqrt(square))
                    v[i, 0] += pull * masses[j] * dx
                    v[i, 1] += pull * masses[j] * dy
                    v[j, 0] -= pull * masses[i] * dx
                    v[j, 1] -= pull * masses[i] * dy
            for i in range(3):
                r[i, 0] += dt * v[i, 0]
                r[i, 1] += dt * v[i, 1]
            out[b, t, 0] = r[0, 0]
            out[b, t, 1] = r[0, 1]
    return out


def three_body_jax(x, states):
    import jax.numpy as jnp

    r, v = states.r, states.v.at[0].add(x)
    away = r[None] - r[:, None]
    square = (away**2).sum(axis=-1) + SOFT
    v = v + BODY_DT * (MASSES[None, :, None] * away / (square * jnp.sqrt(square))[..., None]).sum(axis=1)
    r = r + BODY_DT * v
    return r[0], (r, v)


def swing(a, b, p, q, torque):
    """Accelerations of both angles of a double pendulum of equal masses and lengths."""
    d = a - b
    below = 3 - math.cos(2 * d)
    first = -3 * GRAVITY * math.sin(a) - GRAVITY * math.sin(a - 2 * b)
    first -= 2 * math.sin(d) * (q * q + p * p * math.cos(d))
    second = 2 * math.sin(d) * (2 * p * p + 2 * GRAVITY * math.cos(a) + q * q * math.cos(d))
    return first / below + torque, second / below


def double_pendulum(x, states):
    """A double pendulum with a motor at its hinge, by a step of Runge and Kutta (Levien and Tan 1993)."""
    a, b, p, q = states
    h, torque = SWING_DT, x[0]
    p1, q1 = swing(a, b, p, q, torque)
    p2, q2 = swing(a + h / 2 * p, b + h / 2 * q, p + h / 2 * p1, q + h / 2 * q1, torque)
    a3, b3 = a + h / 2 * (p + h / 2 * p1), b + h / 2 * (q + h / 2 * q1)
    p3, q3 = swing(a3, b3, p + h / 2 * p2, q + h / 2 * q2, torque)
    a4, b4 = a + h * (p + h / 2 * p2), b + h * (q + h / 2 * q2)
    p4, q4 = swing(a4, b4, p + h * p3, q + h * q3, torque)
    a, b = a + h * p + h * h / 6 * (p1 + p2 + p3), b + h * q + h * h / 6 * (q1 + q2 + q3)
    p, q = p + h / 6 * (p1 + 2 * p2 + 2 * p3 + p4), q + h / 6 * (q1 + 2 * q2 + 2 * q3 + q4)
    return a, (a, b, p, q)


@numba.njit(error_model="numpy")
def swing_typed(a, b, p, q, torque, gravity, two, three):
    d = a - b
    sine, cosine, below = math.sin(d), math.cos(d), three - math.cos(two * d)
    first = -three * gravity * math.sin(a) - gravity * math.sin(a - two * b)
    first -= two * sine * (q * q + p * p * cosine)
    second = two * sine * (two * p * p + two * gravity * math.cos(a) + q * q * cosine)
    return first / below + torque, second / below


def double_pendulum_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    h, half, sixth = real(SWING_DT), real(SWING_DT / 2), real(SWING_DT / 6)
    square, g, two, three = h * sixth, real(GRAVITY), real(2.0), real(3.0)
    out = np.empty((rows, steps), x.dtype)
    for row in prange(rows):
        a, b, p, q = real(2.0), real(2.5), real(0.0), real(0.0)
        for t in range(steps):
            torque = x[row, t, 0]
            p1, q1 = swing_typed(a, b, p, q, torque, g, two, three)
            pa, qa = p + half * p1, q + half * q1
            p2, q2 = swing_typed(a + half * p, b + half * q, pa, qa, torque, g, two, three)
            pb, qb = p + half * p2, q + half * q2
            p3, q3 = swing_typed(a + half * pa, b + half * qa, pb, qb, torque, g, two, three)
            p4, q4 = swing_typed(a + h * pb, b + h * qb, p + h * p3, q + h * q3, torque, g, two, three)
            a = a + h * p + square * (p1 + p2 + p3)
            b = b + h * q + square * (q1 + q2 + q3)
            p += sixth * (p1 + two * p2 + two * p3 + p4)
            q += sixth * (q1 + two * q2 + two * q3 + q4)
            out[row, t] = a
    return out


def double_pendulum_jax(x, states):
    import jax.numpy as jnp

    def slope(s):
        a, b, p, q = s
        d = a - b
        below = 3 - jnp.cos(2 * d)
        first = -3 * GRAVITY * jnp.sin(a) - GRAVITY * jnp.sin(a - 2 * b)
        first -= 2 * jnp.sin(d) * (q * q + p * p * jnp.cos(d))
        second = 2 * jnp.sin(d) * (2 * p * p + 2 * GRAVITY * jnp.cos(a) + q * q * jnp.cos(d))
        return jnp.stack([p, q, first / below + x[0], second / below])

    h, s = SWING_DT, jnp.stack(states)
    first = slope(s)
    second = slope(s + h / 2 * first)
    third = slope(s + h / 2 * second)
    fourth = slope(s + h * third)
    s = s + h / 6 * (first + 2 * second + 2 * third + fourth)
    return s[0], tuple(s)


def bouncing_ball(x, states):
    """A ball between exact bounces within each step, hit again when it is slow (Hairer et al. 1993, section II.6)."""
    height, speed = states
    gravity = GRAVITY + x[0]
    left = FALL_DT
    while True:
        hit = (speed + math.sqrt(speed * speed + 2 * gravity * height)) / gravity
        if hit >= left:
            break
        speed = RESTITUTION * (gravity * hit - speed)
        height = 0.0
        left -= hit
        if speed < SLOW:
            speed = KICK
    height += speed * left - 0.5 * gravity * left * left
    speed -= gravity * left
    return height, (height, speed)


def bouncing_ball_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    half, two, restitution, slow, kick = real(0.5), real(2.0), real(RESTITUTION), real(SLOW), real(KICK)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        height, speed = real(1.0), real(0.0)
        for t in range(steps):
            gravity = real(GRAVITY) + x[b, t, 0]
            left = real(FALL_DT)
            hit = (speed + math.sqrt(speed * speed + two * gravity * height)) / gravity
            while hit < left:
                speed = restitution * (gravity * hit - speed)
                height = real(0.0)
                left -= hit
                if speed < slow:
                    speed = kick
                hit = (speed + math.sqrt(speed * speed)) / gravity
            height += speed * left - half * gravity * left * left
            speed -= gravity * left
            out[b, t] = height
    return out


def bouncing_ball_jax(x, states):
    import jax.numpy as jnp

    height, speed = states
    gravity, left = GRAVITY + x[0], FALL_DT
    for _ in range(2):  # no more fit in
        hit = (speed + jnp.sqrt(speed * speed + 2 * gravity * height)) / gravity
        bounces = hit < left
        after = RESTITUTION * (gravity * hit - speed)
        after = jnp.where(after < SLOW, KICK, after)
        height, left = jnp.where(bounces, 0.0, height), jnp.where(bounces, left - hit, left)
        speed = jnp.where(bounces, after, speed)
    height = height + speed * left - 0.5 * gravity * left * left
    return height, (height, speed - gravity * left)


def oscillator(y, v, force, stiffness):
    """Slopes of van der Pol's equation."""
    return v, stiffness * (v - y * y * v) - y + force


def adaptive_runge_kutta(x, states):
    """Van der Pol's oscillator by steps of Bogacki and Shampine (1989), as long as the error allows."""
    y, v, h = states
    left = INTERVAL
    while left > 0:
        step = left if h > left else h
        y1, v1 = oscillator(y, v, x[0], STIFFNESS)
        y2, v2 = oscillator(y + step / 2 * y1, v + step / 2 * v1, x[0], STIFFNESS)
        y3, v3 = oscillator(y + 0.75 * step * y2, v + 0.75 * step * v2, x[0], STIFFNESS)
        ninth, part = step * (1 / 9), step * (1 / 72)
        new_y = y + ninth * (2 * y1 + 3 * y2 + 4 * y3)
        new_v = v + ninth * (2 * v1 + 3 * v2 + 4 * v3)
        y4, v4 = oscillator(new_y, new_v, x[0], STIFFNESS)
        error_y = part * abs(-5 * y1 + 6 * y2 + 8 * y3 - 9 * y4)
        error_v = part * abs(-5 * v1 + 6 * v2 + 8 * v3 - 9 * v4)
        error = max(error_y, error_v) * (1 / TOLERANCE)
        if error <= 1:
            y, v = new_y, new_v
            left -= step
        h = step * min(4.0, max(0.25, 0.9 * max(error, 1e-6) ** (-1 / 3)))
    return y, (y, v, h)


oscillator_compiled = numba.njit(oscillator)


def adaptive_runge_kutta_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    two, three, four, five, six = real(2.0), real(3.0), real(4.0), real(5.0), real(6.0)
    eight, nine, tolerance, stiffness = real(8.0), real(9.0), real(1 / TOLERANCE), real(STIFFNESS)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        y, v, h = real(1.0), real(0.0), real(0.05)
        for t in range(steps):
            force, left = x[b, t, 0], real(INTERVAL)
            while left > 0:
                step = left if h > left else h
                half, most, ninth, part = real(0.5) * step, real(0.75) * step, step * real(1 / 9), step * real(1 / 72)
                y1, v1 = oscillator_compiled(y, v, force, stiffness)
                y2, v2 = oscillator_compiled(y + half * y1, v + half * v1, force, stiffness)
                y3, v3 = oscillator_compiled(y + most * y2, v + most * v2, force, stiffness)
                new_y = y + ninth * (two * y1 + three * y2 + four * y3)
                new_v = v + ninth * (two * v1 + three * v2 + four * v3)
                y4, v4 = oscillator_compiled(new_y, new_v, force, stiffness)
                error_y = part * abs(-five * y1 + six * y2 + eight * y3 - nine * y4)
                error_v = part * abs(-five * v1 + six * v2 + eight * v3 - nine * v4)
                error = max(error_y, error_v) * tolerance
                if error <= 1:
                    y, v = new_y, new_v
                    left -= step
                grown = real(0.9) * max(error, real(1e-6)) ** real(-1 / 3)
                h = step * min(four, max(real(0.25), grown))
            out[b, t] = y
    return out


def implicit_euler(x, states):
    """The Brusselator by implicit Euler, each step by Newton until it stands (Hairer and Wanner 1996, section IV.8)."""
    u, v = states
    feed = FEED + x[0]
    for _ in range(20):
        f = u - states.u - REACTOR_DT * (feed + u * u * v - (REMOVAL + 1) * u)
        g = v - states.v - REACTOR_DT * (REMOVAL * u - u * u * v)
        fu, fv = 1 - REACTOR_DT * (2 * u * v - REMOVAL - 1), -REACTOR_DT * u * u
        gu, gv = -REACTOR_DT * (REMOVAL - 2 * u * v), 1 + REACTOR_DT * u * u
        determinant = fu * gv - fv * gu
        du, dv = (f * gv - g * fv) / determinant, (g * fu - f * gu) / determinant
        u -= du
        v -= dv
        if abs(du) + abs(dv) < 1e-4:
            break
    return u, (u, v)


def implicit_euler_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    one, two, dt, removal, tolerance = real(1.0), real(2.0), real(REACTOR_DT), real(REMOVAL), real(1e-4)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        u, v = real(1.0), real(3.5)
        for t in range(steps):
            feed, u0, v0 = real(FEED) + x[b, t, 0], u, v
            for _ in range(20):
                uu, uv = u * u, u * v
                f = u - u0 - dt * (feed + uu * v - (removal + one) * u)
                g = v - v0 - dt * (removal * u - uu * v)
                fu, fv = one - dt * (two * uv - removal - one), -dt * uu
                gu, gv = -dt * (removal - two * uv), one + dt * uu
                inverse = one / (fu * gv - fv * gu)
                du, dv = (f * gv - g * fv) * inverse, (g * fu - f * gu) * inverse
                u -= du
                v -= dv
                if abs(du) + abs(dv) < tolerance:
                    break
            out[b, t] = u
    return out


def thomas(x, states):
    """Heat in a rod that conducts better where warm, an implicit step by Thomas (Press et al. 2007, section 2.4)."""
    u = states.u
    c, d = np.empty(CELLS), np.empty(CELLS)
    k = CONDUCTION * (1 + 0.1 * u[0])
    c[0] = -k / (1 + 2 * k)
    d[0] = (u[0] + k * x[0]) / (1 + 2 * k)
    for i in range(1, CELLS):
        k = CONDUCTION * (1 + 0.1 * u[i])
        right = u[i] + k * x[1] if i == CELLS - 1 else u[i]
        pivot = 1 + 2 * k + k * c[i - 1]
        c[i] = -k / pivot
        d[i] = (right + k * d[i - 1]) / pivot
    for i in range(CELLS - 2, -1, -1):
        d[i] -= c[i] * d[i + 1]
    return d[CELLS // 2], (d,)


def thomas_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    one, two, conduction, tenth = real(1.0), real(2.0), real(CONDUCTION), real(0.1)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        u, c = np.zeros(CELLS, x.dtype), np.empty(CELLS, x.dtype)
        for t in range(steps):
            k = conduction * (one + tenth * u[0])
            inverse = one / (one + two * k)
            c[0] = -k * inverse
            u[0] = (u[0] + k * x[b, t, 0]) * inverse
            for i in range(1, CELLS):
                k = conduction * (one + tenth * u[i])
                right = u[i] + k * x[b, t, 1] if i == CELLS - 1 else u[i]
                inverse = one / (one + two * k + k * c[i - 1])
                c[i] = -k * inverse
                u[i] = (right + k * u[i - 1]) * inverse
            for i in range(CELLS - 2, -1, -1):
                u[i] -= c[i] * u[i + 1]
            out[b, t] = u[CELLS // 2]
    return out


def thomas_jax(x, states):
    import jax
    import jax.numpy as jnp

    k = CONDUCTION * (1 + 0.1 * states.u)
    right = states.u.at[0].add(k[0] * x[0]).at[-1].add(k[-1] * x[1])

    def forward(before, here):
        k, right = here
        pivot = 1 + 2 * k + k * before[0]
        new = -k / pivot, (right + k * before[1]) / pivot
        return new, new

    def backward(after, here):
        new = here[1] - here[0] * after
        return new, new

    zero = jnp.zeros_like(k[0])
    eliminated = jax.lax.scan(forward, (zero, zero), (k, right))[1]
    u = jax.lax.scan(backward, zero, eliminated, reverse=True)[1]
    return u[CELLS // 2], (u,)


def ends(rng, rows, steps, dtype):
    """Temperatures of both ends of a rod."""
    t = np.arange(steps)
    warm = np.stack([np.sin(t / 20), np.cos(t / 31)], axis=-1)
    return (warm + rng.normal(0, 0.3, (rows, steps, 2))).astype(dtype), ()


def kepler(x, states, constants):
    """Kepler's equation by Newton until it converges, along an orbit (Danby 1988, section 6.6)."""
    (eccentricity,) = constants
    mean, anomaly = states.mean + x[0], states.anomaly + x[0]
    if mean > TURN:
        mean -= TURN
        anomaly -= TURN
    error = anomaly - eccentricity * math.sin(anomaly) - mean
    while abs(error) > CLOSE:
        anomaly -= error / (1 - eccentricity * math.cos(anomaly))
        error = anomaly - eccentricity * math.sin(anomaly) - mean
    return anomaly, (mean, anomaly)


def kepler_loop(x, eccentricity):
    rows, steps, _ = x.shape
    real = x.dtype.type
    one, turn, close = real(1.0), real(TURN), real(CLOSE)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        e, mean, anomaly = eccentricity[b], real(0.0), real(0.0)
        for t in range(steps):
            mean += x[b, t, 0]
            anomaly += x[b, t, 0]
            if mean > turn:
                mean -= turn
                anomaly -= turn
            error = anomaly - e * math.sin(anomaly) - mean
            while abs(error) > close:
                anomaly -= error / (one - e * math.cos(anomaly))
                error = anomaly - e * math.sin(anomaly) - mean
            out[b, t] = anomaly
    return out


def kepler_jax(x, states, constants):
    import jax.numpy as jnp

    (eccentricity,) = constants
    whole = jnp.where(states.mean + x[0] > TURN, TURN, 0.0)
    mean, anomaly = states.mean + x[0] - whole, states.anomaly + x[0] - whole
    for _ in range(6):
        error = anomaly - eccentricity * jnp.sin(anomaly) - mean
        change = error / (1 - eccentricity * jnp.cos(anomaly))
        anomaly = anomaly - jnp.where(abs(error) > CLOSE, change, 0.0)
    return anomaly, (mean, anomaly)


def orbits(rng, rows, steps, dtype):
    return rng.uniform(0.02, 0.6, (rows, steps, 1)).astype(dtype), (between(rng, 0.1, 0.6, rows, dtype),)


def sir(x, states):
    """An epidemic with waning immunity that closes schools when many are ill (Kermack and McKendrick 1927, eq. 29)."""
    susceptible, infected, closed = states
    contacts = CONTACTS
    if closed > 0:
        closed -= 1
        if closed == 0 and infected > LOW:
            closed = 1.0
        contacts = CLOSED_CONTACTS
    elif infected > HIGH:
        closed = float(DAYS)
    contacts *= math.exp(x[0])
    for _ in range(4):
        new = contacts * susceptible * infected / 4
        well = RECOVERY * infected / 4
        lost = WANING * (1 - susceptible - infected) / 4
        susceptible += lost - new
        infected += new - well
    return infected, (susceptible, infected, closed)


def sir_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    one, quarter, recovery, waning = real(1.0), real(0.25), real(RECOVERY), real(WANING)
    usual, fewer, high, low = real(CONTACTS), real(CLOSED_CONTACTS), real(HIGH), real(LOW)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        susceptible, infected, closed = real(0.9), real(0.01), 0
        for t in range(steps):
            contacts = usual
            if closed > 0:
                contacts = fewer
                closed -= 1
                if closed == 0 and infected > low:
                    closed = 1
            elif infected > high:
                closed = DAYS
            contacts *= math.exp(x[b, t, 0])
            for _ in range(4):
                new = contacts * susceptible * infected * quarter
                well = recovery * infected * quarter
                lost = waning * (one - susceptible - infected) * quarter
                susceptible += lost - new
                infected += new - well
            out[b, t] = infected
    return out


def sir_jax(x, states):
    import jax.numpy as jnp

    susceptible, infected, closed = states
    shut = closed > 0
    fewer = jnp.where((closed == 1) & (infected > LOW), 1.0, closed - 1)
    contacts = jnp.where(shut, CLOSED_CONTACTS, CONTACTS) * jnp.exp(x[0])
    closed = jnp.where(shut, fewer, jnp.where(infected > HIGH, float(DAYS), 0.0))
    for _ in range(4):
        new = contacts * susceptible * infected / 4
        well = RECOVERY * infected / 4
        lost = WANING * (1 - susceptible - infected) / 4
        susceptible, infected = susceptible + lost - new, infected + new - well
    return infected, (susceptible, infected, closed)


RECURRENCES = (
    Recurrence(
        lorenz,
        lorenz_loop,
        pushes(0.5),
        states={"a": (), "b": (), "c": ()},
        initial={"a": 1.0, "b": 1.0, "c": 20.0},
        jax_step=lorenz,
    ),
    Recurrence(
        lorenz96,
        lorenz96_loop,
        pushes(0.5),
        states={"z": SITES},
        initial={"z": FORCE + np.eye(SITES)[0]},
        jax_step=lorenz96_jax,
    ),
    Recurrence(
        three_body,
        three_body_loop,
        pushes(0.002, features=2),
        states={"r": (3, 2), "v": (3, 2)},
        initial={"r": PLACES, "v": SPEEDS},
        features=2,
        output=(2,),
        jax_step=three_body_jax,
    ),
    Recurrence(
        double_pendulum,
        double_pendulum_loop,
        pushes(0.5),
        states={"a": (), "b": (), "p": (), "q": ()},
        initial={"a": 2.0, "b": 2.5},
        jax_step=double_pendulum_jax,
    ),
    Recurrence(
        bouncing_ball,
        bouncing_ball_loop,
        pushes(0.5),
        states={"height": (), "speed": ()},
        initial={"height": 1.0},
        jax_step=bouncing_ball_jax,
    ),
    Recurrence(
        adaptive_runge_kutta,
        adaptive_runge_kutta_loop,
        pushes(0.5),
        states={"y": (), "v": (), "h": ()},
        initial={"y": 1.0, "h": 0.05},
    ),
    Recurrence(
        implicit_euler, implicit_euler_loop, pushes(0.1), states={"u": (), "v": ()}, initial={"u": 1.0, "v": 3.5}
    ),
    Recurrence(thomas, thomas_loop, ends, states={"u": CELLS}, features=2, jax_step=thomas_jax),
    Recurrence(
        kepler,
        kepler_loop,
        orbits,
        states={"mean": (), "anomaly": ()},
        constants={"eccentricity": ()},
        jax_step=kepler_jax,
    ),
    Recurrence(
        sir,
        sir_loop,
        pushes(0.2),
        states={"susceptible": (), "infected": (), "closed": ()},
        initial={"susceptible": 0.9, "infected": 0.01},
        fixed=("closed",),
        jax_step=sir_jax,
    ),
)
