"""
A cell of a paper: coRNN
========================

Rusch and Mishra (2021) build a network of coupled oscillators with damping. Its state
has a position ``y`` and a velocity ``z`` for each unit, and the paper bounds its
gradients over long sequences. The two lines of the step are equation 3 of the paper.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The paper writes one matrix for the positions and one for the velocities.


@rk.cell(
    states={"y": "units", "z": "units"},
    weights={
        "position": rk.Weight(("units", "units"), "glorot_uniform"),
        "velocity": rk.Weight(("units", "units"), "glorot_uniform"),
        "kernel": rk.Weight(("features", "units"), "glorot_uniform"),
        "bias": rk.Weight(("units",), "zeros"),
    },
)
def cornn(x, states, weights, *, dt=0.1, gamma=1.0, epsilon=0.5):
    """Advance oscillators of stiffness ``gamma`` and damping ``epsilon`` by ``dt``."""
    y, z = states
    force = np.tanh(
        y @ weights.position + z @ weights.velocity + x @ weights.kernel + weights.bias
    )
    z = z + dt * (force - gamma * y - epsilon * z)
    y = y + dt * z
    return y, (y, z)


# %%
# A single pulse at steps 20 to 29 sets 32 units in motion. ``trajectory`` returns each
# state at every step. With these random weights the coupling makes up for the damping,
# so that the units go on oscillating, one a little after the other.

layer = rk.RNN(cornn(32), dtype="float64", seed=0)
x = np.zeros((1, 600, 1))
x[:, 20:30] = 1
_, (y, z) = layer.trajectory(x)

figure, axes = plt.subplots(
    1, 2, figsize=(7.2, 3.4), layout="constrained", width_ratios=[1.7, 1]
)
limit = np.abs(y).max()
image = axes[0].imshow(y[0].T, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit)
axes[0].set(xlabel="step", ylabel="unit", title="Positions of all units")
figure.colorbar(image, ax=axes[0], pad=0.02)
for unit in (2, 6):
    axes[1].plot(y[0, :, unit], z[0, :, unit], linewidth=1, label=f"unit {unit}")
axes[1].set(xlabel="position y", ylabel="velocity z", title="Two units, in phase space")
axes[1].legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2)
plt.show()

# %%
# The compiled gradient of the cell agrees with central differences.

print(rk.gradcheck(cornn(4)))
