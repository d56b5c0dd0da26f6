"""
Is it better than the naive forecast?
=====================================

A forecaster should beat the seasonal naive forecast, which repeats the last season.
MASE is the error in its units: 1 is as good as naive on the known part. This example
scores four models on the monthly carbon dioxide of four decades. It needs pandas and
``pip install 'rnnkit[tables,plots]'``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import rnnkit as rk

# %%
# Each decade is a series of its own. All models forecast the same three windows of
# twelve months.

weeks, co2 = rk.datasets.load_co2()
monthly = pd.Series(co2, index=pd.DatetimeIndex(weeks)).resample("MS").mean()
table = monthly["1962":"2001"].rename_axis("ds").reset_index(name="y")
table["unique_id"] = [
    f"from {(year - 2) // 10 * 10 + 2}" for year in table["ds"].dt.year
]

models = [
    rk.forecast.Auto(),
    rk.forecast.Theta(season=12),
    rk.forecast.ExponentialSmoothing(season=12),
    rk.forecast.Autoregression(season=12),
]
past = rk.forecast.cross_validation(models, table, h=12, n_windows=3)

# %%
# The naive forecast is one more column of the table. A dot is a decade, a bar the mean
# of the four.

lagged = table.assign(ds=table["ds"] + pd.DateOffset(years=1))
lagged = lagged.rename(columns={"y": "Seasonal naive"})
past = past.merge(lagged, on=["unique_id", "ds"], how="left")
first = past.groupby("unique_id")["cutoff"].min()
train = table[table["ds"] <= table["unique_id"].map(first)]
scores = rk.forecast.evaluate(past, train=train, season=12)
mase = scores[scores["metric"] == "mase"].set_index("unique_id").drop(columns="metric")
mase = mase[mase.mean().sort_values().index]

figure, axes = plt.subplots(layout="constrained")
axes.axvline(1, color="0.6", linewidth=0.8, linestyle="--")
for row, name in enumerate(mase):
    colour = "C0" if name != "Seasonal naive" else "0.5"
    axes.plot(mase[name], [row] * len(mase), "o", color=colour, alpha=0.5)
    axes.plot(mase[name].mean(), row, "|k", markersize=18, markeredgewidth=2)
axes.set_yticks(np.arange(mase.shape[1]), mase.columns)
axes.invert_yaxis()
axes.set(xlabel="MASE", xlim=(0, None))
plt.show()

# %%
# Carbon dioxide rises from year to year, so the seasonal naive forecast is always late.
# The autoregression needs longer series than these of 84 months: ``Auto`` leaves it out
# below 120 values.

print(mase.mean().round(2).to_string())
