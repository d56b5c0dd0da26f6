"""
Rows of unequal lengths
=======================

A layer takes a list of sequences of any lengths. It returns what a call on each
sequence alone returns: a list where outputs have a time axis, and one array otherwise.
No padding and no mask need to be written.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# Eighteen random walks of 5 to 60 steps.

rng = np.random.default_rng(0)
lengths = np.sort(rng.integers(5, 61, size=18))
sequences = [
    np.cumsum(rng.normal(size=(n, 1)), axis=0).astype("float32") for n in lengths
]

layer = rk.GRU(8, return_sequences=True, seed=0)
outputs = layer(sequences)
print([one.shape for one in outputs[:3]], "…")

# %%
# ``pad_sequences`` makes the array and the mask that other libraries need. In the
# picture, rows of the padded array are drawn from the top, and padding is grey.

padded, mask = rk.pad_sequences(outputs, padding="post", return_mask=True)
image = np.ma.masked_array(padded[:, :, 0], ~mask)

figure, axes = plt.subplots(layout="constrained")
axes.set_facecolor("0.92")
limit = np.abs(image).max()
drawn = axes.imshow(image, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit)
axes.set(xlabel="step", ylabel="sequence", yticks=range(0, 18, 4))
axes.text(45, 2, "no steps here", color="0.4", ha="center")
figure.colorbar(drawn, ax=axes, label="output of unit 0", pad=0.02)
plt.show()

# %%
# The sequences are padded and run together, but none of them depends on the others.

alone = [layer(one[None])[0] for one in sequences]
same = all(np.array_equal(a, b) for a, b in zip(alone, outputs, strict=True))
print(f"{len(sequences)} sequences, {np.sum(~mask)} padded steps")
print("same bits as alone:", same)
