"""
An LSTM by hand
===============

The LSTM of Hochreiter and Schmidhuber (1997), with a forget gate, is a cell of a dozen
lines. It is compiled by the same compiler as ``rk.LSTM`` and gives the same numbers
with the same weights. Here it returns its forget gate instead of its hidden state, so
that the picture shows when it closes.
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
    """Compute one step of an LSTM; the output is the forget gate and what is added."""
    h, c = states
    z = x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias
    i, f, g, o = np.split(z, 4, axis=-1)
    i, f, o = rk.sigmoid(i), rk.sigmoid(f), rk.sigmoid(o)
    added = i * np.tanh(g)
    c = f * c + added
    h = o * np.tanh(c)
    return np.concatenate([f, added], axis=-1), (h, c)


# %%
# ``rk.LSTM`` learns to remember: a few numbers of each sequence are marked, and at each
# step the model should say the last marked number. The trained weights are then copied
# into the hand-written cell.

rng = np.random.default_rng(0)
number, marked = rng.uniform(-1, 1, (1000, 60)), rng.uniform(size=(1000, 60)) < 0.08
marked[:, 0] = True
x = np.stack([number, marked], axis=-1).astype("float32")
last_marked = np.maximum.accumulate(np.where(marked, np.arange(60), 0), axis=1)
wanted = np.take_along_axis(number, last_marked, axis=1)[:, :, None].astype("float32")

model = rk.Sequential([rk.LSTM(1, return_sequences=True), rk.Dense(1)], seed=2)
model.compile(rk.optimizers.Adam(0.03), "mse")
model.fit(x, wanted, epochs=40, verbose=0)

by_hand = rk.RNN(lstm(1), return_sequences=True)
by_hand.build(x.shape)
by_hand.set_weights(model.layers[0].get_weights())
forget, added = by_hand(x[:1])[0].T

# %%
# At a mark the forget gate closes, and a new value is added: the memory is replaced.
# Between marks the gate is nearly open and little is added, so that the memory drifts
# slowly.

figure, axes = plt.subplots(2, figsize=(7.2, 4.6), sharex=True, layout="constrained")
axes[0].plot(number[0], ".", color="0.75", label="number")
marks = np.flatnonzero(marked[0])
axes[0].plot(marks, number[0, marks], "o", markersize=5, color="C1", label="marked")
axes[0].plot(model(x[:1])[0, :, 0], color="C0", label="output")
axes[0].set(ylabel="value", ylim=(-1.1, 1.1))
axes[1].plot(forget, color="C3", label="forget gate")
axes[1].plot(added, color="C2", label="added to c")
axes[1].set(xlabel="step", ylabel="value", xlim=(-1, 60))
for each in axes:
    each.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# The two layers compute the same states.

_, (h_built_in, c_built_in) = model.layers[0].trajectory(x)
_, (h_by_hand, c_by_hand) = by_hand.trajectory(x)
print(f"mean square error of the model: {model.evaluate(x, wanted):.4f}")
print(f"variance of the numbers: {number.var():.2f}")
print(f"largest difference of the memory c: {np.abs(c_built_in - c_by_hand).max():.1e}")
