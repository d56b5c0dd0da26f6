"""
Masks: steps without a measurement
==================================

A mask says which steps of a row are used. At a masked step a layer keeps its state and
repeats its output, and whatever the input holds there affects nothing, NaN included.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# A sensor misses two stretches of its readings. The mask is True where there is a
# reading.

rng = np.random.default_rng(2)
steps = np.arange(160)
reading = np.sin(steps / 12) + 0.1 * rng.normal(size=160)
reading[50:75] = reading[110:130] = np.nan
x, mask = reading[None, :, None], ~np.isnan(reading)[None]

layer = rk.SimpleRNN(3, return_sequences=True, dtype="float64", seed=4)
h = layer(x, mask=mask)[0]

# %%
# In the grey stretches, the outputs repeat the last ones before.

figure, axes = plt.subplots(2, figsize=(7.2, 4.2), sharex=True, layout="constrained")
axes[0].plot(reading, ".", markersize=4, color="0.4")
axes[0].set(ylabel="reading")
axes[1].plot(h)
axes[1].set(xlabel="step", ylabel="outputs of 3 units", xlim=(0, 159))
for each in axes:
    for start, end in ((50, 75), (110, 130)):
        each.axvspan(start - 0.5, end - 0.5, color="0.93", zorder=0)
axes[0].text(62, 0.9, "masked", ha="center", color="0.4")
plt.show()

# %%
# A run over the used steps alone ends with the same output, bit for bit.

used = rk.SimpleRNN(3, dtype="float64", seed=4)(reading[mask[0]][None, :, None])[0]
print("same last output:", np.array_equal(h[-1], used))
print(f"change of the output within a gap: {np.abs(np.diff(h[49:75], axis=0)).max()}")
