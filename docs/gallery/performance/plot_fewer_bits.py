"""
Weights in fewer bits
=====================

``quantize`` stores the matrices of a trained model in 16 or 8 bits. States and
arithmetic stay in float32. The picture shows what that changes in the outputs of a
network that draws a path.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# An LSTM learns to draw a curve of Lissajous from the time alone. This task shows small
# errors well.

time = np.linspace(0, 2 * np.pi, 200)
x = np.stack([np.cos(time), np.sin(time)], axis=-1)[None].astype("float32")
y = np.stack([np.sin(2 * time), np.sin(3 * time)], axis=-1)[None].astype("float32")
model = rk.Sequential([rk.LSTM(48, return_sequences=True), rk.Dense(2)], seed=0)
schedule = rk.optimizers.schedules.CosineDecay(0.01, decay_steps=600)
model.compile(rk.optimizers.Adam(schedule), "mse")
model.fit(x, y, epochs=600, verbose=0)

# %%
# ``quantize(None)`` returns to float32 with the rounded weights, so each kind starts
# from the weights that were trained.

trained = model.get_weights()
outputs = {"float32": model(x)[0]}
for kind in ("bfloat16", "int8"):
    model.quantize(kind)
    outputs[kind] = model(x)[0]
    model.quantize(None)
    model.set_weights(trained)

figure, axes = plt.subplots(
    1, 2, figsize=(7.2, 3.6), layout="constrained", width_ratios=[1, 1.4]
)
axes[0].plot(*y[0].T, color="0.8", linewidth=4, label="target")
for name, path in outputs.items():
    axes[0].plot(*path.T, linewidth=1, label=name)
axes[0].set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
for index, kind in enumerate(("bfloat16", "int8"), start=1):
    distance = np.linalg.norm(outputs[kind] - outputs["float32"], axis=-1)
    axes[1].semilogy(np.maximum(distance, 1e-5), color=f"C{index}", label=kind)
axes[1].set(
    xlabel="step", ylabel="distance from float32", xlim=(0, 199), ylim=(3e-5, 1e-2)
)
axes[1].legend(loc="upper right", ncols=2)
plt.show()

# %%
# The drawings cannot be told apart by eye. The bytes are those of the matrices, without
# the scales of int8:

size = sum(weight.size for weight in trained if weight.ndim == 2)
for (name, path), width in zip(outputs.items(), (4, 2, 1), strict=True):
    distance = np.linalg.norm(path - y[0], axis=-1).mean()
    print(f"{name:9} {size * width:6,} bytes, mean distance to target {distance:.4f}")
