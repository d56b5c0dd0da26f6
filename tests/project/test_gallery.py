"""The scripts of docs/gallery: how they are written, and, in the sweep, that each of them runs."""

import ast
import importlib
import importlib.util
import pathlib
import re
import runpy
import sys

import pytest

import rnnkit as rk

GALLERY = pathlib.Path(__file__).parents[2] / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.rglob("*.py"))
SECTIONS = sorted({script.parent for script in SCRIPTS})
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: f"{script.parent.name}/{script.stem}")

STATED = {"matplotlib", "numpy", "scipy", "rnnkit"}  # what the gallery's first page asks for, with what rnnkit takes


def underlined(text, underlines):
    """Whether a text of reST begins with a title that is underlined in its length."""
    title, line = text.strip().splitlines()[:2]
    return len(title) == len(line) and set(line) in [{one} for one in underlines]


def imported(tree):
    """The names of all modules that a script imports, whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def attributes_of_rnnkit(tree):
    """Dotted names such as ``forecast.Auto`` that a script takes from ``rk``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found, names = node, []
            while isinstance(found, ast.Attribute):
                names.append(found.attr)
                found = found.value
            if isinstance(found, ast.Name) and found.id == "rk":
                yield names[::-1]


def test_there_are_enough_examples_and_each_lies_in_a_section():
    assert len(SCRIPTS) >= 25
    assert len(SECTIONS) == 9
    assert all(script.parent.parent == GALLERY and script.name.startswith("plot_") for script in SCRIPTS)
    assert len({script.name for script in SCRIPTS}) == len(SCRIPTS)


@pytest.mark.parametrize("folder", [GALLERY, *SECTIONS], ids=lambda folder: folder.name)
def test_a_section_has_a_header(folder):
    header = re.sub(r"\A\.\. _.*:\n+", "", (folder / "GALLERY_HEADER.rst").read_text(encoding="utf-8"))
    assert underlined(header, "=" if folder == GALLERY else "-")
    assert len(header.strip().splitlines()) > 3  # and says what the section is about


@each_script
def test_a_script_has_a_title_and_cells_one_picture_and_a_number(script):
    source = script.read_text(encoding="utf-8")
    tree = ast.parse(source)
    text = ast.get_docstring(tree)
    assert underlined(text, "=")
    assert len(text) > 150
    cells = source.split("\n# %%\n")
    assert len(cells) >= 4
    assert all(cell.startswith("# ") for cell in cells[1:])  # each begins with what it does
    assert source.count("plt.show()") == 1
    assert "plt.show()" in cells[-2]
    assert "print(" in cells[-1]
    assert len(source.splitlines()) < 110


@each_script
def test_a_script_says_what_it_needs_besides(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    text = ast.get_docstring(tree)
    packages = {name.partition(".")[0] for name in imported(tree)} - set(sys.stdlib_module_names) - STATED
    words = {"sklearn": "sklearn|scikit-learn"}
    assert [name for name in packages if not re.search(words.get(name, name), text)] == []


@each_script
def test_a_script_takes_only_public_names(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    private = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
    assert private == []
    assert {name for name in imported(tree) if name.startswith("rnnkit.")} <= {"rnnkit.sklearn"}
    for first, *rest in attributes_of_rnnkit(tree):
        assert first in rk.__all__ or first in ("forecast", "datasets", "sklearn"), first
        if rest and first in ("forecast", "optimizers", "callbacks", "initializers", "datasets", "onnx"):
            assert hasattr(importlib.import_module(f"rnnkit.{first}"), rest[0]), rest


@pytest.mark.sweep
@each_script
def test_a_script_runs_and_draws(script, monkeypatch, capsys):
    matplotlib = pytest.importorskip("matplotlib")
    for name in imported(ast.parse(script.read_text(encoding="utf-8"))):
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            pytest.skip(f"needs {name}")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    monkeypatch.chdir(script.parent)
    monkeypatch.setattr(plt, "show", lambda: None)  # which warns that Agg has no window
    before = sorted(script.parent.iterdir())
    with plt.rc_context(fname=GALLERY / "gallery.mplstyle"):
        runpy.run_path(str(script))
        assert len(plt.get_fignums()) == 1
        plt.gcf().canvas.draw()
    plt.close("all")
    assert sorted(script.parent.iterdir()) == before  # nothing is left behind
    assert capsys.readouterr().out.strip()
