"""Every operation of a step alone in ONNX Runtime: the values that NumPy gives, at 0, infinity and NaN, too."""

import numpy as np
import pytest
from onnx_runs import BOUNDS, Exported
from operations_under_test import ROWS, numpy_function

import rnnkit as rk
from rnnkit.compiler.ir.operations import OPERATIONS
from rnnkit.onnx.exporting.expression import POINTWISE

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

INF, NAN = np.inf, np.nan
EDGES = (NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-6, -1e-6, 2.5, -3.5, 17.0, -17.0, 80.0, -80.0, 1e3, -1e4)


def operands(name, dtype, rng):
    """Rows of operands: every pair of edges, and draws."""
    count = 2 if name == "floor_divide" else len(ROWS[name].domains) or 1 + ("{1}" in OPERATIONS[name].text)
    grid = np.stack(np.meshgrid(*[EDGES] * min(count, 2)), axis=-1).reshape(-1, min(count, 2))
    if count == 3:
        grid = np.insert(grid, 0, np.arange(len(grid)) % 2, axis=1)
    drawn = np.concatenate([rng.normal(0, scale, (200, count)) for scale in (0.1, 1.0, 5.0, 30.0)])
    return np.concatenate([grid, drawn]).astype(dtype)


def applied(name, columns):
    if OPERATIONS[name].operands == "bool":
        columns = [column > 0 for column in columns]
    elif name == "where":
        columns = [columns[0] > 0.5, *columns[1:]]
    return OPERATIONS[name].evaluate(*columns)


def in_onnx(function, values):
    """A function of columns, run on columns."""
    count = values.shape[1]
    layer = rk.Lambda(lambda x: function([x[:, i : i + 1] for i in range(count)]) * 1.0, dtype=values.dtype)
    with rk.eager():
        layer.build((None, count))
    return Exported(layer)(values)[0][:, 0]


def test_every_operation_has_a_form():
    assert set(POINTWISE) == set(OPERATIONS) - {"to_float"}  # a cast


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation(name, dtype, rng):
    values = operands(name, dtype, rng)
    got = in_onnx(lambda columns: applied(name, columns), values)
    with np.errstate(all="ignore"):
        expected = np.asarray(applied(name, list(values.T)), dtype)
    np.testing.assert_allclose(got, expected, rtol=BOUNDS[dtype], atol=BOUNDS[dtype])


# Small results, which a plain formula would lose, and large operands, whose squares are too large.
TAILS = {
    "sigmoid": (-15.0, -30.0, -80.0),
    "log_sigmoid": (15.0, 30.0, 80.0),
    "softplus": (-15.0, -30.0, -80.0),
    "expm1": (1e-7, -1e-5, 1e-3),
    "log1p": (1e-7, -1e-5, 1e-3),
    "erfc": (2.0, 5.0, 8.0),
    "erf": (1e-7, -1e-5, 1e-3),
    "tanh": (1e-7, -1e-5, 1e-3),
    "sinh": (1e-7, -1e-5, 1e-3),
    "arcsinh": (1e-7, -1e-5, 1e-3, -1e25),
    "arccosh": (1.001, 2.0, 1e25),
    "arctanh": (1e-7, -1e-5, 1e-3),
    "arcsin": (1e-7, -1e-5, 1e-3),
    "arctan": (1e-7, -1e-5, 1e-3),
    "cos": (np.pi / 2 - 1e-4, 1.57, -1.58),
    "tan": (1e-7, -1e-5, 1e-3, 1.57),
    "cbrt": (1e-21, -1e-9, 1e-15),
    "exp": (-30.0, -60.0, -80.0),
    "exp2": (-30.0, -60.0, -100.0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TAILS)
def test_tails_keep_their_digits(name, dtype):
    values = np.array(TAILS[name], dtype)[:, None]
    got = in_onnx(lambda columns: applied(name, columns), values)
    np.testing.assert_allclose(got, numpy_function(name)(values[:, 0]), rtol=BOUNDS[dtype], atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_signs_of_zero_count(dtype):
    """In operands; ONNX Runtime's Where gives zeros without a sign."""
    values = np.array([[3.0, -0.0], [3.0, 0.0], [-0.0, -1.0], [0.0, -1.0], [-0.0, 1.0]], dtype)
    for name in ("copysign", "arctan2"):
        got = in_onnx(lambda columns, name=name: applied(name, columns), values)
        np.testing.assert_allclose(got, numpy_function(name)(values[:, 0], values[:, 1]), rtol=BOUNDS[dtype])
