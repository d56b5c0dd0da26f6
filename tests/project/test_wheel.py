"""What is released: the wheel holds the whole package, the sdist makes the same wheel, and both work away from here."""

import pathlib
import sys
import tarfile
import venv
import zipfile

import core_environment
import processes
import public_names
import pytest

ROOT = pathlib.Path(__file__).parents[2]
IMPORTS = """
import importlib, pathlib, sys
import rnnkit as rk
home = pathlib.Path(rk.__file__).parent
assert pathlib.Path(sys.prefix) in home.parents, home
optional = ("rnnkit.backends.cuda.", "rnnkit.sktime", "rnnkit.__main__")
needing = set()
for path in sorted(home.rglob("*.py")):
    module = ".".join(path.relative_to(home.parent).with_suffix("").parts).removesuffix(".__init__")
    if not module.startswith(optional):
        try:
            importlib.import_module(module)
        except ImportError as error:
            if "pip install 'rnnkit[" not in str(error):
                raise
            needing.add(module)
with rk.eager():
    print(rk.LSTM(4, seed=0)([[[1.0, 2.0, 3.0]]]).shape, len(rk.datasets.load_sunspots()[0]) > 100)
print(*sorted(needing))
"""
SERIES = "month,sales\n" + "".join(f"{2020 + i // 12}-{1 + i % 12:02}-01,{10 + i % 12}\n" for i in range(84))


def built(kind: str, source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    processes.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder], cwd=source, check=True)
    (found,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return found


def contents(wheel: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    pytest.importorskip("hatchling")
    return built("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment with the wheel, NumPy, SciPy and numba, and nothing else."""
    return core_environment.make(tmp_path_factory.mktemp("core"), wheel)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    files = {path for path in (ROOT / "rnnkit").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    held = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert held == {path.relative_to(ROOT).as_posix() for path in files}
    assert "rnnkit/py.typed" in held


def test_the_sdist_holds_what_its_tests_and_pages_need(sdist):
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {path.name for path in ROOT.glob("*.md")} | {"CITATION.cff", "LICENSE", "Makefile", "PKG-INFO"} <= held
    assert {
        "docs/security.md",
        "tests/conftest.py",
        "tests/project/test_wheel.py",
        "notebooks/01_first_cell.ipynb",
    } <= held


def test_the_sdist_makes_the_same_wheel(wheel, sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = built("wheel", source, tmp_path / "again")
    assert contents(again) == contents(wheel)


def test_the_wheel_works_with_the_required_dependencies_alone(python, tmp_path):
    done = processes.run([python, "-c", IMPORTS], cwd=tmp_path, env=core_environment.clean(), check=True)
    worked, needing = done.stdout.splitlines()
    assert worked == "(1, 4) True"
    public = set(public_names.MODULES) & set(needing.split())
    assert public == {"rnnkit.sklearn"}, needing


def test_the_command_works_with_the_required_dependencies_alone(python, tmp_path):
    command, clean = python.with_name("rnnkit" + python.suffix), core_environment.clean()
    (tmp_path / "sales.csv").write_text(SERIES)
    options = ["forecast", "sales.csv", "--horizon", "3", "--model", "esn", "--origins", "1", "--output", "out.csv"]
    processes.run([command, *options], cwd=tmp_path, env=clean, check=True)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 4
    told = processes.run([command, "info"], cwd=tmp_path, env=clean, check=True).stdout
    assert "matplotlib not found" in told and "scikit-learn not found" in told
    refused = processes.run([command, "forecast", "--plot", "out.png"], cwd=tmp_path, env=clean)
    assert refused.returncode != 0 and "rnnkit[plots]" in refused.stderr


@pytest.mark.sweep
def test_the_sdist_installs(sdist, tmp_path):
    python = core_environment.make(tmp_path, sdist, "hatchling")
    told = processes.run(
        [python, "-m", "rnnkit", "info"], cwd=tmp_path, env=core_environment.clean(), check=True
    ).stdout
    assert str(tmp_path) in told.splitlines()[1]


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_installs_into_a_new_environment_with_what_it_asks_for(kind, request, tmp_path):
    """With pip, from the package index that pip is set to."""
    venv.create(tmp_path, with_pip=True)
    (python,) = (path for path in tmp_path.glob("*/python*") if path.stem == "python")
    archive, clean = request.getfixturevalue(kind), core_environment.clean()
    processes.run([python, "-m", "pip", "install", "--quiet", archive], env=clean, check=True)
    processes.run([python, "-c", IMPORTS], cwd=tmp_path, env=clean, check=True)
    processes.run([python, "-m", "pip", "check"], env=clean, check=True)
