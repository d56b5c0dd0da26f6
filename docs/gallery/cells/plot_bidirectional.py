"""
Both directions
===============

``Bidirectional`` runs one copy of a layer forwards and one backwards. A step of its
output then depends on the whole sequence. The picture shows which inputs reach the
output of step 20, measured by the gradient.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# ``vjp`` returns the output and a pullback. With a cotangent that is 1 at step 20 and 0
# elsewhere, the pullback gives the derivative of the sum of that step's outputs by
# every input.

x = np.random.default_rng(0).normal(size=(1, 41, 1))
options = {"return_sequences": True, "dtype": "float64"}
layers = {
    "forwards": rk.SimpleRNN(16, seed=0, **options),
    "backwards": rk.SimpleRNN(16, seed=0, go_backwards=True, **options),
    "both": rk.Bidirectional(rk.SimpleRNN(16, **options), seed=0),
}
reach = {}
for name, layer in layers.items():
    y, pullback = layer.vjp(x)
    cotangent = np.zeros_like(y)
    cotangent[:, 20] = 1
    reach[name] = np.abs(pullback(cotangent).x[0, :, 0])

# %%
# Bars are the derivatives, by the distance of the input from the output in time.

figure, axes = plt.subplots(
    3, figsize=(7.2, 4.4), sharex=True, sharey=True, layout="constrained"
)
for each, (name, size) in zip(axes, reach.items(), strict=True):
    each.bar(np.arange(41) - 20, size, color="C0", width=0.8)
    each.set_title(name)
figure.supylabel("absolute derivative", fontsize="medium")
axes[2].set(xlabel="step of the input, relative to the output")
plt.show()

# %%
# Forwards, no later input counts; backwards, no earlier one does. Here the output of
# the backward layer at index 20 belongs to input 20, as the sequence has 41 steps and
# outputs come in processing order.

print("forwards, derivative by later inputs:", reach["forwards"][21:].sum())
counted = int((reach["both"][15:26] > 0).sum())
print(f"both, inputs within 5 steps that count: {counted} of 11")
