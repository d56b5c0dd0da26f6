"""What a release says of itself in several files: version, dependencies, extras, changelog, citation, forms."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import oldest_versions
import pytest

import rnnkit
from rnnkit import information

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = {"test", "test-cuda", "bench", "release", "docs", "dev"}  # what no user of rnnkit needs
CONDA_NAMES = {"matplotlib": "matplotlib-base", "dask": "dask-core"}
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def brought_by(extra: str) -> set[str]:
    """The packages of an extra, and those of the extras that it includes by name."""
    return {re.split(r"[\[>]", line)[0] for line in PROJECT["optional-dependencies"][extra] if "rnnkit[" not in line}


def user_extras() -> set[str]:
    return set(PROJECT["optional-dependencies"]) - TOOLS


def test_the_version_stands_in_one_place():
    assert PROJECT["dynamic"] == ["version"]
    assert re.search(r"^version: (.*)$", read("CITATION.cff"), re.MULTILINE)[1] == rnnkit.__version__
    assert f'{{% set version = "{rnnkit.__version__}" %}}' in read("docs/conda/meta.yaml")


def test_the_conda_recipe_asks_for_what_the_project_asks_for():
    lists = {"host": [], "run": [], "run_constrained": []}
    current = []
    for line in read("docs/conda/meta.yaml").splitlines():
        if line.startswith("  ") and line.strip().endswith(":"):
            current = lists.setdefault(line.strip(" :"), [])
        elif line.startswith("    - "):
            current.append(line.removeprefix("    - "))
    python = f"python {PROJECT['requires-python']}"
    assert lists["run"] == [python, *(one.replace(">=", " >=") for one in PROJECT["dependencies"])]
    bounds = oldest_versions.oldest(
        line for extra in sorted(user_extras()) for line in PROJECT["optional-dependencies"][extra]
    )
    wanted = {f"{CONDA_NAMES.get(name, name)} >={bound}" for name, bound in bounds.items()}
    assert sorted(lists["run_constrained"]) == sorted(wanted)
    builder = tomllib.loads(read("pyproject.toml"))["build-system"]["requires"]
    assert {one.replace(">=", " >=") for one in builder} < set(lists["host"]) and python in lists["host"]
    ((command, target),) = PROJECT["scripts"].items()
    assert f"    - {command} = {target}\n" in read("docs/conda/meta.yaml")


# What packages are called that are imported by another name, and what users bring to convert their own objects of.
IMPORTED = {"scikit-learn": "sklearn", "numba-cuda": "cuda"}
BROUGHT = {"IPython", "cloudpickle", "cupy", "joblib", "keras", "pandas", "polars", "torch", "xarray"}


def test_what_is_imported_is_declared():
    extras = [one for extra in user_extras() for one in PROJECT["optional-dependencies"][extra]]
    declared = oldest_versions.oldest([*PROJECT["dependencies"], *extras])
    declared = {IMPORTED.get(name, name) for name in declared} | BROUGHT | {"rnnkit", *sys.stdlib_module_names}
    found = {}
    for path in sorted((ROOT / "rnnkit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            found |= {name.partition(".")[0]: path.relative_to(ROOT).as_posix() for name in names}
    assert {name: path for name, path in found.items() if name not in declared} == {}


def test_every_extra_is_in_the_table_of_the_install_page():
    table = dict(
        re.findall(r"^\| (`.*?`) \| (.*?) \|", read("docs/install.md").partition("## Extras")[2], re.MULTILINE)
    )
    rows = {extra: brought for names, brought in table.items() for extra in re.findall(r"`(.*?)`", names)}
    assert set(rows) == user_extras()
    for extra, brought in rows.items():
        missing = {name for name in brought_by(extra) if name not in brought}
        assert not missing, (extra, missing)


def test_information_tells_of_every_extra():
    described = information.EXTRAS
    assert set(described) == {re.sub(r"\d+$", "", extra) for extra in user_extras()}
    for extra, packages in described.items():
        assert set(packages) == brought_by("cuda12" if extra == "cuda" else extra)


def test_information_tells_what_a_report_needs(monkeypatch):
    monkeypatch.setenv("RNNKIT_CHECK", "1")
    monkeypatch.setattr(information, "EXTRAS", {"plots": ("no-such-package",)})
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in information.information().splitlines())
    assert lines["rnnkit"] == rnnkit.__version__
    assert {"python", "platform", "numpy", "scipy", "numba", "llvmlite", "threads", "vectors", "cache"} <= set(lines)
    assert re.fullmatch(r".+, \d+ of \d+ cores usable", lines["processor"])
    assert lines["cuda"].startswith("no: ") or rnnkit.cuda.is_available()
    assert lines["extra plots"] == "no-such-package not found"
    assert "RNNKIT_CHECK=1" in lines["environment"]


def test_information_tells_of_a_broken_cuda(monkeypatch):
    def broken():
        raise OSError("no libcuda")

    monkeypatch.setattr("rnnkit.backends.cuda.memory.availability.missing", broken)
    assert "cuda" in information.information() and "OSError: no libcuda" in information.information()


def test_the_changelog_has_the_form_of_keep_a_changelog():
    headings = re.findall(r"^(#+) (.*)$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[:2] == [("#", "Changelog"), ("##", "[Unreleased]")]
    for marks, title in headings[2:]:
        if marks == "##":
            assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title), title
        else:
            assert marks == "###" and title in SECTIONS, title


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_the_issue_forms_can_be_read(form):
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem == "config":
        assert set(content) == {"blank_issues_enabled"}
        return
    assert {"name", "description", "body"} <= set(content)
    fields = [part for part in content["body"] if part["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"].get("label") or field["attributes"].get("options") for field in fields)


def test_the_citation_can_be_read():
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(content)
    assert content["license"] == PROJECT["license"] and content["keywords"] == PROJECT["keywords"]


def test_lower_bounds_are_read_from_requirements():
    assert oldest_versions.oldest(["a>=1.2", "b[c]>=3", "rnnkit[x]", "a>=1.2"]) == {"a": "1.2", "b": "3"}
    with pytest.raises(ValueError, match="expected a requirement like"):
        oldest_versions.oldest(["a"])
    with pytest.raises(ValueError, match="one lower bound of a"):
        oldest_versions.oldest(["a>=1", "a>=2"])
    assert set(oldest_versions.oldest(PROJECT["dependencies"])) == {"llvmlite", "numba", "numpy", "scipy"}
