"""
Forecast a series with bands
============================

``rk.forecast.Auto`` combines exponential smoothing, Theta models and an autoregression.
Here it forecasts the carbon dioxide in the air at Mauna Loa three years ahead, from
monthly means. The values that came later were kept back. This example needs pandas and
``pip install 'rnnkit[tables,plots]'``.
"""

import matplotlib.pyplot as plt
import pandas as pd

import rnnkit as rk

# %%
# The measurements come with rnnkit. They are weekly, with gaps. A pandas Series is one
# series with its times.

weeks, co2 = rk.datasets.load_co2()
monthly = pd.Series(co2, index=pd.DatetimeIndex(weeks)).resample("MS").mean()["1975":]
known, later = monthly[:"1998"], monthly["1999":]

forecast = rk.forecast.Auto(level=[80, 95]).fit(known).predict(len(later))
print(forecast.head(3).to_string(index=False, float_format="%.1f"))

# %%
# A band of 80 % should hold 80 % of what comes. Its width comes from forecasts of the
# series' own past.

time = forecast["ds"]
figure, axes = plt.subplots(layout="constrained")
axes.plot(known["1995":], color="0.4", label="known")
axes.plot(later, ".", color="0.1", markersize=4, label="came later")
axes.plot(time, forecast["Auto"], label="forecast")
for level, shade in ((95, 0.15), (80, 0.25)):
    edges = forecast[f"Auto-lo-{level}"], forecast[f"Auto-hi-{level}"]
    name = f"band of {level} %"
    axes.fill_between(time, *edges, color="C0", alpha=shade, linewidth=0, label=name)
axes.set(ylabel="carbon dioxide (ppm)", ylim=(357, 377))
axes.legend(loc="upper left")
plt.show()

# %%
# How far the forecasts were off, and what the same month of the year before gives:

forecast = forecast.set_index("ds")
error = (forecast["Auto"] - later).abs().mean()
naive = (monthly.shift(12)[later.index] - later).abs().mean()
inside = later.between(forecast["Auto-lo-80"], forecast["Auto-hi-80"]).mean()
print(f"mean absolute error {error:.2f} ppm, of the year before {naive:.2f} ppm")
print(f"{inside:.0%} of the months lie in the band of 80 %")
