"""The table of docs/papers.md is what becomes of the recurrences."""

import pytest
from c_code_runs import needs_compiler
from papers import PAPERS
from papers_matrix import line, shown

BY_DAY = "LRU", "minGRU", "LIF", "Kalman filter with gaps", "unscented Kalman filter", "Heston's paths"


def test_the_page_lists_every_paper():
    listed = [row.split(" | ")[0].removeprefix("| ") for row in shown()]
    assert listed == [paper.name for paper in PAPERS]
    assert sum(row.count(" yes ") for row in shown()) >= 200


@needs_compiler
@pytest.mark.parametrize(
    "paper",
    [pytest.param(p, id=p.name, marks=[pytest.mark.sweep] * (p.name not in BY_DAY)) for p in PAPERS],
)
def test_the_page_says_what_works(paper):
    pytest.importorskip("onnxruntime")
    assert line(paper) in shown(), "python tests/support/papers_matrix.py writes the table"
