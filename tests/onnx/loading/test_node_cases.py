"""The node tests that the package onnx ships."""

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx_graphs import loaded, node_cases, outputs_of

WEIGHTS = {"W", "R", "B", "P"}
CASES = sorted(node_cases())


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    case = node_cases()[name]
    (data,) = case.data_sets
    inputs, outputs = data
    names = [one.name for one in case.model.graph.input]
    feeds = dict(zip(names, inputs, strict=True))
    found = loaded(case.model, initializers={k: v for k, v in feeds.items() if k in WEIGHTS})
    for got, expected in zip(outputs_of(found, feeds), outputs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=case.rtol, atol=case.atol)
