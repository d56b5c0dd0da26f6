"""
The adding problem
==================

Of a hundred numbers, two are marked. The network should say their sum at the end
(Hochreiter and Schmidhuber 1997). A simple recurrent network hardly learns to carry a
number over so many steps, while a gated one does after some epochs.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# One mark falls into each half of a sequence. Whoever always says 1 is off by 1/6 in
# the mean of squares.

rng = np.random.default_rng(0)
count, steps, epochs = 4000, 100, 12
x = np.zeros((count, steps, 2), "float32")
x[:, :, 0] = rng.uniform(size=(count, steps))
rows = np.arange(count)
x[rows, rng.integers(0, steps // 2, count), 1] = 1
x[rows, rng.integers(steps // 2, steps, count), 1] = 1
y = (x[:, :, 0] * x[:, :, 1]).sum(axis=1, keepdims=True)

losses = {}
for name, layer in (("SimpleRNN", rk.SimpleRNN(32)), ("GRU", rk.GRU(32))):
    model = rk.Sequential([layer, rk.Dense(1)], seed=0)
    model.compile(rk.optimizers.Adam(0.01, global_clipnorm=1.0), "mse")
    options = {"batch_size": 50, "validation_split": 0.2, "verbose": 0}
    losses[name] = model.fit(x, y, epochs=epochs, **options).history["val_loss"]

# %%
# The GRU stays near the naive answer at first. Once it has found out what the marks
# mean, its loss falls quickly.

figure, axes = plt.subplots(layout="constrained")
for name, loss in losses.items():
    axes.semilogy(range(1, epochs + 1), loss, "o-", label=name)
axes.axhline(1 / 6, color="0.6", linewidth=0.8, linestyle="--")
axes.text(epochs, 0.18, "always saying 1", color="0.4", ha="right", fontsize="small")
axes.set(xlabel="epoch", ylabel="mean square error on other sequences")
axes.set(xticks=range(1, epochs + 1), ylim=(None, 0.3))
axes.legend()
plt.show()

# %%
# The last losses:

print({name: round(loss[-1], 4) for name, loss in losses.items()})
