"""
Spectral radius and forgetting
==============================

A reservoir is useful if it forgets its first state. This example runs two copies from
different states on the same input and measures their distance. The spectral radius of
the recurrent weights decides how fast it shrinks, and whether it does.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The two rows of a batch get the same input and two first states. ``trajectory``
# returns the state of each step.

rng = np.random.default_rng(0)
x = np.repeat(rng.normal(size=(1, 300, 1)), 2, axis=0)
first = rng.uniform(-1, 1, size=(2, 100))

distances = {}
for radius in (0.5, 0.8, 0.95, 1.1, 1.5):
    cell = rk.ESNCell(100, spectral_radius=radius, input_scaling=0.1)
    _, (h,) = rk.RNN(cell, dtype="float64", seed=1).trajectory(x, initial_state=[first])
    distances[radius] = np.linalg.norm(h[0] - h[1], axis=-1)

# %%
# On the logarithmic axis, exponential forgetting is a straight line.

figure, axes = plt.subplots(layout="constrained")
colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(distances)))
for (radius, distance), colour in zip(distances.items(), colours, strict=True):
    axes.semilogy(np.maximum(distance, 1e-16), color=colour, label=f"{radius}")
axes.set(
    xlabel="step", ylabel="distance of the two states", xlim=(0, 299), ylim=(1e-16, 1e2)
)
axes.legend(title="spectral radius", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# A rate of forgetting close to the spectral radius is what a linear network would have.
# Tanh makes it forget faster.

for radius in (0.5, 0.8, 0.95):
    distance = distances[radius]
    end = min(200, int(np.argmax(distance < 1e-13)) or 299)
    factor = (distance[end] / distance[5]) ** (1 / (end - 5))
    print(f"spectral radius {radius}: each step takes the distance times {factor:.2f}")
