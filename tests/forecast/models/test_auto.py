"""The combination: weights by held-out ends, calibrated bands, panels of any shape."""

from pathlib import Path

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.held_out import by_lead, leads_of, quantiles
from rnnkit.forecast.models.auto import Auto, Ends

AUTOREGRESSION, LAST_CYCLE = Auto.models.index("autoregression"), Auto.models.index("last cycle")


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(3)
    lengths = (9, 14, 30, 31, 46, 47)
    return [50 + rng.normal(size=n).cumsum() + 5 * np.sin(2 * np.pi * np.arange(n) / 4) for n in lengths]


@pytest.fixture(scope="module")
def fitted(panel):
    return Auto(4).fit(panel)


def test_forecasts_are_the_weighted_mean_of_the_models(panel, fitted):
    last = np.array([np.resize(one[-4:], 5) for one in panel])
    models = fitted._candidates(4).items()
    said = [last if name == "last cycle" else model.fit(panel).predict(5) for name, model in models]
    weights = fitted.weights[:-1, :, :5]
    assert (fitted.weights[-1] == 0).all()  # the panel is too small for a network
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert (weights[-2:] == 0).all() and (weights[:-2] > 0).all()  # short seasons, and series, have two models
    assert (Auto(1).fit(panel).weights[LAST_CYCLE] > 0).all()
    np.testing.assert_allclose(fitted.predict(5), (weights * said).sum(axis=0), rtol=1e-12)


def test_an_autoregression_has_the_share_that_it_earns():
    """A wave that no smoothing model knows; a series that is too short has none."""
    time = np.arange(150)
    wave = np.sin(time * 0.4) * 10 + 50 + np.random.default_rng(2).normal(size=150)
    share = Auto(1).fit([wave, wave[:40]]).weights[AUTOREGRESSION]
    assert (share[0] > 0.8).all() and (share[1] == 0).all()
    alone = Auto(1).fit(wave)
    assert (alone.weights[AUTOREGRESSION] > 0.8).all()
    assert np.abs(alone.predict(8) - np.sin(np.arange(150, 158) * 0.4) * 10 - 50).mean() < 2


def test_the_autoregressions_share_is_drawn_to_that_of_least_squares(rng):
    from rnnkit.forecast.models.auto import _HeldOut, _shares

    places, errors, others = rng.integers(0, 4, 40), rng.normal(size=(6, 40, 6)), np.full((4, 5), 0.2)
    errors[:, 3, 4:] = np.nan

    def shares(rows):
        ends = Ends(places[rows], None, None)
        held_out = _HeldOut(ends, errors[:, rows], None, np.ones(len(rows), bool), None, None, None)
        return _shares(held_out, others, np.full(4, 0.2))

    share, without = shares(np.arange(40))
    for row, place in enumerate(places):
        np.testing.assert_allclose(without[row], shares(np.delete(np.arange(40), row))[0][place])
    grid = np.linspace(0, 1, 10001)[:, None]

    def drawn(own, usual, half):
        other, last = own[:5].mean(axis=0).ravel(), own[5].ravel()
        best = grid[np.nanargmin(np.nansum(((1 - grid) * other + grid * last) ** 2, axis=1)), 0]
        count = np.isfinite(last).sum()
        return (count * best + half * usual) / (count + half)

    for place in range(4):
        own = errors[:, places == place]
        of_all = drawn(own, 0.2, 400)
        by_lead = [drawn(own[..., max(lead - 1, 0) : lead + 2], of_all, 30) for lead in range(6)]
        np.testing.assert_allclose(share[place], by_lead, atol=1e-4)


def test_a_share_is_larger_at_the_leads_where_the_autoregression_is_better():
    """Sunspots: it knows the next years; after a season of eleven the others, which repeat the last one, do as well."""
    share = Auto(11).fit(rk.datasets.load_sunspots()[1]).weights[AUTOREGRESSION, 0]
    assert share[0] > 0.8 > share[10] + 0.2


def test_units_and_order_change_nothing_else(panel, fitted):
    expected = fitted.predict(4, level=80)
    for name, array in Auto(4).fit([1000 * one for one in panel]).predict(4, level=80).items():
        np.testing.assert_allclose(array, 1000 * expected[name], rtol=1e-6)
    for name, array in Auto(4).fit(panel[::-1]).predict(4, level=80).items():
        np.testing.assert_allclose(array[::-1], expected[name], rtol=1e-9)


def test_bands_hold_what_they_say():
    """On random walks with drifts, of which no model here is the true one."""
    rng = np.random.default_rng(5)
    walks = 500 + (rng.standard_t(4, size=(80, 46)) + rng.normal(size=(80, 1))).cumsum(axis=1)
    found = Auto(1).fit(walks[:, :40]).predict(6, level=[80, 95])
    for level, off in ((80, 5), (95, 3)):
        lower, upper = found[f"Auto-lo-{level}"], found[f"Auto-hi-{level}"]
        inside = 100 * ((lower <= walks[:, 40:]) & (walks[:, 40:] <= upper)).mean()
        assert abs(inside - level) < off


def _within(series, season, horizon=12):
    """Return the share of the last steps of series that bands of 80 % hold."""
    bands = Auto(season).fit([one[:-horizon] for one in series]).predict(horizon, level=80)
    came = np.array([one[-horizon:] for one in series])
    return np.mean((bands["Auto-lo-80"] <= came) & (came <= bands["Auto-hi-80"]))


@pytest.mark.parametrize("steps", [54, 60, 72])
def test_bands_hold_where_models_lack_values_at_held_out_ends_alone(rng, steps):
    """Series of a few years: at its ends, an autoregression has too few values, and holds the last one there."""
    wave = 100 + 10 * np.sin(2 * np.pi * np.arange(steps + 12) / 12)
    assert 0.7 < _within(wave + 2 * rng.normal(size=(40, steps + 12)), 12) < 0.9


def test_bands_do_not_depend_on_the_level(rng):
    noise = 2 * rng.normal(size=(40, 72))
    for level in (100, 1e9):
        assert 0.7 < _within(level + noise, 1) < 0.9


@pytest.mark.parametrize("count", [40, 120])  # 120: with a network
def test_bands_of_series_beside_constant_ones_hold(count):
    """What is always the same, or comes again exactly, is foreseen, and says nothing of other series' errors."""
    rng = np.random.default_rng(0)
    series = 100 + 2 * rng.normal(size=(count, 72))
    known = 9 * count // 10
    series[:known] = rng.integers(0, 1000, (known, 1))
    bands = Auto(1).fit(series[:, :60]).predict(12, level=80)
    low, high, came = bands["Auto-lo-80"], bands["Auto-hi-80"], series[:, 60:]
    assert 0.65 < np.mean((low <= came) & (came <= high), where=np.arange(count)[:, None] >= known) < 0.95
    assert np.allclose(low[:known], high[:known], rtol=1e-3)


def test_F4_what_is_positive_stays_so():
    falling = [np.maximum(60 - 3.0 * np.arange(20), 0.5) + 0.1 * np.cos(np.arange(20)), 5 + np.zeros(9)]
    found = Auto(1).fit(falling).predict(10, level=99)
    assert all((array >= 0).all() for array in found.values())


def test_F4_no_forecast_of_counts_is_negative():
    """Nights without anybody, and days that become quieter."""
    rng, t = np.random.default_rng(1), np.arange(24 * 30)
    day = np.maximum(np.sin(2 * np.pi * t / 24) + 0.4, 0) ** 2
    counts = rng.poisson(np.stack([200 * day, 500 * day * (1 - t / 800)]))
    for season in (24, [24, 168]):
        model = Auto(season).fit(counts[:, :-24].astype(float))
        found = model.predict(24, level=[80, 99])
        assert all((array >= 0).all() for array in found.values())
        assert np.abs(found["Auto"] - counts[:, -24:]).mean() < 0.4 * counts[:, -24:].mean()
        assert (model._by_all(model._periods, model._history, model._model, 24)[0] >= 0).all()


def test_the_season_is_found():
    month = np.arange(96)
    rng = np.random.default_rng(0)
    wave = [100 + 20 * np.sin(2 * np.pi * month / 12 + i) + rng.normal(size=96) for i in range(3)]
    assert Auto().fit(wave)._panel["season"].tolist() == [12]
    assert Auto(season=1).fit(wave)._panel["season"].tolist() == [1]
    assert Auto().fit(rng.normal(size=(3, 40)))._panel["season"].tolist() == [1]


def test_held_out_ends():
    values = np.arange(60.0).reshape(3, 20)
    values[1, 12:] = np.nan
    ends = Ends.of(History(values, np.array([20, 12, 20])), 8)
    for series, known, length, came in zip(
        ends.series, ends.history.values, ends.history.lengths, ends.came, strict=True
    ):
        whole = values[series][~np.isnan(values[series])]
        assert length >= len(whole) // 2
        assert (known[:length] == whole[:length]).all() and np.isnan(known[length:]).all()
        rest = whole[length : length + len(whole) // 3][:8]
        assert (came[: len(rest)] == rest).all() and np.isnan(came[len(rest) :]).all()
    assert (np.bincount(ends.series) > 1).all() and np.isfinite(ends.came[:, :4]).all()
    assert len(Ends.of(History(np.ones((1, 2)), np.array([2])), 8).series) == 0


def test_most_of_what_series_have_in_common_is_left_out_of_bands():
    errors = np.random.default_rng(3).normal(2.0, 1.0, size=(201, 3))
    errors[:, 2] = np.nan
    errors[100:, 1] = np.nan
    found = by_lead(errors, alone=True)
    for lead, known in enumerate((201, 100)):
        ordered = np.sort(errors[:known, lead])
        np.testing.assert_allclose(found[lead, :known], ordered - 0.75 * ordered[(known - 1) // 2], atol=1e-9)
        np.testing.assert_array_equal(by_lead(errors)[lead, :known], ordered)
    assert np.isnan(found[1, 100:]).all() and np.isnan(found[2]).all()
    assert by_lead(errors[:0], alone=True).shape == (3, 0)


def test_quantiles_of_errors_have_their_rank():
    errors = np.random.default_rng(1).normal(3, 4, 2000)
    found = quantiles(errors[None], [0.1, 0.9], 3)
    expected = np.sort(errors)[[200, 1800]]
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 3, axis=1), atol=0.15)
    none = quantiles(by_lead(np.full((4, 2), np.nan)), [0.1, 0.5, 0.9], 2)
    np.testing.assert_allclose(none[:, 0], [-1.28, 0, 1.28], atol=0.3)  # wider, of so few
    assert none.shape == (3, 2)


def test_a_lead_with_few_errors_has_quantiles_nearer_to_those_of_all():
    rng = np.random.default_rng(4)
    errors = np.full((3000, 4), np.nan)
    for lead, (count, size) in enumerate(((3000, 1), (5, 9), (100, 3))):
        errors[:count, lead] = size * rng.normal(size=count)
    many, few, some, none = quantiles(by_lead(errors), [0.1, 0.9], 4).T
    assert (np.abs(many) < np.abs(none)).all() and (np.abs(none) < 1.4 * np.abs(many)).all()  # wider, of so few
    assert (np.abs(few) < 3).all()
    assert (np.abs(some) > 1.3 * np.abs(none)).all() and (np.abs(some) < 3 * np.abs(none)).all()
    np.testing.assert_array_equal(quantiles(by_lead(errors), [0.1, 0.9], 6)[:, 4:], np.stack([none, none], axis=1))


def test_a_combinations_spread_is_the_models_own_and_how_far_they_are_apart(rng):
    from rnnkit.forecast.models.auto import _mixed

    weights, forecasts, spreads = rng.dirichlet(np.ones(3), 7).T, rng.normal(size=(3, 7)), rng.gamma(2, size=(3, 7))
    mean, spread = _mixed(weights, forecasts, spreads)
    np.testing.assert_allclose(mean, (weights * forecasts).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(_mixed(weights, 5 * forecasts + 2, 5 * spreads)[1], 5 * spread, rtol=1e-9)
    alone = _mixed(weights, 0 * forecasts, spreads)[1]
    np.testing.assert_allclose(alone, (weights * spreads).sum(axis=0), rtol=1e-12)
    assert (alone < spread).all() and (spread < alone + np.ptp(forecasts, axis=0)).all()
    np.testing.assert_allclose(_mixed([1.0, 0.0], forecasts[:2], spreads[:2])[1], spreads[0], rtol=1e-12)


def test_ends_of_long_seasons_are_whole_seasons():
    """A lead has the same place in the season at all ends, which is that of the forecast."""
    for seasons, leads, several in (((24, 168), 24, 7), ((48, 336), 48, 7), ((90,), 90, 3)):
        assert leads_of(seasons[0], apart=True) == leads
        values = np.arange(12.0 * 7 * seasons[0])[None]
        ends = Ends.of(History(values, np.array([values.size])), leads, apart=True)
        assert len(ends.series) == several
        assert ((values.size - ends.history.lengths) % seasons[0] == 0).all()
    assert [leads_of(season, apart=True) for season in (7, 12, 365)] == [10, 18, 200]
    assert [leads_of(season) for season in (1, 4, 12, 52)] == [8, 8, 18, 24]


def test_what_is_wrong_is_said(panel):
    for settings in ({"season": 0}, {"level": 100}, {"level": []}, {"seed": -1}, {"level": [80, 120]}):
        with pytest.raises(ValueError, match="expected"):
            Auto(**settings)
    for h in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="expected h"):
            rk.forecast.Theta().fit(panel).predict(h)
    with pytest.raises(RuntimeError, match="fit"):
        Auto().predict(3)


def test_a_large_panel_has_a_network(monkeypatch, panel):
    """It has one share of all series; other models keep theirs. The last cycle of a short season joins, too."""
    from rnnkit.forecast.models import auto

    monkeypatch.setattr(auto, "_PANEL", 6)
    model, network = Auto(4).fit(panel), Auto.models.index("network")
    share = model.weights[network]
    assert (share == share[0, 0]).all() and 0 < share[0, 0] < 1
    np.testing.assert_allclose(model.weights.sum(axis=0), 1)
    assert (model.weights[LAST_CYCLE] > 0).all()
    if share.any():
        without = Auto(4)
        without._history, without._model = model._history, model._model
        without._panel = {**model._panel, "network share": np.zeros(1)}
        fitted = auto.Fitted(auto.below("network/", model._model), auto.below("network/", model._panel))
        other = model._network(4, 8).ahead(model._history, fitted, 5).forecast
        expected = (1 - share[:, :1]) * without._ahead_of(model._history, 5).forecast + share[:, :1] * other
        np.testing.assert_allclose(model._ahead_of(model._history, 5).forecast, expected, rtol=1e-12)


@pytest.mark.parametrize(("season", "expected"), [(1, 0.4), (4, 0.9)])
def test_a_network_of_trends_alone_has_its_usual_share_at_most(monkeypatch, panel, season, expected):
    """All trends of a panel may break at once after its ends, as those of GDP in dollars did."""
    from rnnkit.forecast.models import auto, smoothed_network

    monkeypatch.setattr(auto, "_PANEL", 6)
    monkeypatch.setattr(auto, "_usual_share", lambda errors, other: 0.9)
    monkeypatch.setattr(smoothed_network, "_MOST", 1)
    assert Auto(season).fit(panel)._panel["network share"] == expected


def test_the_share_is_that_of_the_least_absolute_error():
    from rnnkit.forecast.models.auto import _in_units, _share, _usual_share

    errors = np.array([[3.0, -1.0, np.nan], [200.0, 100.0, -300.0]])
    share, usual = (lambda *both, of=of: of(*_in_units(*both)) for of in (_share, _usual_share))
    assert share(errors, np.zeros((2, 3))) == 1
    assert share(np.zeros((2, 3)), errors) == 0
    assert share(errors, -errors) == 0.5
    assert usual(errors, -errors) == pytest.approx(0.4)
    assert usual(errors, 4 * errors) < 0.05 and usual(4 * errors, errors) > 0.9
    assert usual(errors, 7 * errors) == pytest.approx(usual(errors * [[1], [9]], 7 * errors * [[1], [9]]))
    assert share(errors, np.full((2, 3), np.nan)) == 0


def hourly(count=2, weeks=4, seed=0):
    """Hours with a day, and quiet weekends."""
    rng, t = np.random.default_rng(seed), np.arange(168 * weeks + 48)
    day = 20 * np.sin(2 * np.pi * (t % 24) / 24) * np.where(t % 168 < 120, 1.0, 0.2)
    return [100 + row + day + rng.normal(size=len(t)) for row in range(count)]


@pytest.mark.parametrize("make", ["Auto", "Theta", "ExponentialSmoothing", "Autoregression"])
def test_a_day_and_a_week_are_forecast(make, tmp_path):
    """From the times of a table, found in arrays, or given; a file and an update keep them."""
    pd = pytest.importorskip("pandas")
    series = hourly()
    known, came = [one[:-48] for one in series], np.array([one[-48:] for one in series])
    model = getattr(rk.forecast, make)(season=[24, 168]).fit(known)
    said = model.predict(48)
    assert np.abs(said - came).mean() < 1.4  # the noise alone is 0.8, a day alone 7
    model.save(tmp_path / "model.npz")
    loaded = rk.load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(48), said)
    loaded.update([one[:24] for one in came])
    assert np.abs(loaded.predict(24) - came[:, 24:]).mean() < 1.4
    times = pd.date_range("2024-01-01", periods=len(known[0]), freq="h")
    table = pd.concat([pd.DataFrame({"unique_id": f"{i}", "ds": times, "y": one}) for i, one in enumerate(known)])
    found = getattr(rk.forecast, make)().fit(table).predict(48)
    np.testing.assert_allclose(found[make].to_numpy().reshape(2, 48), said, rtol=1e-9)
    if make == "Auto":
        np.testing.assert_allclose(Auto().fit(known).predict(48), said, rtol=1e-9)
    paths, off = model.simulate(30, 200, seed=0), model.residuals()
    assert np.abs(np.median(paths, axis=0) - model.predict(30)).mean() < 1
    assert 0.5 < np.nanstd(off[:, 168:]) < 1.5
    if make != "Autoregression":
        parts = model.components()
        np.testing.assert_allclose(parts["level"] + parts["season"] + parts["remainder"], known, rtol=1e-9)
        assert np.ptp(parts["season"][:, 168:336]) > 25


def test_one_season_of_many_steps_is_taken_out():
    rng = np.random.default_rng(0)
    for period in (52, 72):
        profile, known = rng.normal(size=period) * 5, 5 * period
        values = 50 + np.resize(profile, known + period) + rng.normal(size=known + period)
        for model in (Auto(period), rk.forecast.Theta(period), rk.forecast.ExponentialSmoothing(period)):
            assert np.abs(model.fit(values[:known]).predict(period) - values[known:]).mean() < 1.5
            assert ("seasons" in model._model) == (period > 60)
    values = values[:260]
    with pytest.raises(ValueError, match="a single one"):
        rk.forecast.ExponentialSmoothing([7, 52], form="AAA")
    seasonal = rk.forecast.ExponentialSmoothing(52, form="ANA").fit(values)
    assert seasonal._model["season"].shape == (1, 52) and seasonal.forms == ["ANA"]


def monthly(seed, spike=1.0):
    """A trend, a season of a fifth and noise of 2 %; the last known value times `spike`, and the year after."""
    rng, t = np.random.default_rng(seed), np.arange(108)
    wave = 1 + 0.2 * np.sin(2 * np.pi * t / 12 + rng.uniform(0, 6))
    values = (100 + 0.3 * t) * wave * np.exp(0.02 * rng.normal(size=108))
    known = values[:96].copy()
    known[-1] *= spike
    return known, values[96:]


def test_one_last_event_moves_no_forecast():
    series, calm = ([monthly(seed, spike) for seed in range(6)] for spike in (1.3, 1.0))
    off, usual = (
        np.abs(Auto(12).fit([known for known, _ in some]).predict(12) - [came for _, came in some]).mean()
        for some in (series, calm)
    )
    assert off < 1.5 * usual
    model = Auto(12).fit(series[0][0])
    shown = model._model["drawn in"]
    assert shown < series[0][0][-1] - 10 and model._model["last"] == 95
    before = model.predict(13)[1:]
    model.update(series[0][1][:1])  # what came since changes nothing of the event
    assert np.abs(model.predict(12) - before).mean() < 3
    stepping = Auto(1).fit(np.where(np.arange(60) < 59, 10.0, 13.0) + 0.1 * np.cos(np.arange(60.0) ** 2))
    assert "drawn in" not in stepping._model  # without a season, it may be a new level


def test_models_that_cannot_follow_go():
    rng, t = np.random.default_rng(3), np.arange(84)
    growing = [10 * np.exp(0.04 * t + 0.02 * rng.normal(size=84)) for _ in range(4)]
    known, came = [one[:72] for one in growing], np.array([one[72:] for one in growing])
    model = Auto(1).fit(known)
    assert model.weights[0].max() < 0.1  # the Theta model, of straight lines
    theirs = rk.forecast.ExponentialSmoothing(1).fit(known).predict(12)
    assert np.abs(model.predict(12) - came).mean() <= 1.1 * np.abs(theirs - came).mean()


def test_an_autoregression_that_explodes_stays_near_the_others(monkeypatch):
    from rnnkit.forecast import Autoregression

    model = Auto(1).fit(10 + np.random.default_rng(0).normal(size=200))

    def explodes(self, values, h, within=False):
        return np.full((2, len(values), values.shape[1] - 1 if within else h), 1e9)

    monkeypatch.setattr(Autoregression, "_many", explodes)
    assert model.weights[AUTOREGRESSION].mean() > 0.1
    assert (model.predict(6) < 14).all() and (model.fitted()[1:] < 14).all()


def test_long_series_are_read_from_their_last_part(monkeypatch):
    from rnnkit.forecast.models import auto

    t = np.arange(400)
    values = 50 + 0.1 * t + 5 * np.sin(2 * np.pi * t / 12) + np.random.default_rng(0).normal(size=400)
    monkeypatch.setattr(auto, "_RECENT", 120)
    model, changed = Auto(12).fit(values), values.copy()
    changed[:40] = 1e6 * np.cos(t[:40])  # before all that the held-out ends read
    np.testing.assert_array_equal(model.predict(12), Auto(12).fit(changed).predict(12))
    assert model._model["first"] == 256  # twelve seasons
    inside = model.fitted()
    assert np.isnan(inside[:256]).all() and np.isfinite(inside[257:]).all()
    assert np.abs(model.update(values[-12:] + 1.2).predict(12) - values[-12:] - 2.4).mean() < 3


def test_a_file_with_other_models_is_named(panel, tmp_path):
    from rnnkit.serialization.array_files import load_arrays, save_arrays

    Auto(4).fit(panel).save(tmp_path / "model.npz")
    arrays, about = load_arrays(tmp_path / "model.npz")
    arrays["model/fitted/weights"] = np.ones((len(panel), 4))
    save_arrays(tmp_path / "model.npz", arrays, about)
    with pytest.raises(ValueError, match="earlier version"):
        Auto.load(tmp_path / "model.npz")


def test_a_file_from_before_models_went_is_read(tmp_path):
    """Its forecasts are those of its own seven models, also once more saved; a new fit has today's models."""
    folder = Path(__file__).parent / "data"
    model, forecasts = Auto.load(folder / "earlier_auto.npz"), np.load(folder / "earlier_auto_forecasts.npy")
    model.save(tmp_path / "again.npz")
    for one in (model, Auto.load(tmp_path / "again.npz")):
        np.testing.assert_allclose(one.predict(6), forecasts, rtol=1e-6)
        assert len(one.weights) == 7 and set(one.leaderboard()["model"]) == {*one.models[:-1], one.name}
        assert np.isfinite(one.fitted()[:, 1:]).all()
    panel = np.linspace(1, 9, 60) + np.sin(np.arange(60.0))
    again = model.fit(panel)
    assert again.models == Auto.models
    np.testing.assert_array_equal(again.predict(6), Auto(4).fit(panel).predict(6))


@pytest.mark.parametrize("make", [Auto, rk.forecast.Theta, rk.forecast.ExponentialSmoothing])
def test_a_file_whose_season_was_taken_out_is_read(make, tmp_path, monkeypatch):
    from rnnkit.forecast.fitting import profiles

    values = 50 + np.resize(np.arange(30.0), 200) + np.random.default_rng(0).normal(size=200)
    with monkeypatch.context() as before:
        before.setattr(profiles, "LONGEST", 24)
        model = make(30).fit(values)
        model.save(tmp_path / "model.npz")
        assert "seasons" in model._model
    again = make.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.predict(40), model.predict(40))
    parts = again.components()
    np.testing.assert_allclose(parts["level"] + parts["season"] + parts["remainder"], values)


def test_the_last_cycle_comes_again():
    """A gap has the value before it, and steps without a value one cycle before have the last one."""
    cycles = np.random.default_rng(4).uniform(1, 9, 30)[:, None] * np.array([1.0, 5.0, 2.0, 8.0, 3.0, 6.0, 4.0])
    known = np.concatenate([cycles[:29].ravel(), cycles[28]])
    model = Auto(7).fit([known, np.where(np.arange(len(known)) == len(known) - 2, np.nan, known)])
    last = model._candidates(7)["last cycle"]
    history = model._history
    ahead = last._ahead(history.values, history.lengths, last._fitted(history.values, history.lengths), 10)
    np.testing.assert_array_equal(ahead.forecast[0], np.resize(cycles[28], 10))
    np.testing.assert_array_equal(ahead.forecast[1], np.resize(cycles[28][[0, 1, 2, 3, 4, 4, 6]], 10))
    short = last._ahead(known[None, :3], np.array([3]), {"size": np.ones(1)}, 10)
    np.testing.assert_array_equal(short.forecast[0], np.resize(known[[2, 2, 2, 2, 0, 1, 2]], 10))
    assert (np.diff(ahead.spread[:, [0, 6]]) == 0).all() and (ahead.spread[:, 7] > ahead.spread[:, 6]).all()
    within = last._ahead(history.values, history.lengths, last._fitted(history.values, history.lengths), None)
    np.testing.assert_array_equal(within.forecast[0, 7:], known[:-7])
