"""The command, as a shell sees it: output, exit status, and what is left behind."""

import contextlib
import csv
import gzip
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import patience
import processes
import pytest

import rnnkit as rk
from rnnkit.forecast.command import main as command
from rnnkit.forecast.command import report

ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
WITHOUT = "import sys; sys.modules[{!r}] = None; from rnnkit.forecast.command.main import main; sys.exit(main({!r}))"


def run(*arguments, **options):
    """In a process of its own."""
    return processes.run([sys.executable, "-m", "rnnkit", *arguments], env=ENVIRONMENT, **options)


@pytest.fixture
def forecast(capsys):
    """``rnnkit forecast`` in this process, which saves the time to start one."""

    def forecast(*arguments):
        status = command.main(["forecast", *map(str, arguments)])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return forecast


@pytest.fixture
def table(tmp_path):
    """A file that works: monthly values with a season, noise and a gap."""
    month = np.arange(120)
    values = 10 + 3 * np.sin(2 * np.pi * month / 12) + 0.3 * np.random.default_rng(0).standard_normal(120)
    path = tmp_path / "table.csv"
    rows = [f"{2000 + m // 12}-{m % 12 + 1:02},{'' if m == 30 else round(v, 3)}" for m, v in enumerate(values)]
    path.write_text("\n".join(["month,load", *rows]))
    return path


@pytest.fixture
def wide(tmp_path):
    """A file of three series of monthly values, each with its column; the last one begins later."""
    month = np.arange(60)
    rng = np.random.default_rng(1)
    north = 100 + month + 10 * np.sin(month * np.pi / 6) + rng.normal(size=60)
    south = 40 + 4 * np.cos(month * np.pi / 6) + rng.normal(size=60)
    rows = [f"{2015 + m // 12}-{m % 12 + 1:02},{north[m]:.2f},{south[m]:.2f},{north[m] + south[m]:.2f}" for m in month]
    path = tmp_path / "wide.csv"
    path.write_text(
        "\n".join(["month,north,south,west", *(row.rpartition(",")[0] + "," for row in rows[:20]), *rows[20:]])
    )
    return path


@pytest.fixture
def long(wide):
    """The same values with a row for each series and month."""
    names, *rows = (line.split(",") for line in wide.read_text().splitlines())
    path = wide.with_name("long.csv")
    lines = [f"{name};{row[0]};{row[place]}" for place, name in enumerate(names[1:], 1) for row in rows if row[place]]
    path.write_text("\n".join(["shop;month;sales", *lines]))
    return path


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def one_line_of_error(result):
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("rnnkit: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_version():
    assert run("--version").stdout == f"rnnkit {rk.__version__}\n"


def test_info_says_what_a_report_needs():
    result = run("info")
    assert result.returncode == 0
    said = dict(line.split(None, 1) for line in result.stdout.splitlines() if not line.startswith("extra"))
    assert said["rnnkit"].split()[0] == rk.__version__
    assert said["numpy"] == np.__version__
    assert {"python", "platform", "scipy", "numba", "llvmlite", "threads", "vectors", "cache"} <= set(said)
    assert os.environ["RNNKIT_CACHE_DIR"] in said["cache"]
    assert "extra plots" in result.stdout
    assert "extra progress" in result.stdout


@pytest.mark.parametrize(
    ("model", "limit"), [("Theta", 1.2), pytest.param("Auto", 0.75, marks=pytest.mark.sweep)], ids=["Theta", "Auto"]
)
def test_the_bundled_series_are_forecast_and_drawn(tmp_path, model, limit):
    output, picture = tmp_path / "forecast.csv", tmp_path / "forecast.png"
    result = run("forecast", "--model", model.lower(), "--origins", 10, "--output", output, "--plot", picture)
    assert result.returncode == 0
    assert result.stderr == "", "no progress where nobody watches"
    assert "sunspots: 309 steps, 1700 to 2008, no gaps, season 11; 10 origins, 3 leads" in result.stdout
    assert "co2: 2284 steps, 1958-03-29 to 2001-12-29, 59 gaps, season 52; 10 origins, 12 leads" in result.stdout
    for series in ("sunspots", "co2"):
        line = next(line for line in result.stdout.splitlines() if line.startswith(f"{series} ") and model in line)
        *_, share, coverage, percent = line.split()
        assert float(share) <= limit
        assert 50 < float(coverage) <= 100
        assert percent == "%"
    rows = rows_of(output)
    assert list(rows[0]) == ["unique_id", "time", model, f"{model}-lo-80", f"{model}-hi-80"]
    assert [row["unique_id"] for row in rows] == ["sunspots"] * 3 + ["co2"] * 12
    assert [row["time"] for row in rows[:4]] == ["2009", "2010", "2011", "2002-01-05"]
    assert all(float(row[f"{model}-lo-80"]) < float(row[model]) < float(row[f"{model}-hi-80"]) for row in rows)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forecast.csv", "forecast.png"]


def test_a_file_is_forecast_and_the_seed_repeats_it(forecast, table, tmp_path):
    outputs = []
    for seed in (1, 1, 2):
        path = tmp_path / "out.csv"
        path.write_text("what was there before")
        result = forecast(
            table, "--model", "esn", "--horizon", 3, "--origins", 10, "--seed", seed, "--level", 90, "--output", path
        )
        assert result.returncode == 0
        assert result.stderr == ""
        outputs.append((path.read_text(), result.stdout))
    assert outputs[0] == outputs[1]
    assert outputs[0] != outputs[2]
    assert "load: 120 steps, 2000-01-01 to 2009-12-01, 1 gap, season 12; 10 origins, 3 leads" in outputs[0][1]
    assert "90 % from" in outputs[0][1]
    assert "\nin 90 %      share of what came that lay in the band\n" in outputs[0][1]
    assert "\nband         drawn from the errors in the last quarter" in outputs[0][1]
    rows = rows_of(path)
    assert list(rows[0]) == ["unique_id", "month", "ESN", "ESN-lo-90", "ESN-hi-90"]
    assert [row["month"] for row in rows] == ["2010-01-01", "2010-02-01", "2010-03-01"]
    assert abs(float(rows[0]["ESN"]) - 10) < 2


def test_horizon_season_and_columns_can_be_given(forecast, table):
    asked = ["--horizon", 2, "--season", 6, "--origins", 20, "--model", "theta"]
    result = forecast(table, "--column", "load", "--time", "month", *asked)
    assert result.returncode == 0
    assert "season 6; 20 origins, 2 leads" in result.stdout
    assert forecast(table, "--target", "load", "--decimal", ".", "--freq", "MS", *asked).stdout == result.stdout


def test_every_model_is_forecast_with_in_one_table(forecast, table, tmp_path):
    output, picture = tmp_path / "out.csv", tmp_path / "out.png"
    models = ["rnn", "gru,lstm", "esn", "linear", "auto", "theta", "ets", "autoregression"]
    small = ["--horizon", 2, "--origins", 2, "--units", 3, "--epochs", 1]
    result = forecast(*small, "--output", output, "--plot", picture, "--model", *models, table)
    assert result.returncode == 0
    assert result.stderr == ""
    titles = ["simple RNN", "GRU", "LSTM", "echo state network", "linear model", "Auto", "Theta"]
    titles += ["exponential smoothing", "autoregression"]
    columns = ["SimpleRNN", "GRU", "LSTM", "ESN", "Linear", "Auto", "Theta", "ExponentialSmoothing", "Autoregression"]
    rows = rows_of(output)
    assert len(rows) == 2
    assert [name for name in rows[0] if "-" not in name] == ["unique_id", "month", *columns]
    for name in columns:
        assert all(float(row[f"{name}-lo-80"]) < float(row[name]) < float(row[f"{name}-hi-80"]) for row in rows)
    places = [result.stdout.index(title) for title in [*titles, "seasonal naive"]]
    assert places == sorted(places)
    assert "series  month       SimpleRNN  80 % from" in result.stdout
    assert "between the quantiles that the model has learned" in result.stdout
    assert "drawn from the errors that the model expects" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("model", ["esn", "linear", "ets"])
def test_a_model_that_was_kept_forecasts_the_same_without_a_fit(forecast, table, tmp_path, model):
    kept, first, second = tmp_path / "kept.npz", tmp_path / "first.csv", tmp_path / "second.csv"
    asked = ["--horizon", 2, "--origins", 3, "--level", 90, "--model", model]
    result = forecast(table, *asked, "--save", kept, "--output", first)
    assert result.returncode == 0
    assert f"wrote {kept}" in result.stdout
    picture = tmp_path / "picture.png"
    result = forecast(table, "--load", kept, "--output", second, "--plot", picture)
    assert result.returncode == 0
    assert second.read_text() == first.read_text()
    assert "from a file, 2 leads" in result.stdout
    assert "naive" not in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    longer = forecast(table, "--load", kept, "--horizon", 3, "--level", 50, "--output", second)
    assert "50 % from" in longer.stdout and "3 leads" in longer.stdout
    (wide, *_), (narrow, *_, last) = map(rows_of, (first, second))
    name, *edges = [key for key in narrow if key not in ("unique_id", "month")]
    assert narrow[name] == wide[name]
    assert float(wide[f"{name}-lo-90"]) < float(narrow[edges[0]]) < float(narrow[name]) < float(narrow[edges[1]])
    assert float(last[edges[0]]) < float(last[edges[1]])
    kept.write_bytes(kept.read_bytes()[:-100])
    assert "damaged" in one_line_of_error(forecast(table, "--load", kept))


# several series


@pytest.mark.parametrize("kind", ["wide", "long", "gzip", "parquet"])
def test_all_series_of_a_file_are_tested_and_forecast(forecast, wide, long, kind):
    output = wide.with_name("out.csv")
    arguments = [wide, "--time", "month"] if kind == "wide" else [long, "--id", "shop", "--target", "sales"]
    if kind == "gzip":
        arguments[0] = wide.with_name("long.csv.gz")
        arguments[0].write_bytes(gzip.compress(long.read_bytes()))
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        arguments[0] = wide.with_name("long.parquet")
        read = rk.forecast.read_table(long, id="shop", target="sales")
        rk.forecast.write_table(arguments[0], read.rows(*read._every_step, {}))
    asked = ["--horizon", 6, "--model", "theta", "ets", "--level", "80", "95"]
    result = forecast(*arguments, *asked, "--output", output)
    assert result.returncode == 0
    assert result.stderr == ""
    assert ": 3 series of 40 to 60 steps of 1 month, no gaps, season 12; 1 window of 6 steps" in result.stdout
    head, theta, smoothing, naive = (line.split() for line in result.stdout.splitlines()[2:6])
    assert head == "model MAE RMSE sMAPE MASE of naive in 80 % in 95 %".split()
    assert (theta[0], smoothing[:2], naive[:2]) == ("Theta", ["exponential", "smoothing"], ["seasonal", "naive"])
    assert float(theta[4]) < float(naive[5])
    assert re.search(r"MASE of Theta: best 0.* \(\w+\), median 0.* \(\w+\), worst .* \(\w+\)", result.stdout)
    rows = rows_of(output)
    assert [row["month"] for row in rows[:2]] == ["2020-01-01", "2020-02-01"]
    assert [row["unique_id" if kind == "wide" else "shop"] for row in rows[::6]] == ["north", "south", "west"]
    for name in ("Theta", "ExponentialSmoothing"):
        edges = np.array([[float(row[f"{name}{e}"]) for e in EDGES] for row in rows])
        assert (np.diff(edges, axis=1) > 0).all()


EDGES = ("-lo-95", "-lo-80", "", "-hi-80", "-hi-95")


def test_the_scores_of_a_panel_are_those_of_evaluate(forecast, long, tmp_path):
    pl = pytest.importorskip("polars")
    shops = pl.read_csv(long, separator=";", schema_overrides={"month": pl.String})
    shops = shops.select(unique_id="shop", ds=pl.concat_str("month", pl.lit("-01")).str.to_date(), y="sales")
    tested = rk.forecast.Theta(12).cross_validation(shops, 4, n_windows=2, level=80)
    before = shops.filter(pl.col("ds") < tested["ds"].min())
    scores = rk.forecast.evaluate(tested, train=before, season=12).group_by("metric").agg(pl.col("Theta").mean())
    expected = dict(scores.rows())
    asked = ["--id", "shop", "--target", "sales", "--horizon", 4, "--model", "theta", "--cross-validate", 2]
    said = next(line for line in forecast(long, *asked).stdout.splitlines() if line.startswith("Theta")).split()
    del said[5]  # of naive
    for word, metric in zip(said[1:], ("mae", "rmse", "smape", "mase", "coverage-80"), strict=False):
        assert float(word) == pytest.approx(expected[metric], abs=0.5 if metric == "coverage-80" else 0.051)


def test_auto_is_the_default_and_draws_the_series_from_best_to_worst(forecast, wide, tmp_path):
    picture = tmp_path / "out.png"
    result = forecast(wide, "--horizon", 6, "--plot", picture, "--plot-series", 2)
    assert "\nAuto " in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert result.stdout.endswith(f"wrote {picture}\n")


def test_a_series_that_is_too_short_is_left_out_of_the_test_and_forecast(forecast, wide):
    lines = wide.read_text().splitlines()
    wide.write_text("\n".join([*lines[:13], *(f"{line.rpartition(',')[0]}," for line in lines[13:58]), *lines[58:]]))
    result = forecast(wide, "--horizon", 3, "--model", "theta")
    assert result.returncode == 0
    assert "1 series too short for a window: west" in result.stdout
    assert re.search(r"^west +2020-01-01 +1\d\d", result.stdout, re.MULTILINE)
    assert "needs more than 3 steps of series 'west'; it has 3" in one_line_of_error(
        forecast(wide, "--horizon", 3, "--cross-validate", 1, "--model", "theta")
    )


@pytest.mark.parametrize("suffix", ["csv", pytest.param("parquet", marks=pytest.mark.sweep)])
def test_what_is_known_ahead_is_read_from_a_file(forecast, tmp_path, suffix):
    """Of a network that is kept, too; a step that is lacking is named."""
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    rng, sold, ahead = np.random.default_rng(0), tmp_path / f"sold.{suffix}", tmp_path / f"ahead.{suffix}"
    days = np.datetime64("2024-01-01") + np.arange(40)
    price = rng.choice([1.0, 2.0], (12, 40))
    columns = {"shop": np.repeat([f"s{k}" for k in range(12)], 40).tolist(), "day": np.tile(days, 12)}
    values = {"sold": (100 * np.exp(-price)).ravel(), "price": price.ravel()}
    first = np.tile(np.arange(40) < 36, 12)

    def part(table, rows):
        return {name: np.asarray(column)[rows] for name, column in table}

    rk.forecast.write_table(sold, part({**columns, **values}.items(), first))
    rk.forecast.write_table(ahead, part({**columns, "price": values["price"]}.items(), ~first))
    named = [sold, "--id", "shop", "--time", "day", "--target", "sold", "--horizon", "4", "--season", "2"]
    options = ["--model", "lstm", "--units", "4", "--epochs", "80", "--save", tmp_path / "kept"]
    out = forecast(*named, "--future", ahead, *options, "--output", tmp_path / "out.csv")
    assert "LSTM" in out.stdout
    found = np.array([float(row["GlobalLSTM"]) for row in rows_of(tmp_path / "out.csv")])
    came = values["sold"][~first]
    assert np.abs(np.log(found / came)).mean() < 0.2
    forecast(*named[:-2], "--future", ahead, "--load", tmp_path / "kept", "--output", tmp_path / "again.csv")
    assert rows_of(tmp_path / "again.csv") == rows_of(tmp_path / "out.csv")
    rk.forecast.write_table(ahead, part({**columns, "price": values["price"]}.items(), ~first & (price.ravel() < 2)))
    said = one_line_of_error(run("forecast", *map(str, named), "--future", str(ahead)))
    assert "expected a row for each of 4 steps ahead of each series in the table of the future; got 2024-02-" in said
    rk.forecast.write_table(ahead, part({**columns, "rain": values["price"]}.items(), ~first))
    said = one_line_of_error(
        run("forecast", *map(str, named[:-2]), "--load", str(tmp_path / "kept"), "--future", str(ahead))
    )
    assert said.strip().endswith("has the columns shop, day, rain; expected 'price' too, which the model reads")
    forecast(*named, "--model", "theta", "--cross-validate", "0", "--save", tmp_path / "theta")
    said = one_line_of_error(
        run("forecast", *map(str, named[:-2]), "--load", str(tmp_path / "theta"), "--future", str(ahead))
    )
    assert said.strip().endswith("reads nothing of --future")
    said = one_line_of_error(run("forecast", *map(str, named), "--future", str(ahead)))
    assert said.strip().endswith("has the columns shop, day, rain; expected some that the series have: price")


@pytest.mark.parametrize("model", ["auto", "linear", "esn"])
def test_one_series_that_is_too_short_for_a_back_test_has_a_window(forecast, table, model):
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:61]))
    done = (
        forecast(table, "--model", model, "--epochs", "2") if model == "linear" else forecast(table, "--model", model)
    )
    assert "load: 60 steps, 2000-01-01 to 2004-12-01, 1 gap, season 12; 1 window of 12 steps" in done.stdout
    assert "has 60 values" in one_line_of_error(forecast(table, "--origins", "4", "--horizon", "30"))


def test_networks_take_several_series(forecast, wide, tmp_path):
    kept, first, second = tmp_path / "kept.npz", tmp_path / "first.csv", tmp_path / "second.csv"
    asked = ["--horizon", 2, "--units", 20, "--epochs", 2, "--level", 80, 95]
    done = forecast(wide, *asked, "--model", "esn", "linear", "--output", first)
    assert done.stderr == "" and "echo state network " in done.stdout and "linear model " in done.stdout
    names = [f"{name}{edge}" for name in ("ESN", "Linear") for edge in ("", "-lo-80", "-hi-80", "-lo-95", "-hi-95")]
    assert list(rows_of(first)[0]) == ["unique_id", "month", *names]
    forecast(wide, *asked[:4], "--cross-validate", 0, "--model", "esn", "--save", kept, "--output", first)
    for again in (["--load", kept], [*asked[:4], "--cross-validate", 0, "--model", "esn"]):  # from the same seed
        assert forecast(wide, *again, "--output", second).returncode == 0
        assert second.read_text() == first.read_text()


def test_one_series_too_has_windows_if_they_are_asked_for(forecast, wide, table):
    result = forecast(wide, "--column", "south", "--horizon", 2, "--cross-validate", 2, "--model", "theta")
    assert "south: 60 steps, 2015-01-01 to 2019-12-01, no gaps, season 12; 2 windows of 2 steps" in result.stdout
    assert len(result.stdout[result.stdout.index("series  month") :].splitlines()) == 3
    picture = table.with_name("picture.png")
    for file, windows in ((table, 2), (wide, 0)):
        forecast(file, "--cross-validate", windows, "--model", "theta", "--plot", picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
        picture.unlink()
    result = forecast(table, "--cross-validate", 0, "--model", "theta")
    assert "load: 120 steps, 2000-01-01 to 2009-12-01, 1 gap, season 12; 12 steps ahead" in result.stdout


def test_a_panel_that_was_kept_reads_on_in_a_longer_file_in_another_order(forecast, wide, tmp_path):
    kept, first, second = tmp_path / "kept.npz", tmp_path / "first.csv", tmp_path / "second.csv"
    rows = [line.split(",") for line in wide.read_text().splitlines()]
    asked = ["--horizon", 2, "--model", "theta", "--cross-validate", 0]
    assert forecast(wide, *asked, "--save", kept, "--output", first).returncode == 0
    wide.write_text("\n".join(",".join([row[0], row[3], row[1], row[2]]) for row in rows))
    assert forecast(wide, "--load", kept, "--output", second).returncode == 0
    assert sorted(first.read_text().splitlines()) == sorted(second.read_text().splitlines())
    wide.write_text(wide.read_text() + "\n2020-01,180,150,45")
    result = forecast(wide, "--load", kept, "--level", 50)
    assert "Theta  50 % from" in result.stdout
    assert "2020-02-01" in result.stdout
    wide.write_text("\n".join(",".join(row[:3]) for row in rows))
    assert "was fitted to a series 'west', which is not in" in one_line_of_error(forecast(wide, "--load", kept))
    wide.write_text("\n".join(",".join([*row, "5"]) for row in rows).replace("west,5", "west,east"))
    assert "was fitted without a series 'east'" in one_line_of_error(forecast(wide, "--load", kept))
    wide.write_text("\n".join(map(",".join, [rows[0], *rows[2:]])))
    assert "'north' from 2015-01-01 on; got it from 2015-02-01" in one_line_of_error(forecast(wide, "--load", kept))


def test_a_kept_model_of_one_series_is_not_one_of_several(forecast, wide, tmp_path):
    kept = tmp_path / "kept.npz"
    asked = ["--column", "south", "--horizon", 1, "--origins", 3, "--model", "theta", "--save", kept]
    assert forecast(wide, *asked).returncode == 0
    assert "takes one series; " in one_line_of_error(forecast(wide, "--load", kept))
    assert "fitted to south" in one_line_of_error(forecast(wide, "--column", "north", "--load", kept))


@pytest.mark.parametrize("windows", [0, 1])
def test_an_interrupted_cross_validation_prints_the_windows_that_are_done(
    forecast, wide, tmp_path, monkeypatch, windows
):
    asked, naive = 0, report.seasonal_naive

    def interrupted(*arguments):
        nonlocal asked
        asked += 1
        if asked > 3 * windows:
            raise KeyboardInterrupt
        return naive(*arguments)

    monkeypatch.setattr(report, "seasonal_naive", interrupted)
    output = tmp_path / "out.csv"
    result = forecast(wide, "--horizon", 3, "--cross-validate", 2, "--model", "theta", "--output", output)
    assert result.returncode == 130
    assert result.stderr == "rnnkit: interrupted\n"
    assert ("1 of 2 windows of 3 steps" in result.stdout) == (windows == 1)
    assert bool(re.search("^Theta +[0-9]", result.stdout, re.MULTILINE)) == (windows == 1)
    assert not output.exists()


def test_times_in_unequal_steps_are_a_step_each_for_one_series(forecast, table):
    names, *rows = table.read_text().splitlines()
    table.write_text("\n".join([names, *(f"{n * n},{row.partition(',')[2]}" for n, row in enumerate(rows))]))
    table.write_text(table.read_text().replace("month", "time"))
    assert "load: 120 steps, " in forecast(table, "--horizon", 2, "--model", "theta").stdout
    assert "(--freq)" in one_line_of_error(forecast(table, "--horizon", 2, "--cross-validate", 1))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--model", "arima"],
            "no model 'arima'; expected one or several of auto, theta, ets, autoregression, croston, sba,",
        ),
        (["--model", "esn", "gur"], "there is no model 'gur'"),
        (["--model", ","], "--model names none"),
        (["--epochs", "3"], "--epochs needs a model that is trained"),
        (["--units", "3", "--model", "linear"], "--units needs a model with a recurrent layer"),
        (["--save", "kept.npz"], "--save needs a file with a series"),
        (["--load", "kept.npz"], "--load needs a file with a series"),
        (["TABLE", "--save", "kept.npz", "--model", "esn", "linear"], "--save keeps one model; got esn, linear"),
        (["TABLE", "--load", "kept.npz", "--model", "esn"], "--model doesn't go with --load"),
        (["TABLE", "--load", "kept.npz", "--seed", "0"], "--seed doesn't go with --load"),
        (["TABLE", "--load", "kept.npz", "--epochs", "2"], "--epochs doesn't go with --load"),
        (["TABLE", "--load", "kept.npz", "--cross-validate", "2"], "--cross-validate doesn't go with --load"),
        (["--cross-validate", "2"], "--cross-validate needs a file"),
        (["--day-first"], "--day-first needs a file"),
        (["TABLE", "--column", "load", "--id", "month"], "without --id"),
        (["TABLE", "--level", "0"], "expected --level as percentages from 1 to below 100, such as 80 95; got '0'"),
        (["--level", "80", "x", "TABLE"], "got 'x'"),
        (["TABLE", "--level", "0.8"], "got '0.8'"),
        (["TABLE", "--level", "80", "100"], "got '100'"),
        (["TABLE", "--cross-validate", "9", "--horizon", "20"], "needs more than 180 steps of the series; it has 120"),
        (["TABLE", "--cross-validate", "0", "--horizon", "120"], "the longest, the series, has 120"),
        (["--future", "TABLE"], "--future needs a file"),
        (["TABLE", "--future", "TABLE", "--model", "esn"], "--future needs a model that reads it"),
        (["TABLE", "--future", "nowhere.csv"], "there is no file nowhere.csv"),
        (["TABLE", "--cross-validate", "1", "--origins", "3"], "--origins is for the back-test of one series"),
        (["TABLE", "--cross-validate", "1", "--freq", "moon"], "expected --freq as an integer"),
        (["TABLE", "--load", "missing.npz"], "missing.npz"),
        (["TABLE", "--load", "TABLE"], "damaged or another's"),
    ],
)
def test_options_that_do_not_go_together(forecast, table, arguments, said):
    arguments = [str(table) if argument == "TABLE" else argument for argument in arguments]
    assert said in one_line_of_error(forecast(*arguments))


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (None, [], "there is no file"),
        ("", [], "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", [], "not a text file"),
        ("month,load\n2000-01,1\n", ["--column", "weight"], "no column 'weight'; its columns are month, load"),
        ("month,load\n2000-01,1\n2000-02,two\n", [], "line 3: expected a number in column 'load'"),
        ("month,load\n2000-01,\n2000-02,NA\n", [], "only gaps"),
        ("month,load\n2000-01,1\n2000-01,2\n", [], "line 3: expected one row for each time; got 2000-01-01 twice"),
        ("month,load\n2000-02,1\n2000-01,2\n", ["--column", "load"], "'2000-01' comes after a later one"),
        ("day,load\n1/2/2001,1\n2/2/2001,2\n", [], "say --day-first or --month-first"),
        ('day,load\n2001-01-01,"1,234"\n', [], "say --decimal , or --decimal ."),
        ("id,day,a,b\nx,2001-01-01,1,2\n", [], "say which one to forecast (--target)"),
        (
            "day,a,b\n2001-01-01,1,2\n2001-01-02,3,4\n",
            ["--decimal", ".", "--column", "c"],
            "no column 'c'; its series are a, b",
        ),
        ("load\n" + "1\n" * 80, ["--origins", "20"], "load has 80 values; a horizon of 12 with 20 origins needs 104"),
        ("load\n" + "1\n" * 12, [], "load has 12 values; a horizon of 12 with 20 origins needs 104"),
    ],
)
def test_a_bad_file_is_one_line_and_nothing_written(forecast, tmp_path, text, arguments, said):
    table, output = tmp_path / "table.csv", tmp_path / "out.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    output.write_text("before")
    error = one_line_of_error(forecast(table, *arguments, "--output", output))
    assert said in error
    assert output.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} <= {"table.csv", "out.csv"}


def test_one_series_has_bands_of_several_levels(forecast, table, tmp_path):
    output = tmp_path / "out.csv"
    done = forecast(table, "--model", "theta", "--horizon", 2, "--level", 80, 95, "--output", output)
    assert done.returncode == 0 and "in 95 %" in done.stdout
    assert output.read_text().startswith("month,Theta,Theta-lo-80,Theta-hi-80,Theta-lo-95,Theta-hi-95\n")


HOSTILE = "\x1b[2J\x1b]0;title\x07\n\r\x9b31m\u202e", "=HYPER\tLINK(1)", "+1\x7f"


def test_names_do_nothing_to_a_terminal(forecast, wide, long, table, tmp_path):
    """Lines and letters are those of the same with plain names, which the file of the forecasts has as they are."""
    said, output = {}, tmp_path / "out.csv"
    for names in (("north", "south", "west"), HOSTILE):
        quoted = dict(zip(("north", "south", "west"), (f'"{name}"' for name in names), strict=True))
        for path, columns in ((wide, []), (long, ["--id", "shop"])):
            text = re.sub("north|south|west", lambda found, quoted=quoted: quoted[found[0]], path.read_text())
            (tmp_path / "named.csv").write_text(text, newline="")
            done = forecast(tmp_path / "named.csv", *columns, "--model", "theta", "--output", output)
            assert done.returncode == 0, done.stderr
            said.setdefault(path, []).append(done.stdout)
            with open(output, newline="") as file:
                assert {row[0] for row in list(csv.reader(file))[1:]} == set(names)
        text = table.read_text().replace("load", quoted["north"])
        (tmp_path / "one.csv").write_text(text, newline="")
        said.setdefault(table, []).append(forecast(tmp_path / "one.csv", "--model", "theta").stdout)
        (tmp_path / "bad.csv").write_text(f'"month",{quoted["north"]}\n2000-01,two\n', newline="")
        said.setdefault("bad", []).append(one_line_of_error(forecast(tmp_path / "bad.csv")))
    for plain, hostile in said.values():
        assert plain.count("\n") == hostile.count("\n")
        assert all(one.isprintable() or one == "\n" for one in hostile)
        assert "\\x1b[2J" in hostile


def test_a_directory_is_not_a_file(forecast, tmp_path):
    assert "is a directory" in one_line_of_error(forecast(tmp_path))


def test_columns_need_a_file(forecast):
    assert "need a file" in one_line_of_error(forecast("--column", "co2"))


@pytest.mark.parametrize("option", ["--output", "--plot"])
def test_outputs_that_cannot_be_written_are_told_before_the_work(forecast, table, tmp_path, option):
    assert "no folder" in one_line_of_error(forecast(table, option, tmp_path / "missing" / "out.png"))
    assert "is a directory" in one_line_of_error(forecast(table, option, tmp_path))


def test_no_workbook_is_written(forecast, table, tmp_path):
    assert "expected a name that ends in .csv" in one_line_of_error(forecast(table, "--output", tmp_path / "out.xlsx"))


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="needs a folder that may not be written to")
def test_a_folder_that_may_not_be_written_to(forecast, table, tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "can't be written to" in one_line_of_error(forecast(table, "--output", tmp_path / "out.csv"))
    finally:
        tmp_path.chmod(0o700)


def test_a_picture_of_unknown_kind(forecast, table, tmp_path):
    assert "can't be drawn as xyz" in one_line_of_error(forecast(table, "--plot", tmp_path / "picture.xyz"))


def test_without_matplotlib_and_pyarrow_what_needs_them_is_refused_and_all_else_works(table, tmp_path):
    def without(module, *arguments):
        code = WITHOUT.format(module, ["forecast", str(table), *arguments])
        return processes.run([sys.executable, "-c", code], env=ENVIRONMENT)

    picture, parquet = str(tmp_path / "picture.png"), str(tmp_path / "out.parquet")
    assert "pip install 'rnnkit[plots]'" in one_line_of_error(without("matplotlib", "--plot", picture))
    assert "pip install 'rnnkit[parquet]'" in one_line_of_error(without("pyarrow", "--output", parquet))
    assert without("matplotlib", "--horizon", "2", "--model", "theta").returncode == 0
    assert without("narwhals", "--horizon", "2", "--cross-validate", "1", "--model", "theta").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--horizon", "0"],
        ["--horizon", "soon"],
        ["--season", "1"],
        ["--origins", "-3"],
        ["--sed", "1"],
        ["--cross-validate", "-1"],
        ["--day-first", "--month-first"],
        ["--decimal", ";"],
    ],
)
def test_bad_options_exit_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command.main(["forecast", *arguments])
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(os.name != "posix", reason="pipes as shells have them")
def test_a_closed_pipe_is_quiet(table, tmp_path):
    read, write = os.pipe()
    os.close(read)
    output = tmp_path / "out.csv"
    command = [sys.executable, "-m", "rnnkit", "forecast", str(table), "--horizon", "2", "--output", str(output)]
    command += ["--model", "theta"]
    with os.fdopen(write, "w") as closed:
        result = processes.run(command, stdout=closed, env=ENVIRONMENT)
    assert result.stderr == ""
    assert result.returncode == 141
    assert len(output.read_text().splitlines()) == 3


# On so many series that Ctrl-C meets the work however late it comes. What a shell starts in the background ignores it.
LONG = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
if not {tqdm}:
    sys.modules["tqdm"] = None
from rnnkit.forecast.command import main as command, run
run.BUNDLED *= 100
sys.exit(command.main({arguments}))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as shells send them")
@pytest.mark.parametrize(("tqdm", "model"), [(True, "esn"), (False, "linear")])
def test_interrupted_in_the_middle_is_130_and_leaves_nothing(table, tmp_path, tqdm, model):
    import pty
    import termios

    arguments = ["forecast", "--output", str(tmp_path / "out.csv"), "--model", model]
    ours, theirs = pty.openpty()  # progress is shown on a terminal only, and tells when the work has begun
    termios.tcsetwinsize(theirs, (24, 80))
    command = [sys.executable, "-c", LONG.format(tqdm=tqdm, arguments=arguments)]
    process = processes.start(command, stderr=theirs, env=ENVIRONMENT)
    os.close(theirs)
    shown = bytearray()

    def read():  # all the time, or the process would wait for it
        with contextlib.suppress(OSError):  # what Linux says at the end
            while more := os.read(ours, 1000):
                shown.extend(more)

    reader = threading.Thread(target=read)
    reader.start()
    begun = re.compile(rb"\b1(/| of )\d" if model == "esn" else rb"epoch \d")  # after an origin, or in the first fit
    patience.until(lambda: begun.search(shown) or process.poll() is not None, "the work begins")
    process.send_signal(signal.SIGINT)
    done = processes.finish(process)
    reader.join(patience.left())
    os.close(ours)
    assert done.returncode == 130, shown
    assert done.stdout == ""
    assert b"rnnkit: interrupted" in shown
    assert b"Traceback" not in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv"]
