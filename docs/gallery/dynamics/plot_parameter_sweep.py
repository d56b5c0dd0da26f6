"""
A sweep of a thousand parameters
================================

The logistic map has no input and one parameter. A call with a parameter of its own in
each row runs a thousand maps side by side: the states that they visit make the
bifurcation diagram, and the mean logarithm of the slope is the Lyapunov exponent.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The parameter comes as a constant of the call, with a row for each row of the batch.
# The step adds up the logarithms of the slope in a state.


@rk.cell(states={"y": 1, "growth": 1}, initial={"y": 0.4})
def logistic(x, states, weights, *, constants):
    """Apply the map once; there is no input."""
    (r,), (y, growth) = constants, states
    growth = growth + np.log(np.abs(r * (1 - 2 * y)))
    y = r * y * (1 - y)
    return y, (y, growth)


steps = 1500
r = np.linspace(2.8, 4, 1000)[:, None]
nothing = np.zeros((1000, steps, 0))
layer = rk.RNN(logistic(), return_sequences=True, return_state=True, dtype="float64")
y, _, growth = layer(nothing, constants=[r])
exponents = growth[:, 0] / steps

# %%
# Above, what the last 100 steps visit. Below, the exponent: chaos is where it is
# positive.

figure, (top, bottom) = plt.subplots(
    2, 1, sharex=True, figsize=(7.2, 4.4), height_ratios=[2, 1], layout="constrained"
)
visited = y[:, -100:, 0]
top.plot(np.repeat(r, 100), visited.ravel(), ",", color="C0", alpha=0.5)
top.set(ylabel="y", title="what the last 100 steps visit")
bottom.axhline(0, color="0.6", linewidth=0.8)
bottom.plot(r[:, 0], exponents, linewidth=0.8, color="C1")
bottom.set(xlabel="r", ylabel="Lyapunov exponent", ylim=(-1.2, 0.8))
plt.show()

# %%
# At r = 4, the exponent is known to be log 2.

print(f"exponent at r = 4: {exponents[-1]:.3f}, log 2: {np.log(2):.3f}")
