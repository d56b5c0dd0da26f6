"""
Forecast with an echo state network
===================================

``rk.ESN`` reads a series with a fixed random reservoir and forecasts each lead by a
ridge regression of its states. A fit takes a fraction of a second. Here it forecasts
sunspot numbers, whose cycles differ in length and height.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The network is fitted to the years up to 1929. ``forecast`` then starts from any later
# year without fitting again.

years, sunspots = rk.datasets.load_sunspots()
start = int(np.searchsorted(years, 1930))
network = rk.ESN(horizon=8, units=200, seed=0).fit(sunspots[:start])

origins = np.arange(start, len(years) - 8, 8)
forecasts = [network.forecast(sunspots[:origin]) for origin in origins]

# %%
# Every line begins at its own origin and ends eight years later. Together they cover
# the time after 1930.

figure, axes = plt.subplots(layout="constrained")
axes.plot(years[190:], sunspots[190:], color="0.6", linewidth=1, label="measured")
for origin, values in zip(origins, forecasts, strict=True):
    (line,) = axes.plot(years[origin : origin + 8], values, ".-C0", markersize=4)
    axes.plot(years[origin], values[0], "oC0", markersize=5)
line.set_label("forecast, eight years from each origin")
axes.axvline(1929.5, color="0.7", linewidth=0.8, linestyle="--")
axes.set(xlabel="year", ylabel="sunspot number", ylim=(-5, 230))
axes.legend(loc="upper left")
plt.show()

# %%
# Against the forecast that the next eight years are like the last one:

came = np.stack([sunspots[origin : origin + 8] for origin in origins])
error = np.abs(np.stack(forecasts) - came).mean()
naive = np.abs(sunspots[origins - 1, None] - came).mean()
print(f"mean absolute error {error:.0f}, of the naive forecast {naive:.0f}")
