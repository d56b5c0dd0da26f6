"""What holds for forecasters with a model for each lead: echo state networks, and networks that are trained."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.serialization.array_files import load_arrays, save_arrays

H = 4
MAKE = {
    "echo state": lambda h=H, **more: rk.ESN(h, 30, **{"ridge": 1.0, "seed": 0} | more),
    "trained": lambda h=H, **more: rk.forecast.TrainedForecaster(
        h, "rnn", 2, epochs=1, networks=1, calibrate=False, window=400, **{"seed": 0} | more
    ),
}
both = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


@pytest.fixture(scope="module")
def wave():
    y = 30 + 0.02 * np.arange(260) + np.sin(np.arange(260) * 0.5) + 0.2 * np.random.default_rng(0).standard_normal(260)
    y[[40, 41, 42, 100, 177]] = np.nan
    y.flags.writeable = False
    return y


@both
def test_a_forecast_starts_from_any_point_of_the_series(make, wave):
    fitted = make(season=13).fit(wave)
    assert (fitted.forecast(wave) == fitted.predict()).all()
    assert fitted.forecast(wave[:200], 9).shape == (9,)
    assert (fitted.forecast_quantiles(wave) == fitted.predict_quantiles()).all()
    gap = fitted.forecast(np.append(wave, [np.nan, np.nan]), 3)
    np.testing.assert_allclose(gap, fitted.predict(5)[2:], rtol=1e-9)


@both
def test_beyond_the_leads_forecasts_are_read_as_values(make, wave):
    fitted = make(season=13).fit(wave)
    far = fitted.predict(11)
    assert (far[:H] == fitted.predict()).all()
    for start in (H, 2 * H):
        np.testing.assert_allclose(
            far[start : start + H], fitted.forecast(np.append(wave, far[:start]), 11 - start)[:H]
        )


@both
def test_series_share_weights_and_keep_their_own_trend(make, wave):
    alone = make().fit(wave).predict()
    np.testing.assert_allclose(make().fit([wave]).predict(), alone[None], rtol=1e-12)
    twice = make().fit([wave, 3 * wave - 9]).predict()
    np.testing.assert_allclose(twice[1], 3 * twice[0] - 9, rtol=1e-6)
    network = make().fit([wave[:150], wave])
    assert (network.forecast([wave[:150], wave]) == network.predict()).all()
    once = network.forecast(wave[:120], rescale=True)
    np.testing.assert_allclose(network.forecast(1000 + 50 * wave[:120], rescale=True), 1000 + 50 * once, rtol=1e-4)
    with pytest.raises(ValueError, match="as many series as were fitted, 2; got 1.*rescale=True"):
        network.forecast(wave)


@both
def test_what_else_is_known_is_used(make, rng):
    x = rng.standard_normal(400)
    y = np.append(0.0, x[:-1]) + 0.01 * rng.standard_normal(400)
    fitted = make(1, ridge=1e-4).fit(y, x) if make is MAKE["echo state"] else make(1).fit(y, x)
    assert abs(fitted.predict()[0] - x[-1]) < 0.3
    assert abs(fitted.forecast(y[:300], x=x[:300])[0] - x[299]) < 0.3
    assert np.isfinite(make(1).fit(y, np.where(np.arange(400) == 50, np.nan, x)).predict()).all()
    for call, said in (
        (lambda: fitted.predict(3), "at most 1 steps"),
        (lambda: fitted.forecast(y), "1 features.*got 0"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


@both
def test_the_seed_repeats_a_forecast(make, wave):
    first, same, other = (make(seed=seed).fit(wave).predict() for seed in (1, 1, 2))
    assert (first == same).all() and (first != other).any()


@both
@pytest.mark.parametrize("length", [1, 2, 3, 5, 9, 14, 21])
def test_a_note_says_what_was_made_simpler(make, length):
    values = 20 + np.random.default_rng(4).normal(size=length).cumsum()
    forecaster = make(6).fit(values)
    assert (forecaster.note is None) == (length > 9)
    if length < 4:
        np.testing.assert_allclose(forecaster.predict(8), values[-1])
        assert "as the series ended" in forecaster.note


@both
def test_a_panel_of_short_series_learns_from_all(make):
    rng = np.random.default_rng(4)
    forecaster = make().fit([10 + rng.normal(size=n).cumsum() for n in (6, 7, 9, 3, 8)])
    assert forecaster.predict().shape == (5, 4) and np.isfinite(forecaster.predict()).all()


def test_a_file_that_says_more_networks_than_it_has_makes_none(wave, tmp_path):
    path = tmp_path / "model.npz"
    MAKE["trained"]().fit(wave).save(path)
    arrays, about = load_arrays(path)
    about["model"]["settings"]["networks"] = 10**9
    save_arrays(path, arrays, about)
    with pytest.raises(ValueError, match="it has no 'network 999999999'"):
        rk.load_model(path)
