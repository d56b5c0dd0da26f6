"""
Spiking neurons
===============

A leaky integrate-and-fire neuron adds up its input, and emits a spike when its voltage
reaches a threshold. A step with ``np.where`` is enough to write it. The rate of the
spikes follows a formula, which the layer is compared with.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# Times are in milliseconds; a step takes 0.1 ms. The states are the voltage, and how
# long a neuron still pauses after a spike.


@rk.cell(states={"voltage": "features", "rest": "features"})
def neuron(x, states, weights, *, dt=0.1, tau=10.0, pause=2.0):
    """Integrate the current ``x``; at a voltage of 1, emit a spike and start again."""
    voltage, rest = states
    voltage = np.where(rest > 0, 0.0, voltage + (1 - np.exp(-dt / tau)) * (x - voltage))
    spike = np.where(voltage >= 1, 1.0, 0.0)
    rest = np.where(spike > 0, pause, rest - dt)
    return spike, (np.where(spike > 0, 0.0, voltage), rest)


# %%
# Sixty neurons side by side get constant currents from 0.8 to 3, for one second.

currents = np.linspace(0.8, 3, 60)
x = np.tile(currents, (1, 10_000, 1))
layer = rk.RNN(neuron(), return_sequences=True, dtype="float64")
spikes, (voltage, _) = layer.trajectory(x)
rate = spikes[0].sum(axis=0)

# %%
# A neuron with a current below 1 never fires. Above, its period is the pause and the
# time that the voltage needs to reach the threshold.

above = np.maximum(currents, 1 + 1e-9)
formula = np.where(currents > 1, 1000 / (2 + 10 * np.log(above / (above - 1))), 0)

figure = plt.figure(figsize=(7.2, 4.2), layout="constrained")
axes = figure.subplot_mosaic([["voltage", "rate"], ["spikes", "rate"]])
time = 0.1 * np.arange(1000)
axes["voltage"].plot(time, voltage[0, :1000, 20], linewidth=1)
axes["voltage"].axhline(1, color="0.6", linewidth=0.8, linestyle="--")
axes["voltage"].set(ylabel="voltage", title=f"One neuron, current {currents[20]:.2f}")
step, which = np.nonzero(spikes[0, :1000])
axes["spikes"].plot(0.1 * step, currents[which], "|", color="0.2", markersize=3)
axes["spikes"].set(xlabel="time (ms)", ylabel="current", title="Spikes of all neurons")
axes["rate"].plot(currents, formula, color="0.6", label="formula")
axes["rate"].plot(currents, rate, ".", label="layer")
axes["rate"].set(xlabel="current", ylabel="spikes per second")
axes["rate"].legend()
plt.show()

# %%
# The layer counts whole spikes, in steps of 0.1 ms:

difference = np.abs(rate - formula).max()
print(f"largest difference: {difference:.1f} spikes per second")
