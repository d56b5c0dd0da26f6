"""Loops of papers: filters, random paths, alignments. Each is one step of one row."""

import numpy as np

import rnnkit as rk


@rk.loop
def ces(x, state=0j, *, a):
    """Complex exponential smoothing (Svetunkov et al. 2022): a level, and what it leaves out beside it."""
    error = x - state.real
    level = state.real - (1 - a.imag) * state.imag + (a.real - a.imag) * error
    rest = state.real + (1 - a.real) * state.imag + (a.real + a.imag) * error
    return state.real, complex(level, rest)


@rk.loop
def garch(x, h=0.05, e=0.0, *, omega, alpha, gamma, beta):
    """GJR-GARCH: a variance that rises more after losses; the log likelihood."""
    h = omega + (alpha + gamma * (e < 0)) * e * e + beta * h
    return -0.5 * (np.log(h) + x * x / h), (h, x)


@rk.loop
def extended_kalman(y, m=np.array([0.5, 0.0]), P=np.eye(2), *, q, r, dt=0.1):
    """A pendulum whose angle is seen as its sine, linearized at each step; the log likelihood."""
    F = np.array([[1.0, dt], [-9.81 * np.cos(m[0]) * dt, 1.0]])
    m = np.array([m[0] + dt * m[1], m[1] - 9.81 * np.sin(m[0]) * dt])
    P = F @ P @ F.T + q * dt * np.array([[dt * dt / 3, dt / 2], [dt / 2, 1.0]])
    H = np.array([np.cos(m[0]), 0.0])
    e, s = y - np.sin(m[0]), H @ P @ H + r
    K = P @ H / s
    return -0.5 * (np.log(2 * np.pi * s) + e * e / s), (m + K * e, P - s * np.outer(K, K))


@rk.loop
def unscented_kalman(y, m=np.array([0.5, 0.0]), P=np.eye(2), *, q, r, dt=0.1):
    """The same pendulum by sigma points, which a Cholesky factor spreads."""
    n, spread = 2, 3.0
    L = np.linalg.cholesky(spread * (P + q * dt * np.eye(n)))
    w = np.full(2 * n + 1, 0.5 / spread)
    w[0] = 1 - n / spread
    points = np.concatenate([m[None], m + L.T, m - L.T])
    points = np.stack([points[:, 0] + dt * points[:, 1], points[:, 1] - 9.81 * np.sin(points[:, 0]) * dt], axis=1)
    m = w @ points
    away, seen = points - m, np.sin(points[:, 0])
    e, off = y - w @ seen, seen - w @ seen
    P = away.T @ (w[:, None] * away)
    s = w @ (off * off) + r
    K = away.T @ (w * off) / s
    return -0.5 * (np.log(2 * np.pi * s) + e * e / s), (m + K * e, P - s * np.outer(K, K))


@rk.loop(draws={"z": rk.Draw((2,), "normal", every="step")}, seed=0)
def heston(dt, price=1.0, v=0.04, *, kappa, theta, xi, rho, draws):
    """A price whose variance reverts to a mean, by Euler's scheme with full truncation."""
    spread = np.sqrt(max(v, 0.0) * dt)
    other = rho * draws.z[0] + np.sqrt(1 - rho**2) * draws.z[1]
    price = price * np.exp(-0.5 * max(v, 0.0) * dt + spread * draws.z[0])
    v = v + kappa * (theta - v) * dt + xi * spread * other
    return np.array([price, v]), (price, v)


@rk.loop(
    draws={
        "z": rk.Draw((), "normal", every="step"),
        "g": rk.Draw((), lambda rng, shape: rng.standard_gamma(10.0, shape), every="step"),
    },
    seed=0,
)
def gibbs(mean, mu=0.0, tau=1.0, *, squares, draws):
    """Mean and precision of 20 normal numbers, drawn in turns; `squares` is the sum of their squared deviations."""
    mu = mean + draws.z / np.sqrt(20 * tau)
    tau = draws.g / (0.5 * (squares + 20 * (mean - mu) ** 2))
    return np.array([mu, tau]), (mu, tau)


@rk.loop
def soft_dtw(x, row=np.append(0.0, np.full(5, 1e9)), *, template, gamma=0.5):
    """Dynamic time warping whose minimum is soft; at each step the cost of the template so far."""
    new = np.full(6, 1e9)
    for j in range(5):
        least = min(row[j], row[j + 1], new[j])
        total = (
            np.exp((least - row[j]) / gamma) + np.exp((least - row[j + 1]) / gamma) + np.exp((least - new[j]) / gamma)
        )
        new[j + 1] = (x - template[j]) ** 2 + least - gamma * np.log(total)
    return new[5], new
