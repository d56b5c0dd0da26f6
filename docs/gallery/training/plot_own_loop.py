"""
A training loop of your own
===========================

``vjp`` and an optimizer are enough to train in a loop. Here the loop learns an input
instead of weights: the force on a pendulum that brings it from rest to standing
upright. The pendulum is a cell without weights.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# A step takes 0.05 s. The state is the angle, 0 when the pendulum hangs, and its
# velocity.


@rk.cell(states={"angle": "features", "velocity": "features"})
def pendulum(force, states, weights, *, dt=0.05):
    """Advance a damped pendulum of length 1 m by ``dt``."""
    angle, velocity = states
    velocity = velocity + dt * (force - 9.81 * np.sin(angle) - 0.1 * velocity)
    angle = angle + dt * velocity
    return np.concatenate([angle, velocity], axis=-1), (angle, velocity)


layer = rk.RNN(pendulum(), return_sequences=True, dtype="float64")
force = 0.1 * np.random.default_rng(0).normal(size=(1, 100, 1))

# %%
# The loss wants an angle of π and no velocity in the last 20 steps, and a small force.
# ``optimizer.apply`` takes any arrays by name.

optimizer = rk.optimizers.Adam(rk.optimizers.schedules.CosineDecay(0.1, 2000))
goal, losses = np.array([np.pi, 0.0]), []
for _ in range(2000):
    y, pullback = layer.vjp(force)
    miss = np.zeros_like(y)
    miss[:, -20:] = y[:, -20:] - goal
    losses.append((miss**2).sum() + 0.001 * (force**2).sum())
    slope = pullback(2 * miss).x + 0.002 * force
    force = optimizer.apply({"force": force}, {"force": slope})["force"]

# %%
# The pendulum swings to and fro before it rises, as the force is too small to lift it
# at once.

time = 0.05 * np.arange(1, 101)
figure, axes = plt.subplots(2, figsize=(7.2, 4.4), sharex=True, layout="constrained")
axes[0].plot(time, force[0, :, 0], color="C1", drawstyle="steps-pre")
axes[0].axhline(0, color="0.8", linewidth=0.8, zorder=0)
axes[0].set(ylabel="force (1/s²)")
axes[1].plot(time, y[0, :, 0])
axes[1].axhline(np.pi, color="0.6", linewidth=0.8, linestyle="--")
axes[1].set(xlabel="time (s)", ylabel="angle", xlim=(0, 5))
axes[1].set_yticks([-np.pi / 2, 0, np.pi / 2, np.pi], ["−π/2", "0", "π/2", "π"])
plt.show()

# %%
# The largest force stays below that of gravity, 9.81:

print(f"loss {losses[0]:.0f} to {losses[-1]:.2f}")
print(f"largest force {np.abs(force).max():.1f}")
print(f"last angle {y[0, -1, 0] / np.pi:.2f} π")
