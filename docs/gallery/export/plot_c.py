"""
Export to C and compare
=======================

``rk.export_c`` writes a model as C99 for a microcontroller or an audio plug-in. The
code allocates nothing and takes one step at a time. Here it is compiled into a library
and called from Python. This example needs a C compiler named ``cc``.
"""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# A small LSTM learns the sound of an amplifier: a filtered signal that saturates.

rng = np.random.default_rng(0)


def amplifier(x):
    """Filter a signal with one pole, and saturate it."""
    y = np.zeros_like(x)
    for t in range(1, x.shape[1]):
        y[:, t] = 0.8 * y[:, t - 1] + 0.6 * x[:, t]
    return np.tanh(2 * y)


x = np.cumsum(rng.normal(scale=0.3, size=(200, 100, 1)), axis=1)
x = (x - 0.9 * np.roll(x, 3, axis=1)).astype("float32")
model = rk.Sequential([rk.LSTM(12, return_sequences=True), rk.Dense(1)], seed=0)
model.compile(rk.optimizers.Adam(0.01), "mse")
model.fit(x, amplifier(x), epochs=20, verbose=0)

# %%
# ``run`` takes many steps at once. Where the lower panel's line touches the bottom, the
# bits are equal. The size of the struct of states is in the export's report.


def run_in_c():
    """Export, compile and run the model; return outputs and the weights' bytes."""
    with tempfile.TemporaryDirectory() as folder:
        exported = rk.export_c(model, folder, name="amp", data=x[:20])
        sources = [str(Path(folder, name)) for name in ("amp.c", "amp_weights.c")]
        library = str(Path(folder, "amp.so"))
        command = "cc -std=c99 -O2 -shared -fPIC -o".split()
        subprocess.run([*command, library, *sources, "-lm"], check=True)
        amp = ctypes.CDLL(library)
        state = ctypes.create_string_buffer(exported.state_bytes)
        y = np.empty((100, 1), "float32")
        amp.amp_reset(state)
        amp.amp_run(state, x[0].ctypes, ctypes.c_size_t(100), y.ctypes)
    return y[:, 0], exported.weight_bytes


ours = model(x[:1])[0, :, 0]
in_c, size = run_in_c()

figure, axes = plt.subplots(2, figsize=(7.2, 4.4), sharex=True, layout="constrained")
axes[0].plot(amplifier(x)[0, :, 0], color="0.7", linewidth=3, label="amplifier")
axes[0].plot(ours, color="0.2", linewidth=1, label="model in rnnkit")
axes[0].set(ylabel="output", ylim=(-1.2, 1.6))
axes[0].legend(loc="upper right", ncols=2)
axes[1].semilogy(
    np.maximum(np.abs(in_c - ours), 1e-9), label=f"weights of {size:,} bytes"
)
axes[1].set(
    xlabel="step", ylabel="difference, C\nfrom rnnkit", xlim=(0, 99), ylim=(1e-9, 1)
)
axes[1].legend(loc="upper right", ncols=2)
plt.show()

# %%
# The C code differs by rounding.

print(f"{np.abs(in_c - ours).max():.0e}")
