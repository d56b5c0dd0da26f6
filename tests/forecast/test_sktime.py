"""The forecaster for sktime: sktime's own checks, and the numbers of the model inside."""

import doctest
import importlib
import sys

import numpy as np
import pytest

import rnnkit as rk

LENGTHS = (21, 30, 41)
anyhow = pytest.mark.filterwarnings("ignore:The default of config:FutureWarning")  # sktime's, of every forecaster


def test_without_sktime_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sktime", None)
    monkeypatch.setitem(sys.modules, "sktime.forecasting.base", None)
    monkeypatch.delitem(sys.modules, "rnnkit.sktime", raising=False)
    with pytest.raises(ImportError) as caught:
        importlib.import_module("rnnkit.sktime")
    assert str(caught.value) == "rnnkit.sktime needs sktime; install it with: pip install 'rnnkit[sktime]'"


@pytest.fixture
def adapter():
    pytest.importorskip("sktime")
    return importlib.import_module("rnnkit.sktime")


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(7)
    return [80 + rng.normal(size=n).cumsum() + 6 * np.sin(np.pi * np.arange(n) / 2) for n in LENGTHS]


def quarters(values, start="2001-01-01"):
    pd = pytest.importorskip("pandas")
    return pd.Series(values, pd.date_range(start, periods=len(values), freq="QS"), name="sold")


def numbers(values):
    pd = pytest.importorskip("pandas")
    return pd.Series(values, pd.RangeIndex(5, 5 + len(values)), name="sold")


def months(values):
    pd = pytest.importorskip("pandas")
    return pd.Series(values, pd.period_range("2001-01", periods=len(values), freq="M"), name="sold")


def together(series, levels=1):
    """A DataFrame with one level of instances, or two."""
    pd = pytest.importorskip("pandas")
    keys = [(f"s{i}", "all", i)[:levels] if levels > 1 else f"s{i}" for i in range(len(series))]
    names = ["shop", "kind"][:levels]
    return pd.concat([one.to_frame() for one in series], keys=keys, names=[*names, "when"])


every_index = pytest.mark.parametrize("indexed", [quarters, numbers, months])


@anyhow
@pytest.mark.filterwarnings("ignore")
def test_sktime_finds_no_fault(adapter):
    checks = pytest.importorskip("sktime.utils.estimator_checks")
    found = checks.check_estimator(adapter.Forecaster(rk.forecast.Theta()), raise_exceptions=True, verbose=False)
    assert len(found) > 100


@anyhow
def test_the_example_is_so(adapter):
    failed, tried = doctest.testmod(adapter, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried and not failed


@anyhow
@every_index
def test_one_series_gives_the_numbers_of_arrays(adapter, panel, indexed):
    model, y = rk.forecast.Theta(4), indexed(panel[0])
    found, expected = adapter.Forecaster(model).fit(y), rk.forecast.Theta(4).fit(panel[0])
    steps = [1, 2, 5]
    got = found.predict(steps)
    assert got.name == "sold" and list(got.index) == list(indexed(np.arange(26.0)).index[[21, 22, 25]])
    rows = np.array(steps) - 1
    np.testing.assert_array_equal(got, expected.predict(5)[rows])
    np.testing.assert_array_equal(
        found.predict_quantiles(steps, alpha=[0.9, 0.2]).to_numpy().T,
        expected.predict_quantiles(5, [0.9, 0.2])[:, rows],
    )
    bands = expected.predict(5, level=[29, 80])
    intervals = found.predict_interval(steps, coverage=[0.8, 0.29])
    for edge, short in (("lower", "lo"), ("upper", "hi")):
        for level in (80, 29):
            np.testing.assert_array_equal(intervals["sold", level / 100, edge], bands[f"Theta-{short}-{level}"][rows])
    with pytest.raises(RuntimeError, match="fit"):
        model.predict(1)  # what was passed stays as it was


@anyhow
@every_index
@pytest.mark.parametrize("levels", [1, 2])
def test_each_series_of_a_panel_goes_on_from_its_own_end(adapter, panel, indexed, levels):
    y = together([indexed(one) for one in panel], levels)
    found = adapter.Forecaster(rk.forecast.Theta(4)).fit(y)
    got = found.predict([1, 3])
    assert got.index.names == y.index.names and list(got.columns) == ["sold"]
    expected = rk.forecast.Theta(4).fit(panel).predict(3)
    np.testing.assert_array_equal(got["sold"].to_numpy().reshape(3, 2), expected[:, [0, 2]])
    ahead = [indexed(np.arange(length + 3.0)).index[[-3, -1]] for length in LENGTHS]
    assert list(got.index.get_level_values(-1)) == [time for times in ahead for time in times]
    # At times rather than steps, each series has as far to go as it is behind.
    later = indexed(np.arange(43.0)).index[-2:]
    horizons = pytest.importorskip("sktime.forecasting.base")
    asked = horizons.ForecastingHorizon(later, is_relative=False) if indexed is numbers else later
    at_times = found.predict(asked)["sold"].to_numpy().reshape(3, 2)
    farthest = rk.forecast.Theta(4).fit(panel).predict(22)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(at_times[row], farthest[row, 41 - length : 43 - length])


@anyhow
def test_intervals_hold_the_forecast_and_each_other(adapter, panel):
    found = adapter.Forecaster().fit(together([quarters(one) for one in panel]))
    middle = found.predict([1, 2, 3])["sold"]
    bands = found.predict_interval([1, 2, 3], coverage=[0.5, 0.9])["sold"]
    edges = [bands[0.9, "lower"], bands[0.5, "lower"], middle, bands[0.5, "upper"], bands[0.9, "upper"]]
    assert (np.diff(edges, axis=0) >= 0).all()


@anyhow
@every_index
def test_update_appends_or_fits_again(adapter, panel, indexed):
    whole = [indexed(one) for one in panel]
    begun, last = together([one[:-4] for one in whole]), together([one[-6:] for one in whole])  # two steps are known
    appended = rk.forecast.Theta(4).fit([one[:-4] for one in panel]).update([one[-4:] for one in panel])
    for refit, expected in ((False, appended), (True, rk.forecast.Theta(4).fit(panel))):
        found = adapter.Forecaster(rk.forecast.Theta(4)).fit(begun).update(last, update_params=refit)
        got = found.predict([1, 2])
        np.testing.assert_array_equal(got["sold"].to_numpy().reshape(3, 2), expected.predict(2))
        assert got.index[0][-1] == indexed(np.arange(22.0)).index[-1]
    later = adapter.Forecaster(rk.forecast.Theta(4)).fit(begun).update(last, update_params=False)
    again = later.update(last.tail(1), update_params=True).predict([1, 2])
    np.testing.assert_array_equal(again["sold"].to_numpy().reshape(3, 2), rk.forecast.Theta(4).fit(panel).predict(2))
    with pytest.raises(ValueError, match="'new'"):
        found.update(last.loc[["s0"]].rename(index={"s0": "new"}), update_params=False)


@anyhow
def test_gaps_are_gaps(adapter, panel):
    values = panel[1].copy()
    values[[4, 11, 12]] = np.nan
    expected = rk.forecast.Theta(4).fit(values).predict(2)
    lacking = quarters(values).dropna()  # whose index has no frequency
    np.testing.assert_array_equal(
        adapter.Forecaster(rk.forecast.Theta(4)).fit(quarters(values)).predict([1, 2]), expected
    )
    got = adapter.Forecaster(rk.forecast.Theta(4)).fit(together([lacking, lacking])).predict([1, 2])
    np.testing.assert_array_equal(got["sold"], [*expected, *expected])
    assert got.index[0][-1] == quarters(np.arange(31.0)).index[-1]


@anyhow
def test_what_cannot_be_forecast_is_refused(adapter, panel):
    y = quarters(panel[0])
    with pytest.raises(TypeError, match="expected model to be one of Auto, .* got int"):
        adapter.Forecaster(3).fit(y)
    for steps in ([0, 1], [-1]):
        with pytest.raises(NotImplementedError, match="in-sample"):
            adapter.Forecaster(rk.forecast.Theta()).fit(y).predict(steps)


@anyhow
def test_the_model_is_a_parameter(adapter):
    model = rk.forecast.Theta()
    found = adapter.Forecaster(model)
    assert found.get_params() == {"model": model} and found.set_params(model=None).get_params() == {"model": None}
    assert repr(found.set_params(model=model).clone().model) == repr(model)


@anyhow
def test_exogenous_data_is_what_is_known_ahead(adapter):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    price = rng.choice([1.0, 2.0], (6, 44))
    sold = together([months(100 * np.exp(-one)) for one in price])
    X = together([months(one) for one in price]).rename(columns={"sold": "price"})
    ends = sold.index.get_level_values(-1).unique()[[39, 43]]
    known = sold.index.get_level_values(-1) <= ends[0]
    model = rk.forecast.GlobalRNN(1, units=4, networks=1, epochs=100)
    forecaster = adapter.Forecaster(model).fit(sold[known], X[known], fh=[2, 4])
    said = forecaster.predict(X=X[~known])
    assert (np.abs(np.log(said / sold.loc[said.index])).mean() < 0.2).all()
    table = pd.DataFrame(
        {"unique_id": [f"s{i}" for i in range(6) for _ in range(40)], "y": sold[known]["sold"].to_numpy()}
    )
    table["ds"], table["price"] = sold[known].index.get_level_values(-1), X[known]["price"].to_numpy()
    ahead = pd.DataFrame({"unique_id": [f"s{i}" for i in range(6) for _ in range(4)]})
    ahead["ds"], ahead["price"] = sold[~known].index.get_level_values(-1), X[~known]["price"].to_numpy()
    plain = rk.forecast.GlobalRNN(1, units=4, networks=1, epochs=100, future_covariates=["price"]).fit(table)
    expected = plain.predict(4, future=ahead)["GlobalLSTM"].to_numpy().reshape(6, 4)[:, [1, 3]]
    np.testing.assert_array_equal(said["sold"].to_numpy().reshape(6, 2), expected)
    forecaster.update(sold[known], update_params=True)
    assert forecaster.model_.future_covariates == ["price"]
    np.testing.assert_array_equal(forecaster.predict(X=X[~known]), said)
    with pytest.raises(ValueError, match="expected X, with price, of the steps ahead"):
        forecaster.predict()
