"""
Schedules of the learning rate
==============================

A learning rate may be a schedule: a function of the number of the update. The picture
shows five of them, and what each makes of the same short fit.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The task is to say the mean product of a sequence's two features, times five.

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=(1280, 25, 2)).astype("float32")
y = (x[:, :, :1] * x[:, :, 1:]).mean(axis=1) * 5
epochs, updates = 15, 15 * 32

make = rk.optimizers.schedules
schedules = {
    "constant": make.Constant(0.01),
    "exponential decay": make.ExponentialDecay(0.02, updates, decay_rate=0.02),
    "cosine decay": make.CosineDecay(0.02, updates),
    "warm-up, then cosine": make.WarmUp(make.CosineDecay(0.02, updates), steps=48),
    "restarts": make.CosineDecayRestarts(0.02, first_decay_steps=69),
}
losses = {}
for name, schedule in schedules.items():
    model = rk.Sequential([rk.GRU(16), rk.Dense(1)], seed=0)
    model.compile(rk.optimizers.Adam(schedule), "mse")
    history = model.fit(x, y, epochs=epochs, validation_split=0.2, verbose=0)
    losses[name] = history.history["val_loss"]

# %%
# Each line is one fit. With another seed, the order at the end is another one.

figure, axes = plt.subplots(2, figsize=(7.2, 4.8), layout="constrained")
for name, schedule in schedules.items():
    axes[0].plot([schedule(update) for update in range(updates)], label=name)
    axes[1].semilogy(np.arange(1, epochs + 1) * 32, losses[name])
axes[0].set(ylabel="learning rate", ylim=(0, None))
axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
axes[1].set(xlabel="update", ylabel="loss on other\nsequences")
for each in axes:
    each.set(xlim=(0, updates))
plt.show()

# %%
# The losses after the last epoch:

for name, loss in losses.items():
    print(f"{name:21} {loss[-1]:.4f}")
