"""
Memory capacity
===============

How far back does a reservoir remember? For each delay, a linear readout reconstructs
the input of so many steps ago. The squared correlation with the true input, summed over
all delays, is the memory capacity (Jaeger 2001). It cannot exceed the number of units.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# One random series drives reservoirs of 50 units. All delays are fitted by one
# least-squares problem.

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=(1, 6000, 1))
delays = np.arange(1, 61)


def remembered(radius, scaling):
    """Return the squared correlation of reconstruction and input at each delay."""
    cell = rk.ESNCell(50, spectral_radius=radius, input_scaling=scaling, density=0.2)
    _, (h,) = rk.RNN(cell, dtype="float64", seed=0).trajectory(x)
    states = h[0, 100:]
    wanted = np.stack([x[0, 100 - delay : -delay, 0] for delay in delays], axis=1)
    readout = np.linalg.lstsq(states[:4000], wanted[:4000], rcond=None)[0]
    found = states[4000:] @ readout
    pairs = zip(found.T, wanted[4000:].T, strict=True)
    return np.array([np.corrcoef(a, b)[0, 1] ** 2 for a, b in pairs])


kinds = [(0.95, 0.01), (0.5, 0.01), (0.95, 1.0)]  # spectral radius, input scaling
curves = {kind: remembered(*kind) for kind in kinds}

# %%
# A reservoir near a spectral radius of 1 with small inputs, which keep its units in
# their linear range, remembers longest.

figure, axes = plt.subplots(layout="constrained")
for (radius, scaling), capacity in curves.items():
    name = f"spectral radius {radius}, input scaling {scaling:g}"
    axes.plot(delays, capacity, label=f"{name}: {capacity.sum():.1f}")
axes.set(
    xlabel="delay (steps)", ylabel="squared correlation", xlim=(1, 60), ylim=(0, 1.05)
)
axes.legend(title="memory capacity", loc="upper right")
plt.show()

# %%
# The bound is the number of units, 50. Tanh, and a random instead of a tuned matrix,
# cost part of it.

best = max(curves, key=lambda key: curves[key].sum())
print(f"largest capacity {curves[best].sum():.1f} of 50")
print(f"at spectral radius {best[0]} and input scaling {best[1]:g}")
