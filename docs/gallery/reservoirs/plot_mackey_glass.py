"""
Mackey and Glass's equation
===========================

The blood cell count in the model of Mackey and Glass (1977) depends on its value 17
time units ago, and is chaotic. An echo state network learns the next value from 3,000
steps, and then runs freely: it reads its own forecasts. The picture shows how closely
it follows the truth.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The series is the solution of ``dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)**10) - 0.1 x``,
# in steps of 1, each of ten sub-steps.

delay, substeps = 17, 10
x = np.full(delay * substeps + 4200 * substeps, 1.2)
for t in range(delay * substeps, len(x)):
    past = x[t - delay * substeps]
    x[t] = x[t - 1] + (0.2 * past / (1 + past**10) - 0.1 * x[t - 1]) / substeps
series = np.tanh(x[::substeps][200:] - 1)[:, None]

# %%
# The reservoir is never trained. A ridge regression reads the next value from its
# states. The first 100 steps are left out, in which the reservoir forgets that it began
# at zero.

train, test = 3000, 500
cell = rk.ESNCell(400, spectral_radius=1.1, input_scaling=1.0, bias_scaling=0.3)
layer = rk.RNN(cell, dtype="float64", seed=1)
_, (h,) = layer.trajectory(series[None, :train])
states = np.hstack([h[0], np.ones((train, 1))])[100:-1]
wanted = series[101:train]
readout = np.linalg.solve(states.T @ states + 1e-8 * np.eye(401), states.T @ wanted)

# %%
# A stream takes one step at a time. It first reads what is known, then its own
# forecasts.

stream = layer.stream()
for value in series[:train]:
    h_now = stream.step(value[None])
forecast = np.empty(test)
for t in range(test):
    forecast[t] = (h_now @ readout[:-1] + readout[-1])[0, 0]
    h_now = stream.step(forecast[t, None, None])

truth = series[train : train + test, 0]
figure, axes = plt.subplots(
    2, figsize=(7.2, 4.4), sharex=True, layout="constrained", height_ratios=[2, 1]
)
axes[0].plot(truth, color="0.6", label="Mackey and Glass")
axes[0].plot(forecast, "--", color="C0", label="network, on its own")
axes[0].set(ylabel="value", ylim=(-0.75, 0.6))
axes[0].legend(loc="upper right", ncols=2)
axes[1].semilogy(np.abs(forecast - truth), color="C1", linewidth=1)
axes[1].set(
    xlabel="steps after the last known value", ylabel="absolute error", xlim=(0, test)
)
plt.show()

# %%
# Errors grow with time, as the system is chaotic. Published errors are often those
# after 84 steps.

error = np.abs(forecast - truth)
print(f"absolute error after 84 steps {error[83]:.0e}")
print(f"largest error in {test} steps {error.max():.0e}")
