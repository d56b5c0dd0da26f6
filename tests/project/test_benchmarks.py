"""The benchmarks run, each at the first of its parameters; the page beside other libraries is what its figures say."""

import importlib
import inspect
import itertools
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import time
import weakref

import numpy as np
import processes
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "asv_benchmarks"
MODULES = sorted(path.stem for path in (FOLDER / "benchmarks").glob("*.py") if path.stem != "__init__")
KINDS = ("time_", "peakmem_", "track_")


def classes(module: str) -> list[type]:
    """The classes of a module in which asv finds benchmarks."""
    found = vars(importlib.import_module(f"benchmarks.{module}")).values()
    here = [one for one in found if inspect.isclass(one) and one.__module__.endswith(f".{module}")]
    return [one for one in here if not inspect.isabstract(one) and methods(one)]


def methods(benchmark: type) -> list[str]:
    """What asv would run of a class."""
    return [name for name in dir(benchmark) if name.startswith(KINDS)]


def cases(benchmark: type) -> list[tuple]:
    """The parameters of each case; one parameter may stand without a list around its values."""
    params = getattr(benchmark, "params", ())
    several = params and isinstance(params[0], (list, tuple))
    return list(itertools.product(*(params if several else [params] if params else [])))


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize("module", MODULES)
def test_benchmarks_take_their_parameters_and_are_larger_where_worse(module):
    for one in classes(module):
        values = cases(one)[0]
        assert len(getattr(one, "param_names", ())) == len(values)
        assert one.version >= 1 and one.unit in ("seconds", "bytes")
        for name in methods(one):
            inspect.signature(getattr(one(), name)).bind(*values)


LONG = ("gradients", "layers", "training", "start")  # what they compile takes long; make bench-smoke runs one of each


@pytest.mark.parametrize(
    "module", [pytest.param(one, marks=pytest.mark.sweep if one in LONG else ()) for one in MODULES if one != "start"]
)
def test_what_is_measured_can_be_called(module, threads):
    for one in classes(module):
        for values in cases(one)[:: 1 if module == "call" else 4] if hasattr(one, "make") else ():
            benchmark = one()
            benchmark.setup(*values)
            benchmark.call()
            if hasattr(one, "teardown"):
                benchmark.teardown(*values)


def test_a_measure_is_the_least_of_calls_that_have_settled():
    from benchmarks import measure

    calls = []

    def settling():
        calls.append(None)
        time.sleep(0.02 if len(calls) < 9 or len(calls) % 2 else 0.002)

    assert 0.002 <= measure.seconds(settling) < 0.015


def test_calls_that_were_stopped_do_not_count(monkeypatch):
    """Unless all were: then their time on the processor does, which is almost nothing here."""
    from benchmarks import measure

    stops, every = [0], [2]
    monkeypatch.setattr(measure.rk, "get_num_threads", lambda: 1)
    monkeypatch.setattr(measure, "_stops", lambda: stops[0])

    def call():
        calls.append(None)
        stopped = len(calls) % every[0] == 0
        stops[0] += stopped
        time.sleep(0.001 if stopped else 0.004)

    calls: list[None] = []
    assert 0.004 <= measure.seconds(call) < 0.02
    every[0] = 1
    assert measure.seconds(call) < 0.001


def test_results_of_short_calls_lie_at_several_places():
    from benchmarks import measure

    alive: weakref.WeakSet = weakref.WeakSet()
    most: list[int] = []

    class Result:
        def __init__(self):
            alive.add(self)
            most.append(len(alive))
            time.sleep(0.001)

    measure.seconds(Result)
    assert max(most) == measure.PLACES


def test_memory_is_what_a_call_takes_above_what_was_held():
    from benchmarks import measure

    held = np.ones(1 << 24)
    rng = np.random.default_rng(0)
    freed = [np.ones(n) for n in rng.choice([100, 10**4, 1 << 17, 1 << 20, 1 << 22], 200)]
    del freed[::2]  # the process keeps this memory, which serves again
    try:
        taken = measure.peak(lambda: np.ones(1 << 22))  # 32 MiB
    except NotImplementedError as error:
        pytest.skip(str(error))
    assert 31 << 20 <= taken < 64 << 20 < held.nbytes + len(freed)  # the system counts some pages late


def test_every_module_names_the_benchmark_that_is_run_to_see_that_it_works():
    for module in MODULES:
        text = (FOLDER / "benchmarks" / f"{module}.py").read_text(encoding="utf-8")
        named = re.findall("^# smoke: (.*)$", text, re.MULTILINE)
        shown = [
            f"{module}.{one.__name__}.{methods(one)[0]}({', '.join(map(repr, values))})"
            for one in classes(module)
            for values in cases(one)
        ]
        assert len(named) == bool(shown), module
        for pattern in named:
            assert any(re.match(pattern, case) for case in shown), pattern


def test_benchmarks_use_public_names_alone():
    """Older commits may lack others."""
    for module in MODULES:
        text = (FOLDER / "benchmarks" / f"{module}.py").read_text(encoding="utf-8")
        found = {words[:2] for line in text.splitlines() if (words := tuple(line.split())) and "rnnkit" in line}
        imports = {words for words in found if words[0] in ("import", "from")}
        assert imports <= {("import", "rnnkit"), ("from", "rnnkit.sklearn")}, module


def test_versions_are_pinned():
    text = re.sub(r"^\s*//.*$", "", (FOLDER / "asv.conf.json").read_text(encoding="utf-8"), flags=re.MULTILINE)
    conf = json.loads(text)
    assert conf["environment_type"] == "virtualenv"
    for package, versions in conf["matrix"]["req"].items():
        assert len(versions) == 1 and re.fullmatch(r"\d+(\.\d+)+", versions[0]), package


@pytest.fixture
def track():
    return importlib.import_module("track")


def test_figures_are_named_as_asv_names_them(track):
    columns = ["result", "params", "version"]
    rows = {"a.B.track_seconds": [[1.0, None, math.nan, 4.0], [["'x'", "'y'"], ["1", "2"]], "1"]}
    rows |= {"a.C.track_bytes": [[5.0], [], "1"], "a.D.track_bytes": [None, [], "1"]}
    found = track.figures({"result_columns": columns, "results": rows})
    assert found == {"a.B.track_seconds('x', 1)": 1, "a.B.track_seconds('y', 2)": 4, "a.C.track_bytes": 5}


def test_what_is_kept_is_short_and_reads_the_same(track):
    columns, params = ["result", "params", "version"], {"os": "Linux 6.1.2-some-build", "machine": "reference"}
    rows = {"a.B.track_seconds": [[1.23456789e-5, None, math.nan, 4.0], [["'x'", "'y'"], ["1", "2"]], "1"]}
    content = {"result_columns": columns, "params": params, "results": rows | {"a.C.track_bytes": [None, [], "1"]}}
    found = json.loads(track.shortened(json.dumps(content)))
    assert track.figures(found) == {"a.B.track_seconds('x', 1)": 1.235e-5, "a.B.track_seconds('y', 2)": 4}
    assert found["params"] == {"os": "Linux", "machine": "reference"}
    assert json.loads(track.shortened(json.dumps(params))) == found["params"]


@pytest.fixture
def runs(track, tmp_path, monkeypatch):
    """Results of asv, one list of figures a run, that it writes for a commit; None where a benchmark fails."""
    monkeypatch.setattr(track, "RESULTS", tmp_path)
    lists: list[list] = []

    def asv(command, *arguments, check=True):
        (commit,) = [word.removesuffix("^!") for word in arguments if word.endswith("^!")]
        rows = {"a.B.track": [lists.pop(0), [["'x'", "'y'"]], "1"], "a.C.track": [[5.0], [], "1"]}
        content = {"result_columns": ["result", "params", "version"], "results": rows, "requirements": {}}
        path = tmp_path / arguments[1] / f"{commit[:8]}-now.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        return 0

    monkeypatch.setattr(track, "asv", asv)
    return lists


def test_a_commit_is_measured_several_times_and_the_least_is_kept(track, runs, tmp_path):
    kept = tmp_path / "here" / "abcdefab-then.json"  # of other versions of packages, long ago
    kept.parent.mkdir()
    kept.write_text("{}", encoding="utf-8")
    os.utime(kept, (0, 0))
    runs += [[3.0, None], [1.0, 4.0], [2.0, 5.0]]
    expected = {"a.B.track('x')": 1.0, "a.B.track('y')": 4.0, "a.C.track": 5.0}
    assert track.run("abcdefabcdef", "here", ".", 3) == (expected, True)
    content = json.loads((tmp_path / "here" / "abcdefab-now.json").read_text(encoding="utf-8"))
    assert track.figures(content) == expected and kept.read_text(encoding="utf-8") == "{}"
    runs += [[3.0, None], [2.0, math.nan]]  # skipped, but for the failure
    assert track.run("abcdefabcdef", "here", ".", 2)[1]
    runs += [[3.0, None], [2.0, None]]
    assert not track.run("abcdefabcdef", "here", ".", 2)[1]


def test_how_far_figures_lie_apart_is_told(track, monkeypatch, capsys):
    """Of 19 benchmarks that are steady and one that isn't, 95 % are those that are."""
    turns = iter(range(5))

    def run(commit, machine, bench, runs):
        turn = next(turns)
        return {f"steady {k}": 2.0 + 0.02 * (turn == k % 5) for k in range(19)} | {"other": 1.0 + turn}, True

    monkeypatch.setattr(track, "run", run)
    assert track.spread("commit", 5, ".", 3) == 0
    *_, other, told, figures = capsys.readouterr().out.splitlines()
    assert other == "400% apart: other: 1, 2, 3, 4, 5"
    assert told == "20 benchmarks, 5 times the least of 3 runs."
    assert figures == "1.0% apart in the median, 95 % of them at most 1.0%."


def test_commits_that_have_results_of_these_packages_are_not_measured_again(track, tmp_path, monkeypatch):
    pytest.importorskip("asv")
    pinned = {name: one for name, (one,) in track.configuration()["matrix"]["req"].items()}
    for commit, requirements in {"a" * 40: pinned, "b" * 40: pinned | {"numpy": "1.0"}}.items():
        path = tmp_path / "reference" / f"{commit[:8]}-env.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"requirements": requirements}), encoding="utf-8")
    (tmp_path / "benchmarks.json").write_text("{}", encoding="utf-8")
    measured = []
    monkeypatch.setattr(track, "RESULTS", tmp_path)
    monkeypatch.setattr(track, "commits_of", lambda every, most: ["a" * 40, "b" * 40, "c" * 40])
    monkeypatch.setattr(track, "run", lambda commit, machine, bench, runs: measured.append((commit, machine, runs)))
    monkeypatch.setattr(track, "publish", lambda: 0)
    assert track.history(0, 25, ".", 2) == 0
    assert measured == [("b" * 40, "reference", 2), ("c" * 40, "reference", 2)]


QUIET, BUSY = ([1, 1.02, 1.3], [0.6, 0.3, 0.1]), ([1, 1.5, 1.6], [0.03, 0.5, 0.47])


def run_with_noise(track, monkeypatch, factors, seed, noise=QUIET):
    """Compare two commits, of which the second takes `factors` times as long; a figure is never below its truth."""
    rng, counted = np.random.default_rng(seed), [0, 0]

    def measured(commit, machine, names=None, bench="."):
        side = int(commit == "head")
        every = {name: factor**side for name, factor in factors.items()}
        counted[side] += len(every if names is None else names)
        added = {name: rng.choice(noise[0], p=noise[1]) for name in every}
        return {name: every[name] * added[name] for name in (every if names is None else names)}

    monkeypatch.setattr(track, "measured", measured)
    monkeypatch.setattr(track, "git", lambda *words: words[-1].partition("^")[0])
    return track.compare("base", "head", 1.1), counted


def test_what_is_slower_is_found_in_noise_and_nothing_else(track, monkeypatch, capsys):
    """Of what slows several benchmarks: one may be hidden, where noise has hit the base."""
    equal = {f"equal {k}": 1.0 for k in range(20)}
    for seed in range(20):
        assert run_with_noise(track, monkeypatch, equal, seed)[0] == 0
        assert "slower:" not in capsys.readouterr().out
        seeded = {f"slow {k}": 1.36 for k in range(3)} | {"faster": 0.5}
        code, counted = run_with_noise(track, monkeypatch, equal | seeded, seed)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("slower: ")]
        assert code == 1 and lines and all("slow " in line.rsplit(": ")[-1] for line in lines)
        assert max(counted) < 3 * 24  # only what looks slower is measured again


def test_what_is_much_slower_ends_the_comparison_early(track, monkeypatch, capsys):
    factors = {f"slow {k}": 1.8 for k in range(40)} | {f"equal {k}": 1.0 for k in range(20)}
    for seed in range(20):
        code, counted = run_with_noise(track, monkeypatch, factors, seed)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("slower: ")]
        assert code == 1 and 0 < len(lines) <= track.WORST and not any("equal" in line for line in lines)
        assert max(counted) <= len(factors) + (track.TURNS - 1) * track.WORST


def test_a_run_that_is_quick_once_in_a_while_slows_nothing(track, monkeypatch):
    """On a busy machine one commit may have the only quick run."""
    for seed in range(40):
        assert run_with_noise(track, monkeypatch, {f"equal {k}": 1.0 for k in range(5)}, seed, BUSY)[0] == 0
        assert run_with_noise(track, monkeypatch, {"slow": 1.8, "equal": 1.0}, seed, BUSY)[0] == 1


def test_a_benchmark_that_fails_at_the_head_is_named(track, monkeypatch, capsys):
    found = {"base": {"a": 1.0, "b": 1.0}, "head": {"a": 1.0}}
    monkeypatch.setattr(track, "measured", lambda commit, machine, names=None, bench=".": found[commit])
    monkeypatch.setattr(track, "git", lambda *words: words[-1].partition("^")[0])
    assert track.compare("base", "head", 1.1) == 1
    assert "fails: b" in capsys.readouterr().out


@pytest.mark.parametrize("guilty", range(10))
def test_the_commit_that_made_a_benchmark_slower_is_named(track, guilty, monkeypatch, capsys):
    """In noise that only adds, in a benchmark besides others that got slower by less."""
    commits, rng, measured_commits = [f"commit {k}" for k in range(10)], np.random.default_rng(guilty), []

    def measured(commit, machine, names=None, bench="."):
        measured_commits.append(commit)
        place = -1 if commit == "base" else commits.index(commit)
        every = {"LSTM": 1.4 if place >= guilty else 1.0, "GRU": 1.15 if place >= 4 else 1.0}
        noise = {name: rng.choice([1, 1.02, 1.3], p=[0.7, 0.2, 0.1]) for name in every}
        return {name: every[name] * noise[name] for name in (names or every)}

    def git(*words):
        if words[0] == "rev-list":
            return "\n".join(commits).replace(" ", "_")
        return words[-1].replace("_", " ") if words[0] == "log" else words[-1].partition("^")[0]

    def of(commit, *more, **options):
        return measured(commit.replace("_", " "), *more, **options)

    monkeypatch.setattr(track, "measured", of)
    monkeypatch.setattr(track, "git", git)
    assert track.find("base", "commit 9", 1.1, ".") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"slower since: commit {guilty}"
    assert len(measured_commits) < 2 * track.ROUNDS + 2 * 5


@pytest.fixture
def pages():
    pytest.importorskip("asv")
    return importlib.import_module("pages")


@pytest.mark.parametrize("guilty", range(2, 9))
def test_pages_name_the_commit_since_which_a_benchmark_is_slower(pages, guilty, tmp_path):
    """In noise, beside one that got slower by less than the threshold; a commit may be missing in the clone."""
    rng, commits = np.random.default_rng(guilty), [f"{place:040d}" for place in range(10)]
    points = []
    for place, commit in enumerate(commits):
        every = {
            "a.B.track_seconds('x <1>')": 1.4 if place >= guilty else 1.0,
            "a.C.track_bytes": 1.0 + 0.05 * (place > 4),
        }
        figures = {name: value * rng.uniform(1, 1.02) for name, value in every.items()}
        points.append((commit, 86_400.0 * place, figures))
    del points[1][2]["a.C.track_bytes"]
    titles = {commit: f"change & {commit[-1]}" for commit in commits[1:]}
    pages.write(tmp_path, {"reference": points[::-1], "here": points[-1:]}, titles, {".*": 0.1, "^start": 0.2})
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    (slower,) = re.findall("<tr><td>(<a.*)</td></tr>", text.partition("<h2 id=")[0])
    assert "a.B.track_seconds: &#x27;x &lt;1&gt;&#x27;" in slower and f"#{commits[guilty]}" in slower
    assert "1970-01-01 (not in this clone)" in text and "1970-01-02 change &amp; 1" in text
    linked = set(re.findall("(?:src|href)=[\"']([^\"'#]+)", text))
    assert "<script" not in text and "index-a.B.track_seconds.svg" in linked and "here.html" in linked
    assert all((tmp_path / name).stat().st_size > 100 for name in linked)


def test_the_history_is_of_current_versions_of_benchmarks(track, tmp_path, monkeypatch):
    monkeypatch.setattr(track, "RESULTS", tmp_path)
    columns = ["result", "params", "version"]
    found = {"date": 5000, "result_columns": columns, "env_name": "new", "commit_hash": "a" * 40}
    found["results"] = {"a.B.track": [[1.0], [], "2"], "a.C.track": [[1.0], [], "1"], "gone.D.track": [[1.0], [], "1"]}
    files = {
        f"reference/{env}-{k}.json": found | {"env_name": env, "date": 1000 * k} for k, env in ((7, "new"), (3, "old"))
    }
    files |= {"here/aaaaaaaa-new.json": found, "here/machine.json": {"machine": "here"}}
    files["reference/benchmarks.json"] = {"a.B.track": {"version": "2"}, "a.C.track": {"version": "3"}, "version": 2}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    figures = {"a.B.track": 1.0}
    expected = {name: [("a" * 40, date, figures)] for name, date in (("reference", 7), ("reference-1", 3), ("here", 5))}
    assert track.histories() == expected


def compare(*arguments) -> None:
    """Run the command that sets rnnkit beside other libraries, whichever of them are installed."""
    processes.run([sys.executable, FOLDER / "compare", *arguments], check=True)


def test_the_page_measures_a_section_and_keeps_the_others(tmp_path):
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    kept = {"conditions": "another day", "notes": ["nobody was there."], "figures": {"1": {"rnnkit": [1.0]}}}
    figures.write_text(json.dumps({"reservoir": kept}), encoding="utf-8")
    compare("--quick", "--rounds", 1, "--only", "typed", "--figures", figures, "--output", page)
    record = json.loads(figures.read_text(encoding="utf-8"))
    assert record["reservoir"] == kept
    assert all(time > 0 for row in record["typed"]["figures"].values() for times in row.values() for time in times)
    text = page.read_text(encoding="utf-8")
    assert text.index("## A user-written LSTM") < text.index("## Echo state network") < text.index("another day")
    assert "nobody was there." in text
    machine, versions, day = record["typed"]["conditions"].split("; ")
    assert f"{machine}; {day[:10]}, 1 rounds, small sizes only; [versions A]" in text and f"- **A**: {versions}" in text


def test_one_row_is_measured_and_the_others_stay(tmp_path):
    columns = ("rk.LSTM", "as a function", "as a class")
    figures, kept = tmp_path / "figures.json", {"64, 200, 32, 128": {name: [5.0] for name in columns}}
    record = {"typed": {"conditions": "another day", "notes": [], "figures": kept}}
    figures.write_text(json.dumps(record), encoding="utf-8")
    compare("--quick", "--rounds", 1, "--only", "typed", "--row", "32, 100", "--figures", figures)
    found = json.loads(figures.read_text(encoding="utf-8"))["typed"]["figures"]
    assert found.keys() == {"64, 200, 32, 128", "32, 100, 16, 64"} and found.items() > kept.items()


@pytest.mark.sweep
@pytest.mark.parametrize(
    "sections", [["checkpoints"], ["gradients-LSTM", "gradients-parts"]], ids=["checkpoints", "gradients"]
)
def test_the_page_measures_gradients(sections, tmp_path):
    figures = tmp_path / "figures.json"
    compare("--quick", "--rounds", 1, "--only", *sections, "--figures", figures)
    record = json.loads(figures.read_text(encoding="utf-8"))
    rows = [row for section in sections for row in record[section]["figures"].values()]
    assert rows and all(number > 0 for row in rows for numbers in row.values() for number in numbers)


def test_the_page_shows_minima_medians_and_the_fastest_other_library(tmp_path):
    def record(figures):
        return {"conditions": "one day", "notes": [], "figures": figures}

    row = {"rnnkit": [1e-3, 2e-3, 4e-3], "torch": [3e-3, 9e-3, 5e-3], "jax": [4e-3] * 3}
    other = {"rnnkit": [4e-3], "torch": [3e-3]}
    drawn = {"1, 100, 16, 32": row, "1, 100, 16, 64": row, "32, 100, 16, 32": {"rnnkit": [1.0]}}
    kept = {"LSTM": record({"1, 2, 3, 4": row, "5, 6, 7, 8": other}), "picture": record(drawn)}
    (tmp_path / "figures.json").write_text(json.dumps(kept), encoding="utf-8")
    compare("--only", "--figures", tmp_path / "figures.json", "--output", tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| 1, 2, 3, 4 | 1 / 2 | 3 / 5 | 4 / 4 | 3.00 / 2.00 |" in text
    assert "| 5, 6, 7, 8 | 4 / 4 | 3 / 3 |  | 0.75 / 0.75 |" in text
    assert "Geometric mean of the ratios: 1.50 / 1.22." in text
    assert text.count("one day") == 1
    pictures = [line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert pictures == ["performance.png", "page/lstm.svg"]
    assert all((tmp_path / picture).stat().st_size > 1000 for picture in pictures)
    numbers = json.loads((tmp_path / "page.json").read_text(encoding="utf-8"))
    assert numbers["LSTM"]["tables"][0]["1, 2, 3, 4"]["torch"] == [3, 5]
    assert numbers["LSTM"]["means"] == ["1.50 / 1.22"]


def test_the_page_sets_the_parts_of_a_gradient_beside_the_machine_and_checkpoints_beside_none(tmp_path):
    parts = {
        "machine": {"operations": [2e9, 4e9], "bytes": [1e9, 2e9]},
        "1, 2, 3, 4: forward": {"seconds": [4e-3, 2e-3, 6e-3], "operations": [4e6], "bytes": [1e6]},
        "1, 2, 3, 4: the rest": {"seconds": [1e-3]},
    }
    checkpoints = {
        "all kept": {"bytes": [4e6], "seconds": [2e-3, 4e-3, 3e-3]},
        "checkpoint=10": {"bytes": [1e6], "seconds": [4e-3, 6e-3]},
    }
    kept = {"gradients-parts": parts, "checkpoints": checkpoints}
    records = {name: {"conditions": "one day", "notes": [], "figures": found} for name, found in kept.items()}
    (tmp_path / "figures.json").write_text(json.dumps(records), encoding="utf-8")
    compare("--only", "--figures", tmp_path / "figures.json", "--output", tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "The machine at its best: 4 GFLOP/s, 2 GB/s." in text
    assert "| 1, 2, 3, 4: forward | 2 / 4 | 1 | 0.5 | 50% |" in text
    assert "| 1, 2, 3, 4: the rest | 1 / 1 |  |  |  |" in text
    assert "| checkpoint=10 | 1 / 1 | 4 / 5 | 0.25 | 1.67 |" in text


def on_cuda(*arguments, **environment) -> subprocess.CompletedProcess:
    """Run the command that measures a GPU."""
    command = [sys.executable, FOLDER / "compare" / "on_cuda.py", *arguments]
    return processes.run(command, env=os.environ | environment)


def test_the_page_says_of_a_card_what_the_model_predicts():
    page = (FOLDER.parent / "docs" / "performance.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## On a GPU: predicted$.*?(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    printed = on_cuda("--predict")
    assert printed.returncode == 0, printed.stderr
    assert section.strip() == printed.stdout.strip()


def test_without_a_card_nothing_is_measured_and_a_sentence_says_why():
    found = on_cuda(CUDA_VISIBLE_DEVICES="", NUMBA_ENABLE_CUDASIM="0")
    assert (found.returncode, found.stdout) == (2, "")
    (sentence,) = found.stderr.splitlines()
    assert sentence.startswith("nothing was measured: expected ")
