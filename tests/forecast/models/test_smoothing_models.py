"""Exponential smoothing and Theta as forecasters: fits against scipy's, forms, forecasts, bands, ragged panels."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize

import rnnkit as rk
from rnnkit.forecast.fitting.side_by_side import SideBySide
from rnnkit.forecast.models.exponential_smoothing import FORMS, ExponentialSmoothing, starting_states
from rnnkit.forecast.models.theta import Theta

AIR = 100 * np.exp(0.01 * np.arange(72)) * (1 + 0.2 * np.sin(2 * np.pi * np.arange(72) / 12))
MODELS = [ExponentialSmoothing, Theta]
both = pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(3)
    lengths = (9, 14, 30, 31, 47, 80)
    return [50 + rng.normal(size=n).cumsum() + 5 * np.sin(2 * np.pi * np.arange(n) / 4) for n in lengths]


def squares(form, y, parameters, states):
    """The sum of squared errors of a form, in a plain loop."""
    alpha, beta, gamma, phi = parameters
    level, trend, *season = states
    total, logarithms = 0.0, 0.0
    for t, value in enumerate(y):
        base, s = level + phi * trend, season[t]
        forecast = base * s if form[0] == "M" else base + s
        if np.isnan(value):
            value = forecast
        else:
            error = (value - forecast) / (forecast if form[0] == "M" else 1.0)
            total += error**2
            logarithms += np.log(abs(forecast)) if form[0] == "M" else 0.0
        error = (value - forecast) / (forecast if form[0] == "M" else 1.0)
        unit = base if form[0] == "M" else 1.0
        level, trend = base + alpha * unit * error, phi * trend + beta * unit * error
        season.append(s * (1 + gamma * error) if form[0] == "M" else s + gamma * error)
    return total, logarithms


@pytest.mark.parametrize("form", ["ANN", "AAN", "AAdN", "MNN", "MAN"])
def test_the_likelihood_is_at_its_maximum(form, rng):
    """No search by scipy, from where the fit ended or from elsewhere, finds a better one."""
    y = 20 + rng.normal(size=45).cumsum()
    model = ExponentialSmoothing(form=form, iterations=300).fit(y)
    known = model._model
    scale = np.mean(y) if form[0] == "M" else np.mean(np.abs(np.diff(y)))
    z = y / scale if form[0] == "M" else (y - y.mean()) / scale
    trend = form[1] == "A"

    def deviance(x):
        alpha, share, phi = (1 / (1 + np.exp(-x[0])), 1 / (1 + np.exp(-x[1])), 0.8 + 0.18 / (1 + np.exp(-x[2])))
        alpha, share = 1e-4 + 0.9998 * alpha, 1e-4 + 0.9998 * share
        phi = {"N": 0.0, "A": 1.0}.get(form[1:-1], phi)
        states = [x[3], x[4] * trend] + [float(form[0] == "M")] * (len(z) + 1)
        total, logarithms = squares(form, z, (alpha, alpha * share * trend, 0.0, phi), states)
        return 0.5 * len(z) * np.log(total) + logarithms

    alpha, beta, _, phi = known["parameters"][0]
    logit = lambda p: np.log(np.clip(p, 1e-9, 1 - 1e-9) / (1 - np.clip(p, 1e-9, 1 - 1e-9)))
    ended = [logit(alpha), logit(beta / alpha), logit((phi - 0.8) / 0.18), known["level"][0], known["trend"][0]]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        options = {"maxiter": 4000, "xatol": 1e-6, "fatol": 1e-9}
        better = minimize(deviance, ended, method="Nelder-Mead", options=options)
    assert deviance(np.array(ended)) <= better.fun + 0.02


@pytest.mark.parametrize("form", ["AAA", "MAM", "ANA", "MNM", "AAdA", "MAdM"])
def test_a_season_is_carried_on(form):
    flat = form[1] == "N" or "d" in form
    y = AIR / np.exp(0.01 * np.arange(72)) if flat else AIR
    model = ExponentialSmoothing(12, form).fit(y[:60])
    assert model.forms == [form]
    assert np.abs(model.predict(12) / y[60:] - 1).max() < (0.02 if flat else 0.08)


def test_the_form_is_the_one_of_least_aicc(panel):
    chosen = ExponentialSmoothing(4).fit(panel)
    aicc = np.array([ExponentialSmoothing(4, form).fit(panel)._model["aicc"] for form in FORMS])
    best = [FORMS[i] for i in aicc.argmin(axis=0)]
    np.testing.assert_allclose(chosen._model["aicc"], aicc.min(axis=0), rtol=1e-6)
    assert sum(a == b for a, b in zip(chosen.forms, best, strict=True)) >= len(panel) - 1


def test_forms_of_data(rng):
    assert ExponentialSmoothing().fit(np.sin(np.arange(40)) * 3).forms[0][0] == "A", "values of both signs"
    grown = ExponentialSmoothing(12).fit(AIR * np.exp(0.01 * rng.normal(size=72)))
    assert grown.forms[0] in ("MAM", "MAdM")


@both
def test_units_do_not_matter(make, panel):
    for shift, factor in ((0.0, 1e6), (0.0, 1e-6)):
        scaled = make(4).fit([shift + factor * y for y in panel])
        np.testing.assert_allclose(scaled.predict(4), factor * make(4).fit(panel).predict(4), rtol=1e-4)


@both
def test_constant_series(make):
    for value in (0.0, 3.0, -2.0):
        found = make(4).fit(np.full(20, value))
        np.testing.assert_allclose(found.predict(4), value, atol=1e-6)
        np.testing.assert_allclose(found.predict_quantiles(4), value, atol=1e-4)


@both
def test_gaps_are_passed_over(make, rng):
    y = 10 + 0.5 * np.arange(60) + 0.1 * rng.normal(size=60)
    gaps = y.copy()
    gaps[[0, 7, 8, 9, 30, 58, 59]] = np.nan
    np.testing.assert_allclose(make().fit(gaps).predict(5), make().fit(y).predict(5), rtol=0.02)


@both
def test_bands(make, panel):
    found = make(4).fit(panel)
    low, middle, high = found.predict_quantiles(8, (0.025, 0.5, 0.975))
    np.testing.assert_allclose(middle, found.predict(8), rtol=1e-9)
    assert (low < middle).all() and (middle < high).all()
    assert (np.diff(high - low, axis=1) > -1e-9 * np.abs(high[:, 1:])).mean() > 0.8, "bands widen"
    assert found.predict_quantiles(2, 0.9).shape == (1, len(panel), 2)
    small = make().fit(np.abs(np.random.default_rng(0).normal(size=40)) + 0.01)
    assert (small.predict_quantiles(10, (0.001, 0.01, 0.5)) >= 0).all()


def test_bands_of_a_random_walk_hold_what_they_say():
    walks = np.random.default_rng(0).normal(size=(300, 70)).cumsum(axis=1)
    low, high = ExponentialSmoothing(form="ANN").fit(walks[:, :60]).predict_quantiles(10, (0.1, 0.9))
    inside = (low <= walks[:, 60:]) & (walks[:, 60:] <= high)
    assert 0.75 < inside.mean() < 0.85 and 0.7 < inside[:, -1].mean() < 0.87


@both
def test_a_gap_at_the_end_is_a_step_ahead(make, panel):
    gap = make(4).fit(panel[3])
    expected = gap.predict(3)
    np.testing.assert_allclose(gap.update([np.nan]).predict(2), expected[1:], rtol=1e-9)


def test_theta_of_a_straight_line_and_simple_smoothing():
    y = 30 + np.random.default_rng(1).normal(size=50)
    simple = ExponentialSmoothing(form="ANN", iterations=200).fit(y)
    theta = Theta(theta=1.0, iterations=200).fit(y)
    np.testing.assert_allclose(theta.predict(4), simple.predict(4), rtol=5e-3)
    assert theta.parameters[0, 1] == 1.0 and not theta.seasonal.any()


def test_theta_takes_the_season_out_where_there_is_one(rng):
    waves = 100 + 10 * np.sin(2 * np.pi * np.arange(48) / 12) + 0.1 * rng.normal(size=48)
    noise = 100 + rng.normal(size=48)
    found = Theta(12).fit([waves, noise, waves - 100])
    assert found.seasonal.tolist() == [True, False, True]
    expected = 100 + 10 * np.sin(2 * np.pi * np.arange(48, 60) / 12)
    np.testing.assert_allclose(found.predict(12)[0], expected, atol=2.0)
    np.testing.assert_allclose(found.predict(12)[2], expected - 100, atol=2.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"season": 0}, "season"),
        ({"form": "XYZ"}, "form to be 'auto', or one or several of ANN"),
        ({"season": 1, "form": "AAA"}, "expected a season for the form 'AAA'"),
        ({"iterations": 0}, "iterations"),
    ],
)
def test_settings_that_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        ExponentialSmoothing(**arguments)


def test_what_is_refused():
    with pytest.raises(ValueError, match="theta"):
        Theta(theta=0.5)
    with pytest.raises(ValueError, match="series 1: expected positive values for multiplicative errors"):
        ExponentialSmoothing(form="MNN").fit([np.arange(1.0, 9.0), np.arange(9.0)])


def test_side_by_side_is_one_after_the_other(rng):
    """Any lengths, any number of series: the same as each alone."""
    lengths = np.array([3, 40, 5, 5, 4, 39, 41, 12])
    values = np.where(np.arange(41) < lengths[:, None], 1 + rng.normal(size=(8, 41)), np.nan)
    many = SideBySide(rk.cells.additive_smoothing, values, lengths, period=1)
    constants = rng.uniform(0.1, 0.5, (8, 4))
    states = [rng.normal(size=8), rng.normal(size=8), np.zeros((8, 1))]
    loss = lambda y, f: (np.nansum((y - f) ** 2, axis=1), np.where(np.isnan(y), 0.0, 2 * (f - y)))
    whole, found = many.run(np.arange(8), constants, states), many.differentiate(np.arange(8), constants, states, loss)
    for row in range(8):
        at = np.array([row])
        alone = many.run(at, constants[at], [s[at] for s in states])
        value, d_constants, d_states = many.differentiate(at, constants[at], [s[at] for s in states], loss)
        got = [alone[0, : lengths[row]], value[0], d_constants[0], *(s[0] for s in d_states)]
        expected = [whole[row, : lengths[row]], found[0][row], found[1][row], *(s[row] for s in found[2])]
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_starting_states_of_a_line():
    start = starting_states((5 + 2 * np.arange(1.0, 21))[None], 1, False)
    found = [start.mean[0], start.level[0], start.slope[0], start.season[0, 0]]
    np.testing.assert_allclose(found, [16, 5, 2, 0], atol=1e-9)


@both
@pytest.mark.parametrize("values", [[3.0], [-2.0], [5.0, 5.0], [3.0, 4.0]])
def test_a_series_of_one_or_two_values_goes_on_as_it_ended(make, values):
    found = make().fit(values).predict(4)
    assert (np.abs(found - values[-1]) <= np.ptp(values) + 1e-9).all()


def test_bands_of_theta_are_those_of_simple_exponential_smoothing():
    y = 50 + np.random.default_rng(3).normal(size=14).cumsum()
    model = Theta(theta=1.0).fit(y)  # without its line
    alpha, level = model.parameters[0, 0], (model._model["level"] * model._model["scale"])[0]
    errors = []
    for value in y:
        errors.append(value - level)
        level += alpha * errors[-1]
    said = model.predict(4, level=80)
    np.testing.assert_allclose(said["Theta"], level, rtol=1e-9)
    variance = np.sum(np.square(errors)) / (len(y) - 3)
    half = 1.2815515655446004 * np.sqrt(variance * (1 + np.arange(4) * alpha**2))
    np.testing.assert_allclose(said["Theta-hi-80"] - said["Theta"], half, rtol=1e-6)
    np.testing.assert_allclose(said["Theta"] - said["Theta-lo-80"], half, rtol=1e-6)


@pytest.mark.parametrize("form, unknowns", [("ANN", 3), ("AAN", 5), ("AAdN", 6), ("ANA", 8), ("AAdA", 11)])
def test_aicc_and_the_variance_count_all_unknowns(form, unknowns, rng):
    """The variance of the errors, smoothing parameters, starting states: a season has one for each of its steps."""
    count = 36
    y = 20 + rng.normal(size=count).cumsum() + np.tile([3.0, 0.0, -3.0, 0.0], 9)
    model = ExponentialSmoothing(4, form).fit(y)
    said = model.predict(1, level=80)
    half = (said[f"{model.name}-hi-80"] - said[model.name])[0]
    squares = (half / 1.2815515655446004) ** 2 * (count - unknowns + 1)
    rest = count - unknowns - 1
    expected = count * np.log(squares) + 2 * unknowns + 2 * unknowns * (unknowns + 1) / rest
    np.testing.assert_allclose(model._model["aicc"], expected, rtol=1e-6)


def test_a_curve_that_flattens_out_goes_on():
    """From one start alone, the fit of some of these ends in another minimum."""
    t, rng = np.arange(72), np.random.default_rng(7)
    curves = 100 * (1 - np.exp(-t / 15)) + 0.5 * rng.normal(size=(24, 72))
    said = rk.forecast.ExponentialSmoothing(season=1).fit(curves[:, :60]).predict(12)
    assert np.abs(said - curves[:, 60:]).mean(axis=1).max() < 0.8


def noisy_months(count=6, seed=3):
    rng, t = np.random.default_rng(seed), np.arange(108)
    trend = rng.uniform(-0.3, 0.3, size=(count, 1)) * t
    return 100 + trend + 8 * np.sin(2 * np.pi * t / 12) + 6 * rng.normal(size=(count, 108))


@pytest.mark.parametrize("make", [rk.forecast.Theta, rk.forecast.ExponentialSmoothing])
def test_temporal_hierarchies_are_the_projection_of_all_levels(make):
    """``(S' W⁻¹ S)⁻¹ S' W⁻¹ y`` of quarters, halves and years, each forecast by itself."""
    y = noisy_months()[:, ::3][:, :30]  # 7 years of quarters, and two more
    said = make(season=4, temporal=True).fit(y).predict(5)
    sizes, parts = (1, 2, 4), []
    for size in sizes:
        means = y[:, y.shape[1] % size :].reshape(len(y), -1, size).mean(axis=2)
        parts.append(size * make(season=4 // size).fit(means).predict(8 // size).reshape(len(y), 2, 4 // size))
    S = np.concatenate([np.repeat(np.eye(4 // size), size, axis=1) for size in sizes])
    weights = S.T / S.sum(axis=1)
    expected = np.concatenate(parts, axis=2) @ np.linalg.solve(weights @ S, weights).T
    np.testing.assert_allclose(said, expected.reshape(len(y), -1)[:, :5], rtol=1e-9)


def test_temporal_hierarchies_are_an_option_like_others(tmp_path):
    y = noisy_months(6)
    make = lambda temporal: rk.forecast.ExponentialSmoothing(season=12, temporal=temporal)
    with_means, without = make(True).fit(y[:, :96]), make(False).fit(y[:, :96])
    assert (with_means.predict(12) != without.predict(12)).all()
    np.testing.assert_array_equal(with_means.fitted(), without.fitted())  # one step ahead
    np.testing.assert_array_equal(make(True).fit(y[3, :96]).predict(7), with_means.predict(7)[3])
    with_means.save(tmp_path / "kept.npz")
    kept = rk.forecast.ExponentialSmoothing.load(tmp_path / "kept.npz")
    assert kept.temporal
    np.testing.assert_array_equal(kept.predict(14), with_means.predict(14))
    assert np.isfinite(with_means.update(y[:, 96:101]).predict(3)).all()
    few = y[:, :40].copy()  # three years and less: no means have a forecast of their own but those of two to six steps
    few[:, 5:9] = np.nan
    bands = make(True).fit(few).predict(12, level=80)
    assert (bands["ExponentialSmoothing-lo-80"] <= bands["ExponentialSmoothing-hi-80"]).all()
    short = y[:, :7]
    np.testing.assert_allclose(make(True).fit(short).predict(3), make(False).fit(short).predict(3), rtol=1e-9)
    with pytest.raises(ValueError, match="expected a form without a season for temporal=True; got 'AAA'"):
        rk.forecast.ExponentialSmoothing(season=12, form="AAA", temporal=True)
