"""Echo state networks that forecast, against a plain loop and a plain solve."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from rnnkit.forecast.models import echo_state
from rnnkit.forecast.models.echo_state import ESN

WAVE = np.sin(np.arange(300) * 0.5)


def wave_with_gaps(seed=0):
    rng = np.random.default_rng(seed)
    y = 3 + 0.02 * np.arange(260) + np.sin(np.arange(260) * 0.5) + 0.2 * rng.standard_normal(260)
    y[[40, 41, 42, 100, 177]] = np.nan
    return y


def test_network_equals_a_plain_loop_and_a_plain_solve():
    y, horizon, strength = wave_with_gaps(), 3, 0.2
    network = ESN(horizon, 25, leak=0.6, washout=10, ridge=strength, seed=2).fit(y)

    time, known = np.arange(len(y)), ~np.isnan(y)
    trend = np.polyval(np.polyfit(time[known], y[known], 1), np.arange(len(y) + horizon))
    z = (y - trend[: len(y)]) / np.std((y - trend[: len(y)])[known])
    w = network.layer.weights
    h, features = np.zeros(25), []
    for value, used in zip(z, known, strict=True):
        if used:
            h = 0.4 * h + 0.6 * np.tanh(value * w["kernel"][0] + w["bias"] + h @ w["recurrent_kernel"])
        features.append(np.concatenate([[1, value], h]))
    features = np.array(features)
    forecast = np.empty(horizon)
    for lead in range(1, horizon + 1):
        rows = [t for t in range(10, len(y) - lead) if known[t] and known[t + lead]]
        f, d = features[rows], z[np.array(rows) + lead] - z[rows]
        ridge = strength * np.eye(27)
        ridge[0, 0] = 0
        weights = np.linalg.solve(f.T @ f + ridge, f.T @ d)
        spread = np.std((y - trend[: len(y)])[known])
        forecast[lead - 1] = (z[-1] + features[-1] @ weights) * spread + trend[len(y) - 1 + lead]
    np.testing.assert_allclose(network.predict(), forecast, rtol=1e-6)


def test_season_terms_know_a_calendar_that_noise_hides(rng):
    truth = np.sin(2 * np.pi * np.arange(480) / 12.2)
    y = truth + 1.5 * rng.standard_normal(480)
    errors = [
        np.abs(ESN(12, 30, season=season, seed=0).fit(y[:468]).predict() - truth[468:]).mean() for season in (None, 12)
    ]
    assert errors[1] < 0.75 * errors[0]


def test_strength_is_the_one_that_did_best_later_in_the_training_part(rng):
    noise = rng.standard_normal(400).cumsum()
    assert ESN(2, 50, ridge=(1e-8, 1e4), seed=0).fit(noise).strength == 1e4
    assert ESN(2, 50, ridge=(1e-8, 1e4), seed=0).fit(np.tile(WAVE, 2)[:400]).strength == 1e-8


def test_features_may_come_and_go_between_fits(rng):
    network, x = ESN(2, 20, seed=0), rng.standard_normal((300, 2))
    alone = network.fit(WAVE).predict()
    assert (network.fit(WAVE, x).predict() != alone).all()
    assert (network.fit(WAVE).predict() == alone).all()


def test_repr_tells_its_size():
    assert repr(ESN(3, 20, season=11)) == "ESN(horizon=3, units=20, season=11)"


def test_blocks_change_nothing(monkeypatch):
    y = wave_with_gaps()
    whole = ESN(3, 30, season=12, seed=0).fit(y).predict()
    monkeypatch.setattr(echo_state, "ROWS", 17)
    np.testing.assert_allclose(ESN(3, 30, season=12, seed=0).fit(y).predict(), whole, rtol=1e-8)


def test_memory_does_not_grow_with_the_length():
    y = np.tile(WAVE, 700)
    network = ESN(3, 100, ridge=1.0, seed=0).fit(y[:30_000])
    tracemalloc.start()
    try:
        network.fit(y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60e6, "all states of 210,000 steps would be 168 MB"


@pytest.mark.parametrize("again", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_fitted_network_can_be_copied(again):
    network = ESN(3, 20, season=12, seed=0).fit(WAVE)
    assert (again(network).predict(7) == network.predict(7)).all()


def test_series_without_spread_go_on_as_they_are():
    np.testing.assert_allclose(ESN(3, 20, seed=0).fit(np.full(80, 3.3)).predict(), 3.3)
    np.testing.assert_allclose(ESN(3, 20, seed=0).fit(0.1 * np.arange(80)).predict(), [8.0, 8.1, 8.2])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ESN(0), "horizon to be a whole number of at least 1; got 0"),
        (lambda: ESN(2.5), "horizon"),
        (lambda: ESN(season=1), "season to be a whole number of at least 2"),
        (lambda: ESN(washout=-1), "washout"),
        (lambda: ESN(ridge=-1.0), "ridge"),
        (lambda: ESN(ridge=[]), "ridge"),
        (lambda: ESN().forecast(WAVE), "expected fit to be called before"),
        (lambda: ESN(3, washout=20).fit(WAVE[:20]), "after the washout of 20 steps"),
        (lambda: ESN(3).fit(np.full(50, np.nan)), "a step with a value in every series"),
        (lambda: ESN(3).fit([WAVE, np.full(50, np.nan)]), "a step with a value in every series"),
        (lambda: ESN(3).fit(WAVE, x=np.full(300, np.nan)), "a value and all its features"),
        (lambda: ESN(3).fit(["a", "b"]), "y to hold real numbers"),
        (lambda: ESN(3).fit(np.zeros((2, 3, 4))), r"shape \(time,\)"),
        (lambda: ESN(3).fit(np.append(WAVE, np.inf)), "finite"),
        (lambda: ESN(3).fit(WAVE, x=WAVE[1:]), "one row per step of y"),
    ],
)
def test_network_refuses(call, said):
    with pytest.raises((ValueError, RuntimeError), match=said):
        call()
