"""The season of a series: found where there is one, and None where there is none."""

import numpy as np
import pytest
from scipy.signal import lfilter

import rnnkit as rk
from rnnkit.forecast.command.report import first_origin
from rnnkit.forecast.fitting.season import (
    autocorrelation,
    common_seasons,
    elected,
    find_season,
    refined_period,
    season_votes,
)

SUNSPOTS, CO2 = rk.datasets.load_sunspots()[1], rk.datasets.load_co2()[1]


def with_gaps(values, rng, share=0.1):
    values = np.array(values, dtype=np.float64)
    values[rng.random(len(values)) < share] = np.nan
    return values


@pytest.mark.parametrize(("values", "season"), [(SUNSPOTS, 11), (CO2, 52)])
def test_seasons_of_the_bundled_series_are_found_in_their_first_part(values, season):
    assert find_season(values[: first_origin(len(values))]) == season


@pytest.mark.parametrize("season", [4, 7, 12, 24])
def test_a_season_is_found_under_noise_trend_and_gaps(season, rng):
    profile = np.cos(2 * np.pi * np.arange(season) / season)
    values = np.resize(3 * profile, 360) + rng.standard_normal(360) + 0.05 * np.arange(360)
    assert find_season(with_gaps(values, rng)) == season


def weeks(rng, years, size, wander=0.1):
    """A year of three harmonics, of this deviation, over noise of deviation 1 and a random walk."""
    steps, phases = np.arange(int(52.18 * years)), rng.uniform(0, 2 * np.pi, 3)
    year = sum(np.sin(2 * np.pi * k * steps / 52.18 + phase) / k for k, phase in enumerate(phases, start=1))
    noise = rng.standard_normal((2, len(steps)))
    return size * year / year.std() + noise[0] + wander * noise[1].cumsum()


@pytest.mark.parametrize(("years", "size", "wander"), [(5, 2, 0.1), (10, 1.5, 0.1), (20, 1.5, 0.1), (5, 6, 0.5)])
def test_a_year_of_weeks_is_found_rather_than_a_part_of_it_or_a_week_beside(years, size, wander, rng):
    found = [find_season(weeks(rng, years, size, wander)) for _ in range(20)]
    assert found.count(52) >= 18


@pytest.mark.parametrize("season", [6, 8, 11, 13, 23, 25, 26, 51, 53])
def test_a_season_beside_a_usual_one_keeps_its_steps(season, rng):
    profile = rng.standard_normal(season)
    assert find_season(np.resize(profile, 15 * season) + 0.5 * rng.standard_normal(15 * season)) == season


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_random_walks_have_no_season(seed):
    noise = np.random.default_rng(seed).standard_normal(400)
    assert find_season(noise) is None
    assert find_season(noise.cumsum()) is None


@pytest.mark.parametrize("values", [np.full(100, 0.1), 0.1 * np.arange(100), np.full(100, np.nan), [1.0, 2.0], []])
def test_what_never_repeats_has_no_season(values):
    assert find_season(values) is None


def test_autocorrelation_is_the_mean_product_of_pairs(rng):
    values = with_gaps(rng.standard_normal(40), rng)
    echo = autocorrelation(values)
    for lag in (0, 1, 5, 20):
        products = values[lag:] * values[: 40 - lag]
        np.testing.assert_allclose(echo[lag], np.nanmean(products) / np.nanmean(values**2), atol=1e-12)


@pytest.mark.parametrize("period", [51.7, 52.0, 52.18, 52.4])
def test_a_period_between_whole_steps_is_found(period, rng):
    values = np.sin(2 * np.pi * np.arange(1500) / period + 1) + 0.5 * rng.standard_normal(1500)
    assert abs(refined_period(values[None], 52) - period) < 0.05


def test_two_seasons_are_too_few_to_refine():
    assert refined_period(np.sin(np.arange(30))[None], 12) == 12.0


def test_parts_elect_the_season_of_the_longest_series():
    lengths = np.array([60, 90, 80, 61, 140, 120])
    season = np.where(lengths > 85, 12, 7)[:, None]
    values = np.sin(2 * np.pi * np.arange(140) / season)
    values[np.arange(140) >= lengths[:, None]] = np.nan
    votes = [season_votes(values[part], lengths[part], 3) for part in (slice(0, 2), slice(2, 2), slice(2, 6))]
    assert elected(votes, 3) == common_seasons(values, lengths, 3) == (12,)
    assert common_seasons(values[:4], lengths[:4]) == (7,)


def test_a_panel_shows_the_season_that_most_of_its_series_hide(rng):
    values = np.stack([weeks(rng, 5, 0.7) for _ in range(40)])
    lengths = np.full(40, values.shape[1])
    assert np.mean([find_season(row) == 52 for row in values]) < 0.5
    assert common_seasons(values, lengths) == (52,)
    noise = rng.standard_normal(values.shape)
    pull = np.stack([lfilter([1], [1, -0.95], row) for row in noise])
    for without in (noise, noise.cumsum(axis=1), pull):
        assert common_seasons(without, lengths) == ()


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (12, 5)])
def test_no_values_have_no_common_season(shape):
    assert common_seasons(np.full(shape, np.nan), np.full(shape[0], shape[1])) == ()


def test_half_of_the_series_are_enough_for_a_common_season():
    time, rng = np.arange(140), np.random.default_rng(0)
    waves = [np.sin(2 * np.pi * time / m) + 0.1 * rng.standard_normal(140) for m in (12, 12, 7)]
    values = np.array([*waves, rng.standard_normal(140).cumsum()])
    assert [find_season(one) for one in values] == [12, 12, 7, None]
    assert common_seasons(values, np.full(4, 140)) == (12,)
    assert common_seasons(values[1:], np.full(3, 140)) == ()
    assert common_seasons(values[[0, 3]], np.full(2, 140)) == (12,)  # the other one has none
    assert common_seasons(values[3:], np.full(1, 140)) == ()


def test_a_panel_of_two_kinds_has_the_seasons_of_both():
    """Each series then has those that it has: a fifth of them is enough for a long one."""
    rng = np.random.default_rng(0)
    t = np.arange(700)
    day = 5 * np.sin(2 * np.pi * t / 24)
    week = np.where(t % 168 < 120, 3.0, -3.0)
    values = np.array([day + (row >= 30) * week + rng.normal(size=700) for row in range(40)])
    assert common_seasons(values, np.full(40, 700)) == (24, 168)
    assert common_seasons(values, np.full(40, 700), 20) == (24, 168)  # spread over the panel
    assert common_seasons(values[:32], np.full(32, 700)) == (24,)
    years = np.array([(row < 8) * np.resize(3 * rng.normal(size=52), 300) for row in range(40)])
    assert common_seasons(years + rng.normal(size=(40, 300)), np.full(40, 300)) == (52,)
