"""docs/design.svg shows the packages and imports that there are;
docs/glossary.md names files that there are."""

import functools
import importlib.util
import pathlib
import re

import pytest

ROOT = next(folder for folder in pathlib.Path(__file__).parents if (folder / "pyproject.toml").exists())


@functools.cache
def script():
    """docs/draw_architecture.py as a module."""
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs" / "draw_architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figure_is_that_of_the_imports():
    drawing = script()
    kept = drawing.PICTURE.read_text(encoding="utf-8")
    assert kept == drawing.picture(), "run python docs/draw_architecture.py"


def test_every_import_follows_from_the_arrows():
    drawing = script()
    found = drawing.imports()
    arrows = drawing.drawn(found)
    assert arrows.keys() < found.keys()  # some are left out
    reached = set(arrows)
    while more := {(a, d) for a, b in reached for c, d in arrows if b == c} - reached:
        reached |= more
    assert found.keys() <= reached


def test_an_arrow_is_left_out_only_for_others_that_are_solid():
    drawn = script().drawn
    several, single = {"x", "y"}, {"x"}
    assert drawn({("a", "b"): several, ("b", "c"): single, ("a", "c"): several}) == {
        ("a", "b"): False,
        ("b", "c"): True,
        ("a", "c"): False,
    }
    assert drawn({("a", "b"): several, ("b", "c"): several, ("a", "c"): single}).keys() == {("a", "b"), ("b", "c")}


def test_imports_are_read_wherever_they_stand(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import p.a\nfrom p import b\nif TYPE_CHECKING:\n    from p import c\ndef f():\n    from p.d import name\n"
    )
    assert script().imported(file, {"p.a", "p.b", "p.c", "p.d"}) == {"p.a", "p.b", "p.d"}


def test_a_package_without_a_line_is_an_error(monkeypatch):
    drawing = script()
    assert drawing.box_of("rnnkit.backends.cpu.simd.vector") == "backends.cpu"
    assert [drawing.box_of(f"rnnkit.{name}") for name in ("losses", "cuda", "layers.rnn")] == ["root", "cuda", "layers"]
    monkeypatch.delitem(drawing.LINES, "backends.cpu")
    with pytest.raises(ValueError, match=r"'backends\.cpu'"):
        drawing.box_of("rnnkit.backends.cpu.simd.vector")


def test_the_glossary_is_in_order_and_names_files_that_exist():
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| .+ \| (.+) \|$", page, re.MULTILINE)[1:]
    terms = [term.replace("`", "").lower() for term, _ in rows]
    assert len(terms) > 80
    assert terms == sorted(set(terms))
    places = [place for _, places in rows for place in re.findall(r"`(.+?)`", places)]
    assert [place for place in places if not (ROOT / "rnnkit" / place).exists()] == []
