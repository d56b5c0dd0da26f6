"""Fitted values, residuals and their tests, components, sample paths and anomalies of every forecaster."""

import numpy as np
import pytest
from forecasters_under_test import DEMAND, MAKE

import rnnkit as rk
from rnnkit.forecast.models.forecaster import Forecaster

every = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
LENGTHS = (21, 30, 41)


@pytest.fixture(scope="module")
def panel():
    """Return series of which one has gaps."""
    rng = np.random.default_rng(7)
    found = [80 + rng.normal(size=n).cumsum() + 6 * np.sin(np.pi * np.arange(n) / 2) for n in LENGTHS]
    found[1][[5, 6, 12]] = np.nan
    return found


@pytest.fixture(scope="module")
def table(panel):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    parts = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": pd.date_range("2001-01-01", periods=len(one), freq="QS"), "y": one})
        for i, one in enumerate(panel)
    ]
    return pd.concat(parts, ignore_index=True)


def together(series):
    """Return arrays as rows, NaN after their ends."""
    found = np.full((len(series), max(map(len, series))), np.nan)
    for row, one in zip(found, series, strict=True):
        row[: len(one)] = one
    return found


@every
def test_F10_fitted_values_are_the_forecasts_of_every_step(make, panel):
    """Of one step ahead, with the parameters of the fit, as if each step had been the last one."""
    model = make().fit(panel)
    at_once = model._inside(model._history)
    one_by_one = Forecaster._inside(model, model._history)
    inside = np.arange(LENGTHS[-1]) < np.array(LENGTHS)[:, None]
    inside[:, :2] = False  # a single value has a spread of its own
    parts = (
        1 if model.name == "Autoregression" else 2
    )  # which here holds the last value; its spread grows with a series
    for got, expected in zip(at_once[:parts], one_by_one[:parts], strict=True):
        np.testing.assert_allclose(got[..., inside], expected[..., inside], rtol=1e-12)
    said = model.fitted(level=[80, 95])
    assert list(said) == list(model.predict(1, level=[80, 95]))
    np.testing.assert_array_equal(said[model.name][inside], at_once.forecast[inside])
    edges = [said[f"{model.name}{end}"][inside] for end in ("-lo-95", "-lo-80", "", "-hi-80", "-hi-95")]
    assert (np.diff(edges, axis=0) >= 0).all()
    assert all(np.isnan(array[np.arange(LENGTHS[-1]) >= np.array(LENGTHS)[:, None]]).all() for array in said.values())


def test_fitted_values_of_a_regression_are_those_of_its_predictions(rng):
    wave = np.sin(np.arange(240) * np.pi / 6) + 0.01 * rng.normal(size=240)
    model = rk.forecast.Autoregression(12).fit(wave)
    said = rk.forecast.Autoregression(12).fit(wave[:-1]).predict(1)
    assert abs(model.fitted()[-1] - said[0]) < 0.01 and np.nanstd(model.residuals()[24:]) < 0.02
    gap = np.r_[wave[:100], np.nan, wave[101:]]
    assert np.isfinite(rk.forecast.Auto(12).fit(gap).fitted()[1:]).all()


@every
def test_F10_a_table_gives_the_numbers_of_arrays(make, panel, table):
    model, arrays = make().fit(table), make().fit(panel)
    inside = ~np.isnan(together([np.zeros(n) for n in LENGTHS]))
    said, expected = model.fitted(), arrays.fitted(level=80)
    assert list(said.columns) == ["unique_id", "ds", "y", *expected]
    for name, array in expected.items():
        np.testing.assert_array_equal(said[name].to_numpy(), array[inside])
    np.testing.assert_array_equal(said["y"].to_numpy(), table["y"].to_numpy())
    off = model.residuals()
    np.testing.assert_array_equal(off[model.name].to_numpy(), (together(panel) - expected[model.name])[inside])
    np.testing.assert_array_equal(arrays.residuals()[inside], off[model.name].to_numpy())
    checks = model.check_residuals()
    assert list(checks.columns) == ["unique_id", *arrays.check_residuals()] and len(checks) == 3
    found, expected = model.detect(level=90), arrays.detect(level=90)
    assert (found["anomaly"].to_numpy() == expected["anomaly"][inside]).all() and found["anomaly"].dtype == bool
    path, drawn = model.simulate(2, 3, seed=1), arrays.simulate(2, 3, seed=1)
    assert list(path.columns) == ["unique_id", "ds", "path", model.name]
    np.testing.assert_array_equal(path[model.name].to_numpy().reshape(3, 3, 2), drawn.swapaxes(0, 1))
    assert path["path"].tolist()[:6] == [0, 0, 1, 1, 2, 2]
    assert path["ds"].tolist()[:2] == model.predict(2)["ds"].tolist()[:2] == path["ds"].tolist()[2:4]


@every
def test_F10_one_series_has_no_axis_of_series(make, panel):
    model = make().fit(panel[1])
    assert model.fitted().shape == model.residuals().shape == (30,)
    assert model.fitted(level=80)[f"{model.name}-lo-80"].shape == model.detect()["anomaly"].shape == (30,)
    assert model.simulate(4, 2).shape == (2, 4)
    for call in (lambda: make().fitted(), lambda: make().simulate(2), lambda: make().detect([1.0])):
        with pytest.raises(RuntimeError, match="expected fit to be called"):
            call()


@every
def test_F11_paths_are_distributed_as_the_bands(make, panel):
    model = make().fit([*panel, 200 - panel[2] ** 1.1])
    paths = model.simulate(6, 4000, seed=2)
    probabilities = np.array([0.025, 0.1, 0.3, 0.5, 0.8, 0.99])
    said = model.predict_quantiles(6, probabilities)
    upto, below = ((paths[None] <= said[:, None]).mean(axis=1), (paths[None] < said[:, None]).mean(axis=1))
    error = np.sqrt(probabilities * (1 - probabilities) / 4000)[:, None, None]
    asked = probabilities[:, None, None]  # of distributions that are discrete, the shares lie on both sides
    assert (upto > asked - 5 * error - 1e-3).all() and (below < asked + 5 * error + 1e-3).all()
    if model.name not in DEMAND:
        assert (upto - below).max() < 1e-3
    np.testing.assert_array_equal(paths, model.simulate(6, 4000, seed=2))
    assert (paths != model.simulate(6, 4000, seed=3)).any() and (paths[:, 0] != paths[:, 1]).any()
    for wrong in ({"h": 0}, {"n": 0}, {"h": 2, "n": 1.5}):
        with pytest.raises(ValueError, match="expected [hn]"):
            model.simulate(**wrong)


@pytest.mark.parametrize("form", ["ANN", "AAN", "ANA", "MNN"])
def test_paths_of_exponential_smoothing_are_those_of_its_recurrence(form, rng):
    """Their sums have the spread that simulation of the states gives."""
    t = np.arange(80)
    series = 100 + 0.3 * t + 5 * np.sin(t * np.pi / 2) * (form[2] != "N") + 0.3 * rng.normal(size=80).cumsum()
    model = rk.forecast.ExponentialSmoothing(4 if form[2] != "N" else 1, form=form).fit(series)
    sums = model.simulate(8, 20000, seed=0).sum(axis=1)
    alpha, beta, gamma, phi = model.parameters[0]
    size = np.sqrt(model._model["variance"][0]) * (model._model["width"][0] if form[0] == "A" else 1.0)
    shocks = size * rng.standard_normal((20000, 8))
    level, trend, season = np.zeros((3, 20000))
    seasons, total = np.zeros((20000, 4)), np.zeros(20000)
    for step in range(8):
        season = seasons[:, step % 4].copy()
        total += level + phi * trend + season + shocks[:, step]
        level = level + phi * trend + alpha * shocks[:, step]
        trend = phi * trend + beta * shocks[:, step]
        seasons[:, step % 4] = season + gamma * shocks[:, step]
    if form[0] == "M":
        total *= model.predict(1)[0]
    assert abs(sums.std() / total.std() - 1) < 0.05


@pytest.mark.parametrize("name", ["ExponentialSmoothing", "Theta", "Auto"])
def test_F10_components_add_up_to_the_values(name, panel, table):
    model = getattr(rk.forecast, name)(4).fit(panel)
    parts, values = model.components(), together(panel)
    total = parts["level"] + parts["season"] + parts["remainder"]
    np.testing.assert_allclose(total[~np.isnan(values)], values[~np.isnan(values)], rtol=1e-12)
    found = getattr(rk.forecast, name)(4).fit(table).components()
    assert list(found.columns) == ["unique_id", "ds", "y", *parts]
    season = parts["season"][2]
    assert abs(season[24:28].mean()) < 1 and np.ptp(season[24:28]) > 8
    if name != "Auto":
        np.testing.assert_allclose(parts["remainder"][0, :21], model.residuals()[0, :21], rtol=1e-9, atol=1e-9)
    others = [one for one in MAKE if one not in ("ExponentialSmoothing", "Theta", "Auto")]
    with pytest.raises(ValueError, match="expected a model with components"):
        MAKE[others[0]]().fit(panel).components()


@pytest.mark.parametrize("form", ["AAdA", "MAdM", "MAN", "AAN"])
def test_components_follow_the_states(form, rng):
    """Level and trend are those of the recurrence written out."""
    t = np.arange(60)
    y = (60 + t) * (1 + 0.1 * np.sin(t * np.pi / 2)) + rng.normal(size=60)
    model = rk.forecast.ExponentialSmoothing(4 if form[-1] != "N" else 1, form=form).fit(y)
    parts, fitted = model.components(), model._model
    alpha, beta, gamma, phi = model.parameters[0]
    level, trend, season = fitted["level"][0], fitted["trend"][0], list(fitted["season"][0])
    centre, width = fitted["centre"][0], fitted["width"][0]
    for step, value in enumerate((y - centre) / width):
        trend, base = phi * trend, level + phi * trend
        said = base * season[0] if form[0] == "M" else base + season[0]
        assert abs(parts["level"][step] - (base * width + centre)) < 1e-8
        assert abs(parts["trend"][step] - trend * width) < 1e-8
        assert abs(parts["level"][step] + parts["season"][step] - (said * width + centre)) < 1e-8
        error = (value - said) / said if form[0] == "M" else value - said
        size = base if form[0] == "M" else 1.0
        level, trend = base + alpha * error * size, trend + beta * error * size
        season = [*season[1:], season[0] * (1 + gamma * error) if form[0] == "M" else season[0] + gamma * error]


@every
def test_F10_anomalies_lie_outside_of_the_band(make, panel, table):
    model = make().fit(panel)
    found = model.detect(level=95)
    lower, upper = (found[f"{model.name}-{edge}-95"] for edge in ("lo", "hi"))
    np.testing.assert_array_equal(found["anomaly"], (found["y"] < lower) | (found["y"] > upper))
    usual = model.predict(1)[:, 0]
    before = model._history
    new = model.detect([[usual[0]], [usual[1], 1e4], [-1e4, usual[2], np.nan]])
    assert model._history is before
    assert new["anomaly"].tolist()[:2] == [[False, False, False], [False, True, False]]
    assert new["anomaly"][2, [0, 2]].tolist() == [True, False] and np.isnan(new["y"][0, 1:]).all()
    np.testing.assert_array_equal(new[model.name][:, 0], model.predict(1)[:, 0])
    tabled, pd = make().fit(table), pytest.importorskip("pandas")
    rows = pd.DataFrame({"unique_id": "s1", "ds": [pd.Timestamp("2008-07-01")], "y": 1e4})
    judged = tabled.detect(rows)
    assert judged["anomaly"].tolist() == [True] and judged["ds"].tolist() == rows["ds"].tolist()
    for level in (0, [1, 200]):
        with pytest.raises(ValueError, match="level"):
            model.detect(level=level)


def test_white_residuals_pass_the_test_and_others_fail(rng):
    noise = [50 + rng.normal(size=200) for _ in range(40)]
    checks = rk.forecast.ExponentialSmoothing(form="ANN").fit(noise).check_residuals()
    assert (checks["p_value"] < 0.05).mean() <= 0.2 and (checks["lags"] == 10).all()
    np.testing.assert_allclose(checks["sd"], 1, atol=0.2)
    waves = [one + 3 * np.sin(np.arange(200) * np.pi / 3) for one in noise]
    checks = rk.forecast.ExponentialSmoothing(form="ANN").fit(waves).check_residuals(lags=12)
    assert (checks["p_value"] < 0.001).all() and (checks["lags"] == 12).all()
    with pytest.raises(ValueError, match="expected lags"):
        rk.forecast.Theta().fit(noise).check_residuals(lags=0)


def test_plots_of_residuals_and_components(panel, table, tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    model = rk.forecast.ExponentialSmoothing(4).fit(table)
    figure = model.plot_residuals(["s2", "s0"])
    assert len(figure.axes) == 6 and "s2" in figure.axes[0].get_title(loc="left")
    bars = [bar.get_height() for bar in figure.axes[1].patches[:3]]
    off = rk.forecast.autocorrelation(figure.axes[0].get_lines()[0].get_ydata(), 3)
    np.testing.assert_allclose(bars, off)
    figure = model.plot_components(["s1"])
    found = model.components().query("unique_id == 's1'")
    for axes, name in zip(
        figure.axes, ["y", "level", *(["trend"] if found["trend"].any() else []), "season"], strict=False
    ):
        np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), found[name])
        assert axes.get_ylabel() == ("values" if name == "y" else name)
    assert len(rk.forecast.Theta(4).fit(panel[0]).plot_residuals().axes) == 3
    plt.close("all")


def test_the_leaderboard_says_what_was_tried(panel, table):
    model, arrays = rk.forecast.Auto(4).fit(table), rk.forecast.Auto(4).fit(panel)
    board, plain = model.leaderboard(), arrays.leaderboard()
    assert list(board.columns) == list(plain) == ["model", "mase", "best", "weight"]
    assert board["model"].tolist() == plain["model"] and "Auto" in plain["model"]
    assert "network" not in plain["model"]  # of a small panel
    assert (np.diff(board["mase"]) >= 0).all() and board.query("model != 'Auto'")["weight"].sum() == pytest.approx(1)
    each = model.leaderboard(by_series=True)
    assert list(each.columns) == ["unique_id", "model", "mae", "mase", "weight"]
    assert len(each) == 3 * (len(model.models) + 1) and arrays.leaderboard(True)["series"].tolist() == [
        int(one[1]) for one in each["unique_id"]
    ]
    for _, rows in each.groupby("unique_id"):
        assert rows.query("model != 'Auto'")["weight"].sum() == pytest.approx(1)
        known = rows["mae"].dropna()
        assert (np.diff(known) >= 0).all() and len(known) >= 4
    text = str(model)
    assert "held-out MASE" in text and f"{board['mase'][0]:.3f}" in text
    short = rk.forecast.Auto(4).fit([3.0, 4.0])
    assert np.isnan(short.leaderboard()["mase"]).all()


def test_the_leaderboard_holds_the_errors_of_the_models(rng):
    """At a single held-out end they are those of a fit without it."""
    y = [50 + rng.normal(size=24).cumsum() for _ in range(60)]
    y = [*y, *(one + 1 for one in y)]
    model = rk.forecast.Auto(1).fit(y, verbose=0)
    board = model.leaderboard(by_series=True)
    said = rk.forecast.Theta(1).fit([one[:-8] for one in y]).predict(8)
    mae = np.abs(said - np.array([one[-8:] for one in y])).mean(axis=1)
    rows = np.array(board["model"]) == "theta"
    assert board["series"][rows].tolist() == list(range(120)) and np.allclose(board["mae"][rows], mae)
    assert "network" in model.leaderboard()["model"]
