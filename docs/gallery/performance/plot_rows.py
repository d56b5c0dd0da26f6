"""
Rows against time
=================

How long does a call take for one row, and for hundreds? Every call and every step has a
fixed cost, which counts for few rows. Beyond some rows, the time is proportional to
their number. The times are processor times of the machine that built this page.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The minimum of several calls is the time that the work needs; the median shows how
# much calls differ. Processor time on one thread leaves out what else the machine did
# meanwhile.


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units")),
        "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal"),
    },
)
def leaky(x, states, weights):
    """Let half of the state go at each step."""
    (h,) = states
    new = np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel)
    h = 0.5 * h + 0.5 * new
    return h, h


def milliseconds(layer, x, repeats=15):
    """Return the minimum and the median of the time of a call."""
    layer(x)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        layer(x)
        times.append(1000 * (time.process_time() - start))
    return min(times), np.median(times)


threads = rk.get_num_threads()
rk.set_num_threads(1)
rows = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
layers = {
    "LSTM": rk.LSTM(32, seed=0),
    "GRU": rk.GRU(32, seed=0),
    "cell of your own": rk.RNN(leaky(32), seed=0),
}
x = np.random.default_rng(0).normal(size=(512, 100, 16)).astype("float32")
times = {
    name: np.array([milliseconds(layer, x[:n]) for n in rows])
    for name, layer in layers.items()
}
rk.set_num_threads(threads)

# %%
# Calls of 100 steps with 32 units in float32. The dashed line has the slope of a time
# that is proportional to the number of rows.

figure, axes = plt.subplots(layout="constrained")
for name, (least, median) in ((name, found.T) for name, found in times.items()):
    (line,) = axes.loglog(rows, least, "o-", label=name)
    axes.loglog(rows, median, color=line.get_color(), linewidth=0.8, alpha=0.5)
proportional = rows * times["GRU"][-1, 0] / rows[-1] / 4
axes.loglog(rows, proportional, color="0.6", linewidth=0.8, linestyle="--")
axes.set(xlabel="rows of the batch", ylabel="time of a call (ms)")
axes.set_xticks(rows, rows)
axes.minorticks_off()
axes.legend(title="points: minimum; thin: median")
plt.show()

# %%
# The time for each row, alone and in the largest batch:

for name, found in times.items():
    alone, together = 1000 * found[[0, -1], 0] / rows[[0, -1]]
    print(f"{name:17} {alone:5.1f} µs alone, {together:5.1f} µs among {rows[-1]} rows")
