"""The bundled series are those that were published."""

import numpy as np

import rnnkit as rk


def test_sunspots_are_yearly_and_whole():
    years, sunspots = rk.datasets.load_sunspots()
    assert years.tolist() == list(range(1700, 2009))
    assert sunspots.dtype == np.float64
    assert sunspots.shape == (309,)
    assert not np.isnan(sunspots).any()
    assert years[sunspots.argmax()] == 1957
    assert sunspots.max() == 190.2
    assert sunspots[0] == 5.0
    np.testing.assert_allclose(sunspots.mean(), 49.752, atol=1e-3)


def test_co2_is_weekly_with_gaps():
    weeks, co2 = rk.datasets.load_co2()
    assert (np.diff(weeks) == np.timedelta64(7, "D")).all()
    assert [str(weeks[0]), str(weeks[-1])] == ["1958-03-29", "2001-12-29"]
    assert co2.shape == (2284,)
    assert np.isnan(co2).sum() == 59
    assert np.isnan(co2[6])
    assert [co2[0], co2[-1]] == [316.1, 371.5]
    np.testing.assert_allclose(np.nanmean(co2), 340.142, atol=1e-3)


def test_callers_get_arrays_of_their_own():
    rk.datasets.load_sunspots()[1][:] = 0
    assert rk.datasets.load_sunspots()[1].any()
