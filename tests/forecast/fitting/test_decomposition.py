"""Moving averages, seasonal factors and the test for a season, against plain loops."""

import numpy as np
import pytest

from rnnkit.forecast.fitting.decomposition import is_seasonal, moving_average, seasonal_factors


def slow_average(values, period):
    half, found = period // 2, np.full(len(values), np.nan)
    for t in range(half, len(values) - half):
        window = values[t - half : t + half + 1]
        weights = np.ones(len(window))
        if period % 2 == 0:
            weights[[0, -1]] = 0.5
        found[t] = (weights * window).sum() / weights.sum()
    return found


@pytest.mark.parametrize("period", [3, 4, 7, 12])
@pytest.mark.parametrize("length", [2, 12, 13, 30])
def test_the_moving_average(period, length, rng):
    values = rng.normal(size=(3, length))
    expected = [slow_average(row, period) for row in values]
    np.testing.assert_allclose(moving_average(values, period), expected, rtol=1e-12, atol=1e-12)


def test_a_row_ends_where_its_last_value_is(rng):
    values = rng.normal(size=(1, 20))
    padded = np.concatenate([np.full((1, 3), np.nan), values, np.full((1, 9), np.nan)], axis=1)
    for period in (3, 4, 12):
        expected = moving_average(values, period)
        np.testing.assert_array_equal(moving_average(padded, period)[:, 3:23], expected)
        assert np.isnan(moving_average(padded, period)[:, 23:]).all()
        longer = seasonal_factors(padded[:, 3:], period, False)
        np.testing.assert_allclose(longer, seasonal_factors(values, period, False), rtol=1e-12)


def test_a_gap_leaves_the_average_of_the_rest():
    values = np.arange(20.0)[None].copy()
    values[0, 9] = np.nan
    found = moving_average(np.where(np.isnan(values), np.nan, 5.0), 4)
    assert (found[0, 2:18] == 5.0).all() and np.isnan(found[0, [0, 1, 18, 19]]).all()


@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("period", [4, 7])
def test_the_season_of_a_line_with_a_season_is_found(multiplicative, period, rng):
    season = rng.uniform(0.7, 1.3, (2, period)) if multiplicative else rng.normal(size=(2, period))
    season -= season.mean(axis=1, keepdims=True) - multiplicative
    each = season[:, np.arange(10 * period) % period]
    trend = np.full(each.shape, 5.0) if multiplicative else 3 + 0.1 * np.arange(10 * period)
    values = trend * each if multiplicative else trend + each
    np.testing.assert_allclose(seasonal_factors(values, period, multiplicative), season, rtol=1e-9, atol=1e-9)


def test_factors_that_cannot_be_found_are_neutral():
    short = np.ones((1, 5))
    assert (seasonal_factors(short, 12, True) == 1).all() and (seasonal_factors(short, 12, False) == 0).all()
    signs = np.tile([1.0, -1.0], 20)[None]
    assert (seasonal_factors(signs, 2, True) == 1).all()


def test_the_first_seasons_alone():
    values = np.concatenate([np.tile([1.0, -1.0], 20), np.tile([3.0, -3.0], 20)])[None]
    np.testing.assert_allclose(seasonal_factors(values, 2, False, seasons=4), [[1, -1]], atol=1e-12)


def test_seasons_are_told_from_noise(rng):
    noise = rng.normal(size=(400, 60))
    wave = noise + 5 * np.sin(2 * np.pi * np.arange(60) / 12)
    assert is_seasonal(wave, 12).mean() > 0.98
    assert 0.005 < is_seasonal(noise, 12).mean() < 0.1
    assert not is_seasonal(wave[:, :24], 12).any() and not is_seasonal(np.ones((1, 60)), 12).any()
    assert not is_seasonal(np.full((1, 1), 3.0), 4).any()


def test_the_test_is_its_formula(rng):
    panel = rng.normal(size=(60, 40)) + rng.uniform(0, 0.3, (60, 1)) * np.arange(40)
    panel[:, 7] = np.nan
    known = ~np.isnan(panel[0])

    def significant(values):
        centred = np.where(known, values - np.nanmean(values), 0.0)
        r = [(centred[k:] * centred[:-k]).sum() / (centred**2).sum() for k in range(1, 5)]
        return abs(r[3]) > 1.6448536269514722 * np.sqrt((1 + 2 * sum(x * x for x in r[:3])) / 39)

    times, expected = np.arange(40), []
    for values in panel:
        line = np.polyval(np.polyfit(times[known], values[known], 1), times)
        expected.append(significant(values) or significant(values - line))
    assert is_seasonal(panel, 4).tolist() == expected and 0 < sum(expected) < 60


def test_a_trend_hides_no_season(rng):
    trended = 2 * np.arange(48) + 8 * np.sin(2 * np.pi * np.arange(48) / 12) + rng.normal(size=(30, 48))
    assert is_seasonal(trended, 12).all()


def test_a_season_shows_from_more_than_two_of_them_on():
    peaks = np.where(np.arange(36) % 12 == 3, 5.0, 0.0) + 0.01 * np.cos(np.arange(36))
    assert [bool(is_seasonal(peaks[None, :length], 12)[0]) for length in (24, 25, 36)] == [False, True, True]
