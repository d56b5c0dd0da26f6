"""Every pointwise operation and reduction alone in C: what NumPy gives, at the edges of its domain, too."""

import ctypes

import numpy as np
import pytest
from c_code_runs import NATIVE, STRICT, Library, compiled, needs_compiler
from operations_under_test import CONDITION, FLAT, ROWS, numpy_function

import rnnkit as rk
from rnnkit.c_code.operations import expression, helpers
from rnnkit.compiler.ir.operations import OPERATIONS, REDUCTIONS

EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, np.inf, -np.inf, np.nan)
COUNT = 600
TWO = {"floor_divide", "copysign", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
TWO |= {"logical_and", "logical_or", "logical_xor"}
# Where NumPy leaves open what comes, or its own functions differ by version.
OPEN = {"floor_divide"}


def arity(name):
    return len(ROWS[name].domains) or 1 + (name in TWO)


def operands(name, dtype):
    """Draws from the domain, and all combinations of edges."""
    rng, count = np.random.default_rng(0), arity(name)
    domains = ROWS[name].domains or [(-3.0, 3.0)] * count
    drawn = [rng.integers(0, 2, COUNT) if domain == CONDITION else rng.uniform(*domain, COUNT) for domain in domains]
    edges = np.array(np.meshgrid(*[EDGES] * count)).reshape(count, -1)
    return np.concatenate([drawn, edges], axis=1).astype(dtype)


class Operations(rk.Cell):
    """The results of operations, each on its own parts of x."""

    state_size = 1

    def __init__(self, names, dtype):
        super().__init__()
        self.names, self.columns = names, {name: operands(name, dtype).shape[1] for name in names}

    def call(self, inputs, states):
        results, at = [], 0
        for name in self.names:
            parts = []
            for _ in range(arity(name)):
                parts.append(inputs[:, at : at + self.columns[name]])
                at += self.columns[name]
            if OPERATIONS[name].operands == "bool":
                parts = [part > 0 for part in parts]
            elif name == "where":
                parts[0] = parts[0] > 0
            result = OPERATIONS[name].evaluate(*parts)
            results.append(np.where(result, 1.0, 0.0) if OPERATIONS[name].result == "bool" else result)
        return np.concatenate(results, axis=-1), states


@pytest.fixture(scope="module", params=["float32", "float64"])
def in_c(request, tmp_path_factory):
    """What C makes of the operands of every operation."""
    dtype, names = np.dtype(request.param), list(OPERATIONS)
    given = {name: operands(name, dtype) for name in names}
    x = np.concatenate([one.reshape(-1) for one in given.values()])
    layer = rk.RNN(Operations(names, dtype), return_sequences=True, dtype=dtype)
    layer.build((None, None, len(x)))
    library = Library({"operations": layer}, tmp_path_factory.mktemp("operations"))
    ends = np.cumsum([one.shape[1] for one in given.values()])
    got = library.sequence("operations", dtype, [((ends[-1],), True)]).run(x[None])[0]
    return dtype, dict(zip(names, np.split(got, ends[:-1]), strict=True))


def truth(name, given, dtype):
    """The operation in NumPy, on float64 wherever its operands are float32."""
    given = [one.astype(np.float64) for one in given]
    if OPERATIONS[name].operands == "bool":
        given = [one > 0 for one in given]
    elif name == "where":
        given[0] = given[0] > 0
    function = OPERATIONS[name].evaluate if name in FLAT or ROWS[name].numpy is None else numpy_function(name)
    with np.errstate(all="ignore"):
        return np.asarray(function(*given), np.float64)


@needs_compiler
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_in_c_is_that_of_numpy(in_c, name):
    dtype, got = in_c[0], in_c[1][name]
    given = operands(name, dtype)
    want = truth(name, given, dtype).astype(dtype)
    if name in OPEN:
        got, want = got[:COUNT], want[:COUNT]
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert np.array_equal(np.isinf(got), np.isinf(want))
    fine = np.isfinite(want)
    scale = np.maximum(np.abs(want), np.finfo(dtype).tiny)
    if ROWS[name].cancels:
        scale = np.maximum(scale, np.abs(np.where(np.isfinite(given), given, 0)).max(axis=0))
    assert (np.abs(got[fine] - want[fine]) <= 8 * np.finfo(dtype).eps * scale[fine]).all()
    if name not in ("maximum", "minimum"):  # of 0 and -0, either
        assert np.array_equal(np.signbit(got[fine]), np.signbit(want[fine]))


def test_every_operation_has_a_text():
    for name in OPERATIONS:
        assert expression(name, ("a", "b", "c"), "float32") is not None, name
    assert expression("an operation that C hasn't", ("a",), "float32") is None


SHAPE = (3, 5, 7)
FUNCTIONS = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}
AXES = [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)]


class Reductions(rk.Cell):
    state_size = 1

    def call(self, inputs, states):
        results = [f(inputs, axis=axes) for f in FUNCTIONS.values() for axes in AXES]
        return np.concatenate([result.reshape(inputs.shape[0], -1) for result in results], axis=-1), states


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reductions_over_all_axes_are_those_of_numpy(dtype, tmp_path):
    assert set(FUNCTIONS) == set(REDUCTIONS)
    layer = rk.RNN(Reductions(), return_sequences=True, dtype=dtype)
    layer.build((None, None, *SHAPE))
    x = np.random.default_rng(0).uniform(0.7, 1.3, (4, *SHAPE)).astype(dtype)
    x[1, 0, 0, 0], x[2, 1, 2, 3] = np.nan, np.inf
    want = Reductions().call(x.astype(np.float64), ())[0]
    got = Library({"reductions": layer}, tmp_path).sequence("reductions", dtype, [(want.shape[1:], True)]).run(x)
    np.testing.assert_allclose(got, want, rtol=1e-5 if dtype == "float32" else 1e-12)


# Functions that C has written out: over all floats, at steps that meet every exponent many times.

EXACT = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
    "tanh": np.tanh,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "log_sigmoid": lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
}


@needs_compiler
@pytest.mark.parametrize("flags, units", [(("-O2",), 5), (("-O3", *NATIVE), 4)], ids=["plain", "native"])
def test_written_functions_are_right_to_units_in_the_last_place_over_all_floats(flags, units, tmp_path):
    called = "\n".join(f"rk_{name}(x)" for name in EXACT)
    text = ["#include <math.h>", "#include <stdint.h>", "#include <stddef.h>", helpers(called, "float32")]
    for name in EXACT:
        text += [f"void {name}_all(const float *x, float *y, int n);"]
        text += [f"void {name}_all(const float *x, float *y, int n)"]
        text += [f"{{ for (int i = 0; i < n; ++i) {{ y[i] = rk_{name}(x[i]); }} }}"]
    (tmp_path / "functions.c").write_text("\n".join([*text, ""]))
    compiled([*STRICT, *flags, "-shared", "-fPIC", "-o", "functions.so", "functions.c", "-lm"], tmp_path)
    library = ctypes.CDLL(str(tmp_path / "functions.so"))
    x = np.arange(0, 2**32, 2003, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([x, np.float32([0, -0.0, np.inf, -np.inf, np.nan]), np.linspace(-20, 20, 200_001, dtype="f")])
    for name, exact in EXACT.items():
        y = np.empty_like(x)
        getattr(library, f"{name}_all")(*(ctypes.c_void_p(a.ctypes.data) for a in (x, y)), ctypes.c_int(len(x)))
        with np.errstate(all="ignore"):
            wide = exact(x.astype(np.float64))
            want = wide.astype(np.float32)
        assert np.array_equal(np.isnan(y), np.isnan(want)), name
        fine = np.isfinite(want) & (np.abs(wide) < np.finfo(np.float32).max)
        assert np.array_equal(y[~fine & ~np.isnan(want)], want[~fine & ~np.isnan(want)]), name
        off = np.abs(y[fine] - wide[fine]) / np.spacing(np.abs(want[fine])).astype(np.float64)
        assert off.max() <= units, (name, off.max(), x[fine][off.argmax()])
