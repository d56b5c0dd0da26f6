"""The benchmarks run, each at the first of its parameters; the page beside other libraries is what its figures say."""

import importlib
import inspect
import json
import math
import os
import pathlib
import re
import subprocess
import sys

import processes
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "asv_benchmarks"
MODULES = sorted(path.stem for path in (FOLDER / "benchmarks").glob("*.py") if path.stem != "__init__")
KINDS = ("time_", "peakmem_", "track_")


def classes(module: str) -> list[type]:
    """The classes of a module in which asv finds benchmarks."""
    found = vars(importlib.import_module(f"benchmarks.{module}")).values()
    return [one for one in found if inspect.isclass(one) and one.__module__.endswith(module) and methods(one)]


def methods(benchmark: type) -> list[str]:
    """What asv would run of a class."""
    return [name for name in dir(benchmark) if name.startswith(KINDS)]


def first(params) -> tuple:
    """The first value of each parameter; one parameter may stand without a list around its values."""
    several = params and isinstance(params[0], (list, tuple))
    return tuple(values[0] for values in params) if several else tuple(params[:1])


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


LONG = ("gradients", "training")  # what they compile takes long; make bench-smoke runs one benchmark of each


@pytest.mark.parametrize(
    "module", [pytest.param(one, marks=pytest.mark.sweep if one in LONG else ()) for one in MODULES]
)
def test_setups_run_and_benchmarks_take_the_parameters(module, threads):
    for one in classes(module):
        benchmark, values = one(), first(getattr(one, "params", ()))
        if hasattr(one, "param_names"):
            assert len(one.param_names) == len(values)
        benchmark.setup(*values)
        for name in methods(one):
            inspect.signature(getattr(benchmark, name)).bind(*values)
        if hasattr(one, "teardown"):
            benchmark.teardown(*values)


@pytest.mark.parametrize(
    "module, method",
    [("call", "track_call"), ("typed", "track_ratio"), ("noise", "track_median"), ("peak", "track_share")],
)
def test_tracked_figures_are_positive_numbers(module, method, threads):
    (one,) = classes(module)
    benchmark, values = one(), first(one.params)
    benchmark.setup(*values)
    assert 0 < getattr(benchmark, method)(*values) < math.inf


def test_every_module_names_the_benchmark_that_is_run_to_see_that_it_works():
    for module in MODULES:
        marked = "\n# smoke: " in (FOLDER / "benchmarks" / f"{module}.py").read_text(encoding="utf-8")
        assert marked == bool(classes(module)), module


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
