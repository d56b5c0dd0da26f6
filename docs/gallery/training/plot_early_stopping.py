"""
Stop a fit early
================

A small data set is learned by heart if a fit goes on for long: the loss on the training
data falls, and that on other data rises. ``EarlyStopping`` ends the fit then, and
restores the best weights.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# A noisy target on 120 sequences, for a network of 48 units: little data, and much
# room.

rng = np.random.default_rng(0)


def sequences(count):
    """Return sequences, and the difference of their halves' means, with noise."""
    x = rng.normal(size=(count, 20, 1)).astype("float32")
    wanted = x[:, :10].mean(axis=1) - x[:, 10:].mean(axis=1)
    return x, wanted + rng.normal(scale=0.2, size=wanted.shape).astype("float32")


x, y = sequences(120)
validation = sequences(500)


def fit(callbacks, epochs):
    """Train the network from the same first weights."""
    model = rk.Sequential([rk.GRU(48), rk.Dense(1)], seed=0)
    model.compile(rk.optimizers.Adam(0.005), "mse")
    options = {"validation_data": validation, "callbacks": callbacks, "verbose": 0}
    return model, model.fit(x, y, epochs=epochs, **options)


# %%
# One fit runs for 150 epochs. The other stops when the validation loss has not fallen
# for 15 epochs.

_, long = fit([], 150)
stopping = rk.callbacks.EarlyStopping(patience=15, restore_best_weights=True)
model, short = fit([stopping], 150)

figure, axes = plt.subplots(layout="constrained")
axes.plot(long.history["loss"], color="0.6", label="training")
axes.plot(long.history["val_loss"], color="C0", label="validation")
axes.axvline(stopping.best_epoch, color="C1", linewidth=1, label="best weights")
axes.axvline(stopping.stopped_epoch, color="C1", linestyle="--", label="the fit stops")
axes.axhline(0.2**2, color="0.6", linewidth=0.8, linestyle=":")
axes.text(149, 0.041, "noise of the targets", color="0.4", ha="right", fontsize="small")
axes.set(xlabel="epoch", ylabel="mean square error", yscale="log", xlim=(0, 149))
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# Both fits are the same up to where the second one stops. What stopping gains:

print("same losses:", short.history["loss"] == long.history["loss"][: len(short.epoch)])
print(f"validation loss {model.evaluate(*validation):.3f}")
print(f"after 150 epochs {long.history['val_loss'][-1]:.3f}")
