"""Seasons taken out of series: found where there are any, and put together again."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.forecast.fitting.profiles import Profiles, checked_season, periods_of
from rnnkit.forecast.fitting.season import find_seasons


def hours(weeks=6, seed=0, noise=1.0):
    """Hours with a day and a week that differ, around a slow line."""
    rng = np.random.default_rng(seed)
    t = np.arange(weeks * 168)
    day, week = 10 * np.sin(2 * np.pi * np.arange(24) / 24), rng.normal(size=168) * 4
    return 100 + 0.01 * t + day[t % 24] + week[t % 168] + noise * rng.normal(size=len(t))


@pytest.mark.parametrize("periods", [(24,), (24, 168), (7, 24, 168)])
def test_the_rest_and_the_seasons_are_the_values(periods):
    """The seasons of the last cycle are those ahead, so that a rest of 0 repeats what was."""
    values = hours(noise=0.0)[None]
    found = Profiles.of(values, np.array([values.shape[1]]), periods, np.ones((1, len(periods)), bool))
    seasons = values - found.rest
    for period, ahead in zip(periods, found.ahead, strict=True):
        assert abs(ahead.mean()) < 1e-9 and ahead.shape == (1, period)
    if periods == (24, 168):
        np.testing.assert_allclose(seasons[0, -168:], found.seasons(168)[0], atol=0.1)  # a day changes slowly
        assert np.abs(np.diff(found.rest[0])).max() < 1.0 < np.abs(np.diff(values[0])).max() / 5


def test_a_series_has_the_seasons_that_predict():
    rng = np.random.default_rng(1)
    only_day = hours(noise=0.0) * 0 + 5 * np.sin(2 * np.pi * np.arange(1008) / 24) + rng.normal(size=1008)
    walks = rng.normal(size=(60, 1008)).cumsum(axis=1)
    values = np.concatenate([hours()[None], only_day[None], walks])
    found = Profiles.of(values, np.full(62, 1008), (24, 168)).found
    assert found[0].tolist() == [True, True, False] and found[1].tolist() == [True, False, False]
    assert found[2:, :2].mean() < 0.05
    short = Profiles.of(hours()[None, :300], np.array([300]), (24, 168))
    assert short.found[0].tolist() == [True, False, False]  # less than two weeks


def test_seasons_that_grow_with_the_level_are_ratios():
    rng = np.random.default_rng(2)
    t = np.arange(24 * 42)
    level, day = np.exp(t / 500), 1 + 0.3 * np.sin(2 * np.pi * t / 24)
    deep = 1 + 0.9 * np.sin(2 * np.pi * t / 24)  # the noise of its least values would count as much as that of others
    grown = np.stack([level * day, level * deep, 20 + level + 0.3 * day, level * day - 1])
    values = grown * (1 + 0.01 * rng.normal(size=grown.shape))
    lengths = np.full(4, len(t) - 24)
    found = Profiles.of(values[:, :-24], lengths, (24, 168))
    assert found.found[:, -1].tolist() == [True, False, False, False]
    np.testing.assert_allclose(found.restored(found.rest)[0], values[:, :-24])
    ahead, spread = found.restored(np.repeat(found.rest[:, -1:], 24, axis=1), np.ones((4, 24)), 24)
    assert np.abs(ahead[0] / values[0, -24:] - 1).mean() < 0.06 and spread[0].max() > 1.2 and (spread[1:] == 1).all()
    plain = Profiles.of(values[:, :-24], lengths, (24, 168), kinds=False)
    assert not plain.found[:, -1].any()
    off = np.abs(plain.restored(np.repeat(plain.rest[:, -1:], 24, axis=1), h=24)[0] - values[:, -24:]).mean(axis=1)
    assert np.abs(ahead[0] - values[0, -24:]).mean() < 0.8 * off[0]
    again = Profiles.of(values[:, :-24], lengths, (24, 168), found.found)
    np.testing.assert_array_equal(again.rest, found.rest)


def counts():
    rng, t = np.random.default_rng(7), np.arange(24 * 42)
    return rng.poisson(200 * np.maximum(np.sin(2 * np.pi * t / 24) + 0.6, 0) ** 2 * (1 + t / 1500)).astype(float)


def test_seasons_of_counts_are_taken_off_their_roots():
    """Of values of which some are 0; nights stay quiet however the days grow."""
    values = counts()[None]
    found = Profiles.of(values[:, :-24], np.array([values.shape[1] - 24]), (24, 168))
    assert found.found[0, [0, -1]].tolist() == [1, 2]
    np.testing.assert_allclose(found.restored(found.rest)[0], values[:, :-24], atol=1e-9)
    level = np.median(found.rest[:, -168:], axis=1, keepdims=True)
    ahead, spread = found.restored(np.repeat(level, 24, axis=1), np.full((1, 24), 5.0), 24)
    assert (ahead >= 0).all() and (spread > 0).all() and spread.max() > 3 * spread.min()
    assert np.abs(ahead - values[:, -24:]).mean() < 0.12 * values[:, -24:].mean()
    again = Profiles.of(values[:, :-24], np.array([values.shape[1] - 24]), (24, 168), found.found)
    np.testing.assert_array_equal(again.rest, found.rest)
    above = Profiles.of(values + 1, np.array([values.shape[1]]), (24, 168))
    assert above.found[0, -1] != 2  # of positive values


@pytest.mark.parametrize("kind", ["ratios", "roots"])
@pytest.mark.parametrize("model", [rk.forecast.Theta, rk.forecast.ExponentialSmoothing, rk.forecast.Auto])
def test_components_add_up_whatever_the_kind_of_season(model, kind):
    t = np.arange(24 * 21)
    y = (
        np.exp(t / 300)
        * (1 + 0.3 * np.sin(2 * np.pi * t / 24))
        * (1 + 0.02 * np.random.default_rng(4).normal(size=len(t)))
    )
    y = y if kind == "ratios" else counts()
    fitted = model(season=[24, 168]).fit(y)
    parts = fitted.components()
    np.testing.assert_allclose(parts["level"] + parts["season"] + parts["remainder"], y, atol=1e-9)
    width = np.diff([fitted.predict(24, level=80)[f"{fitted.name}-{edge}-80"] for edge in ("lo", "hi")], axis=0)[0]
    assert width.max() > 1.3 * width.min()  # it grows with the season


def test_F3_other_series_and_gaps_change_no_bit():
    values = np.full((3, 1300), np.nan)
    for row, (one, length) in enumerate(zip((hours(), hours(7, 1), hours(4, 2)), (1008, 1176, 600), strict=True)):
        values[row, :length] = one[:length]
    values[0, 100:130] = np.nan
    lengths = np.array([1008, 1176, 600])
    together = Profiles.of(values, lengths, (24, 168))
    for row, length in enumerate(lengths):
        alone = Profiles.of(values[row : row + 1, :length], lengths[row : row + 1], (24, 168))
        assert (alone.found[0] == together.found[row]).all()
        np.testing.assert_array_equal(alone.rest[0], together.rest[row, :length])
        np.testing.assert_array_equal(alone.seasons(50)[0], together.seasons(50)[row])
        assert np.isnan(together.rest[row, length:]).all()
    assert np.isnan(together.rest[0, 100:130]).all() and np.isfinite(together.seasons(200)).all()


def test_several_seasons_are_found():
    assert find_seasons(hours()) == (24, 168)
    t = np.arange(600)
    rng = np.random.default_rng(3)
    assert find_seasons(5 * np.sin(2 * np.pi * t / 20) + np.resize(rng.normal(size=100) * 3, 600)) in (
        (20, 100),
        (100,),
    )
    assert find_seasons(rng.normal(size=300).cumsum()) == ()


def test_a_season_under_a_walk_is_found():
    """No peak of the autocorrelation shows it, but each cycle predicts the next one."""
    rng = np.random.default_rng(5)
    walk = rng.normal(size=240).cumsum() * 3 + np.resize(rng.normal(size=12) * 4, 240)
    assert rk.forecast.find_season(walk) == 12


@pytest.mark.parametrize("given", [0, -3, [], [24, 1], [0], 2.5, [7, 365.25], "day", True])
def test_seasons_that_are_none_are_named(given):
    with pytest.raises((ValueError, TypeError), match="season"):
        checked_season(given)


def test_seasons_are_in_order():
    assert checked_season([168, 24, 24]) == [24, 168] and checked_season((12,)) == 12 and checked_season(None) is None
    assert periods_of(None) == (1,) and periods_of(12) == (12,) and periods_of(np.array([24, 168])) == (24, 168)
