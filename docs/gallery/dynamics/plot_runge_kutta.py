"""
A solver inside a step
======================

A step may contain a solver of a differential equation. This cell advances Van der Pol's
oscillator by one time unit, in sub-steps of Euler's method or of the classical method
of Runge and Kutta. Loops of fixed length are unrolled and compiled.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The input is a force on the oscillator. It stays the same during a step.


def slope(y, v, force):
    """Return the derivatives of position and velocity."""
    return v, (1 - y**2) * v - y + force


def euler(y, v, force, dt):
    """Advance by the slope at the start."""
    dy, dv = slope(y, v, force)
    return y + dt * dy, v + dt * dv


def runge_kutta(y, v, force, dt):
    """Advance by the weighted mean of four slopes."""
    a = slope(y, v, force)
    b = slope(y + dt / 2 * a[0], v + dt / 2 * a[1], force)
    c = slope(y + dt / 2 * b[0], v + dt / 2 * b[1], force)
    d = slope(y + dt * c[0], v + dt * c[1], force)
    dy, dv = (p + 2 * q + 2 * r + s for p, q, r, s in zip(a, b, c, d, strict=True))
    return y + dt / 6 * dy, v + dt / 6 * dv


@rk.cell(states={"y": "features", "v": "features"}, initial={"y": 1.0})
def van_der_pol(x, states, weights, *, method, substeps):
    """Advance the oscillator by one time unit in equal sub-steps."""
    y, v = states
    for _ in range(substeps):
        y, v = method(y, v, x, 1.0 / substeps)
    return y, (y, v)


# %%
# The truth is a run with very short sub-steps. Halving the sub-step about halves
# Euler's error and divides the other by 16.

x = 0.5 * np.sin(0.7 * np.arange(15))[None, :, None]


def run(method, substeps):
    """Return the position at each time unit."""
    cell = van_der_pol(method=method, substeps=substeps)
    return rk.RNN(cell, return_sequences=True)(x)[0, :, 0]


truth = run(runge_kutta, 64)
counts = np.array([4, 8, 16, 32])
errors = {
    "Euler": np.array([np.abs(run(euler, n) - truth).max() for n in counts]),
    "Runge–Kutta": np.array(
        [np.abs(run(runge_kutta, n) - truth).max() for n in counts]
    ),
}

figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained")
time = np.arange(1, 16)
axes[0].plot(time, truth, color="0.3", label="truth")
axes[0].plot(time, run(euler, 4), ".--", label="Euler, 4 sub-steps")
axes[0].plot(time, run(runge_kutta, 4), ".--", label="Runge–Kutta, 4 sub-steps")
axes[0].set(xlabel="time", ylabel="position y", ylim=(-3.4, 5.2))
axes[0].legend(loc="upper left")
for name, error in errors.items():
    axes[1].loglog(1 / counts, error, "o-", label=name)
axes[1].set(xlabel="length of a sub-step", ylabel="largest error of y")
axes[1].set_xticks(1 / counts, [f"1/{n}" for n in counts])
axes[1].minorticks_off()
axes[1].legend()
plt.show()

# %%
# The measured orders of the methods, from the two shortest sub-steps:

for name, error in errors.items():
    print(f"{name}: {np.log2(error[-2] / error[-1]):.2f}")
