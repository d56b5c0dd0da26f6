"""
A loss of your own
==================

A loss is a function in NumPy. rnnkit traces it, derives its gradient and compiles both.
The loss here punishes a forecast that is too low five times as much as one that is too
high, so the network learns a high quantile.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The loss reduces the last axis. It is least when the forecast is exceeded in one case
# of six.


def cautious(y_true, y_pred):
    """Weigh what is missing five times as much as what is too much."""
    short = y_true - y_pred
    return np.mean(np.where(short > 0, 5 * short, -short), axis=-1)


# %%
# The series is a wave whose noise is larger at its crests. Two equal networks forecast
# the next value.

rng = np.random.default_rng(0)
wave = np.sin(np.arange(3000) * 2 * np.pi / 50)
series = (wave + rng.normal(size=3000) * (0.1 + 0.25 * (wave > 0))).astype("float32")
windows = rk.windows(series[:, None], 50)
train = 2400

forecasts = {}
for loss in ("mae", cautious):
    model = rk.Sequential([rk.GRU(16), rk.Dense(1)], seed=0)
    model.compile(rk.optimizers.Adam(0.005), loss)
    model.fit(windows.x[:train], windows.y[:train], epochs=15, verbose=0)
    forecasts[loss] = model.predict(windows.x[train:])[:, 0]
came = series[50 + train :]

figure, axes = plt.subplots(layout="constrained")
axes.plot(came[:200], ".", color="0.6", markersize=4, label="measured")
axes.plot(forecasts["mae"][:200], label="mean absolute error: the median")
axes.plot(forecasts[cautious][:200], label="own loss: five sixths lie below")
axes.set(xlabel="step", ylabel="value", xlim=(0, 199), ylim=(-1.5, 2.6))
axes.legend(loc="upper right", ncols=3, columnspacing=1.2)
plt.show()

# %%
# How often the forecasts are exceeded; one half and one sixth are wanted.

for name, loss in (("mean absolute error", "mae"), ("own loss", cautious)):
    print(f"{name}: exceeded in {(came > forecasts[loss]).mean():.2f} of the steps")
