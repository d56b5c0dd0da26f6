"""
Test bands on the past
======================

``cross_validation`` forecasts the past from many origins. The share of values inside
each band then says whether the bands can be trusted. The yearly sunspot numbers serve
as the series.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The model is fitted before the first of 20 origins, and reads on from there. Each
# window has five years.

years, sunspots = rk.datasets.load_sunspots()
levels = [50, 60, 70, 80, 90, 95]
model = rk.forecast.Auto()
past = rk.forecast.cross_validation([model], sunspots, h=5, n_windows=20, level=levels)
print("windows and years of the forecasts:", past["Auto"].shape)

# %%
# The left panel compares the level of a band with the share of values that it held. On
# the dashed line, bands are exact. The right panel shows how the error grows with the
# lead.

came = past["y"]
held = []
for level in levels:
    low, high = past[f"Auto-lo-{level}"], past[f"Auto-hi-{level}"]
    held.append(100 * np.mean((came > low) & (came < high)))
error = np.abs(past["Auto"] - came).mean(axis=0)

figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained")
axes[0].plot([45, 100], [45, 100], color="0.6", linewidth=0.8, linestyle="--")
axes[0].plot(levels, held, "o-")
axes[0].set(xlabel="level of the band (%)", ylabel="values inside (%)", aspect="equal")
axes[1].bar(np.arange(1, 6), error, width=0.6)
axes[1].set(xlabel="lead (years)", ylabel="mean absolute error (sunspots)")
plt.show()

# %%
# There are 100 forecasts here, so a share has a standard error of up to 5 percentage
# points.

print(f"of {came.size} values, {held[levels.index(80)]:.0f} % lay in the band of 80 %")
