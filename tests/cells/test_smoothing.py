"""Exponential smoothing as cells: their recurrences in plain loops, gaps, and series side by side."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.cells import additive_smoothing, dynamic_theta, level_and_season, multiplicative_smoothing

SERIES, STEPS, PERIOD = 3, 11, 4


def slow_smoothing(y, level, trend, season, alpha, beta, gamma, phi, multiplicative):
    """One series in the textbook's notation, with times as indices and a step for a step."""
    seasons, forecasts = list(season), []
    for t, value in enumerate(y):
        base = level + phi * trend
        forecast = base * seasons[t] if multiplicative else base + seasons[t]
        forecasts.append(forecast)
        if np.isnan(value):
            value = forecast
        if multiplicative:
            error = (value - forecast) / forecast
            level, trend = base * (1 + alpha * error), phi * trend + beta * base * error
            seasons.append(seasons[t] * (1 + gamma * error))
        else:
            error = value - forecast
            level, trend = base + alpha * error, phi * trend + beta * error
            seasons.append(seasons[t] + gamma * error)
    return forecasts


def slow_theta(y, level, alpha, weight):
    """One series; the line is fitted anew by least squares at each step."""
    forecasts, seen = [], []
    for t, value in enumerate(y):
        slope, intercept = 0.0, 0.0
        if len(seen) == 1:
            intercept = seen[0]
        elif seen:
            slope, intercept = np.polyfit(np.arange(1, len(seen) + 1), seen, 1)
        decay = (1 - alpha) ** t
        forecast = level + weight * (decay * intercept + (1 - decay * (1 - alpha)) / alpha * slope)
        forecasts.append(forecast)
        value = forecast if np.isnan(value) else value
        seen.append(value)
        level += alpha * (value - level)
    return forecasts


@pytest.fixture
def series(rng):
    """Values, constants and starting states of two rows of three series."""
    y = 1 + 0.2 * rng.normal(size=(2, STEPS, SERIES))
    y[0, 3:5, 1] = y[1, 0, 0] = np.nan
    constants = rng.uniform(0.05, 0.5, (2, 4, SERIES))
    states = [
        1 + 0.1 * rng.normal(size=(2, SERIES)),
        0.02 * rng.normal(size=(2, SERIES)),
        0.1 * rng.normal(size=(2, PERIOD, SERIES)),
    ]
    return y, constants, states


def run(cell, y, constants, states):
    return rk.RNN(cell, return_sequences=True, dtype="float64")(y, constants=[constants], initial_state=states)


@pytest.mark.parametrize("multiplicative", [False, True])
def test_the_recurrence_is_the_textbooks(series, multiplicative):
    y, constants, (level, trend, season) = series
    season = season + multiplicative
    cell = multiplicative_smoothing if multiplicative else additive_smoothing
    got = run(cell(series=SERIES, period=PERIOD), y, constants, [level, trend, season])
    for b in range(2):
        for s in range(SERIES):
            start = level[b, s], trend[b, s], season[b, :, s]
            expected = slow_smoothing(y[b, :, s], *start, *constants[b, :, s], multiplicative)
            np.testing.assert_allclose(got[b, :, s], expected, rtol=1e-12, atol=1e-12)


def test_the_dynamic_line_is_that_of_least_squares(series):
    y, constants, (level, _, _) = series
    constants = constants[:, :2]
    zeros = np.zeros_like(level)
    got = run(dynamic_theta(series=SERIES), y, constants, [level, zeros, zeros, zeros, zeros, zeros + 1])
    for b in range(2):
        for s in range(SERIES):
            expected = slow_theta(y[b, :, s], level[b, s], *constants[b, :, s])
            np.testing.assert_allclose(got[b, :, s], expected, rtol=1e-9, atol=1e-9)


def test_level_and_season_are_read_off(series):
    """Those of additive smoothing without a trend, whose forecast is their sum."""
    y, constants, (level, _, season) = series
    alpha, gamma = constants[:, 0], constants[:, 2]
    got = run(level_and_season(series=SERIES, period=PERIOD), y, constants[:, [0, 2]], [level, season])
    levels, renewed = np.split(got, 2, axis=2)
    none = np.zeros_like(alpha)
    whole = np.stack([alpha, none, gamma, none], axis=1)
    forecasts = run(additive_smoothing(series=SERIES, period=PERIOD), y, whole, [level, none, season])
    before = np.concatenate([level[:, None], levels[:, :-1]], axis=1)
    seasons = np.concatenate([season, renewed], axis=1)[:, :STEPS]
    np.testing.assert_allclose(before + seasons, forecasts, rtol=1e-13)
    error = np.where(np.isnan(y), 0.0, y - forecasts)
    np.testing.assert_allclose(levels, before + alpha[:, None] * error, rtol=1e-13)
    np.testing.assert_allclose(renewed, seasons + gamma[:, None] * error, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("make", [additive_smoothing, multiplicative_smoothing])
def test_series_side_by_side_do_not_see_each_other(series, make):
    y, constants, states = series
    states[2] = states[2] + (make is multiplicative_smoothing)
    whole = run(make(series=SERIES, period=PERIOD), y, constants, states)
    for s in range(SERIES):
        alone = slice(s, s + 1)
        part = run(make(series=1, period=PERIOD), y[..., alone], constants[..., alone], [a[..., alone] for a in states])
        np.testing.assert_allclose(part, whole[..., alone], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "make", [lambda: additive_smoothing(period=3), lambda: multiplicative_smoothing(period=3), dynamic_theta]
)
def test_gradients_are_exact(make):
    layer = rk.RNN(make(), return_sequences=True, return_state=True, dtype="float64")
    rng = np.random.default_rng(0)
    x = 1 + 0.1 * rng.normal(size=(2, 9, 1))
    constants = rng.uniform(0.2, 0.4, (2, 2 if make is dynamic_theta else 4, 1))
    start = [a + 1.0 if i in (0, 2, 5) else a for i, a in enumerate(layer.get_initial_state(2))]
    assert rk.gradcheck(layer, x, constants=[constants], initial_state=start)


def test_a_gap_has_no_gradient_and_stops_none(series):
    y, constants, states = series
    layer = rk.RNN(additive_smoothing(series=SERIES, period=PERIOD), return_sequences=True, dtype="float64")
    out, pullback = layer.vjp(y, constants=[constants], initial_state=states)
    gradient = pullback(np.ones_like(out))
    assert np.isfinite(gradient.constants[0]).all() and (gradient.x[np.isnan(y)] == 0).all()
    assert (gradient.initial_state[0] != 0).all()
