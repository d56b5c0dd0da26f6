"""Every operation of a step alone in ONNX Runtime: the values that NumPy gives, at 0, infinity and NaN, too."""

import numpy as np
import pytest
from onnx_runs import BOUNDS, Exported
from operations_under_test import CONDITION, FLAT, INSIDE, LARGE, POSITIVE, ROWS, WIDE

import rnnkit as rk
from rnnkit.compiler.ir.operations import OPERATIONS, REDUCTIONS

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

INF, NAN = np.inf, np.nan
EDGES = (NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-6, -1e-6, 2.5, -3.5, 17.0, -17.0, 80.0, -80.0, 1000.0, -1e4)


def arity(name):
    return len(ROWS[name].domains) or {"floor_divide": 2}.get(name) or OPERATIONS[name].text.count("{1}") + 1


def operands(name, dtype, rng):
    """Rows of operands: every pair of edges, and draws."""
    count = arity(name)
    grid = np.stack(np.meshgrid(*[EDGES] * min(count, 2)), axis=-1).reshape(-1, min(count, 2))
    if count == 3:
        grid = np.concatenate([np.tile([[0.0], [1.0]], (len(grid), 1))[: len(grid)], grid], axis=1)
    drawn = np.concatenate([rng.normal(0, scale, (200, count)) for scale in (0.1, 1.0, 5.0, 30.0)])
    return np.concatenate([grid, drawn]).astype(dtype)


def applied(name, columns):
    if OPERATIONS[name].operands == "bool":
        columns = [column > 0 for column in columns]
    elif name == "where":
        columns = [columns[0] > 0.5, *columns[1:]]
    return OPERATIONS[name].evaluate(*columns)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation(name, dtype, rng):
    values = operands(name, dtype, rng)
    count = values.shape[1]
    layer = rk.Lambda(lambda x: applied(name, [x[:, i : i + 1] for i in range(count)]) * 1.0, dtype=dtype)
    with rk.eager():
        layer.build((None, count))
    (got,) = Exported(layer)(values)
    with np.errstate(all="ignore"):
        expected = np.asarray(applied(name, [values[:, i : i + 1] for i in range(count)]), dtype)
    bound = BOUNDS[dtype]
    np.testing.assert_allclose(got, expected, rtol=bound, atol=bound)
