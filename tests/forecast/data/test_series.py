"""Series out of files: what is read, and what is said about files that can't be."""

import numpy as np
import pytest

from rnnkit.forecast.data.series import InputError, read_series


def written(folder, text):
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder, text, *arguments):
    return read_series(written(folder, text), *arguments)


def test_a_file_of_one_column_is_numbered(tmp_path):
    series = read(tmp_path, "load\n1\n2.5\n-3e2\n")
    assert series.name == "load"
    assert series.values.tolist() == [1, 2.5, -300]
    assert series.timeline.name == "step"
    assert series.timeline.times.tolist() == [0, 1, 2]


@pytest.mark.parametrize("cell", ["", " ", "NA", "nan", "NaN", "null", "None", "?", "n/a"])
def test_gaps(tmp_path, cell):
    values = read(tmp_path, f"t,y\n1,1\n2,{cell}\n3,3\n", "y", "t").values
    np.testing.assert_array_equal(values, [1, np.nan, 3])


@pytest.mark.parametrize(
    "text",
    [
        "year,y\n2000,1\n2001,2\n",
        "year;y\n2000;1\n2001;2\n",
        "year\ty\n2000\t1\n2001\t2\n",
        '"year", "y"\n"2000", "1"\n"2001", "2"\n',
        "year,y\r\n2000,1\r\n2001,2\r\n",
        "\ufeffyear,y\n2000,1\n\n2001,2",
    ],
)
def test_dialects(tmp_path, text):
    series = read(tmp_path, text)
    assert series.name == "y"
    assert series.values.tolist() == [1, 2]
    assert series.timeline.times.tolist() == [2000, 2001]


def test_columns_are_chosen_by_name(tmp_path):
    text = "when,a,b\n1,10,20\n2,11,21\n"
    series = read(tmp_path, text, "b", "when")
    assert series.values.tolist() == [20, 21]
    assert series.timeline.times.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("first", "second", "times"),
    [
        ("2001-12-29", "2002-01-05", ["2001-12-29", "2002-01-05"]),
        ("20011229", "20020105", ["2001-12-29", "2002-01-05"]),
        ("2001/12/29", "2002/01/05", ["2001-12-29", "2002-01-05"]),
        ("2001-11", "2001-12", ["2001-11-01", "2001-12-01"]),
        ("2001-12-29T00:00:00Z", "2002-01-05 00:00Z", ["2001-12-29", "2002-01-05"]),
        ("29.12.2001", "5.1.2002", ["2001-12-29", "2002-01-05"]),
        ("2001-12-29 06:00", "2001-12-29 12:00", ["2001-12-29T06:00:00.000000", "2001-12-29T12:00:00.000000"]),
        ("1999.5", "2000", ["1999.5", "2000.0"]),
        ("-3", "-2", ["-3", "-2"]),
    ],
)
def test_times(tmp_path, first, second, times):
    series = read(tmp_path, f"date,y\n{first},1\n{second},2\n")
    assert [str(time) for time in series.timeline.times] == times


def test_rows_that_are_missing_are_gaps(tmp_path):
    series = read(tmp_path, "date,y\n2000-01-01,1\n2000-02-01,2\n2000-04-01,4\n2000-05-01,5\n")
    np.testing.assert_array_equal(series.values, [1, 2, np.nan, 4, 5])
    assert str(series.timeline.times[2]) == "2000-03-01"


def test_no_file_is_opened_as_a_directory(tmp_path):
    with pytest.raises(InputError, match="is a directory"):
        read_series(tmp_path)
    with pytest.raises(InputError, match="there is no file"):
        read_series(tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", (), "is empty"),
        ("\n\n", (), "is empty"),
        ("a,b\n", (), "no values below"),
        ("a,b\n1,2\n", (), "the columns a, b; say with --column"),
        ("a,b\n1,2\n", ("c",), "no column 'c'; its columns are a, b"),
        ("a,b\n1,2\n", ("a", "c"), "no column 'c'; its columns are a, b"),
        ("a,a\n1,2\n", ("a",), "several columns of the same name"),
        ("1,2\n3,4\n", (), "starts with numbers"),
        ("a\n1\n2\nx\n", (), "line 4: expected a number in column 'a', or nothing for a gap; got 'x'"),
        ("a\n1\ninf\n", (), "line 3: expected a number"),
        ("a\n1_000\n", (), "line 2: expected a number"),
        ('t,a\n1,"2\n3"\n', ("a", "t"), "line 3: expected a number"),
        ("a,b\n1,2\n3\n", ("a",), "line 3: expected 2 cells as in the first; got 1"),
        ("a,b\n1,2\n3,4,5\n", ("a",), "line 3: expected 2 cells as in the first; got 3"),
        ("t,a\n1,\n2,NA\n", ("a", "t"), "no value in column 'a', only gaps"),
        ("date,a\n1,1\n2,2\n2,3\n", (), "line 4: expected times that go up in column 'date'; '2' comes twice"),
        ("date,a\n1,1\n3,2\n2,3\n", (), "line 4: expected times that go up in column 'date'; '2' comes after a later"),
        ("date,a\n2000-01-02,1\n2000-01-01,2\n", (), "line 3: expected times that go up"),
        ("date,a\n2000-01-02,1\nsoon,2\n", (), "line 3: expected a date such as 2001-12-29"),
        ("date,a\nsoon,1\n", (), "line 2: expected a number or a date"),
        ("date,a\n,1\n", (), "line 2: expected a number or a date"),
        (b"a\n\xff\xfe\n", (), "not a text file"),
        (b"a\n1\x002\n", (), "not a text file"),
        ("a\n" + "9" * 200_000 + "\n", (), "field larger than field limit"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, text, arguments, said):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, *arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
