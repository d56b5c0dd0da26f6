"""
Leaky integrators are filters
=============================

A leaky unit without a nonlinearity is a low-pass filter of first order. Its gain at the
frequency ``f`` follows from the leak ``a``: ``a / |1 - (1 - a) exp(-2πi f)|``. This
example measures the gain of a layer and compares it with the formula.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The leak is a weight here, one for each unit, so it can be trained. Three units have
# three leaks.


@rk.cell(
    states={"h": "units"},
    weights={"leak": rk.Weight(("units",), rk.initializers.Constant(0.1))},
)
def integrator(x, states, weights):
    """Move each unit towards the input by its leak."""
    h = (1 - weights.leak) * states[0] + weights.leak * x
    return h, h


leaks = np.array([0.5, 0.1, 0.02])
layer = rk.RNN(integrator(3), return_sequences=True, dtype="float64")
layer.build((None, None, 1))
layer.weights["leak"] = leaks

# %%
# Each row of the batch is a wave of another frequency. The amplitude is measured over
# whole periods, after the start has died out.

frequencies = np.unique(np.geomspace(1, 1000, 30).round()) / 2000
time = np.arange(4000)
waves = np.exp(2j * np.pi * frequencies[:, None] * time)[:, :, None]
response = layer(waves.real)[:, 2000:] + 1j * layer(waves.imag)[:, 2000:]
measured = np.abs(response).mean(axis=1)

fine = np.geomspace(frequencies[0], 0.5, 300)
formula = leaks / np.abs(1 - (1 - leaks) * np.exp(-2j * np.pi * fine[:, None]))

figure, axes = plt.subplots(layout="constrained")
for unit, leak in enumerate(leaks):
    (line,) = axes.loglog(fine, formula[:, unit], linewidth=1, label=f"leak {leak:g}")
    axes.loglog(frequencies, measured[:, unit], ".", color=line.get_color())
axes.set(xlabel="frequency (cycles per step)", ylabel="gain", ylim=(5e-3, 1.5))
axes.legend(title="lines: formula; dots: layer", loc="lower left")
plt.show()

# %%
# Dots and lines agree:

exact = leaks / np.abs(1 - (1 - leaks) * np.exp(-2j * np.pi * frequencies[:, None]))
print(f"largest relative difference {np.abs(measured / exact - 1).max():.0e}")
