"""The table of docs/interop.md: which cells go to ONNX and C.

``python tests/support/interop_matrix.py`` writes it.
"""

import pathlib
import sys

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "interop.md"
BEGIN, END = "| cell | from | ONNX | C |\n", "\n\n"


def matrix(compiled: bool = True) -> list[str]:
    """The lines of the table: every cell under test and of the papers, and what became of it.

    Without `compiled`, what is written in C counts as equal.
    """
    from c_code_runs import exported_to_c, refused_by_c
    from cells_under_test import CELLS
    from onnx_runs import exported_to_onnx
    from paper_cells import PAPER_CELLS

    lines = [BEGIN.rstrip(), "|---|---|---|---|"]
    for case in (*CELLS, *PAPER_CELLS):
        of_paper = case in PAPER_CELLS
        source = case.paper if of_paper else "built in" if case.name in BUILT_IN else "rnnkit's tests"
        name = f"paper_{case.name}" if of_paper else case.name
        found = exported_to_onnx(case), exported_to_c(name) if compiled else refused_by_c(name) or "equal"
        lines.append(f"| {case.name} | {source} | {' | '.join(map(_short, found))} |")
    return lines


BUILT_IN = ("SimpleRNNCell", "GRUCell", "GRUCell_reset_before", "LSTMCell", "StackedRNNCells")


def _short(found: str) -> str:
    return "no: its step can't be traced" if "trace" in found else found


def shown() -> list[str]:
    """The lines of the table on the page."""
    page = PAGE.read_text(encoding="utf-8")
    return page[page.index(BEGIN) :].split(END)[0].splitlines()


if __name__ == "__main__":
    sys.path.insert(0, str(PAGE.parents[1]))
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + "\n".join(matrix()) + END + rest.partition(END)[2], encoding="utf-8")
