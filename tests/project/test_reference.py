"""The reference of docs/reference lists every public name, and none besides."""

import importlib
import inspect
import pathlib
import re

import public_names
import pytest

import rnnkit

REFERENCE = pathlib.Path(__file__).parents[2] / "docs" / "reference"
BLOCK = re.compile(
    r"^```\{eval-rst\}\n\.\. currentmodule:: (\S+)\n.*?:nosignatures:\n\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


ESTIMATORS = ("ESNClassifier", "ESNRegressor", "RNNClassifier", "RNNRegressor")


def listed() -> list[str]:
    """The names in the pages' tables, with their modules."""
    pages = [page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md"))]
    return [f"{module}.{name}" for page in pages for module, names in BLOCK.findall(page) for name in names.split()]


def found(name: str):
    """The object of a dotted name."""
    module = max((one for one in (*public_names.MODULES, "rnnkit.layers.base") if name.startswith(f"{one}.")), key=len)
    return getattr(importlib.import_module(module), name.removeprefix(f"{module}."))


def test_every_public_name_is_in_the_reference():
    """Under one of its names where it has several; ``__version__`` is no object to describe."""
    shown = {id(found(name)) for name in listed() if not name.startswith("rnnkit.sklearn")}
    names = [(name, value) for name, value in public_names.names() if not name.startswith("rnnkit.sklearn")]
    assert [name for name, value in names if id(value) not in shown] == ["rnnkit.__version__"]


def test_the_reference_lists_each_name_once_and_nothing_private():
    names = listed()
    assert len(names) == len(set(names)) > 250
    public = {name for name, _ in public_names.names()} | {f"rnnkit.sklearn.{one}" for one in ESTIMATORS}
    private = [name for name in names if name not in public]
    assert private == ["rnnkit.layers.base.Layer"]


def test_the_estimators_are_in_the_reference():
    pytest.importorskip("sklearn")
    assert set(ESTIMATORS) == set(rnnkit.sklearn.__all__)
    assert {f"rnnkit.sklearn.{name}" for name in ESTIMATORS} <= set(listed())


def test_every_public_module_has_its_names():
    """What ``import rnnkit`` offers is in the list of modules, except the names of Keras."""
    modules = {name for name in rnnkit.__all__ if inspect.ismodule(getattr(rnnkit, name))} | set(rnnkit._SUBPACKAGES)
    assert {f"rnnkit.{name}" for name in modules} - set(public_names.MODULES) <= {"rnnkit.keras", "rnnkit.sklearn"}
