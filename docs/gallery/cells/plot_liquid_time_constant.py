"""
A liquid time-constant cell
===========================

In the network of Hasani et al. (2021), the input changes how fast a unit moves. A unit
follows ``dh/dt = -h/tau + f(x, h) (a - h)``, so its effective time constant is ``tau /
(1 + tau f)``. The step solves the equation by the authors' fused solver.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# Each step contains several sub-steps of the solver. The ``for`` loop has a fixed
# length, so rnnkit unrolls it and compiles the result. The output holds the state and
# the effective time constant.


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units")),
        "recurrent_kernel": rk.Weight(("units", "units")),
        "bias": rk.Weight(("units",), "zeros"),
        "a": rk.Weight(("units",), "ones"),
    },
)
def liquid(x, states, weights, *, tau=10.0, dt=1.0, substeps=6):
    """Advance a liquid time-constant network by ``dt``."""
    (h,) = states
    drive = x @ weights.kernel + weights.bias
    for _ in range(substeps):
        f = rk.sigmoid(drive + h @ weights.recurrent_kernel)
        h = (h + dt / substeps * f * weights.a) / (1 + dt / substeps * (1 / tau + f))
    return np.concatenate([h, tau / (1 + tau * f)], axis=-1), h


# %%
# One unit without recurrent weights reads a staircase. The bias of -4 makes it slow
# when the input is 0.

layer = rk.RNN(liquid(1), return_sequences=True, dtype="float64")
layer.build((1, None, 1))
layer.set_weights([[[1.0]], [[0.0]], [-4.0], [1.0]])

x = np.repeat([0.0, 2.0, 6.0, 2.0, 0.0], 40)[None, :, None]
h, time_constant = layer(x)[0].T

figure, axes = plt.subplots(
    3,
    figsize=(7.2, 4.8),
    sharex=True,
    layout="constrained",
    height_ratios=[1, 1.6, 1.6],
)
axes[0].plot(x[0, :, 0], color="0.5", drawstyle="steps-post")
axes[0].set(ylabel="input x", yticks=[0, 2, 6])
axes[1].plot(h)
axes[1].set(ylabel="state h", ylim=(0, 1))
axes[2].plot(time_constant, color="C1")
axes[2].set(xlabel="step", ylabel="time constant\n(steps)", ylim=(0, 10), xlim=(0, 199))
plt.show()

# %%
# A large input makes the unit about eight times as fast as no input does. It rises
# quickly, and falls slowly at the end.

slow, fast = time_constant[[30, 110]]
print(f"time constant: {slow:.1f} steps at x = 0, {fast:.1f} at x = 6")
