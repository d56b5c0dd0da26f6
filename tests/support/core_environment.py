"""Environments with rnnkit's required dependencies and nothing else, made without a network."""

import importlib.metadata
import os
import re
import shutil
import sys
import sysconfig
import venv
from pathlib import Path

import processes

NAME = re.compile(r"[A-Za-z0-9._-]+")


def required(*distributions: str) -> set[str]:
    """The names of the distributions that these need without extras, as far as they are installed."""
    found: set[str] = set()
    left = list(distributions)
    while left:
        try:
            lines = importlib.metadata.requires(left.pop()) or ()
        except importlib.metadata.PackageNotFoundError:  # for another system or another version of Python
            continue
        names = {NAME.match(line)[0].lower() for line in lines if "extra ==" not in line}
        left.extend(names - found)
        found |= names
    return found


def make(folder: Path, archive: Path, builder: str | None = None) -> Path:
    """Install a wheel or an sdist of rnnkit into a new environment, and give the environment's Python.

    The dependencies are links to those of the Python that runs, and so is the builder that an sdist needs.
    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    places = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    packages = Path(places["purelib"])
    for name in required("rnnkit") | (required(builder) | {builder} if builder else set()):
        for source in _top_level(name):
            _link(source, packages / source.name)
    python = Path(places["scripts"]) / ("python.exe" if os.name == "nt" else "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-index", "--no-deps", "--no-compile", *(["--no-build-isolation"] if builder else [])]
    processes.run([*pip, *options, archive], check=True, cwd=folder, env=clean())
    return python


def clean(**more: str) -> dict[str, str]:
    """The environment variables of this process without those that lead to a checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


def without_extras(script: Path) -> list:
    """The command that runs a script where only what rnnkit requires can be imported, besides the standard library."""
    core = required("rnnkit") | {"rnnkit"}
    extras = [
        name
        for name, distributions in importlib.metadata.packages_distributions().items()
        if not {re.sub("[-_.]+", "-", one.lower()) for one in distributions} & core
    ]
    blocked = (
        f"import runpy, sys; sys.modules |= dict.fromkeys({extras!r}); runpy.run_path(sys.argv[1], {{}}, '__main__')"
    )
    return [sys.executable, "-W", "error", "-c", blocked, script]


def _top_level(name: str) -> list[Path]:
    """The folders and modules of a distribution, in the folder that it is installed in."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    firsts = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    return [Path(distribution.locate_file(first)) for first in sorted(firsts)]


def _link(source: Path, target: Path) -> None:
    if os.name != "nt":
        target.symlink_to(source, source.is_dir())
    elif source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
