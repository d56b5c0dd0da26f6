"""What is installed: the wheel holds the whole package, and works away from the checkout."""

import importlib.metadata
import os
import pathlib
import sys
import zipfile

import processes
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import importlib, pathlib, sys
import rnnkit as rk
home = pathlib.Path(rk.__file__).parent
assert home.parent == pathlib.Path(sys.argv[1]), home
optional = ("rnnkit.backends.cuda.", "rnnkit.sktime", "rnnkit.__main__")
for path in sorted(home.rglob("*.py")):
    module = ".".join(path.relative_to(home.parent).with_suffix("").parts).removesuffix(".__init__")
    if not module.startswith(optional):
        importlib.import_module(module)
with rk.eager():
    print(rk.LSTM(4, seed=0)([[[1.0, 2.0, 3.0]]]).shape, len(rk.datasets.load_sunspots()[0]) > 100)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    processes.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    files = {path for path in (ROOT / "rnnkit").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_works_where_it_is_installed(wheel, tmp_path):
    place = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    processes.run([*pip, "--target", place, wheel], check=True)
    assert [one.version for one in importlib.metadata.distributions(name="rnnkit", path=[str(place)])]
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONSAFEPATH": "1"}
    done = processes.run([sys.executable, "-c", PROGRAM, place], cwd=tmp_path, env=environment, check=True)
    assert done.stdout.split() == ["(1,", "4)", "True"], done.stdout
