"""
Detect anomalies in a stream
============================

A network that has learned to forecast the next reading of a machine is surprised by a
fault. The stream compares each reading with the forecast that it made one step before,
and raises an alarm where the error is far above the usual ones.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# A machine's load has two rhythms. The series has no fault in its first 3,000 steps.

rng = np.random.default_rng(0)
time = np.arange(4000)
load = np.sin(time * 2 * np.pi / 40) + 0.5 * np.sin(time * 2 * np.pi / 13)
load += 0.1 * rng.normal(size=4000)
load[3300:3340] = load[3260:3300][::-1]  # usual values in an unusual order
load[3650] += 1.0  # one value jumps
load[3800:3830] *= 0.2  # the machine almost stops
load = load.astype("float32")[:, None]

windows = rk.windows(load[:3000], 80, horizon=range(2 - 80, 2))  # a target at each step
model = rk.Sequential([rk.GRU(24, return_sequences=True), rk.Dense(1)], seed=0)
model.compile(rk.optimizers.Adam(0.01), "mse")
model.fit(windows.x[::5], windows.y[::5], epochs=15, verbose=0)

# %%
# The threshold comes from the last thousand steps before the faults: five standard
# deviations of the error.

stream = model.stream()
error = np.zeros(4000)
forecast = np.zeros((1, 1))
for t in range(4000):
    error[t] = abs(load[t, 0] - forecast[0, 0])
    forecast = stream.step(load[None, t])
threshold = 5 * np.sqrt(np.mean(error[2000:3000] ** 2))
alarm = np.flatnonzero(error > threshold)
alarm = alarm[alarm >= 3000]

figure, axes = plt.subplots(2, figsize=(7.2, 4.4), sharex=True, layout="constrained")
axes[0].plot(time[3100:], load[3100:], color="0.4", linewidth=0.8)
axes[0].set(ylabel="load")
axes[1].plot(time[3100:], error[3100:], linewidth=0.8)
axes[1].axhline(threshold, color="0.5", linewidth=0.8, linestyle="--")
axes[1].plot(alarm, error[alarm], "o", color="C1", markersize=4, label="alarm")
axes[1].set(xlabel="step", ylabel="error of the forecast", xlim=(3100, 3999))
axes[1].legend(loc="upper left")
for each in axes:
    for start, end in ((3300, 3340), (3645, 3656), (3800, 3830)):
        each.axvspan(start, end, color="0.93", zorder=0)
plt.show()

# %%
# Grey stretches hold a fault: a reversed stretch, a jump, and a weak cycle, which the
# network notices when the load comes back. Alarms elsewhere, other than just after a
# fault, would be false.

faults = [(3300, 3345), (3645, 3661), (3800, 3835)]
found = [int(((alarm >= start) & (alarm < end)).sum()) for start, end in faults]
print(f"alarms in the three faults {found}, elsewhere {len(alarm) - sum(found)}")
