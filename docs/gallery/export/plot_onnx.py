"""
Export to ONNX and compare
==========================

A model with a cell of your own becomes an ONNX file that ONNX Runtime runs without
rnnkit. The picture compares the two, step by step. This example needs onnxruntime and
``pip install 'rnnkit[onnx,plots]'``.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime

import rnnkit as rk

# %%
# The cell is the minimal gated unit of Zhou et al. (2016).


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "2*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "2*units"), "orthogonal"),
    },
)
def minimal_gated(x, states, weights):
    """Let one gate decide what to forget and what to replace."""
    (h,) = states
    kernel_gate, kernel_new = np.split(weights.kernel, 2, axis=1)
    recurrent_gate, recurrent_new = np.split(weights.recurrent_kernel, 2, axis=1)
    gate = rk.sigmoid(x @ kernel_gate + h @ recurrent_gate)
    h = (1 - gate) * h + gate * np.tanh(x @ kernel_new + (gate * h) @ recurrent_new)
    return h, h


recurrent = [
    rk.RNN(minimal_gated(32), return_sequences=True),
    rk.LSTM(16, return_sequences=True),
]
model = rk.Sequential([*recurrent, rk.Dense(1)], seed=0)
model.build((None, None, 3))

# %%
# One file serves every batch size and length.

x = np.random.default_rng(0).normal(size=(8, 500, 3)).astype("float32")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model.onnx")
    rk.onnx.export(model, path)
    kilobytes = path.stat().st_size / 1000
    session = onnxruntime.InferenceSession(path)
(theirs,) = session.run(None, {"x": x})
ours = model(x)

difference = np.abs(theirs - ours)[:, :, 0]
figure, axes = plt.subplots(2, figsize=(7.2, 4.2), sharex=True, layout="constrained")
axes[0].plot(ours[0, :, 0], color="0.6", linewidth=3, label="rnnkit")
axes[0].plot(theirs[0, :, 0], color="C0", linewidth=1, label="ONNX Runtime")
axes[0].set(ylabel="output of row 0", ylim=(-0.28, 0.36))
axes[0].legend(loc="upper right", ncols=2)
axes[1].semilogy(np.maximum(difference.max(axis=0), 1e-10), color="C1", linewidth=1)
axes[1].set(
    xlabel="step", ylabel="largest difference", xlim=(0, 499), ylim=(1e-9, 1e-5)
)
plt.show()

# %%
# Differences are those of rounding in float32, and do not grow with time.

print(f"file of {kilobytes:.0f} kB")
print(f"largest difference {difference.max():.1e}")
print(f"largest output {np.abs(ours).max():.2f}")
