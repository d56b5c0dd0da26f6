"""How Sphinx builds these pages: `make docs`. Nothing here needs a network."""

import inspect
import pathlib
import shutil
import sys

import matplotlib.pyplot as plt
from pygments.lexers.python import PythonLexer
from pygments.lexers.special import TextLexer
from sphinx_gallery.sorting import ExplicitOrder

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the package of this tree

import rnnkit  # noqa: E402
from rnnkit.cells.standard import StandardCell  # noqa: E402
from rnnkit.layers.base import Layer  # noqa: E402
from rnnkit.metrics.metric import Measure  # noqa: E402

project = "rnnkit"
author = "The rnnkit developers"
project_copyright = author
version = release = rnnkit.__version__

extensions = [
    "myst_nb",  # MyST, and notebooks
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["gallery", "gallery_pages/**/*.ipynb", "**/sg_execution_times.rst", "sg_execution_times.rst"]
suppress_warnings = [
    "config.cache",  # of functions among the settings
    "misc.highlighting_failure",  # of programs that are shown in part
    "sphinx_gallery.space_in_filename",  # of the folder in which the repository lies
]
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", ".*"),  # `x`, an argument's name as much as an object's
    ("py:class", ".*"),  # the words in which numpydoc's fields describe types
]
default_role = "py:obj"

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # tests/project/test_notebook.py runs them and compares what is stored

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # types are told, with shapes, in the docstrings
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

EXAMPLES = HERE / "gallery"
SECTIONS = "cells forecasting classification reservoirs dynamics training streaming export performance".split()


def look(gallery_conf, fname) -> None:
    """Give an example's picture the look of all."""
    plt.style.use(EXAMPLES / "gallery.mplstyle")


sphinx_gallery_conf = {
    "examples_dirs": [str(EXAMPLES)],
    "gallery_dirs": ["gallery_pages"],
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "show_memory": False,
    "remove_config_comments": True,
    "copyfile_regex": r".*\.mplstyle",
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib", look),
    "thumbnail_size": (800, 500),
    "subsection_order": ExplicitOrder([f"gallery/{name}" for name in SECTIONS]),
    "min_reported_time": 30,
    "write_computation_times": False,
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "rnnkit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "rnnkit"},
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "search_bar_text": "Search the docs",
    "secondary_sidebar_items": {"**": ["page-toc"], "getting_started/cheat-sheet": []},
    "footer_start": ["copyright"],
    "footer_center": [],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "default",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {"changelog": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def family(name: str) -> str:
    """The base class whose methods a public class has besides its own, by the name under which it is described."""
    found = rnnkit
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    bases = {
        Layer: "rnnkit.layers.base.Layer",
        StandardCell: "rnnkit.Cell",
        Measure: "rnnkit.metrics.Measure",
    }
    return next((shown for base, shown in bases.items() if inspect.isclass(found) and issubclass(found, base)), "")


autosummary_context = {"family": family}


def keras_names() -> str:
    """The names of `rnnkit.keras` and its modules, as a table."""
    rows = ["| module | names |", "|---|---|"]
    for name in ("", *(name for name in rnnkit.keras.__all__ if inspect.ismodule(getattr(rnnkit.keras, name)))):
        module = getattr(rnnkit.keras, name) if name else rnnkit.keras
        shown = [one for one in sorted(dir(module)) if is_name_of_keras(module, one)]
        if shown:
            rows.append(f"| `keras{'.' * bool(name)}{name}` | {', '.join(f'`{one}`' for one in shown)} |")
    return "\n".join(rows) + "\n"


def is_name_of_keras(module, name: str) -> bool:
    """Whether a module's name is one for users, rather than something that the module imports for itself."""
    found = getattr(module, name)
    home = str(getattr(found, "__module__", "rnnkit"))
    helpers = ("naming", "arguments", "left_out", "order")
    private = home.startswith(("rnnkit.serialization", *(f"rnnkit.keras.{one}" for one in helpers)))
    ours = callable(found) and home.startswith("rnnkit") and not private
    return not name.startswith("_") and (ours or (callable(found) and name in getattr(module, "__all__", ())))


def write_keras_names(app) -> None:
    """Put the names where docs/reference/keras.md includes them."""
    folder = HERE / "reference" / "api"
    folder.mkdir(exist_ok=True)
    (folder / "keras_names.inc").write_text(keras_names(), encoding="utf-8")


def is_elsewhere(app, what, name, found, skip, options) -> bool | None:
    """Whether a class's member is one that scikit-learn gives it."""
    return True if str(getattr(found, "__module__", "rnnkit")).startswith("sklearn") else None


def bring_notebooks(app) -> None:
    """Copy the notebooks to where Sphinx looks for pages."""
    shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks", dirs_exist_ok=True)


def follow_notebooks(app, docname, source) -> None:
    """Let links between pages and notebooks lead to where the notebooks are in the site."""
    here, there = ("../docs/", "../") if docname.startswith("notebooks/") else ("../notebooks/", "notebooks/")
    source[0] = source[0].replace(f"]({here}", f"]({there}")


def setup(app):
    app.connect("builder-inited", bring_notebooks)
    app.connect("source-read", follow_notebooks)
    app.connect("autodoc-skip-member", is_elsewhere)
    app.connect("builder-inited", write_keras_names)
    app.add_lexer("numba", PythonLexer)
    app.add_lexer("explained", TextLexer)
