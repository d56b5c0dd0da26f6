"""The command, as a shell sees it: output, exit status, and what is left behind."""

import contextlib
import csv
import os
import re
import signal
import sys
import threading

import numpy as np
import patience
import processes
import pytest

import rnnkit as rk

ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
WITHOUT = "import sys; sys.modules[{!r}] = None; from rnnkit.forecast.command import main; sys.exit(main({!r}))"


def run(*arguments, **options):
    return processes.run([sys.executable, "-m", "rnnkit", *arguments], env=ENVIRONMENT, **options)


@pytest.fixture
def table(tmp_path):
    """A file that works: monthly values with a season, noise and a gap."""
    month = np.arange(120)
    values = 10 + 3 * np.sin(2 * np.pi * month / 12) + 0.3 * np.random.default_rng(0).standard_normal(120)
    path = tmp_path / "table.csv"
    rows = [f"{2000 + m // 12}-{m % 12 + 1:02},{'' if m == 30 else round(v, 3)}" for m, v in enumerate(values)]
    path.write_text("\n".join(["month,load", *rows]))
    return path


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
    assert said["rnnkit"] == rk.__version__
    assert said["numpy"] == np.__version__
    assert {"python", "platform", "scipy", "numba", "llvmlite", "threads", "vectors", "cache"} <= set(said)
    assert os.environ["RNNKIT_CACHE_DIR"] in said["cache"]
    assert "extra plots" in result.stdout
    assert "extra progress" in result.stdout


def test_the_bundled_series_are_forecast_and_drawn(tmp_path):
    output, picture = tmp_path / "forecast.csv", tmp_path / "forecast.png"
    result = run("forecast", "--output", output, "--plot", picture)
    assert result.returncode == 0
    assert result.stderr == "", "no progress where nobody watches"
    assert "sunspots: 309 steps, 1700 to 2008, no gaps, season 11; 40 origins, 3 leads" in result.stdout
    assert "co2: 2284 steps, 1958-03-29 to 2001-12-29, 59 gaps, season 52; 40 origins, 12 leads" in result.stdout
    for series in ("sunspots", "co2"):
        line = next(line for line in result.stdout.splitlines() if line.startswith(f"{series} ") and "echo" in line)
        *_, share, coverage, percent = line.split()
        assert float(share) <= 0.75
        assert 50 < float(coverage) <= 100
        assert percent == "%"
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [row["time"] for row in rows[:4]] == ["2009", "2010", "2011", "2002-01-05"]
    assert [row["lead"] for row in rows] == [*"123", *map(str, range(1, 13))]
    assert all(float(row["lower"]) < float(row["forecast"]) < float(row["upper"]) for row in rows)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forecast.csv", "forecast.png"]


def test_a_file_is_forecast_and_the_seed_repeats_it(table, tmp_path):
    outputs = []
    for seed in (1, 1, 2):
        path = tmp_path / "out.csv"
        path.write_text("what was there before")
        result = run("forecast", table, "--horizon", 3, "--origins", 20, "--seed", seed, "--output", path)
        assert result.returncode == 0
        outputs.append((path.read_text(), result.stdout))
    assert outputs[0] == outputs[1]
    assert outputs[0] != outputs[2]
    assert "load: 120 steps, 2000-01-01 to 2009-12-01, 1 gap, season 12; 20 origins, 3 leads" in outputs[0][1]
    rows = list(csv.DictReader(outputs[0][0].splitlines()))
    assert [row["time"] for row in rows] == ["2010-01-01", "2010-02-01", "2010-03-01"]
    assert abs(float(rows[0]["forecast"]) - 10) < 2


def test_horizon_season_and_columns_can_be_given(table):
    result = run(
        "forecast", table, "--column", "load", "--time", "month", "--horizon", 2, "--season", 6, "--origins", 20
    )
    assert result.returncode == 0
    assert "season 6; 20 origins, 2 leads" in result.stdout


def test_every_model_is_forecast_with_in_one_table(table, tmp_path):
    output, picture = tmp_path / "out.csv", tmp_path / "out.png"
    models = ["rnn", "gru,lstm", "esn", "linear"]
    small = ["--horizon", 2, "--origins", 3, "--units", 3, "--epochs", 1]
    result = run("forecast", *small, "--output", output, "--plot", picture, "--model", *models, table)
    assert result.returncode == 0
    assert result.stderr == ""
    titles = ["simple RNN", "GRU", "LSTM", "echo state network", "linear model"]
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [row["model"] for row in rows] == [title for title in titles for _ in range(2)]
    assert all(float(row["lower"]) < float(row["forecast"]) < float(row["upper"]) for row in rows)
    places = [result.stdout.index(title) for title in [*titles, "seasonal naive"]]
    assert places == sorted(places)
    assert "load, simple RNN" in result.stdout
    assert "between the quantiles that the model has learned" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("model", ["esn", "linear"])
def test_a_model_that_was_kept_forecasts_the_same_without_a_fit(table, tmp_path, model):
    kept, first, second = tmp_path / "kept.npz", tmp_path / "first.csv", tmp_path / "second.csv"
    result = run("forecast", table, "--horizon", 2, "--origins", 3, "--model", model, "--save", kept, "--output", first)
    assert result.returncode == 0
    assert f"wrote {kept}" in result.stdout
    picture = tmp_path / "picture.png"
    result = run("forecast", table, "--load", kept, "--output", second, "--plot", picture)
    assert result.returncode == 0
    assert second.read_text() == first.read_text()
    assert "from a file, 2 leads" in result.stdout
    assert "naive" not in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "has a horizon of 2; got --horizon 3" in one_line_of_error(
        run("forecast", table, "--load", kept, "--horizon", 3)
    )
    kept.write_bytes(kept.read_bytes()[:-100])
    assert "damaged" in one_line_of_error(run("forecast", table, "--load", kept))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "arima"], "there is no model 'arima'; expected one or several of esn, gru, lstm, rnn, linear"),
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
        (["TABLE", "--load", "missing.npz"], "missing.npz"),
        (["TABLE", "--load", "TABLE"], "damaged or another's"),
    ],
)
def test_options_that_do_not_go_together(table, arguments, said):
    arguments = [str(table) if argument == "TABLE" else argument for argument in arguments]
    assert said in one_line_of_error(run("forecast", *arguments))


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (None, [], "there is no file"),
        ("", [], "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", [], "not a text file"),
        ("month,load\n2000-01,1\n", ["--column", "weight"], "no column 'weight'; its columns are month, load"),
        ("month,load\n2000-01,1\n2000-02,two\n", [], "line 3: expected a number in column 'load'"),
        ("month,load\n2000-01,\n2000-02,NA\n", [], "only gaps"),
        ("month,load\n2000-01,1\n2000-01,2\n", [], "'2000-01' comes twice"),
        ("month,load\n2000-02,1\n2000-01,2\n", [], "'2000-01' comes after a later one"),
        ("load\n" + "1\n" * 80, ["--horizon", "12"], "load has 80 values; a horizon of 12 with 20 origins needs 104"),
    ],
)
def test_a_bad_file_is_one_line_and_nothing_written(tmp_path, text, arguments, said):
    table, output = tmp_path / "table.csv", tmp_path / "out.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    output.write_text("before")
    error = one_line_of_error(run("forecast", table, *arguments, "--output", output))
    assert said in error
    assert output.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} <= {"table.csv", "out.csv"}


def test_a_directory_is_not_a_file(tmp_path):
    assert "is a directory" in one_line_of_error(run("forecast", tmp_path))


def test_columns_need_a_file():
    assert "need a file" in one_line_of_error(run("forecast", "--column", "co2"))


@pytest.mark.parametrize("option", ["--output", "--plot"])
def test_outputs_that_cannot_be_written_are_told_before_the_work(table, tmp_path, option):
    assert "no folder" in one_line_of_error(run("forecast", table, option, tmp_path / "missing" / "out.png"))
    assert "is a directory" in one_line_of_error(run("forecast", table, option, tmp_path))


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="needs a folder that may not be written to")
def test_a_folder_that_may_not_be_written_to(table, tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "can't be written to" in one_line_of_error(run("forecast", table, "--output", tmp_path / "out.csv"))
    finally:
        tmp_path.chmod(0o700)


def test_a_picture_of_unknown_kind(table, tmp_path):
    assert "can't be drawn as xyz" in one_line_of_error(run("forecast", table, "--plot", tmp_path / "picture.xyz"))


def test_without_matplotlib_a_picture_is_refused_and_all_else_works(table, tmp_path):
    def without(*arguments):
        code = WITHOUT.format("matplotlib", ["forecast", str(table), *arguments])
        return processes.run([sys.executable, "-c", code], env=ENVIRONMENT)

    assert "pip install 'rnnkit[plots]'" in one_line_of_error(without("--plot", str(tmp_path / "picture.png")))
    assert without("--horizon", "2", "--origins", "20").returncode == 0


@pytest.mark.parametrize(
    "arguments", [["--horizon", "0"], ["--horizon", "soon"], ["--season", "1"], ["--origins", "-3"], ["--sed", "1"]]
)
def test_bad_options_exit_with_2(arguments):
    result = run("forecast", *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.skipif(os.name != "posix", reason="pipes as shells have them")
def test_a_closed_pipe_is_quiet(table, tmp_path):
    read, write = os.pipe()
    os.close(read)
    output = tmp_path / "out.csv"
    command = [sys.executable, "-m", "rnnkit", "forecast", str(table), "--horizon", "2", "--output", str(output)]
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
from rnnkit.forecast import command
command.BUNDLED *= 100
sys.exit(command.main({arguments}))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as shells send them")
@pytest.mark.parametrize(("tqdm", "model"), [(True, "esn"), (False, "esn"), (True, "linear"), (False, "linear")])
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
