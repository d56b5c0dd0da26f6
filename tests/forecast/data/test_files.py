"""Tables of series in files: what is read and written, and what is said about files that can't be read."""

import gzip
import sys

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import read_series, read_table, write_table

LONG = "unique_id,ds,y\nb,2001-01,1\nb,2001-02,2\na,2001-02,3\nb,2001-04,5\na,2001-03,4\n"


def read(folder, text, name="table.csv", **arguments):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, **arguments)


def fault(folder, text, **arguments):
    with pytest.raises(InputError) as caught:
        read(folder, text, **arguments)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 400
    return said.replace(f"{folder}/", "")


def values(frame):
    return {name: series.tolist() for name, series in zip(frame.ids, frame.series, strict=True)}


def times(frame, series=0):
    return [str(time) for time in frame.timelines[series].times]


# Layouts


def test_long_tables(tmp_path):
    frame = read(tmp_path, LONG)
    assert frame.names == ("unique_id", "ds", "y")
    np.testing.assert_array_equal(frame.series[0], [1, 2, np.nan, 5])
    np.testing.assert_array_equal(frame.series[1], [3, 4])
    assert times(frame, 1) == ["2001-02-01", "2001-03-01"]
    assert [str(time) for time in frame.timelines.ahead(2)[0]] == ["2001-05-01", "2001-06-01"]


@pytest.mark.parametrize("name", ["id", "series", "item_id", "Series_ID"])
def test_columns_are_found_by_their_names(tmp_path, name):
    frame = read(tmp_path, f"Value,Date,{name},price\n1,2001-01-01,x,7\n2,2001-01-02,x,8\n")
    assert frame.names == (name, "Date", "Value")
    assert frame.ids == ["x"]
    assert frame.covariates["price"][0].tolist() == [7, 8]


def test_columns_are_chosen_by_name(tmp_path):
    text = "shop,when,load,price\ns,1,10,1\ns,2,20,2\nt,1,30,3\nt,2,40,4\n"
    frame = read(tmp_path, text, id="shop", time="when", target="load")
    assert values(frame) == {"s": [10, 20], "t": [30, 40]}
    assert (
        fault(tmp_path, text, id="place") == "table.csv has no column 'place'; its columns are shop, when, load, price"
    )
    assert "say which one to forecast (target=)" in fault(tmp_path, text, id="shop", time="when")


def test_a_single_series(tmp_path):
    frame = read(tmp_path, "year,load\n2000,1\n2001,2\n2003,4\n")
    assert frame.ids == [None]
    np.testing.assert_array_equal(frame.series[0], [1, 2, np.nan, 4])
    assert frame.ahead(2, {"M": np.zeros((1, 2))})["year"].tolist() == [2004, 2005]


def test_wide_tables_have_a_series_in_each_column(tmp_path):
    frame = read(tmp_path, "month,north,south\n2001-01,1,10\n2001-02,2,\n2001-03,,30\n")
    assert frame.ids == ["north", "south"]
    np.testing.assert_array_equal(frame.series[0], [1, 2, np.nan])
    np.testing.assert_array_equal(frame.series[1], [10, np.nan, 30])
    out = frame.ahead(1, {"M": np.zeros((2, 1))})
    assert list(out) == ["unique_id", "month", "M"]
    assert out["unique_id"] == ["north", "south"]


def test_times_may_be_told_by_what_they_are(tmp_path):
    assert times(read(tmp_path, ",north,south\n31.12.2001,1,2\n01.01.2002,3,4\n")) == ["2001-12-31", "2002-01-01"]
    assert times(read(tmp_path, "Periode,a,b\n2001Q3,1,2\n2001Q4,3,4\n")) == ["2001-07-01", "2001-10-01"]


def test_numbers_are_no_times(tmp_path):
    assert values(read(tmp_path, "a,b\n1.2001,20010101\n2.3456,20010102\n")) == {
        "a": [1.2001, 2.3456],
        "b": [20010101, 20010102],
    }


def test_without_times_rows_are_numbered_within_each_series(tmp_path):
    frame = read(tmp_path, "id,y\nu,1\nv,2\nu,3\n")
    assert values(frame) == {"u": [1, 3], "v": [2]}
    assert frame.ahead(1, {})["step"].tolist() == [2, 1]


# Dialects


@pytest.mark.parametrize("separator", [*",;\t|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings(tmp_path, separator, end, encoding):
    text = LONG.replace(",", separator).replace("\n", end).replace("b", "Ä")
    frame = read(tmp_path, text.encode(encoding))
    assert frame.ids == ["Ä", "a"]
    assert frame.series[1].tolist() == [3, 4]


def test_gzip(tmp_path):
    assert read(tmp_path, gzip.compress(LONG.encode()), "table.csv.gz").ids == ["b", "a"]
    with pytest.raises(InputError, match="is not a whole file of gzip"):
        read(tmp_path, gzip.compress(LONG.encode())[:-9], "table.csv.gz")
    with pytest.raises(InputError, match="is not a whole file of gzip"):
        read(tmp_path, LONG, "table.csv.gz")


def test_what_spreadsheets_leave(tmp_path):
    frame = read(tmp_path, "month;a;b;;\n2001-01;1;2;;\n2001-02;3;4;;\n;;;;\n;;\n")
    assert values(frame) == {"a": [1, 3], "b": [2, 4]}


@pytest.mark.parametrize("cell", ["", " ", "NA", "nan", "#N/A", "n/a", "-", "?", "null", "None", "NaN"])
def test_gaps(tmp_path, cell):
    np.testing.assert_array_equal(read(tmp_path, f"t,y\n1,1\n2,{cell}\n3,3\n", time="t").series[0], [1, np.nan, 3])


@pytest.mark.parametrize(
    ("cells", "arguments", "read_as"),
    [
        (["1,5", "-2,25", "3"], {}, [1.5, -2.25, 3]),
        (["1.234,5", "1.234", "2"], {}, [1234.5, 1234, 2]),
        (["1,234.5", "1,234", "2"], {}, [1234.5, 1234, 2]),
        (["1,234,567", "1,234", "2"], {}, [1234567, 1234, 2]),
        (["1 234,5", "12\u00a0345", "1'234"], {}, [1234.5, 12345, 1234]),
        (["1.234", "2.345", "3"], {}, [1.234, 2.345, 3]),
        (["1,234", "0,5", "-"], {}, [1.234, 0.5, np.nan]),
        (["1,234", "2,345", "3"], {"decimal": ","}, [1.234, 2.345, 3]),
        (["1,234", "2,345", "3"], {"decimal": "."}, [1234, 2345, 3]),
        (["1.234", "2.345", "3"], {"decimal": ","}, [1234, 2345, 3]),
        (["1,5e3", "2E-1", "3"], {}, [1500, 0.2, 3]),
    ],
)
def test_decimal_commas_and_thousands(tmp_path, cells, arguments, read_as):
    for separator, quote in ((";", ""), ("\t", ""), (",", '"')):
        rows = [f"{time}{separator}{quote}{cell}{quote}" for time, cell in enumerate(cells)]
        frame = read(tmp_path, "\n".join([f"t{separator}y", *rows]), time="t", **arguments)
        np.testing.assert_array_equal(frame.series[0], read_as)


def test_one_column_tells_how_the_others_are_written(tmp_path):
    frame = read(tmp_path, "year;a;b\n2001;1.234;0,5\n2002;2.345;1,5\n")
    assert values(frame) == {"a": [1234, 2345], "b": [0.5, 1.5]}


@pytest.mark.parametrize(
    ("cells", "read_as"),
    [
        (["2001-12-31", "2002-01-01"], ["2001-12-31", "2002-01-01"]),
        (["31.12.2001", "01.01.2002"], ["2001-12-31", "2002-01-01"]),
        (["1.2.2001", "1.3.2001"], ["2001-02-01", "2001-03-01"]),
        (["31/12/2001", "01/01/2002"], ["2001-12-31", "2002-01-01"]),
        (["12/31/2001", "01/01/2002"], ["2001-12-31", "2002-01-01"]),
        (["12-31-01", "01-01-02"], ["2001-12-31", "2002-01-01"]),
        (["2001Q3", "2001Q4"], ["2001-07-01", "2001-10-01"]),
        (["2001-Q3", "2001-Q4"], ["2001-07-01", "2001-10-01"]),
        (["Q3 2001", "q4 2001"], ["2001-07-01", "2001-10-01"]),
        (["2001-12", "2002-01"], ["2001-12-01", "2002-01-01"]),
        (["2001M12", "2002M1"], ["2001-12-01", "2002-01-01"]),
        (["12/2001", "1/2002"], ["2001-12-01", "2002-01-01"]),
        (["12.2001", "01.2002"], ["2001-12-01", "2002-01-01"]),
        (["Dec 2001", "Jan 2002"], ["2001-12-01", "2002-01-01"]),
        (["Dec-01", "Jan-02"], ["2001-12-01", "2002-01-01"]),
        (["Dec-99", "January-00"], ["1999-12-01", "2000-01-01"]),
        (["31-Dec-2001", "1 January 2002"], ["2001-12-31", "2002-01-01"]),
        (["Dec 31, 2001", "January 1, 2002"], ["2001-12-31", "2002-01-01"]),
        (["31.12.2001 23:00", "01.01.2002 00:00"], ["2001-12-31T23:00:00.000000", "2002-01-01T00:00:00.000000"]),
        (["20011231", "20020101"], ["2001-12-31", "2002-01-01"]),
        (["2001/12/31", "2002/01/01"], ["2001-12-31", "2002-01-01"]),
        (["2001-12-31T00:00:00Z", "2002-01-01 00:00Z"], ["2001-12-31", "2002-01-01"]),
        (["2001-12-31 06:00", "2001-12-31 12:00"], ["2001-12-31T06:00:00.000000", "2001-12-31T12:00:00.000000"]),
        (["-3", "-2"], ["-3", "-2"]),
        (["2001-12-31T00:00+01:00", "2002-01-01T00:00+01:00"], ["2001-12-31", "2002-01-01"]),
        (
            ["2019-03-31T01:00+01:00", "2019-03-31T03:00+02:00"],
            ["2019-03-31T00:00:00.000000", "2019-03-31T01:00:00.000000"],
        ),
        (["2001", "2002"], ["2001", "2002"]),
        (["0.5", "1"], ["0.5", "1.0"]),
    ],
)
def test_dates(tmp_path, cells, read_as):
    assert times(read(tmp_path, f'date;y\n"{cells[0]}";1\n"{cells[1]}";2\n')) == read_as


def test_days_and_months_that_could_be_either(tmp_path):
    text = "date,y\n01/02/2001,1\n01/03/2001,2\n"
    assert "line 2: expected dates in column 'date' that tell days from months; got '01/02/2001'" in fault(
        tmp_path, text
    )
    assert times(read(tmp_path, text, dayfirst=True)) == ["2001-02-01", "2001-03-01"]
    assert times(read(tmp_path, text, dayfirst=False)) == ["2001-01-02", "2001-01-03"]
    assert times(read(tmp_path, "date,y\n01/01/2001,1\n02/02/2001,2\n")) == ["2001-01-01", "2001-02-02"]
    months = [f"{2001 + month // 12}-{month % 12 + 1:02}-01" for month in range(15)]
    for order in ("{1}/{2}/{0}", "{2}/{1}/{0}"):  # only one of the readings has equal steps
        rows = "\n".join(f"{order.format(*one.split('-'))},{row}" for row, one in enumerate(months))
        assert times(read(tmp_path, f"date,y\n{rows}\n")) == months
    twelve = "\n".join(f"{month}/1/2001,1" for month in range(1, 13))
    assert "tell days from months" in fault(tmp_path, f"date,y\n{twelve}\n")


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", {}, "table.csv is empty"),
        ("a,b\n", {}, "no values below"),
        ("1,2\n3,4\n", {}, "starts with numbers"),
        ("a,a\n1,2\n", {}, "several columns of the same name"),
        ("year,y\n2001,1\n2002\n", {}, "line 3: expected 2 cells as in the first; got 1"),
        (
            "ä,y\n1,1\n".encode("latin-1"),
            {},
            "table.csv is not a text file in UTF-8; expected CSV: spreadsheets call it",
        ),
        (
            b"PK\x03\x04\x14\x00",
            {},
            "table.csv is a workbook; expected CSV: save the sheet as CSV UTF-8, or read it with",
        ),
        (b"\xd0\xcf\x11\xe0\xa1", {}, "table.csv is a workbook"),
        ("Sales of 2001;;\n\nday;a;b\n", {}, "2 columns without a name; expected a first line with the names"),
        (b"a\n1\x002\n", {}, "table.csv is not a text file"),
        ("unique_id,ds\na,1\n", {}, "has the columns unique_id, ds; expected one of values besides"),
        ("year,y\n2001,1\n2002,x\n", {}, "line 3: expected a number in column 'y', or nothing for a gap; got 'x'"),
        (
            "year;y\n2001;1,5\n2002;1.5\n",
            {},
            "line 3: expected a number in column 'y', or nothing for a gap; got '1.5'",
        ),
        (
            "year;y\n2001;1,234\n",
            {},
            "line 2: expected a number in column 'y' that can be read in one way; got '1,234'",
        ),
        ("year,y,sky\n2001,1,blue\n", {}, "line 2: expected a number in column 'sky'"),
        ("year,y\n2001,inf\n", {}, "line 2: expected a number"),
        ("year,y\n2001,1_000\n", {}, "line 2: expected a number"),
        ('year,y\n2001,"2\n3"\n', {}, "line 3: expected a number"),
        ("year,y\n2001,2,3\n", {}, "line 2: expected 2 cells as in the first; got 3"),
        (b"a\n\xff\xfe\n", {}, "table.csv is not a text file"),
        ("a\n" + "9" * 200_000 + "\n", {}, "field larger than field limit"),
        ("date,y\n2001-01-01,1\n,2\n", {}, "line 3: expected a date such as 2001-12-29 in column 'date'; got ''"),
        ("date,y\nQ1 2001,1\n2001-04-01,2\n", {}, "line 3: expected a time written as 'Q1 2001' in column 'date'"),
        ("date,y\n31.12.2001,1\n12.31.2001,2\n", {}, "line 3: expected a date with the day first in column 'date'"),
        ("date,y\n1/2/2001,1\n1.2.2001,2\n30.30.2001,3\n", {}, "line 4: expected a date with the day first"),
        (
            "date,y\n2001-01-01,1\n2001-01-02T00:00Z,1\n",
            {},
            "line 3: expected a time zone in every cell of column 'date'",
        ),
        ("unique_id,ds,y\na,1,1\n,2,2\n", {}, "line 3: expected a value in each row of column 'unique_id'; got none"),
        ("ds,y\n1,1\n2,2\n1,3\n", {}, "line 4: expected one row for each time; got 1 twice; several series need"),
        ("id,ds,y\na,1,1\nb,1,1\na,1,3\n", {}, "line 4, series 'a': expected one row for each time; got 1 twice"),
        ("id,ds,y\na,1,1\nb,1,NA\nb,2,\n", {}, "line 3, series 'b': expected a value in column 'y' at one time"),
        (
            "id,ds,y\na,1,1\na,2,1\na,9,1\n",
            {},
            "line 4, series 'a': expected times that leave out a third of the steps",
        ),
        ("ds,y\n1,1\n2,2\n4,3\n", {"freq": 2}, "line 3: expected times in steps of 2; got 2"),
        ("ds,y\n1,1\n", {"freq": "D"}, "table.csv: expected freq as an integer, as the times are numbers; got 'D'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, text, arguments, said):
    assert said in fault(tmp_path, text, **arguments)


def test_one_series_of_a_file(tmp_path):
    """Its rows are numbered without times, and steps that are missing are gaps; unequal steps are one each."""
    path = tmp_path / "table.csv"

    def read_one(text, *arguments):
        path.write_text(text)
        series = read_series(path, *arguments)
        return series.name, series.values.tolist(), [str(time) for time in series.timeline.times]

    assert read_one("load\n1\n2.5\n-3e2\n") == ("load", [1, 2.5, -300], ["0", "1", "2"])
    assert read_one("when,a,b\n1,ten,20\n2,11,21\n", "b", "when") == ("b", [20, 21], ["1", "2"])
    assert read_one("Year ,y\n1,1\n4,2\n90,3\n")[2] == ["1", "4", "90"]
    name, values, times = read_one("date,y\n2000-01-01,1\n2000-02-01,2\n2000-04-01,4\n2000-05-01,5\n")
    np.testing.assert_array_equal(values, [1, 2, np.nan, 4, 5])
    assert times[2] == "2000-03-01"
    for text, arguments, said in (
        ("a,b\n1,2\n", (), "the columns a, b; say with --column"),
        ("a,b\n1,2\n", ("c",), "no column 'c'; its columns are a, b"),
        ("a,b\n1,2\n", ("a", "c"), "no column 'c'; its columns are a, b"),
        ("t,a\n1,\n2,NA\n", ("a", "t"), "no value in column 'a', only gaps"),
        ("date,a\n1,1\n2,2\n2,3\n", (), "line 4: expected times that go up in column 'date'; '2' comes twice"),
        ("date,a\n1,1\n3,2\n2,3\n", (), "line 4: expected times that go up in column 'date'; '2' comes after a later"),
        ("date,a\nsoon,1\n", (), "line 2: expected a number or a date"),
    ):
        with pytest.raises(InputError) as caught:
            read_one(text, *arguments)
        assert said in str(caught.value) and "\n" not in str(caught.value)


def test_no_file_and_no_such_mark(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_table(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="is a directory"):
        read_table(tmp_path)
    with pytest.raises(ValueError, match="expected decimal"):
        read(tmp_path, LONG, decimal=";")


# Writing


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet", "out.pq"])
def test_what_is_written_is_read_again(tmp_path, name):
    if "p" in name.split(".")[-1]:
        pytest.importorskip("pyarrow")
        pytest.importorskip("narwhals")
    frame = read(tmp_path, LONG)
    path = tmp_path / name
    write_table(path, frame.rows(*frame._every_step, {"price": np.concatenate(frame.series) / 3}))
    again = read_table(path)
    assert again.ids == frame.ids
    for one, other in zip(frame.series, again.series, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(again.covariates["price"][1], frame.series[1] / 3)
    assert [(line.times == other.times).all() for line, other in zip(frame.timelines, again.timelines, strict=True)]
    ahead = again.ahead(2, {"M": np.ones((2, 2))})
    write_table(tmp_path / "ahead.csv", ahead)
    assert (tmp_path / "ahead.csv").read_text() == (
        "unique_id,ds,M\nb,2001-05-01,1.0\nb,2001-06-01,1.0\na,2001-04-01,1.0\na,2001-05-01,1.0\n"
    )


def test_cells(tmp_path):
    clock = np.array(["2001-01-01T06:00", "2001-01-01T12:00"], "datetime64[ns]")
    write_table(tmp_path / "out.csv", {"t": clock, "n": [1, None], "f": [np.nan, 0.1], "s": ["a,b", 'c"d']})
    assert (tmp_path / "out.csv").read_text() == (
        't,n,f,s\n2001-01-01T06:00:00,1,,"a,b"\n2001-01-01T12:00:00,,0.1,"c""d"\n'
    )


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.csv"
    write_table(path, {"a": [1]})
    with pytest.raises(ValueError, match="expected columns of one length; got a: 1, b: 2"):
        write_table(path, {"a": [1], "b": [1, 2]})
    assert path.read_text() == "a\n1\n"
    assert [one.name for one in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("name", ["out.xlsx", "out.XLS", "out.ods"])
def test_no_workbooks_are_written(tmp_path, name):
    with pytest.raises(InputError, match=rf"ends in .csv, .csv.gz or .parquet; got {name}: .* to_excel"):
        write_table(tmp_path / name, {"a": [1]})
    assert not list(tmp_path.iterdir())


def test_what_was_read_is_shown_in_one_line(tmp_path):
    frame = read(tmp_path, "day;a;b\n01.12.2001;1,5;2\n02.12.2001;;3\n03.12.2001;2;\n")
    assert repr(frame) == "<2 series of 3 steps of 1 day, 2 gaps>"
    longer = "id,day,y,price\na,1,1,4\na,2,1,4\nb,1,2,4\nb,2,2,4\nb,3,2,4\n"
    assert repr(read(tmp_path, longer, target="y")) == "<2 series of 2 to 3 steps of 1, with price>"


def test_F1_forecasts_of_a_file_are_tables_of_pandas_where_it_is(tmp_path, monkeypatch):
    model = rk.forecast.Theta().fit(
        read(tmp_path, "shop,day,y\n" + "".join(f"a,{d},{d % 5}\n" for d in range(1, 31)), id="shop")
    )
    calls = lambda: (model.predict(2), model.cross_validation(read_table(tmp_path / "table.csv", id="shop"), 2))
    pd, _ = pytest.importorskip("pandas"), pytest.importorskip("narwhals")
    ahead, past = calls()
    assert isinstance(ahead, pd.DataFrame) and isinstance(past, pd.DataFrame)
    assert list(ahead) == ["shop", "day", "Theta", "Theta-lo-80", "Theta-hi-80"] and ahead["day"].tolist() == [31, 32]
    assert rk.forecast.evaluate(past, id="shop", time="day", target="y")["metric"].tolist()
    write_table(tmp_path / "out.csv", ahead)
    written = (tmp_path / "out.csv").read_text()
    for missing in ("pandas", "narwhals"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, missing, None)
            columns = calls()
            write_table(tmp_path / "out.csv", columns[0])
        assert [type(one) for one in columns] == [dict, dict]
        assert [list(one) for one in columns] == [list(ahead), list(past)]
        assert (tmp_path / "out.csv").read_text() == written


def test_parquet_of_columns_that_are_series(tmp_path):
    pytest.importorskip("narwhals")
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    months = np.array(["2001-01", "2001-02", "2001-03"], "datetime64[M]").astype("datetime64[s]")
    path = tmp_path / "wide.parquet"
    parquet.write_table(pa.table({"when": months, "a": [1, 2, 3], "b": [4.0, None, 6.0]}), path)
    frame = read_table(path)
    assert frame.ids == ["a", "b"]
    np.testing.assert_array_equal(frame.series[1], [4, np.nan, 6])
    parquet.write_table(pa.table({"when": months, "y": ["x", "y", "z"]}), path)
    with pytest.raises(InputError, match=r"wide.parquet: expected numbers in column 'y'; got 'x'"):
        read_table(path)
    parquet.write_table(pa.table({"a": [1, 2]}), path)
    with pytest.raises(InputError, match="no column of times"):
        read_table(path)
    path.write_text("no Parquet")
    with pytest.raises(InputError, match="can't be read as Parquet"):
        read_table(path)
    with pytest.raises(InputError, match="there is no file"):
        read_table(tmp_path / "missing.parquet")


def test_parquet_asks_for_pyarrow(tmp_path, monkeypatch):
    pytest.importorskip("narwhals")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (lambda: read_table(tmp_path / "a.parquet"), lambda: write_table(tmp_path / "a.parquet", {"a": [1]})):
        with pytest.raises(InputError, match=r"needs pyarrow; install it with: pip install 'rnnkit\[parquet\]'"):
            call()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_only_column_of_text_has_the_ids_where_times_come_twice(tmp_path, suffix):
    path = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    columns = {"month": ["2001-01", "2001-02"] * 2, "shop": ["north"] * 2 + ["west"] * 2, "sold": [1.0, 2.0, 3.0, 4.0]}
    if suffix == "parquet":
        columns["month"] = np.array(columns["month"], "datetime64[M]").astype("datetime64[D]")
    write_table(path, columns)
    assert [str(one) for one in read_table(path).ids] == ["north", "west"]
    write_table(path := tmp_path / "one.csv", {name: column[:2] for name, column in columns.items()})
    with pytest.raises(InputError, match="shop"):
        read_table(path)
