"""Small parts of the forecasts, each by an example."""

import numpy as np

from rnnkit.forecast.command.report import needed_length, rolling_origins
from rnnkit.forecast.data.frequencies import frequency, seasons
from rnnkit.forecast.data.timeline import Frequency, Timelines
from rnnkit.forecast.fitting.readout import NormalEquations, learnable, short_note
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import harmonics, refined_period
from rnnkit.forecast.fitting.shortcut import Shortcut
from rnnkit.forecast.plots import joined
from rnnkit.forecast.scoring.metrics import naive_error


def test_frequencies_have_names_and_seasons():
    named = [Frequency("month", 3), Frequency("time", np.timedelta64(168, "h")), Frequency("time", 2)]
    assert list(map(str, named)) == ["3 months", "1 week", "2"]
    assert [str(frequency(one, True)) for one in ("QS", "15min")] == ["3 months", "15 minutes"]
    assert frequency("W-SUN", True).anchor == 6
    assert seasons(Frequency("month", 3)) == (4,) and seasons(Frequency("time", 1)) == ()
    assert seasons(Frequency("time", np.timedelta64(30, "m"))) == (48, 336)
    assert seasons(Frequency("time", np.timedelta64(1, "D"))) == (7, 365)


def test_the_timelines_of_series_go_on():
    first = np.array(["2001-01-01", "2001-03-05"], dtype="datetime64[D]")
    lines = Timelines("ds", first, np.zeros(2, int), np.array([2, 1]), Frequency("time", np.timedelta64(7, "D")))
    assert lines[0].times.astype(str).tolist() == ["2001-01-01", "2001-01-08"]
    assert lines.ahead(1).astype(str).tolist() == [["2001-01-15"], ["2001-03-12"]]


def test_origins_are_spread_over_the_last_30_percent():
    assert rolling_origins(length=100, horizon=3, count=4).tolist() == [70, 79, 88, 97]
    assert needed_length(horizon=12, origins=20) == 104


def test_a_forecast_is_drawn_from_the_last_value_known():
    times, (column,) = joined(np.array([1, 2, 3]), np.array([5, 6, np.nan]), np.array([4, 5]), [np.array([7.0, 8.0])])
    assert times.tolist() == [2, 4, 5] and column.tolist() == [6, 7, 8]


def test_normal_equations_find_a_line():
    equations, time = NormalEquations(features=2, leads=1), np.arange(5.0)
    equations.add(np.column_stack([np.ones(5), time]), 3 + 2 * time[:, None])
    np.testing.assert_allclose(equations.solve(0.0).ravel(), [3, 2], rtol=1e-6)
    scale = Scale.of(np.array([[1.0, 3.0, np.nan, 7.0, 9.0]]))
    np.testing.assert_allclose(scale.slope, [2])
    np.testing.assert_allclose(scale.restore(np.zeros((1, 2)), np.array([[5, 6]])), [[11, 13]])


def test_leads_without_values_are_told_of():
    assert learnable([9, 5, 2, 0]) == 2 and learnable([1, 0]) == 1
    assert short_note(9, 3, 12) == "3 of 12 leads had values to learn from; the others follow from them, step by step"


def test_seasons_have_harmonics_and_periods():
    np.testing.assert_allclose(harmonics(np.array([0, 3]), 12.0, 1), [[0, 1], [1, 0]], atol=1e-9)
    week = np.arange(2000)
    assert round(refined_period(np.sin(2 * np.pi * week / 52.18)[None], 52), 1) == 52.2
    wave = np.sin(np.arange(200) * 0.3)[None]
    shortcut = Shortcut(horizon=2, lags=3).fit(wave, np.arange(200)[None])
    ahead = wave[0, -1] + shortcut.changes(wave, np.arange(200)[None])[0, -1]
    assert np.abs(ahead - np.sin([60.0, 60.3])).max() < 0.01


def test_the_naive_error_skips_gaps():
    training = np.array([1.0, 2.0, 4.0, np.nan, 7.0])
    assert naive_error(training) == 1.5 and naive_error(training, season=2) == 3.0
