"""Tables of series: what is read, what goes out again, and what is said about tables that can't be read."""

import datetime
import decimal
import pickle
import subprocess
import sys

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")
nw = pytest.importorskip("narwhals")

import rnnkit as rk  # noqa: E402
from rnnkit.forecast.data.covariates import Covariates  # noqa: E402
from rnnkit.forecast.data.frames import Columns, is_frame, read, read_static  # noqa: E402

KINDS = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}


@pytest.fixture(params=KINDS)
def kind(request):
    """Makes a table of one library out of a DataFrame of pandas."""
    return KINDS[request.param]


def plain(table):
    frame = nw.from_native(table)
    return {name: frame[name].to_list() for name in frame.columns}


def monthly():
    """Two series of different lengths, one with a gap, a missing row, and covariates."""
    b = pd.date_range("2000-01-01", periods=6, freq="MS").delete(2)
    a = pd.date_range("2000-05-01", periods=4, freq="MS")
    return pd.DataFrame(
        {
            "unique_id": ["b"] * 5 + ["a"] * 4,
            "ds": [*b, *a],
            "y": [0.0, 1.0, np.nan, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            "price": range(9),
            "holiday": [True, False] * 4 + [True],
        }
    )


def same(one, other):
    assert one.ids == other.ids
    for mine, yours in zip(
        [one.series, *one.covariates.values()], [other.series, *other.covariates.values()], strict=True
    ):
        for left, right in zip(mine, yours, strict=True):
            np.testing.assert_array_equal(left, right)
    for left, right in zip(one.timelines, other.timelines, strict=True):
        np.testing.assert_array_equal(left.times, right.times)


# What is read


def test_series_gaps_and_covariates(kind):
    frame = read(kind(monthly()))
    assert frame.ids == ["b", "a"]
    np.testing.assert_array_equal(frame.series[0], [0, 1, np.nan, np.nan, 3, 4])
    np.testing.assert_array_equal(frame.series[1], [5, 6, 7, 8])
    assert list(frame.covariates) == ["price", "holiday"]
    np.testing.assert_array_equal(frame.covariates["price"][0], [0, 1, np.nan, 2, 3, 4])
    np.testing.assert_array_equal(frame.covariates["holiday"][1], [0, 1, 0, 1])
    assert frame.series[0].dtype == np.float64
    assert frame.timelines[0].times.astype("datetime64[M]").astype(str).tolist()[2] == "2000-03"
    assert str(frame.timelines.frequency) == "1 month"
    assert len(frame) == len(frame.timelines) == 2


def test_the_order_of_rows_is_irrelevant_but_for_the_order_of_series(kind, rng):
    table = monthly()
    ordered = read(table)
    for _ in range(5):
        shuffled = table.iloc[rng.permutation(len(table))]
        found = read(kind(shuffled))
        assert found.ids == list(dict.fromkeys(shuffled["unique_id"]))
        places = [ordered.ids.index(one) for one in found.ids]
        for mine, place in enumerate(places):
            np.testing.assert_array_equal(found.series[mine], ordered.series[place])
            np.testing.assert_array_equal(found.covariates["price"][mine], ordered.covariates["price"][place])
            np.testing.assert_array_equal(found.timelines[mine].times, ordered.timelines[place].times)


def test_rows_by_time_are_as_rows_by_series(kind):
    table = monthly().sort_values("ds", kind="stable")
    same(read(kind(table)), read(monthly()))


def test_frames_of_narwhals_are_read_too(kind):
    same(read(nw.from_native(kind(monthly()))), read(monthly()))
    column = nw.from_native(pl.Series([1.0, 2.0]), series_only=True)
    assert read(column).series[0].tolist() == [1, 2]


def test_the_table_is_not_shared():
    table = pd.DataFrame({"ds": range(4), "y": [1.0, 2.0, 3.0, 4.0]})
    frame = read(table)
    table.loc[:, "y"] = 9.0
    assert frame.series[0].tolist() == [1, 2, 3, 4]


def test_other_names_and_no_ids(kind):
    table = kind(pd.DataFrame({"when": [3, 1, 2], "load": [30, 10, 20]}))
    frame = read(table, ("unique_id", "when", "load"))
    assert frame.ids == [None]
    assert frame.series[0].tolist() == [10, 20, 30]
    assert plain(frame.ahead(2, {"M": np.ones((1, 2))})) == {"when": [4, 5], "M": [1, 1]}


@pytest.mark.parametrize(
    "ids",
    [
        ["x", "x", "y", "y"],
        [7, 7, 5, 5],
        pd.Categorical(["x", "x", "y", "y"], categories=["y", "x"]),
        pd.array([7, 7, 5, 5], dtype="Int64"),
        pd.array(["x", "x", "y", "y"], dtype="string"),
    ],
)
def test_ids_keep_their_kind(kind, ids):
    table = kind(pd.DataFrame({"unique_id": ids, "ds": [1, 2] * 2, "y": [1, 2, 3, 4]}))
    frame = read(table)
    assert frame.ids == [ids[0], ids[2]]
    out = frame.ahead(1, {})
    assert plain(out)["unique_id"] == frame.ids
    native = nw.from_native(table)
    assert nw.from_native(out)["unique_id"].dtype == native["unique_id"].dtype


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, None, 3], dtype="Int64"),
        pd.array([1.0, None, 3.0], dtype="Float64"),
        np.array([1.0, np.nan, 3.0], np.float32),
        [decimal.Decimal(1), None, decimal.Decimal(3)],
        pd.array([1, None, 3], dtype=pd.ArrowDtype(pa.int64())),
    ],
)
def test_what_is_missing_is_nan(kind, values):
    frame = read(kind(pd.DataFrame({"ds": [1, 2, 3], "y": values})))
    np.testing.assert_array_equal(frame.series[0], [1, np.nan, 3])


def test_booleans_with_missing_values(kind):
    table = kind(pd.DataFrame({"ds": [1, 2, 3], "y": [1, 2, 3], "flag": pd.array([True, None, False], "boolean")}))
    np.testing.assert_array_equal(read(table).covariates["flag"][0], [1, np.nan, 0])


# Times, and how they go on: as pandas's own

FREQUENCIES = ["D", "W", "W-WED", "2D", "MS", "ME", "QS", "QS-FEB", "QE", "QE-NOV", "YS", "YE", "B", "h", "6h", "15min"]


@pytest.mark.parametrize("freq", [*FREQUENCIES, "2MS", "30s"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "America/New_York", "UTC"])
@pytest.mark.parametrize("start", ["2019-03-28", "2019-10-24"])
def test_times_go_on_as_pandas_has_them(freq, zone, start):
    """Over the days when clocks change too."""
    times = pd.date_range(start, periods=40, freq=freq, tz=zone)
    for count in (12, 20):
        table = pd.DataFrame({"ds": times[:count], "y": np.arange(count)})
        expected = list(times[count : count + 10])
        assert list(read(table).ahead(10, {})["ds"]) == expected
        given = read(table, freq=freq).ahead(10, {})
        assert list(given["ds"]) == expected
        assert given["ds"].dtype == table["ds"].dtype


@pytest.mark.parametrize("freq", ["D", "W", "MS", "ME", "h", "15min", "B"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_libraries_agree_on_times(kind, freq, zone):
    times = pd.date_range("2019-03-20", periods=60, freq=freq, tz=zone)
    table = kind(pd.DataFrame({"ds": times[:50], "y": range(50)}))
    found = read(table).ahead(10, {"M": np.zeros((1, 10))})
    assert [pd.Timestamp(one) for one in plain(found)["ds"]] == list(times[50:])
    assert nw.from_native(found)["ds"].dtype == nw.from_native(table)["ds"].dtype
    assert type(found) is type(table)


@pytest.mark.parametrize("freq", ["M", "Q", "Y", "W", "D", "h", "3M"])
def test_periods_go_on(freq):
    periods = pd.period_range("2001-01-01", periods=9, freq=freq)
    series = pd.Series(np.arange(6), index=periods[:6])
    assert list(read(series).ahead(3, {})["ds"]) == list(periods[6:])
    table = pd.DataFrame({"ds": periods[:6].delete(2), "y": range(5)})
    frame = read(table)
    np.testing.assert_array_equal(frame.series[0], [0, 1, np.nan, 2, 3, 4])
    out = frame.ahead(3, {})
    assert list(out["ds"]) == list(periods[6:])
    assert out["ds"].dtype == table["ds"].dtype


@pytest.mark.parametrize(("ours", "polars"), [("MS", "1mo"), ("D", "1d"), ("W", "1w"), ("QS", "1q"), ("h", "1h")])
def test_names_of_polars(ours, polars):
    times = pd.date_range("2001-01-01", periods=9, freq=ours)
    table = pl.DataFrame({"ds": times[[0, 4, 5]].to_numpy(), "y": [1, 2, 3]})
    frame = read(table, freq=polars)
    np.testing.assert_array_equal(frame.series[0], [1, np.nan, np.nan, np.nan, 2, 3])
    assert frame.ahead(3, {})["ds"].to_list() == times[6:].to_pydatetime().tolist()


def test_dates_stay_dates(kind):
    days = [datetime.date(2001, 1, 30), datetime.date(2001, 1, 31), datetime.date(2001, 2, 1)]
    table = kind(pd.DataFrame({"ds": days, "y": [1, 2, 3]}))
    assert plain(read(table).ahead(2, {}))["ds"] == [datetime.date(2001, 2, 2), datetime.date(2001, 2, 3)]


def test_indices_of_pandas():
    assert read(pd.Series([1, 2, 3])).ahead(1, {})["ds"].tolist() == [3]
    assert read(pd.Series([1, 2, 3], index=[2, 0, 4])).series[0].tolist() == [2, 1, 3]
    week = pd.Series(range(5), index=pd.date_range("2001-01-01", periods=5, freq="B"))
    assert read(week).ahead(1, {})["ds"].tolist() == [pd.Timestamp("2001-01-08")], "the index says business days"
    with pytest.raises(ValueError, match="expected integers, dates or timestamps"):
        read(pd.Series([1, 2], index=["a", "b"]))


def test_columns_without_an_index():
    for column in (pl.Series([1, 2, None]), pa.chunked_array([[1, 2, None]])):
        assert is_frame(column)
        frame = read(column, ("id", "t", "v"))
        np.testing.assert_array_equal(frame.series[0], [1, 2, np.nan])
        assert plain(frame.ahead(2, {"M": np.zeros((1, 2))})) == {"t": [3, 4], "M": [0, 0]}


def test_a_day_of_a_clock_may_have_other_than_24_hours():
    noons = [
        pd.Timestamp(day, tz="Europe/Berlin") + pd.Timedelta(hours=12) * 0
        for day in pd.date_range("2019-03-28", periods=8)
    ]
    halves = sorted([*noons, *(one.replace(hour=12) for one in noons)])
    frame = read(pd.DataFrame({"ds": halves, "y": range(16)}))
    assert len(frame.series[0]) == 16
    assert list(frame.ahead(2, {})["ds"]) == [
        pd.Timestamp("2019-04-05", tz="Europe/Berlin"),
        pd.Timestamp("2019-04-05 12:00", tz="Europe/Berlin"),
    ]
    in_utc = pd.date_range("2019-03-28", periods=8, tz="UTC").tz_convert(
        "Europe/Berlin"
    )  # 24 hours, whatever clocks say
    assert list(read(pd.DataFrame({"ds": in_utc, "y": range(8)})).ahead(1, {})["ds"]) == [
        in_utc[-1] + pd.Timedelta(hours=24)
    ]


@pytest.mark.parametrize("zone", ["UTC+02:00", datetime.timezone(-datetime.timedelta(hours=3.5)), "Etc/GMT+1"])
def test_zones_of_a_fixed_offset(zone):
    times = pd.date_range("2001-01-31", periods=9, freq="ME", tz=zone)
    assert list(read(pd.DataFrame({"ds": times[:6], "y": range(6)})).ahead(3, {})["ds"]) == list(times[6:])


def test_a_single_time_takes_the_frequency_of_the_others():
    table = pd.concat([monthly(), pd.DataFrame({"unique_id": ["c"], "ds": [pd.Timestamp("2000-08-01")], "y": [1.0]})])
    frame = read(table)
    assert plain(frame.ahead(1, {}))["ds"][2] == pd.Timestamp("2000-09-01")
    two = pd.DataFrame({"unique_id": ["d", "d"], "ds": pd.to_datetime(["2000-01-01", "2000-03-01"]), "y": [1.0, 2.0]})
    np.testing.assert_array_equal(read(pd.concat([monthly(), two])).series[2], [1, np.nan, 2])


def test_series_may_begin_on_different_weekdays():
    table = pd.DataFrame(
        {
            "unique_id": [*"aaabbb"],
            "ds": [
                *pd.date_range("2001-01-01", periods=3, freq="7D"),
                *pd.date_range("2001-01-03", periods=3, freq="7D"),
            ],
            "y": range(6),
        }
    )
    assert read(table).ahead(1, {})["ds"].dt.day.tolist() == [22, 24]


# What goes out


def test_rows_and_cutoffs(kind):
    frame = read(kind(monthly()))
    out = frame.rows([0, 0, 1], [3, 4, 4], {"M": np.array([1.0, 2.0, 3.0])}, cutoffs=[2, 2, 3])
    assert type(out) is type(kind(monthly()))
    found = plain(out)
    assert list(found) == ["unique_id", "ds", "cutoff", "y", "M"]
    assert [pd.Timestamp(one).month for one in found["ds"]] == [4, 5, 9]
    assert [pd.Timestamp(one).month for one in found["cutoff"]] == [3, 3, 8]
    np.testing.assert_array_equal(found["y"], [np.nan, 3, np.nan])
    assert found["M"] == [1, 2, 3]


def test_in_sample_is_what_was_read(kind):
    frame = read(kind(monthly()))
    found = frame.rows(*frame._every_step, {name: np.concatenate(column) for name, column in frame.covariates.items()})
    same(read(found), frame)


def test_columns_of_another_shape_or_name_are_refused():
    frame = read(monthly())
    with pytest.raises(ValueError, match=r"expected column 'M' of shape \(2, 3\); got \(3, 2\)"):
        frame.ahead(3, {"M": np.zeros((3, 2))})
    with pytest.raises(ValueError, match="got 'ds'"):
        frame.ahead(3, {"ds": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="got 'y'"):
        frame.rows([0], [0], {"y": np.zeros(1)})


def test_a_frame_can_be_pickled(kind):
    frame = read(kind(monthly()))
    again = pickle.loads(pickle.dumps(frame))
    same(frame, again)
    assert plain(again.ahead(2, {})) == plain(frame.ahead(2, {}))


# What is known of the future, and of a series as a whole


def future(zone=None):
    table = monthly()
    if zone:
        table["ds"] = table["ds"].dt.tz_localize(zone)
    frame = read(table)
    ahead = frame.ahead(3, {"price": np.arange(6.0).reshape(2, 3), "sale": np.ones((2, 3))})
    return table, ahead


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_covariates_known_ahead(kind, rng, zone):
    table, ahead = future(zone)
    frame = read(kind(table))
    extra = pd.concat([ahead, ahead.assign(unique_id="z"), table[["unique_id", "ds"]].assign(price=9.0, sale=9.0)])
    for rows in (ahead, extra.iloc[rng.permutation(len(extra))]):
        found = frame.future(kind(rows), 2, ["price", "sale"])
        assert list(found) == ["price", "sale"]
        assert found["price"].tolist() == [[0, 1], [3, 4]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="price"), "expected the table of the future with the columns unique_id, ds, price"),
        (lambda f: f[f.unique_id != "a"], "got 2000-09-01 of series 'a' not at all"),
        (lambda f: f.drop(index=1), "got 2000-08-01 of series 'b' not at all"),
        (lambda f: pd.concat([f, f.iloc[[2]]]), "got 2000-09-01 of series 'b' twice"),
        (
            lambda f: f.assign(price=[0, np.nan, 1, 2, 3, 4]),
            "value of 'price' at each step ahead; got none at 2000-08-01",
        ),
        (lambda f: f.assign(price="high"), "expected numbers in column 'price'; got 'high' in row 0"),
        (lambda f: f.assign(ds=range(6)), "expected times of Datetime"),
        (lambda f: f.assign(ds=f.ds.dt.tz_localize("UTC")), "expected times of Datetime"),
    ],
)
def test_what_is_lacking_in_the_future_is_named(change, said):
    table, ahead = future()
    with pytest.raises(ValueError, match="^expected") as caught:
        read(table).future(change(ahead), 3, ["price"])
    assert said in str(caught.value)


def test_static_tables(kind):
    frame = read(kind(monthly()))
    static = pd.DataFrame({"unique_id": ["a", "z", "b"], "size": [1, 9, 2], "open": [True, True, False]})
    names, values = read_static(kind(static), frame)
    assert names == ["size", "open"]
    assert values.tolist() == [[2, 0], [1, 1]]
    texts = static.assign(size=["s", "m", "l"])
    names, values = read_static(kind(texts), frame)
    assert names == ["size=l", "size=s", "open"]
    assert values.tolist() == [[1, 0, 0], [0, 1, 1]]
    known = ["size=m", "size=s", "open"]
    assert read_static(kind(texts), frame, known)[1].tolist() == [[0, 0, 0], [0, 1, 1]]
    for change, said in (
        (static.iloc[:2], "got none for series 'b'"),
        (pd.concat([static, static]), "got 2 for series 'b'"),
        (static.drop(columns="unique_id"), "the static table with the columns unique_id; got size, open"),
        (static.assign(size=[datetime.date(2020, 1, 1)] * 3), "expected numbers in column 'size'"),
        (static.assign(size=["s", "m", None]), "got none of 'size' for series 'b'"),
        (static.assign(size=[1, 2, None]), "got none of 'size' for series 'b'"),
    ):
        with pytest.raises(ValueError) as caught:
            read_static(kind(change), frame)
        assert said in str(caught.value)


# What can't be read


def days(count, start="2001-01-01", step=1):
    return pd.date_range(start, periods=count, freq=f"{step}D")


def long(**series):
    """A table of series, each given by its times."""
    return pd.concat(
        [
            pd.DataFrame({"unique_id": name, "ds": times, "y": np.arange(len(times)) + 1.0})
            for name, times in series.items()
        ],
        ignore_index=True,
    )


def by(freq):
    return pd.date_range("2001-01-01", periods=9, freq=freq)


HOLES = "series 'a': expected times that leave out a third of the steps at most, or a frequency (freq=)"
UNEQUAL = "series 'a': expected times in equal steps, or a frequency (freq=)"
MIXED = "series 'b': expected series of one frequency; got steps of "


def test_tables_are_told_from_arrays():
    tables = [
        monthly(),
        pl.DataFrame(),
        pl.LazyFrame(),
        pa.table({}),
        pd.Series(dtype=float),
        pl.Series(),
        nw.from_native(pl.DataFrame()),
    ]
    assert all(map(is_frame, tables))
    assert not any(map(is_frame, [None, 1.0, "y", [1, 2], np.arange(3), {"y": [1]}, pd.Index([1]), pd.Timestamp(0)]))
    with pytest.raises(TypeError, match="expected a DataFrame or a Series; got ndarray"):
        read(np.arange(3))
    with pytest.raises(TypeError, match="LazyFrame: collect"):
        read(pl.LazyFrame({"y": [1]}))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (monthly().iloc[:0], "expected a table with rows; got an empty one"),
        (monthly().drop(columns="y"), "columns ds, y; got unique_id, ds, price, holiday"),
        (monthly().drop(columns="ds"), "columns ds, y; got unique_id, y, price, holiday"),
        (
            pd.DataFrame({"month": by("MS"), "a": 1.0, "b": 2.0}),
            "columns ds, y; got month, a, b; id=, time= and target= give other names; a table with a column of numbers",
        ),
        (pd.concat([monthly(), monthly()]), "series 'b': expected one row for each time; got 2000-01-01 twice"),
        (monthly().drop(columns="unique_id"), "twice; several series need a column of ids, such as 'unique_id'"),
        (monthly().assign(y="x"), "expected numbers in column 'y'; got 'x' in row 0, of series 'b'"),
        (monthly().assign(y=[1.0] * 6 + ["n"] * 3), "got 'n' in row 6, of series 'a'"),
        (monthly().assign(y=pd.Timestamp(0)), "expected numbers in column 'y'; got Timestamp"),
        (monthly().assign(sky=[1, "blue", *[2] * 7]), "expected numbers in column 'sky'; got 'blue'"),
        (monthly().assign(y=[np.nan] * 5 + [1.0] * 4), "series 'b': expected a value in column 'y' at one time"),
        (
            monthly().assign(y=[1.0] * 8 + [np.inf]),
            "series 'a': expected finite values in column 'y'; got an infinite one at 2000-08",
        ),
        (monthly().assign(price=-np.inf), "expected finite values in column 'price'"),
        (monthly().assign(unique_id=["a"] * 8 + [None]), "each row of column 'unique_id'; got none in row 8"),
        (monthly().assign(ds=[pd.NaT, *monthly().ds[1:]]), "in each row of column 'ds'; got none in row 0"),
        (monthly().assign(ds="2001-01-01"), "convert the column, with pandas.to_datetime"),
        (monthly().assign(ds=np.arange(9) + 0.5), "expected integers, dates or timestamps in column 'ds'; got 0.5"),
        (long(a=days(9).delete([1, 2, 3, 4, 5])), HOLES + "; got 2001-01-01 and then 2001-01-07"),
        (
            long(b=days(3), a=[*days(3), pd.Timestamp("2001-01-05 07:30")]),
            UNEQUAL + "; got 2001-01-03 and then 2001-01-05 07:30",
        ),
        (long(a=pd.to_datetime(["2001-01-01", "2001-01-03", "2001-01-06"])), UNEQUAL),
        (long(a=days(9), b=days(9, step=7)), MIXED + "1 week here and of 1 day in others"),
        (long(a=days(9), b=by("MS")), MIXED + "1 month here and of 1 day in others"),
        (long(a=by("MS"), b=days(9)), MIXED + "1 day here and of 1 month in others"),
        (long(a=by("MS"), b=by("QS")), MIXED + "3 months"),
        (long(a=[1, 2, 3], b=[2, 4, 6, 8]), MIXED + "2 here and of 1"),
        (long(a=days(1), b=days(1)), "expected two times at least, or a frequency (freq=); got 2001-01-01 alone"),
    ],
)
def test_F8_what_is_wrong_with_a_table_is_said(table, said):
    with pytest.raises(ValueError) as caught:
        read(table)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_at_the_ends_of_their_range():
    table = pl.DataFrame({"ds": [253, 254, 255], "y": [1, 2, 3]}, schema_overrides={"ds": pl.UInt8})
    assert read(table[:2]).ahead(1, {})["ds"].dtype == pl.UInt8
    assert read(table).ahead(1, {})["ds"].to_list() == [256]
    with pytest.raises(ValueError, match="less than 2"):
        read(pl.DataFrame({"ds": [-(2**63), 2**63 - 1], "y": [1, 2]}))
    with pytest.raises(MemoryError, match="the series with their gaps"):
        read(pl.DataFrame({"ds": [0, 2**40], "y": [1, 2]}), freq=1)


def test_names_that_come_twice():
    table = pd.DataFrame([[1, 1.0, 2.0]], columns=["ds", "y", "y"])
    with pytest.raises(ValueError, match="a name of its own for each column"):
        read(table)


def test_a_column_of_ids_that_was_named_has_to_be_there():
    with pytest.raises(ValueError, match="columns store, ds, y; got unique_id"):
        read(monthly(), Columns(id="store"))


@pytest.mark.parametrize(
    ("freq", "times", "said"),
    [
        ("D", ["2001-01-01", "2001-01-02 06:00"], "expected times in steps of 1 day; got 2001-01-02 06:00"),
        ("MS", ["2001-01-01", "2001-02-02"], "in steps of 1 month on day 1 of a month; got 2001-02-02"),
        ("M", ["2001-01-01", "2001-02-01"], "in steps of 1 month at the end of a month; got 2001-01-01"),
        ("QS", ["2001-01-01", "2001-03-01"], "in steps of 3 months on day 1 of a month; got 2001-03-01"),
        ("QS-FEB", ["2001-01-01", "2001-04-01"], "on day 1 of a month (FEB, MAY, AUG, NOV); got 2001-01-01"),
        ("W-SUN", ["2001-01-01", "2001-01-08"], "in steps of 1 week (SUN); got 2001-01-01"),
        ("B", ["2001-01-05", "2001-01-06"], "in steps of 1 business day; got 2001-01-06"),
        (2, ["2001-01-01"], "expected freq such as 'D' or 'MS', as the times are dates; got 2"),
        ("fortnight", ["2001-01-01"], "expected freq as an integer"),
        ("D-MON", ["2001-01-01"], "expected freq as an integer"),
        ("0D", ["2001-01-01"], "expected freq as an integer"),
    ],
)
def test_times_have_to_lie_on_a_frequency_that_is_given(freq, times, said):
    table = pd.DataFrame({"unique_id": "s", "ds": pd.to_datetime(times, format="ISO8601"), "y": 1.0})
    with pytest.raises(ValueError) as caught:
        read(table, freq=freq)
    assert said in str(caught.value)


def test_numbers_and_a_frequency():
    table = pd.DataFrame({"ds": [1, 11, 13], "y": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(read(table, freq=2).series[0], [1, *[np.nan] * 4, 2, 3])
    with pytest.raises(ValueError, match="expected times in steps of 5; got 13"):
        read(table, freq=5)
    with pytest.raises(ValueError, match="expected freq as an integer, as the times are numbers; got 'D'"):
        read(table, freq="D")


def test_no_table_imports_nothing_and_narwhals_is_asked_for():
    code = """
import sys
sys.modules["narwhals"] = None
from rnnkit.forecast.data.frames import is_frame, read
assert not is_frame([1.0]) and not {"pandas", "polars", "pyarrow"} & set(sys.modules)
import polars, rnnkit as rk
table = polars.DataFrame({"y": [1]})
taken_apart, added = lambda one: rk.sequences_from_frame(one, "y"), lambda one: rk.forecast.reconcile(one, one)
for call in (read, rk.forecast.evaluate, taken_apart, added):
    try:
        call(table)
    except ImportError as error:
        print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == 4 * "tables need narwhals; install it with: pip install 'rnnkit[tables]'\n"


@pytest.mark.parametrize("freq", ["D", "W", "MS", "ME", "QE", "B", "h", "7min"])
def test_every_value_lies_at_its_time(kind, rng, freq):
    """Series of all lengths from any time on, a fifth of whose rows are missing, in any order."""
    times = pd.date_range("2019-01-01", periods=80, freq=freq)
    parts = []
    for name in range(12):
        begin = rng.integers(40)
        kept = times[begin : begin + rng.integers(10, 40)]
        kept = kept[rng.random(len(kept)) > 0.2]
        parts.append(pd.DataFrame({"unique_id": name, "ds": kept, "y": rng.normal(size=len(kept))}))
    table = pd.concat(parts).sample(frac=1, random_state=1)
    frame = read(kind(table))
    assert frame.ids == list(dict.fromkeys(table["unique_id"]))
    found = frame.rows(*frame._every_step, {})
    rows = pd.DataFrame(plain(found)).dropna().sort_values(["unique_id", "ds"])
    expected = table.sort_values(["unique_id", "ds"])
    assert rows["unique_id"].tolist() == expected["unique_id"].tolist()
    assert rows["ds"].tolist() == expected["ds"].tolist()
    assert rows["y"].tolist() == expected["y"].tolist()
    assert set(plain(found)["ds"]) <= set(times), "gaps lie at times between"


def test_F12_ids_of_several_columns(kind, tmp_path):
    """Are those of one column that has both, in every table that comes out or goes in, and in a file."""
    table = long(aa=days(6), ab=days(6), ba=days(5)).sample(frac=1, random_state=2)
    later = long(ab=days(7)[-1:])
    parts, rows = (
        one.assign(store=one["unique_id"].str[0], item=[ord(name[1]) for name in one["unique_id"]]).drop(
            columns="unique_id"
        )
        for one in (table, later)
    )
    names = {"id": ["store", "item"]}
    one, several = rk.forecast.Theta().fit(kind(table)), rk.forecast.Theta().fit(kind(parts), **names)
    several.save(tmp_path / "model.npz")
    pairs = [
        (one.predict(2), several.predict(2)),
        (one.predict(2), rk.load_model(tmp_path / "model.npz").predict(2)),
        (one.fitted(), several.fitted()),
        (one.check_residuals(2), several.check_residuals(2)),
        (one.cross_validation(kind(table), 2), several.cross_validation(kind(parts), 2, **names)),
        (one.update(kind(later)).predict(1), several.update(kind(rows)).predict(1)),
    ]
    for expected, found in (map(plain, pair) for pair in pairs):
        ids = [f"{a}{chr(b)}" for a, b in zip(found.pop("store"), found.pop("item"), strict=True)]
        assert ids == expected.pop("unique_id") and found == expected
    scores = rk.forecast.evaluate(several.cross_validation(parts, 1, **names), train=parts, **names)
    assert list(plain(scores))[:3] == ["store", "item", "metric"]
    assert read(parts, (("store", "item"), "ds", "y")).label(0) == f"series {(ids[0][0], ord(ids[0][1]))!r}"
    with pytest.raises(ValueError, match="columns store, thing, ds, y"):
        read(parts, (("store", "thing"), "ds", "y"))


@pytest.mark.parametrize("shape", ["column", "index", "unnamed index", "periods", "polars"])
def test_a_column_for_each_series(shape):
    """The forecasts are those of the same table with a row for each series and time; later rows have the same form."""
    table = long(a=days(9), b=days(9), c=days(9))
    table["y"] = np.random.default_rng(0).normal(size=27)
    shapes = {
        "column": lambda wide: wide.reset_index().rename_axis(columns=None),
        "index": lambda wide: wide,
        "unnamed index": lambda wide: wide.rename_axis(None),
        "periods": lambda wide: wide.to_period("D"),
        "polars": lambda wide: pl.DataFrame(wide.reset_index()),
    }
    wide, model = table.pivot(index="ds", columns="unique_id", values="y"), rk.forecast.Theta()
    expected = rk.forecast.Theta().fit(table[table["ds"] < days(9)[-1]])
    model.fit(shapes[shape](wide.iloc[:-1]))
    assert plain(model.predict(2))["unique_id"] == ["a", "a", "b", "b", "c", "c"]
    np.testing.assert_array_equal(plain(model.predict(2))["Theta"], expected.predict(2)["Theta"])
    model.update(shapes[shape](wide.iloc[-1:][["b"]]))
    expected.update(table[(table["ds"] == days(9)[-1]) & (table["unique_id"] == "b")])
    np.testing.assert_array_equal(plain(model.predict(2))["Theta"], expected.predict(2)["Theta"])


def test_ids_and_times_may_be_an_index():
    table = long(a=days(9), b=days(8))
    expected = rk.forecast.Theta().fit(table).predict(2)
    for index in ("unique_id", "ds", ["unique_id", "ds"], ["ds", "unique_id"]):
        found = rk.forecast.Theta().fit(table.set_index(index))
        assert found.predict(2).equals(expected)
        past = found.cross_validation(table.set_index(index), 2)
        scores = rk.forecast.evaluate(past.set_index("unique_id"), train=table.set_index(index))
        assert scores.equals(rk.forecast.evaluate(past, train=table))


@pytest.mark.parametrize("make", [lambda texts: texts, pd.Categorical], ids=["text", "categories"])
def test_covariates_of_text(make, kind):
    """Become a column of zeros and ones for each text; a text that wasn't there gives zeros."""
    sky = ["blue", "grey", None, "blue", "grey", "red", "red", "blue", "blue"]
    frame = read(kind(monthly().assign(sky=make(sky))))
    assert frame.texts == {"sky": ["blue", "grey", "red"]}
    both = Covariates.of_frame(frame, ["sky"], ["price"], np.zeros((2, 0)))
    assert both.past.shape == (2, 6, 3) and both.future.shape == (2, 6, 1)
    np.testing.assert_array_equal(both.past[0, [0, 1, 5]], [[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert np.isnan(both.past[0, [2, 3]]).all() and np.isnan(both.past[1, 4:]).all()
    ahead = pd.DataFrame(
        {
            "unique_id": ["b", "b", "a", "a"],
            "ds": pd.to_datetime(["2000-07-01", "2000-08-01", "2000-09-01", "2000-10-01"]),
        }
    )
    found = frame.future(kind(ahead.assign(sky=["red", "green", "blue", "grey"])), 2, ["sky"])
    np.testing.assert_array_equal(found["sky"], [[2, -1], [0, 1]])
    np.testing.assert_array_equal(frame.expanded("sky", found["sky"])[0], [[0, 0, 1], [0, 0, 0]])
    other = read(kind(ahead.assign(sky=["red", "green", "blue", "grey"], y=1.0)))
    np.testing.assert_array_equal(frame.future(other, 2, ["sky"])["sky"], [[2, -1], [0, 1]])


def test_forecasts_with_covariates_of_text(tmp_path):
    rng, steps = np.random.default_rng(0), 60
    kinds = np.array(["none", "leaflet", "half price"])
    table = long(a=days(steps + 3), b=days(steps + 3)).assign(promo=lambda frame: rng.choice(kinds, len(frame)))
    table["y"] = 50 + table["promo"].map({"none": 0, "leaflet": 10, "half price": 30}) + rng.normal(size=len(table))
    known, later = table[table["ds"] < days(steps + 1)[-1]], table[table["ds"] >= days(steps + 1)[-1]]
    for model in (
        rk.forecast.ExponentialSmoothing(1, future_covariates=["promo"]),
        rk.forecast.GlobalRNN(1, future_covariates=["promo"], units=4, networks=1, epochs=2),
    ):
        said = model.fit(known, verbose=0).predict(3, future=later)
        if model.name == "ExponentialSmoothing":
            assert np.abs(said[model.name].to_numpy() - later["y"].to_numpy()).max() < 6
        model.save(tmp_path / "model.npz")
        again = rk.load_model(tmp_path / "model.npz")
        assert again.predict(3, future=later).equals(said)
        assert (
            again.update(later)
            .predict(1, future=after(table))
            .equals(model.update(later).predict(1, future=after(table)))
        )


def after(table):
    """The step after each series' end, without a promotion."""
    last = table.groupby("unique_id", as_index=False)["ds"].max()
    return last.assign(ds=last["ds"] + pd.Timedelta(days=1), promo="none")
