"""
An LSTM by hand
===============

The LSTM of Hochreiter and Schmidhuber (1997), with a forget gate, is a cell of a dozen lines. It is compiled by the same
compiler as ``rk.LSTM`` and gives the same numbers with the same weights. Here it returns its gates instead of its hidden
state, so that the picture shows when they open.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# An output may be anything that the step computes; it need not be a state.


@rk.cell(
    states={"h": "units", "c": "units"},
    weights={
        "kernel": rk.Weight(("features", "4*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "4*units"), "orthogonal"),
        "bias": rk.Weight(("4*units",), "zeros"),
    },
)
def lstm(x, states, weights):
    """Compute one step of an LSTM; the output is the three gates."""
    h, c = states
    z = x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias
    i, f, g, o = np.split(z, 4, axis=-1)
    i, f, o = rk.sigmoid(i), rk.sigmoid(f), rk.sigmoid(o)
    c = f * c + i * np.tanh(g)
    h = o * np.tanh(c)
    return np.concatenate([i, f, o], axis=-1), (h, c)


# %%
# ``rk.LSTM`` is trained to say, at each step, which of two pulses came last: the positive one or the negative one. Its
# weights are then copied into the hand-written cell.

rng = np.random.default_rng(0)
pulses = rng.choice([-1, 0, 1], p=[0.04, 0.92, 0.04], size=(256, 80, 1)).astype("float32")
last = np.zeros((256, 1), "float32")
wanted = np.stack([last := np.where(pulse != 0, pulse, last) for pulse in pulses.swapaxes(0, 1)], axis=1)

model = rk.Sequential([rk.LSTM(2, return_sequences=True), rk.Dense(1)], seed=3)
model.compile(rk.optimizers.Adam(0.03), "mse")
model.fit(pulses, wanted, epochs=30, verbose=0)

by_hand = rk.RNN(lstm(2), return_sequences=True)
by_hand.build(pulses.shape)
by_hand.set_weights(model.layers[0].get_weights())
gates, (h, c) = by_hand.trajectory(pulses[:1])

# %%
# Between pulses the forget gate of the first unit stays close to 1, and its memory ``c`` keeps its value.

figure, axes = plt.subplots(2, figsize=(7.2, 4.6), sharex=True, layout="constrained")
axes[0].stem(pulses[0, :, 0], linefmt="0.7", markerfmt=" ", basefmt=" ", label="pulses")
axes[0].plot(model(pulses[:1])[0, :, 0], label="output of the model")
axes[0].plot(c[0, :, 0] / np.abs(c[0, :, 0]).max(), label="memory c, scaled")
axes[0].set(ylabel="value", ylim=(-1.2, 1.2))
for name, gate in zip(("input", "forget", "output"), gates[0, :, ::2].T, strict=True):
    axes[1].plot(gate, label=f"{name} gate")
axes[1].set(xlabel="step", ylabel="gate of unit 0", ylim=(0, 1.05), xlim=(0, 79))
for each in axes:
    each.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# The two layers compute the same hidden state, to rounding in float32.

_, (h_built_in, _) = model.layers[0].trajectory(pulses)
_, (h_by_hand, _) = by_hand.trajectory(pulses)
print(f"largest difference of h: {np.abs(h_built_in - h_by_hand).max():.1e}")
