"""
Lyapunov exponents of a random network
======================================

A large random network of tanh units without input becomes chaotic when the gain of its
weights exceeds 1 (Sompolinsky et al. 1988). The largest Lyapunov exponent is the mean
rate at which nearby states part. It follows from the Jacobians of the steps along a
trajectory.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The weights are Gaussian with the standard deviation ``gain / sqrt(units)``.

units, steps, washout = 100, 400, 150


@rk.cell(states={"h": "units"}, weights={"recurrent": rk.Weight(("units", "units"))})
def autonomous(x, states, weights):
    """Apply the recurrent weights and tanh; the input is not used."""
    h = np.tanh(states[0] @ weights.recurrent)
    return h, h


def exponents(gain, count=3):
    """Return the largest Lyapunov exponents, and the last states of 3 units."""
    layer = rk.RNN(autonomous(units), dtype="float64")
    x = np.zeros((1, steps, 1))
    layer.build(x.shape)
    rng = np.random.default_rng(0)
    layer.weights["recurrent"] = gain * rng.normal(size=(units, units)) / np.sqrt(units)
    first = rng.normal(size=(1, units))
    _, (h,) = layer.trajectory(x, initial_state=[first])
    jacobians = rk.jacobian(layer, x[0, washout:], h[0, washout - 1 : -1]).matrix
    basis, rates = np.linalg.qr(rng.normal(size=(units, count)))[0], []
    for jacobian in jacobians:
        basis, r = np.linalg.qr(jacobian @ basis)
        rates.append(np.log(np.abs(np.diag(r))))
    return np.mean(rates, axis=0), h[0, -80:, :3]


gains = np.linspace(0.6, 2.2, 13)
largest = np.array([exponents(gain)[0] for gain in gains])

# %%
# Below a gain of about 1, all states die out. Just above it, the largest exponent is
# near zero, and the states oscillate. Further up it is positive: the network is
# chaotic.

figure = plt.figure(figsize=(7.2, 4), layout="constrained")
axes = figure.subplot_mosaic(
    [["exponents", 0.9], ["exponents", 1.2], ["exponents", 2.0]], width_ratios=[1.2, 1]
)
exponent = axes.pop("exponents")
exponent.axhline(0, color="0.6", linewidth=0.8)
for index, line in enumerate(largest.T):
    exponent.plot(gains, line, ".-", color="C0", alpha=1 - 0.3 * index)
exponent.set(xlabel="gain", ylabel="three largest exponents (per step)")
for gain, each in axes.items():
    each.plot(exponents(gain)[1], linewidth=0.9)
    each.set(title=f"3 units at gain {gain:g}", ylim=(-1.1, 1.1), yticks=[-1, 0, 1])
    each.label_outer()
    each.tick_params(labelleft=True)
axes[2.0].set(xlabel="step, of the last 80")
plt.show()

# %%
# A positive exponent is the rate at which a small error grows.

rate = largest[-1, 0]
print(f"at gain {gains[-1]:.1f} the largest exponent is {rate:.2f}")
print(f"an error doubles in {np.log(2) / rate:.1f} steps")
