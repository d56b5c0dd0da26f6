"""Ridge regressions of many series, each by itself."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.forecast.fitting.shortcut import Shortcut


@pytest.mark.parametrize(("length", "horizon", "lags", "harmonics"), [(48, 12, 16, 2), (61, 1, 18, 0), (97, 24, 5, 2)])
def test_a_model_of_each_series_is_that_of_the_series_alone(length, horizon, lags, harmonics):
    t = np.arange(length)
    z = np.random.default_rng(0).normal(size=(5, length)) + np.linspace(0, 3, 5)[:, None] * np.sin(t * 2 * np.pi / 12)
    times, periods = np.broadcast_to(t, z.shape), np.linspace(11.6, 12.4, 5)
    together = Shortcut(horizon, lags, harmonics, periods).fit_each(z, times).weights
    for row, period in enumerate(periods):
        alone = Shortcut(horizon, lags, harmonics, period).fit(z[row, None], times[:1]).weights
        np.testing.assert_allclose(together[row], alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("season", [1, 12, [7, 30], 90])
def test_series_together_have_the_forecasts_that_they_have_alone(season):
    rng = np.random.default_rng(0)
    lengths = (300, 300, 290, 300, 48, 20, 290, 300)
    series = [50 + 9 * np.sin(np.arange(one) * 2 * np.pi / 12) + rng.normal(size=one) for one in lengths]
    series[3][[40, 200, -1]] = np.nan
    series[6] = rng.poisson(2, 290).astype(float)
    model = rk.forecast.Autoregression(season).fit(series)
    alone = [rk.forecast.Autoregression(season).fit(one) for one in series]
    np.testing.assert_array_equal(model.predict(9), [one.predict(9) for one in alone])
    inside = model.fitted()
    for row, one in enumerate(alone):
        np.testing.assert_array_equal(inside[row, : lengths[row]], one.fitted())
