"""Forecasters that learn from all series, on panels in partitions: what they have in common with a table in memory."""

import numpy as np
import pandas as pd
import pytest
from panel_runs import cut, dask, dataframe, panel, same_table, series
from scipy.signal import lfilter

from rnnkit.distributed.panels import PartitionBlocks
from rnnkit.forecast import Auto, GlobalRNN, Theta, cross_validation
from rnnkit.forecast.data.covariates import Covariates, Moments
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.held_out import Ends
from rnnkit.forecast.models import auto, smoothed_network
from rnnkit.forecast.models.normalization import Normalized, normalized
from rnnkit.forecast.models.smoothed_network import (
    SmoothedNetwork,
    _Network,
    _Piece,
    _pulled,
    _Weights,
    summed,
    times,
)

WINDOWS = {"h": 4, "n_windows": 2}


def small(**settings):
    return GlobalRNN(**{"units": 3, "networks": 2, "epochs": 2, "batch_size": 8, **settings})


@pytest.fixture(autouse=True)
def scheduler():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture
def tables(rng):
    return panel(6, rng, 12, 40)


@pytest.mark.parametrize("model", [Auto, small])
def test_L8_one_partition_gives_the_bits_of_the_table(model, tables):
    whole, empty = pd.concat(tables, ignore_index=True), tables[0].iloc[:0]
    fitted, lazy = model().fit(whole), model().fit([empty, whole, empty])
    same_table(lazy.predict(5, level=[80, 95]), fitted.predict(5, level=[80, 95]))
    same_table(lazy.predict_quantiles(30, [0.2, 0.7]), fitted.predict_quantiles(30, [0.2, 0.7]))
    same_table(model().cross_validation([whole], **WINDOWS), model().cross_validation(whole, **WINDOWS))


@pytest.mark.parametrize("numbered", [False, True])
def test_L8_few_series_have_the_bits_of_the_table_however_cut(numbered, tables, rng):
    swings = lfilter([1.0], [1.0, 0.95], rng.normal(size=(2, 160)))  # which an autoregression foresees
    tables += [series(f"long {i}", 160, rng).assign(y=one) for i, one in enumerate(swings)]
    tables += [series(f"seldom {i}", 40, rng).assign(y=rng.poisson(0.5, 40) + 0.0) for i in range(3)]  # intermittent
    if numbered:  # times that suggest no season
        tables = [one.assign(ds=np.arange(len(one))) for one in tables]
    whole = pd.concat(tables, ignore_index=True)
    fitted = Auto().fit(whole)
    assert fitted.weights[Auto.models.index("autoregression")].any()
    for given in (cut(tables, rng), [pd.concat(tables[:-3]), pd.concat(tables[-3:])]):
        same_table(Auto().fit(given).predict(5, level=90), fitted.predict(5, level=90))
    models = [Auto(), Theta()]
    lazy = cross_validation(models, cut(tables, rng), refit=numbered, **WINDOWS)
    same_table(lazy, cross_validation(models, whole, refit=numbered, **WINDOWS))


def test_L8_many_series_in_one_partition_have_the_bits_of_the_table(tables, monkeypatch):
    monkeypatch.setattr(auto, "_PANEL", 5)
    whole = pd.concat(tables, ignore_index=True)
    fitted = Auto().fit(whole)
    assert fitted._panel["network share"][0] > 0
    same_table(Auto().fit([whole]).predict(5), fitted.predict(5))
    halves = Auto().fit([pd.concat(tables[:3]), pd.concat(tables[3:])])
    assert halves._partitions.panel["network share"] > 0
    assert halves.predict(5).compute().notna().all(axis=None)


def with_prices(tables, rng):
    return [one.assign(price=rng.normal(size=len(one)) + 3, open=rng.integers(0, 2, len(one))) for one in tables]


@pytest.mark.parametrize("model", [Auto, GlobalRNN])
def test_L8_covariates_of_one_partition_have_the_bits_of_the_table(model, tables, rng, monkeypatch):
    monkeypatch.setattr(smoothed_network, "FEWEST", 1)
    monkeypatch.setattr(smoothed_network, "_UPDATES", 2)
    tables = with_prices(tables, rng)
    tables[0].loc[2, "price"] = np.nan
    whole, more = pd.concat(tables, ignore_index=True), {} if model is Auto else {"units": 3}
    make = lambda: model(past_covariates=["price"], future_covariates=["open"], **more)
    fitted, lazy = make().fit(whole), make().fit([whole])
    ahead = fitted._history.frame.ahead(3, {"open": np.ones((6, 3))})
    same_table(lazy.predict(3, future=ahead), fitted.predict(3, future=ahead))
    with pytest.raises(ValueError, match="series 's0'.*open|open.*series 's0'"):
        lazy.predict(3).compute()
    with pytest.raises(TypeError, match="future= as a table in memory"):
        lazy.predict(3, future=dataframe.from_pandas(ahead, npartitions=1))
    models = [make(), Theta()]
    same_table(cross_validation(models, [whole], **WINDOWS), cross_validation(models, whole, **WINDOWS))
    assert make().fit(tables).predict(3, future=ahead).compute().notna().all(axis=None)


def test_moments_of_parts_are_those_of_the_whole(rng):
    values = rng.normal(size=(40, 3)) * [1, 10, 0] + [0, 100, 7]
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:10, 1] = np.nan
    none = Covariates.none(0)
    of = lambda rows: none._replace(past=values[rows, None, :], static=np.zeros((len(values[rows]), 0))).moments()
    centre, width = Moments.together(
        [of(slice(0, 10)), of(slice(10, 10)), of(slice(10, 35)), of(slice(35, 40))]
    ).scale()
    np.testing.assert_allclose(centre, np.nanmean(values, axis=0))
    np.testing.assert_allclose(width, [*np.nanstd(values[:, :2], axis=0), 1.0])


def test_L8_schedulers_give_the_same_bits(tables, rng):
    parts = cut(tables, rng)
    with dask.config.set(scheduler="threads"):
        expected = small().fit(parts).predict(4).compute()
    same_table(small().fit(parts).predict(4), expected.reset_index(drop=True))


def test_partitions_teach_what_a_table_does(tables):
    """Batches are others, so that forecasts differ, but by less than a season's amplitude."""
    parts = [pd.concat(tables[:3]), pd.concat(tables[3:])]
    model = GlobalRNN(12, units=4, networks=1, epochs=20, batch_size=4)
    lazy, whole = model.copy().fit(parts).predict(6).compute(), model.copy().fit(pd.concat(tables)).predict(6)
    head = ["unique_id", "ds"]
    pd.testing.assert_frame_equal(lazy[head].reset_index(drop=True), whole[head], check_dtype=False)
    off = np.abs(lazy["GlobalLSTM"].to_numpy() - whole["GlobalLSTM"].to_numpy())
    assert 0 < off.mean() < 5


def test_gradients_of_parts_are_those_of_the_batch(rng):
    history = History.of([rng.normal(size=n).cumsum() + 50 for n in (20, 31, 40, 40, 25)])
    settings = SmoothedNetwork(4, 6, "gru", 3, None, 1, 1, 8, 0.01, 0)
    series = normalized(history, np.zeros(0), np.zeros(0))
    arrays = {name: array + 0.1 for name, array in _Network(settings, settings.window).shared.items()}
    own = {name: 0.1 * rng.normal(size=5) for name in ("alpha", "gamma", "level")}

    def pulled(rows):
        piece = _Piece(rows, {name: array[rows] for name, array in own.items()}, 0, 4)
        return _pulled(series, _Weights(settings, arrays, True), piece)

    whole, parts = pulled(np.arange(5)), [pulled(np.arange(2)), pulled(np.arange(2, 4)), pulled(np.arange(4, 5))]
    shares = [one.weight / sum(part.weight for part in parts) for one in parts]
    total = summed([times(one.shared, share) for one, share in zip(parts, shares, strict=True)])
    for name, array in whole.shared.items():
        np.testing.assert_allclose(total[name], array, rtol=1e-4, atol=1e-6)
    for name, array in whole.own.items():
        found = np.concatenate([one.own[name] * share for one, share in zip(parts, shares, strict=True)])
        np.testing.assert_allclose(found, array, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(np.max([one.furthest for one in parts], axis=0), whole.furthest)


def test_fit_tells_its_epochs_and_predict_reads_each_partition_once(tables):
    told, seen = [], []

    def load(table):
        seen.append(len(table))
        return table

    lazy = small(networks=1).fit([dask.delayed(load)(one) for one in tables[:2]], progress=told.append)
    epochs = ["network 1, epoch 1 of 2", "network 1, epoch 2 of 2"]
    assert told == [*(f"calibration, {one}" for one in epochs), "network 1, epoch 1 of 1"]  # which goes on
    seen.clear()
    lazy.predict(2).partitions[1].compute()
    assert seen == [len(tables[1])]


def test_no_series_comes_to_the_client(tables, monkeypatch):
    monkeypatch.setattr(auto, "_PANEL", 5)
    came = []
    for name in ("map", "some"):
        asked = getattr(PartitionBlocks, name)
        noted = lambda *given, asked=asked: came.extend(found := asked(*given)) or found
        monkeypatch.setattr(PartitionBlocks, name, noted)
    Auto(season=12).fit([pd.concat(tables[:3]), pd.concat(tables[3:])])
    assert len(came) > 100
    assert not any(isinstance(one, (pd.DataFrame, History, Normalized, Ends)) for one in came)


def test_F5_a_fault_leaves_the_forecaster_as_it_was(tables):
    model = small(networks=1, epochs=1).fit(pd.concat(tables))
    expected = model.predict(2)
    wrong = [one.copy() for one in tables]
    wrong[2].loc[3, "y"] = np.inf
    with pytest.raises(ValueError, match="series 's2': expected finite"):
        model.fit(wrong)
    assert model.predict(2).equals(expected)
