import numpy as np
import pytest
from scipy.stats import chi2

from rnnkit.forecast.scoring.metrics import autocorrelation, ljung_box


def test_they_are_their_definitions(rng):
    for length, lags, parameters in ((50, 10, 0), (30, 7, 2), (12, 11, 3)):
        y = rng.normal(size=length).cumsum()
        off = y - y.mean()
        r = [sum(off[t] * off[t - k] for t in range(k, length)) / sum(off**2) for k in range(1, lags + 1)]
        np.testing.assert_allclose(autocorrelation(y, lags), r)
        q = length * (length + 2) * sum(one**2 / (length - k) for k, one in enumerate(r, 1))
        np.testing.assert_allclose(ljung_box(y, lags, parameters), [q, chi2.sf(q, lags - parameters)])


def test_p_values_of_noise_are_uniform(rng):
    found = np.array([ljung_box(rng.normal(size=200), 8)[1] for _ in range(400)])
    assert abs((found < 0.1).mean() - 0.1) < 0.05 and abs((found < 0.5).mean() - 0.5) < 0.1


def test_gaps_and_constants_and_short_series(rng):
    y = rng.normal(size=300)
    y[rng.permutation(300)[:60]] = np.nan
    assert ljung_box(y, 5)[1] > 0.001
    assert ljung_box(np.ones(20), 5) == (0.0, 1.0)
    for given in (([1.0, 2.0], 2), ([np.nan] * 5, 1), (np.arange(9.0), 2, 2)):
        assert np.isnan(ljung_box(*given)).all()
    for wrong, said in (((np.ones((2, 2)),), "shape"), (([1.0], 0), "lags")):
        with pytest.raises(ValueError, match=said):
            ljung_box(*wrong)
