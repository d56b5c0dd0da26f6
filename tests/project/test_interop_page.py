"""The table of docs/interop.md is what exporting the cells gives."""

import pytest
from c_code_runs import COMPILER
from interop_matrix import matrix, shown


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_the_page_says_which_cells_go_to_onnx_and_c():
    pytest.importorskip("onnxruntime")
    found = matrix()
    assert shown() == found, "python tests/support/interop_matrix.py writes the table"
    assert sum(line.endswith("| equal | equal |") for line in found) > 80
