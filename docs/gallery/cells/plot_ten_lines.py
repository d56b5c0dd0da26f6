"""
A cell in ten lines
===================

A leaky unit replaces a part of its state at each step. The ten lines below declare it:
the names and sizes of its state and weights, and one step in NumPy. ``rk.RNN`` compiles
the step and runs it over time.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# ``"units"`` is set when a cell is made, ``"features"`` by the data. What stands after
# ``*`` is a hyper-parameter.

WEIGHTS = {"kernel": rk.Weight(("features", "units"), "ones")}


@rk.cell(states={"h": "units"}, weights=WEIGHTS)
def leaky(x, states, weights, *, leak=0.3):
    """Move the state towards the input, by the share ``leak``."""
    (h,) = states
    h = (1 - leak) * h + leak * np.tanh(x @ weights.kernel)
    return h, h


# %%
# The input is switched on at step 10 and off at step 50. A small ``leak`` makes a slow
# unit.

x = np.zeros((1, 90, 1))  # batch, time, features
x[:, 10:50] = 1
outputs = {
    leak: rk.RNN(leaky(1, leak=leak), return_sequences=True)(x)[0, :, 0]
    for leak in (0.5, 0.1, 0.03)
}

figure, axes = plt.subplots(layout="constrained")
axes.axvspan(9.5, 49.5, color="0.94", label="input is 1")
for leak, h in outputs.items():
    axes.plot(h, label=f"leak = {leak}")
axes.axhline(np.tanh(1), color="0.6", linewidth=0.8, linestyle="--")
axes.text(89, np.tanh(1) + 0.01, "tanh(1)", ha="right", color="0.4")
axes.set(xlabel="step", ylabel="state h", xlim=(0, 89), ylim=(0, 0.85))
axes.legend(loc="upper right", bbox_to_anchor=(1, 0.85))
plt.show()

# %%
# After the input is switched off, the state falls by the factor 1 - leak at each step,
# as the declaration says.

for leak, h in outputs.items():
    print(f"leak {leak}: h[60] / h[59] = {h[60] / h[59]:.2f}")
