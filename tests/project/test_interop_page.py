"""The table of docs/interop.md is what exporting the cells gives."""

import pytest
from c_code_runs import COMPILER
from interop_matrix import matrix, shown


@pytest.mark.docs
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.sweep)])
def test_the_page_says_which_cells_go_to_onnx_and_c(compiled):
    """The cells' C is compiled and run in tests/c_code, and here all of it once more in the sweep."""
    pytest.importorskip("onnxruntime")
    if compiled and COMPILER is None:
        pytest.skip("no C compiler")
    found = matrix(compiled)
    assert shown() == found, "python tests/support/interop_matrix.py writes the table"
    assert sum(line.endswith("| equal | equal |") for line in found) > 80
