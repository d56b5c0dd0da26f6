"""
Fixed points of a trained network
=================================

A network learns to remember the sign of the last pulse. How it does so shows in its
fixed points: states that a step without input leaves where they are (Sussillo and Barak
2013). They are found by Newton's method, and the eigenvalues of the Jacobian say which
of them attract.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# Two units are enough for this task, and can be drawn.

rng = np.random.default_rng(0)
x = rng.choice([-1.0, 1.0], size=(500, 50, 1)) * (rng.uniform(size=(500, 50, 1)) < 0.1)
x[:, 0] = rng.choice([-1, 1], size=(500, 1))
last = np.maximum.accumulate(np.where(x != 0, np.arange(50)[:, None], 0), axis=1)
wanted = np.take_along_axis(x, last, axis=1)

model = rk.Sequential([rk.SimpleRNN(2, return_sequences=True), rk.Dense(1)], seed=1)
model.compile(rk.optimizers.Adam(0.02), "mse")
model.fit(x, wanted, epochs=40, verbose=0)
layer = model.layers[0]

# %%
# One call takes one step from many states. ``rk.jacobian`` gives the derivatives of
# that step, a matrix for each state.


def after_one_step(states):
    """Return the states after one step without input."""
    return layer(np.zeros((len(states), 1, 1)), initial_state=[states])[:, 0]


points = rng.uniform(-1, 1, size=(200, 2))
for _ in range(30):
    slope = rk.jacobian(layer, np.zeros((200, 1)), points).matrix
    off = points - after_one_step(points)
    move = np.linalg.solve(slope - np.eye(2), off[:, :, None])[:, :, 0]
    points = np.clip(points + move, -1, 1)
points = points[np.abs(after_one_step(points) - points).max(axis=1) < 1e-9]
points = np.unique(points.round(6), axis=0)
slope = rk.jacobian(layer, np.zeros((len(points), 1)), points).matrix
eigenvalues = np.linalg.eigvals(slope)
attracts = np.abs(eigenvalues).max(axis=1) < 1

# %%
# Arrows show where a step leads. Two fixed points attract, one for each sign. A pulse
# carries the state across the border between them.

line = np.linspace(-1, 1, 17)
grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
move = after_one_step(grid) - grid
path = layer(x[:1])[0]

figure, axes = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
axes.quiver(*grid.T, *move.T, color="0.75", angles="xy", width=0.004)
axes.plot(*path.T, ".-", linewidth=0.7, markersize=4, label="states of one sequence")
for name, chosen, style in (("attracts", attracts, "oC1"), ("saddle", ~attracts, "Xk")):
    axes.plot(*points[chosen].T, style, markersize=9, label=f"fixed point, {name}")
axes.set(xlabel="unit 0", ylabel="unit 1", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
axes.legend(loc="upper right", frameon=True, framealpha=1, edgecolor="none")
plt.show()

# %%
# The absolute eigenvalues at each fixed point; one above 1 belongs to a direction in
# which states leave.

for point, value in zip(points, np.abs(eigenvalues), strict=True):
    print(point.round(2), np.sort(value)[::-1].round(2))
