"""
Lorenz's attractor
==================

A reservoir is driven by the three coordinates of Lorenz's system (1963), and a linear
readout is fitted to the next ones. The network then runs on its own. It leaves the true
trajectory after a while, but stays on the attractor: it has learned the system's
climate, not just its next values (Pathak et al. 2017).
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp

import rnnkit as rk

# %%
# Sixty units of time to learn from, and forty to compare with, in steps of 0.02.


def lorenz(t, point):
    """Return the time derivative of Lorenz's system."""
    x, y, z = point
    return 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z


time = np.arange(0, 110, 0.02)
solution = solve_ivp(lorenz, (0, 110), (1, 1, 1), t_eval=time, rtol=1e-9, atol=1e-9)
data = solution.y.T[500:]
data = (data - data.mean(axis=0)) / data.std(axis=0)
train = 3000

# %%
# The readout sees the states and, after Pathak et al., the squares of every other one.

cell = rk.ESNCell(400, spectral_radius=0.6, input_scaling=0.3, density=0.02)
layer = rk.RNN(cell, dtype="float64", seed=2)


def features(h):
    """Return the states with every other one squared."""
    return np.where(np.arange(h.shape[-1]) % 2, h**2, h)


_, (h,) = layer.trajectory(data[None, :train])
states, wanted = features(h[0, 100:-1]), data[101:train]
readout = np.linalg.solve(states.T @ states + 1e-6 * np.eye(400), states.T @ wanted)

stream = layer.stream()
for point in data[:train]:
    h_now = stream.step(point[None])
free = np.empty((2000, 3))
for step in free:
    step[:] = features(h_now) @ readout
    h_now = stream.step(step[None])

# %%
# The upper panel shows ``x``: the network follows for some units of time. The lower
# panels show both attractors.

truth = data[train : train + 2000]
figure = plt.figure(figsize=(7.2, 4.6), layout="constrained")
top, bottom = figure.subfigures(2, height_ratios=[1, 1.5])
axes = top.subplots()
axes.plot(time[:1000], truth[:1000, 0], color="0.6", label="Lorenz")
axes.plot(time[:1000], free[:1000, 0], "--", color="C0", label="network, on its own")
axes.set(xlabel="time", ylabel="x, standardized", xlim=(0, 20), ylim=(-2.6, 3.4))
axes.set_xticks(range(0, 21, 5))
axes.legend(loc="upper right", ncols=2)
left, right = bottom.subplots(1, 2, sharey=True)
left.plot(truth[:, 0], truth[:, 2], linewidth=0.5, color="0.5")
left.set(title="Lorenz", xlabel="x", ylabel="z")
right.plot(free[:, 0], free[:, 2], linewidth=0.5, color="C0")
right.set(title="Network", xlabel="x")
plt.show()

# %%
# How long the forecast holds, and that the spread of the coordinates stays right
# afterwards:

off = np.flatnonzero(np.abs(free - truth).max(axis=1) > 0.5)[0]
print(f"within 0.5 standard deviations for {time[off]:.1f} units of time")
spread = (free.std(axis=0) / truth.std(axis=0)).round(2)
print("standard deviations, network over Lorenz:", spread)
