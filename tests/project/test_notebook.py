"""The notebooks run from top to bottom, and what is stored in them is what they give.

A cell tagged "parameters" is given smaller sizes here. Of one tagged "varies" no number is compared, nor
the spaces that align it: other machines have others.
"""

import pathlib
import re

import nbformat
import patience
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
SMALLER = {"02_training": "sequences, steps, units, epochs = 1000, 20, 16, 2"}
NUMBER = re.compile(r"[\s+-]*\d[\d.,:e+-]*")


def texts(notebook) -> list[str]:
    """What each cell printed and showed as text; the kernel may send one cell's text in any number of pieces."""
    found = []
    for cell in notebook.cells:
        text = "".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.get("outputs", []))
        found.append(" ".join(NUMBER.sub(" 0 ", text).split()) if "varies" in tags(cell) else text)
    return found


def tags(cell) -> list[str]:
    """What a cell's metadata calls it."""
    return cell.metadata.get("tags", [])


def shown(notebook, kind) -> int:
    """How many pictures or cards the cells showed."""
    return sum(kind in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


pytestmark = pytest.mark.docs


# the client's own use of its event loop and sockets is not ours to mend
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # pictures go into the notebook
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
        if "parameters" in tags(cell):
            cell.source += f"\n{SMALLER[path.stem]}"
    # How long the kernel may take to start, a cell to run, and what a cell has printed to come.
    limits = dict.fromkeys(("startup_timeout", "timeout", "iopub_timeout"), int(patience.left()))
    NotebookClient(fresh, **limits, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
    assert texts(fresh) == texts(stored)
    assert shown(fresh, "image/png") == shown(stored, "image/png") >= 1
    assert shown(fresh, "text/html") == shown(stored, "text/html")


def test_there_is_a_notebook():
    assert NOTEBOOKS
