"""What holds for every forecaster of panels: tables and arrays, files, updates, origins of the past."""

import inspect
import io
import pickle
import sys

import numpy as np
import pytest
from forecasters_under_test import DEMAND, MAKE

import rnnkit as rk
from rnnkit.backends.shared.thread_pool import at_most
from rnnkit.forecast import registry
from rnnkit.forecast.models.direct import DirectForecaster
from rnnkit.forecast.scoring.validation import cross_validation

every = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
signed = pytest.mark.parametrize(
    "make", [make for name, make in MAKE.items() if name not in DEMAND], ids=[n for n in MAKE if n not in DEMAND]
)
LENGTHS = (21, 30, 41)


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(7)
    return [80 + rng.normal(size=n).cumsum() + 6 * np.sin(np.pi * np.arange(n) / 2) for n in LENGTHS]


@pytest.fixture(scope="module")
def table(panel):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    starts = ("2001-01-01", "2003-04-01", "1999-07-01")
    parts = [
        pd.DataFrame({"shop": f"s{i}", "when": pd.date_range(start, periods=len(one), freq="QS"), "sold": one})
        for i, (start, one) in enumerate(zip(starts, panel, strict=True))
    ]
    return pd.concat(parts, ignore_index=True)


def test_every_forecaster_of_the_registry_is_under_test():
    assert set(MAKE) == set(registry.MODULES)
    for name, known in registry.KNOWN.items():
        for several in (False, True):
            forecaster = registry.forecaster_named(name, several=several, horizon=2)
            assert type(forecaster).__name__ == ((several and known.of_several) or known.kind)
            assert registry.model_name(forecaster) == name
            takes = inspect.signature(type(forecaster)).parameters
            assert ("epochs" in takes) == known.is_trained
            assert ("future_covariates" in takes) == (known.reads_covariates and (several or not known.of_several))


NAMES = {"id": "shop", "time": "when", "target": "sold"}


@every
def test_F2_a_table_gives_the_numbers_of_arrays(make, panel, table):
    model = make().fit(table, **NAMES)
    found, expected = model.predict(3, level=[80, 95]), make().fit(panel).predict(3, level=[80, 95])
    assert list(found.columns) == ["shop", "when", *expected]
    assert found["shop"].tolist() == [f"s{i}" for i in range(3) for _ in range(3)]
    assert found["when"].dt.strftime("%Y-%m").tolist()[:3] == ["2006-04", "2006-07", "2006-10"]
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name].to_numpy().reshape(3, 3), array)
    assert list(model.predict(1).columns) == ["shop", "when", *list(expected)[:3]]
    np.testing.assert_array_equal(
        model.predict_quantiles(2, [0.25])[f"{model.name}-q0.25"].to_numpy().reshape(3, 2),
        make().fit(panel).predict_quantiles(2, [0.25])[0],
    )


@every
def test_F2_polars_in_and_out(make, panel, table):
    pl = pytest.importorskip("polars")
    found = make().fit(pl.DataFrame(table), **NAMES).predict(2)
    assert isinstance(found, pl.DataFrame)
    np.testing.assert_array_equal(found[make().name].to_numpy().reshape(3, 2), make().fit(panel).predict(2))


@every
def test_F1_one_series_has_no_axis_of_series(make, panel):
    one, several = make().fit(panel[1]), make().fit([panel[1]])
    assert one.predict(3).shape == (3,) and several.predict(3).shape == (1, 3)
    assert one.predict_quantiles(3).shape == (3, 3)
    assert all(array.shape == (3,) for array in one.predict(3, level=80).values())
    np.testing.assert_array_equal(one.predict(3), several.predict(3)[0])


@every
def test_F6_a_file_forecasts_the_same_bits(make, panel, table, tmp_path):
    for model in (make().fit(panel), make().fit(panel[0]), make().fit(table, **NAMES)):
        model.save(tmp_path / "model.npz")
        again = type(model).load(tmp_path / "model.npz")
        assert repr(again) == repr(model)
        same(again.predict(4, level=[50, 90]), model.predict(4, level=[50, 90]))
        same(again.predict_quantiles(2), model.predict_quantiles(2))
    with pytest.raises(ValueError, match="expected a file of a fitted"):
        (rk.forecast.Auto if type(model) is rk.forecast.Theta else rk.forecast.Theta).load(tmp_path / "model.npz")


def same(got, expected):
    if isinstance(expected, dict):
        assert all((got[name] == array).all() for name, array in expected.items())
    elif isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(got, expected)
    else:
        assert got.equals(expected)


@every
def test_F5_update_goes_on_with_what_was_fitted(make, panel, table):
    model = make().fit([one[:-2] for one in panel])
    before = model._model
    model.update([one[-2:-1] for one in panel]).update([one[-1:] for one in panel])
    assert model._model is before
    in_table = make().fit(table.groupby("shop").head(-2), **NAMES)
    last = table.groupby("shop").tail(2)
    found = in_table.update(last.iloc[::-1]).predict(3)[model.name].to_numpy().reshape(3, 3)
    np.testing.assert_array_equal(found, model.predict(3))


@every
def test_F5_a_wrong_update_changes_nothing(make, panel, table):
    model, in_table = make().fit(panel), make().fit(table, **NAMES)
    before, table_before = model.predict(2), in_table.predict(2)
    first, last = table.head(1), table.groupby("shop").tail(1).copy()
    ahead = last.assign(when=last["when"] + np.timedelta64(92, "D"))
    right = table_before.groupby("shop").head(1)[["shop", "when"]].assign(sold=1.0)
    wrong = (
        (model, panel[:2], "3 series"),
        (model, [np.ones((2, 2))] * 3, "shape"),
        (model, [[np.inf], [1.0], [1.0]], "infinite"),
        (model, table, "arrays"),
        (in_table, first, "after the last one"),
        (in_table, ahead, "in steps of"),
        (in_table, last.assign(shop="new"), "new"),
        (in_table, last.drop(columns="sold"), "sold"),
        (in_table, last.assign(sold=np.inf), "after the last one"),
        (in_table, right.iloc[[0, 1, 2, 1]], "one row for each time; got .* twice"),
        (in_table, right.assign(sold=[1.0, np.inf, 1.0]), "finite values in column 'sold'"),
    )
    for forecaster, more, said in wrong:
        with pytest.raises(ValueError, match=said):
            forecaster.update(more)
    np.testing.assert_array_equal(model.predict(2), before)
    assert in_table.predict(2).equals(table_before)


@every
@pytest.mark.parametrize("refit", [False, True])
def test_F7_origins_of_the_past(make, panel, refit):
    found = make().cross_validation(panel, 3, n_windows=2, step_size=2, refit=refit, level=80)
    model = make()
    for window, left in enumerate((5, 3)):
        if refit or window == 0:
            model.fit([one[:-left] for one in panel])
        else:
            model.update([one[-5:-3] for one in panel])
        for name, array in model.predict(3, level=80).items():
            np.testing.assert_array_equal(found[name][window], array)
        came = [one[len(one) - left : len(one) - left + 3] for one in panel]
        np.testing.assert_array_equal(found["y"][window], came)


def test_F7_origins_of_a_table(panel, table):
    models = [MAKE["Theta"](), MAKE["ExponentialSmoothing"]()]
    found = cross_validation(models, table, 2, n_windows=2, **NAMES)
    names = ["Theta", "ExponentialSmoothing"]
    columns = [f"{name}{end}" for name in names for end in ("", "-lo-80", "-hi-80")]
    assert list(found.columns) == ["shop", "when", "cutoff", "sold", *columns]
    assert found["when"].diff().dt.days.iloc[1] in (90, 91, 92)
    merged = found.merge(table, on=["shop", "when"], suffixes=("", "_known"))
    assert len(merged) == len(found) == 12 and (merged["sold"] == merged["sold_known"]).all()
    assert (found["when"] > found["cutoff"]).all()
    arrays = cross_validation(models, panel, 2, n_windows=2)
    np.testing.assert_array_equal(found["Theta"].to_numpy().reshape(3, 2, 2).swapaxes(0, 1), arrays["Theta"])


def test_a_short_series_has_no_rows_of_early_origins(panel):
    short = [*panel, panel[0][:4]]
    found = MAKE["Theta"]().cross_validation(short, 3, n_windows=2)
    assert np.isnan(found["Theta"][0, 3]).all() and np.isfinite(found["Theta"][1]).all()
    with pytest.raises(ValueError, match="longest has 4"):
        MAKE["Theta"]().cross_validation([short[3]], 3, n_windows=2)
    for wrong in ({"h": 0}, {"h": 2, "n_windows": 0}, {"h": 2, "step_size": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            MAKE["Theta"]().cross_validation(panel, **wrong)
    with pytest.raises(ValueError, match="different names"):
        cross_validation([MAKE["Theta"](), MAKE["Theta"]()], panel, 2)


@every
def test_other_series_leave_the_forecaster_as_it_is(make, panel):
    model = make().fit(panel[:2])
    before = model.predict(2)
    learned = isinstance(model, (rk.forecast.GlobalRNN, DirectForecaster))  # whose network stays
    said = model.forecast(panel[2], 2, **({"rescale": True} if isinstance(model, DirectForecaster) else {}))
    assert said.shape == (2,)
    if not learned:
        np.testing.assert_array_equal(said, make().fit(panel[2]).predict(2))
    np.testing.assert_array_equal(model.predict(2), before)


@every
def test_a_fit_that_fails_changes_nothing(make, panel):
    with pytest.raises(RuntimeError, match=f"expected fit to be called before this {type(make()).__name__} forecasts"):
        make().predict(3)
    model = make().fit(panel)
    before = model.predict(2)
    for wrong in ([], [[np.nan, np.nan]], [1.0, np.inf], [[1.0], "a"], np.ones((2, 2, 2))):
        with pytest.raises((ValueError, TypeError)):
            model.fit(wrong)
    np.testing.assert_array_equal(model.predict(2), before)
    for h in (0, -1, 2.5):
        with pytest.raises(ValueError, match="expected h"):
            model.predict(h)
    for wrong in (0.0, 1.0, [0.5, 1.5], []):
        with pytest.raises(ValueError, match="quantiles between 0 and 1"):
            model.predict_quantiles(2, wrong)
    for level in (0, 100, [], [80, -1], "80"):
        with pytest.raises((ValueError, TypeError), match="level"):
            model.predict(2, level=level)


@pytest.mark.parametrize("name", ["ESN", "TrainedForecaster"])
def test_F9_what_stands_beside_values_may_be_columns_or_arrays(name, panel, table, rng, tmp_path):
    """Of one series or of several, in `fit`, `update` and `forecast`, and in a file."""
    beside = [rng.normal(size=(n, 2)) for n in LENGTHS]
    tabled = table.assign(**dict(zip("ab", np.concatenate(beside).T, strict=True)))
    columns = type(MAKE[name]())(**MAKE[name]()._settings() | {"past_covariates": ["a", "b"]})
    cut, short = ([one[:-2] for one in series] for series in (beside, panel))
    arrays = MAKE[name]().fit(short, cut)
    assert (arrays.predict() != MAKE[name]().fit(short).predict()).any()
    in_table = columns.fit(tabled.groupby("shop").head(-2), **NAMES)
    arrays.update([one[-2:] for one in panel], [one[-2:] for one in beside])
    said = in_table.update(tabled.groupby("shop").tail(2)).predict(3)[arrays.name].to_numpy().reshape(3, 3)
    np.testing.assert_array_equal(arrays.predict(3), said)
    np.testing.assert_array_equal(arrays.forecast(panel, x=beside), said)
    for model in (arrays, in_table):
        model.save(tmp_path / "model.npz")
        same(rk.load_model(tmp_path / "model.npz").predict(2, level=[50, 90]), model.predict(2, level=[50, 90]))
    for wrong, said in (
        (lambda: arrays.predict(4), "expected at most 3 steps"),
        (lambda: arrays.update([[1.0]] * 3), "x with 2 features per step, as in fit; got 0"),
        (lambda: in_table.update(table.groupby("shop").tail(1)), "columns"),
        (lambda: columns.fit(table, **NAMES), "the columns a, b"),
        (lambda: MAKE[name]().fit(table, np.ones(92), **NAMES), "past_covariates"),
        (lambda: MAKE["Theta"]().fit(panel, beside), "no x, as Theta reads no covariates"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()


@signed
def test_F4_bands_contain_the_forecast_and_narrower_bands(make, panel):
    model = make().fit([*panel, [-1e9, 1e9] * 6])
    said = model.predict(12, level=[20, 80, 95, 99.5])
    ends = "-lo-99.5 -lo-95 -lo-80 -lo-20".split(), [""], "-hi-20 -hi-80 -hi-95 -hi-99.5".split()
    edges = [said[f"{model.name}{end}"] for part in ends for end in part]
    assert (np.diff(edges, axis=0) >= 0).all() and (edges[0] < edges[-1])[:3].all()
    assert (np.diff(model.predict_quantiles(12, np.linspace(0.001, 0.999, 50)), axis=0) >= 0).all()


@pytest.mark.parametrize("name", ["Theta", "ExponentialSmoothing", "Autoregression", *DEMAND])
def test_F3_a_series_does_not_see_the_others(name, panel):
    series = [*panel, np.r_[panel[2], panel[1], panel[2], panel[1]]]
    whole = MAKE[name]().fit(series).predict(6)
    for row, y in enumerate(series):
        np.testing.assert_array_equal(MAKE[name]().fit(y).predict(6), whole[row])


@signed
@pytest.mark.parametrize("length", [1, 2, 3, 5, 9, 14])
def test_F4_every_series_has_a_forecast(make, length):
    """However short it is, by itself or beside others; a constant one goes on."""
    values = 20 + np.random.default_rng(4).normal(size=length).cumsum()
    for series in (values, [values, np.arange(1, 31.0)]):
        found = make().fit(series).predict(8, level=80)
        assert all(np.isfinite(array).all() and array.shape[-1] == 8 for array in found.values())
    np.testing.assert_allclose(make().fit(np.full(length, -3.0)).predict(8), -3.0, atol=1e-6)


@signed
@pytest.mark.parametrize("values", [[5.0], [0.0], [np.nan, -3.0, np.nan]])
def test_F4_a_single_value_has_a_band_that_grows(make, values):
    model = make().fit(values)
    low, said, high = model.predict_quantiles(3, [0.1, 0.5, 0.9])
    assert (low < said).all() and (said < high).all() and (np.diff(high - low) >= -1e-9).all()
    np.testing.assert_allclose(said, np.nansum(values), atol=1e-12)


@pytest.mark.parametrize("name", ["Theta", "ExponentialSmoothing", "Autoregression"])
def test_the_season_is_that_of_the_times(name, table):
    """Unless another one is given; arrays have none."""
    make = getattr(rk.forecast, name)
    found, four, none = (make(season).fit(table, **NAMES).predict(3)[name] for season in (None, 4, 1))
    assert found.equals(four) and (name == "Autoregression" or not found.equals(none))
    values = table[table["shop"] == "s2"]["sold"].to_numpy()
    np.testing.assert_array_equal(make().fit(values).predict(3), make(1).fit(values).predict(3))


def test_a_level_is_a_percentage(panel):
    model = MAKE["Theta"]().fit(panel)
    for call in (lambda: model.predict(2, level=0.8), lambda: rk.forecast.Auto(level=[0.8, 95])):
        with pytest.raises(ValueError, match="expected level to be percentages from 1 to below 100, such as"):
            call()


def test_the_package_lists_its_names():
    assert set(MAKE) <= set(dir(rk.forecast))


@pytest.mark.parametrize("name", ["Theta", "ExponentialSmoothing", "Auto"])
@pytest.mark.parametrize("threads", [1, 3])
def test_many_series_are_fitted_in_blocks(name, threads, panel, monkeypatch):
    """By one thread or several, which each take blocks; bounds and fitted values, too."""
    from rnnkit.forecast.models import forecaster

    def found():
        model = MAKE[name]().fit(panel)
        return [*model.predict(3, level=80).values(), model.fitted()]

    expected = found()
    monkeypatch.setattr(forecaster, "BLOCK", 2)
    with at_most(threads):
        for one, other in zip(found(), expected, strict=True):
            np.testing.assert_array_equal(one, other)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@every
def test_a_fit_of_several_stages_shows_a_bar(make, panel, table, monkeypatch):
    """Where somebody watches, and as many stages as there are; it goes away at the end."""
    pytest.importorskip("tqdm")
    model, told = make(), []
    stages = model._stages(model._read(table, **NAMES))
    model.fit(table, **NAMES, progress=told.append)
    assert len(told) == stages - (model.name == "Auto" or stages == 1)
    calls = {
        "fit": lambda verbose: model.fit(table, **NAMES, verbose=verbose),
        "cross-validation": lambda verbose: model.cross_validation(table, 2, 2, **NAMES, verbose=verbose),
    }
    for name, call in calls.items():
        for verbose, stream in (("auto", Terminal()), (0, Terminal()), (1, io.StringIO())):
            monkeypatch.setattr(sys, "stderr", stream)
            call(verbose)
            shown = verbose != 0 and stream.isatty() and (stages > 1 or name != "fit")
            assert bool(stream.getvalue()) == shown
            if shown:
                total = stages if name == "fit" else 2
                assert f"0/{total}" in stream.getvalue() and stream.getvalue().split("\r")[-2].strip() == ""
                assert (model.name if name == "fit" else name) in stream.getvalue()
        with pytest.raises(ValueError, match="expected verbose to be"):
            call(7)


def test_auto_counts_its_network(panel, monkeypatch):
    from rnnkit.forecast.models import auto

    monkeypatch.setattr(auto, "_PANEL", 3)
    monkeypatch.setattr(
        auto, "GlobalRNN", lambda *given, **named: rk.forecast.GlobalRNN(*given, **named, units=2, networks=1, epochs=2)
    )
    model, told = rk.forecast.Auto(4), []
    model.fit(panel, progress=told.append)
    epochs = ["network 1, epoch 1 of 2", "network 1, epoch 2 of 2"]
    after = ["network 1, epoch 1 of 1"]
    assert told == ["models without the ends of the series", *(f"calibration, {one}" for one in epochs), *after]
    assert model._stages(model._read(panel)) == 5


def test_a_plot_shows_what_came(panel, table, tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    known = table.groupby("shop").head(18)
    names = list(NAMES.values())
    rk.forecast.write_table(tmp_path / "all.csv", table)
    tables = [
        table.assign(more="text").sample(frac=1, random_state=0),
        rk.forecast.read_table(tmp_path / "all.csv", *names),
    ]
    parts = [[one[18:22] for one in panel]]
    fitted = MAKE["Theta"]().fit(known, **NAMES), MAKE["Theta"]().fit([one[:18] for one in panel])
    for model, actual in [(fitted[0], one) for one in tables] + [(fitted[1], one) for one in parts]:
        for axes, came in zip(model.plot(4, actual=actual).axes, panel, strict=True):
            line = axes.get_lines()[-1]
            assert line.get_label() == "what came"
            np.testing.assert_array_equal(line.get_ydata(), np.append(came[18:22], np.full(4, np.nan))[:4])
            np.testing.assert_array_equal(line.get_xdata(), axes.get_lines()[1].get_xdata()[1:])
    single = MAKE["Theta"]().fit(panel[0][:18]).plot(2, actual=panel[0][18:])
    assert single.axes[0].get_lines()[-1].get_ydata().tolist() == panel[0][18:20].tolist()
    for model, wrong, said in (
        (fitted[0], table.drop(columns="sold"), "table of what came with the columns shop, when, sold"),
        (
            fitted[0],
            table.assign(when=table["when"].dt.year),
            "in column 'when', as in the table of series; got Int32",
        ),
        (fitted[0], pytest.importorskip("pandas").concat([table, table]), "2005-07-01 of series 's0' twice"),
        (fitted[1], parts[0][:2], "expected values for 3 series, as in fit; got 2"),
        (fitted[1], table, "expected arrays, as in fit; got a table"),
    ):
        with pytest.raises(ValueError, match=said):
            model.plot(4, actual=wrong)
    plt.close("all")


def test_a_plot_shows_history_forecast_and_bands(panel, table, monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    model = MAKE["Theta"]().fit(table, **NAMES)
    figure = model.plot(4, level=[80, 95], series=["s2", "s0"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["s2", "s0"]
    history, line = figure.axes[0].get_lines()
    np.testing.assert_array_equal(line.get_ydata()[1:], MAKE["Theta"]().fit(panel).predict(4)[2])
    assert len(figure.axes[0].collections) == 2
    bands = [band.get_paths()[0].vertices[:, 0].min() for band in figure.axes[0].collections]
    starts = {line.convert_xunits(line.get_xdata())[0], *bands}  # no hole: all go on from the end of the history
    assert starts == {history.convert_xunits(history.get_xdata())[-1]} and line.get_ydata()[0] == panel[2][-1]
    assert len(MAKE["Theta"]().fit(panel).plot(2).axes) == 3 and len(MAKE["Theta"]().fit(panel[0]).plot().axes) == 1
    for wrong in (["s9"], []):
        with pytest.raises(ValueError, match="expected"):
            model.plot(series=wrong)
    gap = MAKE["Theta"]().fit(np.append(panel[0], [np.nan, np.nan])).plot(2).axes[0].get_lines()[-1]
    assert gap.get_xdata().tolist() == [20, 23, 24] and gap.get_ydata()[0] == panel[0][-1]
    plt.close("all")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"rnnkit\[plots\]"):
        model.plot()


@pytest.mark.parametrize("name", ["Theta", "ExponentialSmoothing", "Autoregression"])
def test_F9_what_is_known_ahead_is_regressed_on(name, tmp_path):
    """Effects are found in series with trends and seasons, added to the forecasts, and read in every call."""
    pd, rng, parts, steps = pytest.importorskip("pandas"), np.random.default_rng(3), [], 160
    days = pd.date_range("2024-01-01", periods=steps + 7)
    for shop, effect in (("a", 12.0), ("b", -8.0), ("c", 0.0)):
        promo, price = rng.integers(0, 2, steps + 7), rng.normal(size=steps + 7).round(1)
        level = 200 + 0.2 * np.arange(steps + 7) + 5 * np.sin(np.arange(steps + 7) * 2 * np.pi / 7)
        sold = level + effect * promo + 2 * price + 0.5 * rng.normal(size=steps + 7)
        parts.append(pd.DataFrame({"unique_id": shop, "ds": days, "y": sold, "promo": promo, "price": price}))
    table = pd.concat(parts)
    known, later = table[table["ds"] < days[steps]], table[table["ds"] >= days[steps]]
    make = lambda **more: getattr(rk.forecast, name)(7, **more)
    model = make(future_covariates=["promo", "price"]).fit(known)
    np.testing.assert_allclose(model._model["effect"], [[12, 2], [-8, 2], [0, 2]], atol=0.4)
    said = model.predict(7, future=later.drop(columns="y"))
    error = lambda found: np.abs(found[name].to_numpy() - later["y"].to_numpy()).mean()
    assert error(said) < 1.2 < 3 < error(make().fit(known).predict(7))
    assert error(said) <= error(model.predict(7, future=later.assign(promo=1 - later["promo"])))
    inside = (later["y"].to_numpy() > said[f"{name}-lo-80"]) & (later["y"].to_numpy() < said[f"{name}-hi-80"])
    assert inside.mean() > 0.6
    assert np.nanstd(model.residuals()[name][60:160]) < 1.0
    past = model.cross_validation(table, 7, step_size=7)
    np.testing.assert_allclose(past[name], said[name])
    model.save(tmp_path / "model.npz")
    assert rk.load_model(tmp_path / "model.npz").predict(7, future=later).equals(said)
    assert model.simulate(7, 2, seed=0, future=later).shape == (42, 4)
    if name != "Autoregression":
        found = model.components()
        total = found[["covariates", "level", "season", "remainder"]].sum(axis=1)
        np.testing.assert_allclose(total, found["y"])
    judged = model.detect(later.assign(y=later["y"] + 50 * (later["ds"] == days[steps + 1])))
    assert judged["anomaly"].sum() >= 3 and judged["anomaly"][judged["ds"] == days[steps + 1]].all()
    model.update(later)
    for wrong, text in (
        (lambda: model.predict(2), "expected future="),
        (lambda: make(future_covariates=["rain"]).fit(known), "rain"),
        (lambda: make(future_covariates=["promo"]).fit([1.0, 2.0]), "expected a table"),
        (lambda: make(future_covariates=["promo"]).fit(known, static=known), "no static="),
    ):
        with pytest.raises(ValueError, match=text):
            wrong()


def test_effects_of_covariates_in_all_kinds_of_series(rng):
    """Of short series, with gaps, and with constant or repeated covariates: finite, and right where they can be."""
    from rnnkit.forecast.fitting.regression import effects

    x = rng.normal(size=(4, 60, 3))
    x[:, :, 2] = x[:, :, 0]
    x[1, :, 1] = 5.0
    values = rng.normal(size=(4, 1)).cumsum(axis=1) + np.arange(60) * 0.5 + 3 * x[..., 0] - x[..., 1]
    values[0, 20:25], x[2, 7, 0], values[3, 3:] = np.nan, np.nan, np.nan
    for season in (1, 12):
        found = effects(values, x, season)["effect"]
        assert np.isfinite(found).all() and found[1, 1] == 0
        np.testing.assert_allclose(found[:3, 0], found[:3, 2], atol=0.05)
        np.testing.assert_allclose((found[:3, 0] + found[:3, 2]), 3, atol=0.1)
        np.testing.assert_allclose(found[[0, 2], 1], -1, atol=0.05)


@every
def test_what_others_call_an_argument_is_told_its_name(make):
    for named, said in (("season_length", "season="), ("seasonal_periods", "season="), ("freq", "freq= in fit")):
        with pytest.raises(TypeError, match=f"expected {said}.*; got {named}=12"):
            type(make())(**{named: 12})
    assert inspect.signature(type(make())).parameters.keys() == type(make())()._settings().keys()


def test_a_plot_shows_windows_of_a_back_test(panel, table):
    plt = pytest.importorskip("matplotlib.pyplot")
    model = MAKE["Theta"]().fit(table, **NAMES)
    figure = model.plot(3, n_windows=2)
    past = model.cross_validation(table, 3, n_windows=2, **NAMES)
    for axes, (_, rows) in zip(figure.axes, past.groupby("shop"), strict=True):
        drawn = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
        np.testing.assert_array_equal(np.concatenate([line.get_ydata() for line in drawn]), rows["Theta"])
        assert len(axes.collections) == 3  # bands
    assert len(MAKE["Theta"]().fit(panel[0]).plot(2, n_windows=1).axes) == 1
    with pytest.raises(ValueError, match="expected a series of more than 60 steps"):
        model.plot(3, n_windows=20)
    plt.close("all")


@every
def test_F2_the_order_of_rows_and_of_series_changes_no_number(make, panel, table):
    expected = make().fit(table, **NAMES).predict(3)
    ordered = lambda found: found.sort_values(["shop", "when"], ignore_index=True)
    assert ordered(make().fit(table.sample(frac=1, random_state=0), **NAMES).predict(3)).equals(ordered(expected))
    model = make().fit(panel[::-1])
    np.testing.assert_array_equal(model.predict(3)[::-1], make().fit(panel).predict(3))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(3), model.predict(3))
