"""Forecasters on panels in partitions: the bits of one call on the whole table."""

import numpy as np
import pandas as pd
import pytest
from panel_runs import cut, dask, dataframe, panel, same_table, series

from rnnkit.forecast import (
    ESN,
    TSB,
    Auto,
    Autoregression,
    ExponentialSmoothing,
    GlobalRNN,
    Theta,
    cross_validation,
    evaluate,
)

MODELS = {
    "theta": lambda: Theta(season=12),
    "smoothing": lambda: ExponentialSmoothing(season=12, form=["ANN", "AAA", "MNN"]),
    "autoregression": lambda: Autoregression(season=12),
    "tsb": lambda: TSB(),
}


@pytest.fixture(autouse=True)
def scheduler():
    with dask.config.set(scheduler="sync"):
        yield


def parts_of(frames):
    """What a user may give as partitions."""
    yield frames
    yield [dask.delayed(one) for one in frames]
    yield dataframe.from_delayed([dask.delayed(one) for one in frames], meta=frames[0].iloc[:0])


def check_all(model, tables, rng, scheduler="sync"):
    """Whatever a model says of partitions, against what it says of the whole."""
    if model is MODELS["tsb"]:
        tables = [one.assign(y=one["y"].clip(lower=0)) for one in tables]
    whole, frames = pd.concat(tables, ignore_index=True), cut(tables, rng)
    fitted = model().fit(whole)
    for given in parts_of(frames) if scheduler == "sync" else [frames]:
        lazy = model().fit(given)
        same_table(lazy.predict(5, level=[80, 95]), fitted.predict(5, level=[80, 95]), scheduler)
    same_table(lazy.predict_quantiles(3, [0.2, 0.7]), fitted.predict_quantiles(3, [0.2, 0.7]), scheduler)
    same_table(model().forecast(frames, 2), model().forecast(whole, 2), scheduler)
    options = {"h": 6, "n_windows": 4, "step_size": 5, "refit": bool(rng.integers(2)), "level": [90]}
    same_table(model().cross_validation(frames, **options), model().cross_validation(whole, **options), scheduler)


@pytest.mark.parametrize("name", MODELS)
def test_L8_partitions_give_the_bits_of_one_call(name):
    rng = np.random.default_rng(len(name))
    check_all(MODELS[name], panel(9, rng), rng, "threads" if name == "theta" else "sync")


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", MODELS)
def test_L8_partitions_give_the_bits_of_one_call_however_cut(name, seed):
    rng = np.random.default_rng(seed)
    tables = panel(int(rng.integers(1, 100)), rng, 4 if seed % 2 else 25, 150 if seed % 3 else 30)
    check_all(MODELS[name], [*tables, series("long", 40, rng)], rng, "threads" if seed % 2 else "sync")


def test_several_models_stand_side_by_side():
    rng = np.random.default_rng(0)
    tables, models = panel(4, rng, 30), [Theta(), ExponentialSmoothing(form="ANN")]
    lazy = cross_validation(models, cut(tables, rng), h=3, n_windows=2)
    same_table(lazy, cross_validation(models, pd.concat(tables), h=3, n_windows=2))


def test_F7_a_series_that_is_too_short_for_a_window_has_all_models_fitted_anew_in_all_partitions():
    rng = np.random.default_rng(0)
    tables = [series("a", 40, rng), series("b", 12, rng), series("c", 5, rng)]
    options = {"h": 4, "n_windows": 3}
    whole = Theta().cross_validation(pd.concat(tables), **options)
    same_table(Theta().cross_validation(tables, **options), whole)
    alone = Theta().cross_validation(tables[0], **options)
    assert not alone["Theta"].equals(whole["Theta"][: len(alone)])
    with pytest.raises(ValueError, match="more than 40 steps, for 10 windows of 4 steps; the longest has 40"):
        Theta().cross_validation(tables, h=4, n_windows=10)


def test_series_that_are_spread_are_shuffled_and_it_is_said():
    rng = np.random.default_rng(0)
    whole = pd.concat(panel(5, rng)).sample(frac=1, random_state=0, ignore_index=True)
    spread = dataframe.from_pandas(whole, npartitions=3)
    with pytest.warns(dask.array.PerformanceWarning, match="shuffled by 'unique_id'"):
        lazy = Theta().fit(spread).predict(3)
    columns = ["unique_id", "ds"]
    found, expected = (
        one.sort_values(columns).reset_index(drop=True) for one in (lazy.compute(), Theta().fit(whole).predict(3))
    )
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)


def test_columns_of_other_names_and_ids_in_the_index():
    rng = np.random.default_rng(0)
    names = {"unique_id": "shop", "ds": "month", "y": "sold"}
    tables = [one.rename(columns=names).assign(price=1.0) for one in panel(4, rng)]
    called = {"id": "shop", "time": "month", "target": "sold"}
    expected = Theta().fit(pd.concat(tables), **called).predict(2)
    same_table(Theta().fit(tables, **called).predict(2), expected)
    indexed = dataframe.from_pandas(pd.concat(tables).set_index("shop"), npartitions=2, sort=True)
    same_table(
        Theta().fit(indexed, **called).predict(2), Theta().fit(indexed.compute().reset_index(), **called).predict(2)
    )


def test_fit_reads_every_partition_once_and_predict_none():
    seen = []

    def load(table):
        seen.append(table["unique_id"].iloc[0])
        return table

    tables = panel(4, np.random.default_rng(0))
    head = tables[0].iloc[:0]
    lazy = dataframe.from_delayed([dask.delayed(load)(one) for one in tables], meta=head, verify_meta=False)
    said = Theta().fit(lazy).predict(3)
    assert sorted(seen) == ["s0", "s1", "s2", "s3"]
    said.partitions[2].compute()
    assert seen[4:] == ["s2"]


def test_partitions_have_one_frequency():
    rng = np.random.default_rng(0)
    short = series("short", 60, rng).fillna(1.0)
    for places in ([3], [3, 5]):  # one date or two say little: the others' months hold
        tables = [short.iloc[places], *panel(2, rng)]
        same_table(Theta().fit(tables).predict(2), Theta().fit(pd.concat(tables)).predict(2))
    for given in (holes := [short.iloc[[3, 6]], *tables[1:]], pd.concat(holes)):
        with pytest.raises(ValueError, match="series 'short': expected times that leave out a third"):
            Theta().fit(given)
    daily = tables[1].assign(unique_id="daily", ds=pd.date_range("2020-01-01", periods=len(tables[1])))
    with pytest.raises(ValueError, match="one frequency, or freq=; got steps of 1 month in one and of 1 day"):
        Theta().fit([*tables, daily])
    with pytest.raises(ValueError, match="series 'daily'.*steps of 1 month"):
        Theta().fit([*tables, daily], freq="MS")
    same_table(Theta().fit(tables, freq="MS").predict(2), Theta().fit(pd.concat(tables), freq="MS").predict(2))


def test_F5_a_fault_names_the_series_and_leaves_the_forecaster_as_it_was():
    tables = panel(4, np.random.default_rng(0))
    model = Theta().fit(pd.concat(tables))
    expected = model.predict(2)
    for column, value, told in (("y", np.inf, "finite"), ("ds", pd.Timestamp("2015-01-01"), "twice")):
        wrong = [one.copy() for one in tables]
        wrong[2].loc[3, column] = value
        with pytest.raises(ValueError, match=f"series 's2': expected .*{told}"):
            model.fit(wrong)
    assert model.predict(2).equals(expected)
    lazy = ExponentialSmoothing(form="MNN").fit([tables[0].assign(y=1.0), tables[1].assign(y=-1.0)]).predict(2)
    assert len(lazy.partitions[0].compute()) == 2
    with pytest.raises(ValueError, match="series 's1': expected positive values"):
        lazy.compute()


def test_what_partitions_cannot_do_is_refused():
    tables = panel(2, np.random.default_rng(0))
    fitted = Theta().fit(tables)
    regions = pd.DataFrame({"unique_id": ["s0", "s1"], "region": [0, 1]})
    for call, error, told in (
        (lambda: Auto(past_covariates=["price"]).fit(tables), ValueError, "got no 'price'"),
        (lambda: GlobalRNN(future_covariates=["a"]).cross_validation(tables, 2), ValueError, "got no 'a'"),
        (lambda: GlobalRNN().cross_validation(tables, 2, static=regions), ValueError, "no static="),
        (lambda: GlobalRNN().fit(tables, static=regions), ValueError, "no static="),
        (lambda: Theta().fit(tables, static=regions), ValueError, "no static="),
        (lambda: fitted.predict(2, future=tables[0]), ValueError, "no future="),
        (lambda: fitted.predict(0), ValueError, "expected h"),
        (lambda: fitted.predict(1, level=0), ValueError, "level"),
        (lambda: fitted.update(tables[0]), RuntimeError, "series in memory"),
        (lambda: fitted.parameters, RuntimeError, "series in memory"),
        (lambda: Theta().fit(tables, target="sold"), ValueError, "'sold'"),
        (lambda: Theta().fit([one.iloc[:0] for one in tables]), ValueError, "only empty partitions"),
        (lambda: Theta().fit(dask.array.ones((3, 9))), TypeError, "dask DataFrame"),
        (lambda: Theta().fit([dask.delayed(np.ones)(3)]), TypeError, "DataFrames of pandas; got ndarray"),
        (lambda: ESN().fit(tables), TypeError, "as a dask array"),
    ):
        with pytest.raises(error, match=told):
            call()


def test_what_needs_series_in_memory_says_so():
    tables = panel(2, np.random.default_rng(0))
    network = GlobalRNN(units=2, networks=1, epochs=1).fit(pd.concat(tables))
    past = Theta().cross_validation(tables, 2)
    for call in (lambda: network.forecast(dataframe.from_pandas(tables[0], npartitions=1), 2), lambda: evaluate(past)):
        with pytest.raises(TypeError, match=r"in memory; got a DataFrame of Dask: compute\(\) it first"):
            call()
    assert len(evaluate(past.compute())) == 10


def test_a_fit_in_memory_takes_the_place_of_partitions():
    tables = panel(2, np.random.default_rng(0))
    model = Theta().fit(tables).fit(pd.concat(tables))
    assert isinstance(model.predict(2), pd.DataFrame) and len(model.parameters) == 2
