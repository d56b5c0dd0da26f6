"""
A panel of series
=================

A table with a row for each series and time is a panel. One call fits all of its series
and forecasts them, and the result is a table again. This example needs pandas and ``pip
install 'rnnkit[tables,plots]'``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import rnnkit as rk

# %%
# Six shops have a season and a trend of their own. The last year is kept back.

rng = np.random.default_rng(1)
month = np.arange(84)
times = pd.date_range("2018-01-01", periods=84, freq="MS")
shops = []
for shop in range(6):
    level, growth, phase = rng.uniform([50, -0.4, 0], [150, 1.0, 12])
    season = 0.2 * level * np.sin((month + phase) * np.pi / 6)
    values = level + growth * month + season + rng.normal(scale=0.05 * level, size=84)
    name = f"shop {shop + 1}"
    shops.append(pd.DataFrame({"unique_id": name, "ds": times, "y": values}))
sales = pd.concat(shops)
known = sales[sales["ds"] < "2024-01-01"]

model = rk.forecast.Auto().fit(known)
forecast = model.predict(12, level=80)
both = forecast.merge(sales, on=["unique_id", "ds"])

# %%
# The season of 12 months is read from the times. Dots are the values that were kept
# back; the band is that of 80 %.

figure, grid = plt.subplots(2, 3, figsize=(7.2, 4.2), sharex=True, layout="constrained")
for axes, (shop, future) in zip(grid.flat, both.groupby("unique_id"), strict=True):
    past = known[(known["unique_id"] == shop) & (known["ds"] >= "2021")]
    axes.plot(past["ds"], past["y"], color="0.5", linewidth=1)
    axes.plot(future["ds"], future["y"], ".", color="0.1", markersize=4)
    axes.plot(future["ds"], future["Auto"])
    edges = future["Auto-lo-80"], future["Auto-hi-80"]
    axes.fill_between(future["ds"], *edges, color="C0", alpha=0.2, linewidth=0)
    axes.set_title(shop)
    axes.set_xticks(pd.to_datetime(["2021", "2023", "2025"]), ["2021", "2023", "2025"])
figure.supylabel("sales", fontsize="medium")
plt.show()

# %%
# ``evaluate`` scores each series. MASE below 1 is better than the seasonal naive
# forecast was on the known part.

scores = rk.forecast.evaluate(both, train=known, season=12)
scores = scores.pivot(index="unique_id", columns="metric", values="Auto")
print(scores[["mae", "mase", "coverage-80"]].round(2))
