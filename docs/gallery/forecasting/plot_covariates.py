"""
A forecast that knows the prices
================================

Sales follow a price that is known ahead. ``rk.forecast.GlobalRNN`` is one recurrent
network for all series of a panel. It reads such covariates in the table, and those of
the days to come in another one. This example needs pandas and ``pip install
'rnnkit[tables,plots]'``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import rnnkit as rk

# %%
# Twenty shops lower their prices for some days, each at other times. The last two weeks
# are kept back.

rng = np.random.default_rng(1)
days = pd.date_range("2024-01-01", periods=98)
parts = []
for shop in range(20):
    price = np.where(np.repeat(rng.uniform(size=33), 3)[:98] < 0.3, 2.0, 3.0)
    week = 1 + 0.3 * np.sin(np.arange(98) * 2 * np.pi / 7)
    sold = 300 * week * np.exp(-0.5 * price + 0.06 * rng.normal(size=98))
    name = f"shop {shop}"
    parts.append(
        pd.DataFrame({"unique_id": name, "ds": days, "y": sold, "price": price})
    )
table = pd.concat(parts)
known, rest = table[table["ds"] < days[84]], table[table["ds"] >= days[84]]

# %%
# Two networks: one reads the prices, the other only the sales.

future = rest[["unique_id", "ds", "price"]]
priced = rk.forecast.GlobalRNN(season=7, future_covariates=["price"]).fit(known)
blind = rk.forecast.GlobalRNN(season=7).fit(known[["unique_id", "ds", "y"]])
forecasts = {
    "knows prices": priced.predict(14, future=future),
    "no prices": blind.predict(14),
}

one = rest[rest["unique_id"] == "shop 0"]
figure, axes = plt.subplots(layout="constrained")
axes.bar(
    one["ds"], 140 * (one["price"] < 3), color="0.93", width=1, label="lower price"
)
axes.plot(one["ds"], one["y"], ".-", color="0.3", label="sold")
for name, forecast in forecasts.items():
    here = forecast[forecast["unique_id"] == "shop 0"]
    axes.plot(here["ds"], here["GlobalLSTM"], label=f"forecast, {name}")
axes.set(ylabel="sales of shop 0", ylim=(0, 190))
axes.set_xticks(one["ds"][::3], one["ds"][::3].dt.strftime("%d %b"))
axes.legend(loc="upper right", ncols=2)
plt.show()

# %%
# The mean relative error over all shops and days:

for name, forecast in forecasts.items():
    both = forecast.merge(rest, on=["unique_id", "ds"])
    print(f"{name}: {(both['GlobalLSTM'] / both['y'] - 1).abs().mean():.1%}")
