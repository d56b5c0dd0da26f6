"""Functions of NumPy and SciPy in steps of a batch and of one row: their values, and their gradients."""

import numpy as np
import pytest
from scipy import special

import rnnkit as rk

KNOTS = np.array([-1.5, -0.4, 0.1, 0.6, 1.7])
HEIGHTS = np.array([0.3, -1.0, 2.0, 0.5, 0.7])
KERNEL = np.array([0.5, -1.0, 2.0])


def _without_large(x):
    return np.where(x > 0.4, np.nan, x)


def _padded(x, mode):
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(2, 3)], mode)


def _largest_put(x):
    y = x + 0.0
    np.put_along_axis(y, np.argsort(x, axis=-1)[..., :2], x[..., :1] * 2, axis=-1)
    return y


def _added(x):
    y = x * 2
    np.add.at(y, (..., np.array([0, 3, 3, 5])), x[..., :4])
    return y


def _added_at_computed(x):
    y = np.zeros(4)
    np.add.at(y, (x > 0).astype(int) + (x > 0.5), x)
    return y


def _logsumexp(x):
    return special.logsumexp(x, axis=-1, keepdims=True)


def _softmax(x):
    return special.softmax(x, axis=-1) + special.log_softmax(x)


def _polygamma(x):
    return special.polygamma(2, np.abs(x) + 0.3) + special.polygamma(0, np.abs(x) + 0.3)


# Along the last axis, of a batch or a row.
ALONG = {
    "quantile": lambda x: np.quantile(x, 0.3, axis=-1, keepdims=True),
    "quantiles": lambda x: np.moveaxis(np.quantile(x, [0.0, 0.21, 1.0], axis=-1), 0, -1),
    "percentile": lambda x: np.percentile(x, 80, axis=-1, keepdims=True),
    "median": lambda x: np.median(x, axis=-1, keepdims=True),
    "sort": lambda x: np.sort(x, axis=-1),
    "argsort": lambda x: np.argsort(x, axis=-1, kind="stable") * 1.0,
    "partition": lambda x: np.partition(x, 2, axis=-1)[..., 2:3],
    "searchsorted": lambda x: np.searchsorted(KNOTS, x) + 0.1 * np.searchsorted(KNOTS, x, "right"),
    "digitize": lambda x: np.digitize(x, KNOTS) + 0.1 * np.digitize(x, KNOTS, right=True),
    "interp": lambda x: np.interp(x, KNOTS, HEIGHTS) + np.interp(x, KNOTS, HEIGHTS, left=5.0, right=-3.0),
    "roll": lambda x: np.roll(x, (3,), axis=(-1,)),
    "pad edge": lambda x: _padded(x, "edge"),
    "pad reflect": lambda x: _padded(x, "reflect"),
    "pad wrap": lambda x: _padded(x, "wrap"),
    "put_along_axis": _largest_put,
    "add.at": _added,
    "diff": lambda x: np.diff(x, axis=-1, prepend=x[..., 2:3], append=1.5),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=-1),
    "nansum": lambda x: np.nansum(_without_large(x), axis=-1, keepdims=True),
    "nanprod": lambda x: np.nanprod(_without_large(x), axis=-1, keepdims=True),
    "nanmean": lambda x: np.nanmean(_without_large(x), axis=-1, keepdims=True),
    "nanmax": lambda x: np.nanmax(_without_large(x), axis=-1, keepdims=True),
    "nanmin": lambda x: np.nanmin(_without_large(x), axis=-1, keepdims=True),
    "nanvar": lambda x: np.nanvar(_without_large(x), axis=-1, ddof=1, keepdims=True),
    "nanmedian": lambda x: np.nanmedian(_without_large(x), axis=-1, keepdims=True),
    "nanquantiles": lambda x: np.moveaxis(np.nanquantile(_without_large(x), [0.0, 0.3, 0.9, 1.0], axis=-1), 0, -1),
    "nanpercentile": lambda x: np.nanpercentile(_without_large(x), 25, axis=-1, keepdims=True),
    "nanstd": lambda x: np.nanstd(_without_large(x), axis=-1, keepdims=True),
}
FINITE = {
    "nancumsum": lambda x: np.nancumsum(_without_large(x), axis=-1),
    "nancumprod": lambda x: np.nancumprod(_without_large(x), axis=-1),
    "unwrap": lambda x: np.unwrap(5 * x, axis=-1),
    "cross": lambda x: np.cross(x[..., :3], x[..., 4:7]),
    "trapezoid": lambda x: np.trapezoid(x, dx=0.5, axis=-1)[..., None] + np.trapezoid(x[..., :5], KNOTS)[..., None],
    "einsum ii->i": lambda x: np.einsum("...ii->...i", x[..., :, None] * x[..., None, :]),
    "polyval": lambda x: np.polyval([1.0, -2.0, 0.5], x),
    "kve": lambda x: special.kve(1, np.abs(x) + 0.5),
    "betaln": lambda x: special.betaln(np.abs(x) + 0.5, 20 * np.square(x) + 1),
    "beta": lambda x: special.beta(np.abs(x) + 0.5, 1.5),
    "gamma": lambda x: special.gamma(np.abs(x) + 0.5) + special.gamma(-np.abs(x) - 0.25),
    "i0, i1": lambda x: special.i0(x) - special.i1(3 * x),
    "k0, k1": lambda x: special.k0(np.abs(x) + 0.2) - special.k1(np.abs(x) + 0.2),
}
ROW = {
    "average": lambda x: np.average(x, axis=-1, weights=np.arange(8.0) + 1)[None],
    "vdot": lambda x: np.vdot(x[:, None] * x, np.eye(8))[None],
    "einsum ii": lambda x: np.einsum("ii", x[:, None] * x)[None],
    "convolve full": lambda x: np.convolve(x, KERNEL),
    "convolve same": lambda x: np.convolve(KERNEL, x, "same"),
    "convolve valid": lambda x: np.convolve(x, x[:3], "valid"),
    "correlate": lambda x: np.correlate(x, KERNEL, "same"),
    "kron": lambda x: np.kron(x[:3], KERNEL),
    "kron of matrices": lambda x: np.kron(x[:4].reshape(2, 2), np.eye(2) + 1).ravel(),
    "bincount": lambda x: np.bincount((x > 0).astype(int), weights=x, minlength=3) + 0.0,
    "counts": lambda x: np.bincount((x > 0).astype(int), minlength=3) * 1.0,
    "searchsorted in x": lambda x: np.searchsorted(np.sort(x), KNOTS[1:3]) * 1.0,
    "add.at a computed place": _added_at_computed,
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "polygamma": _polygamma,
}
CASES = [("batch", name) for name in ALONG] + [("row", name) for name in (*ALONG, *FINITE, *ROW)]
FUNCTIONS = ALONG | FINITE | ROW
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def _layer(function, kind):
    @rk.cell(states={"n": ()}, per_row=kind == "row")
    def step(x, states, weights):
        return function(x), states

    return rk.RNN(step(), return_sequences=True)


def _expected(function, x):
    return np.array([[function(row) for row in rows] for rows in x])


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_function_in_a_step_is_numpys_and_its_gradient_the_slope(kind, name, rng):
    function, x = FUNCTIONS[name], rng.normal(size=(4, 3, 8))
    layer, smooth = _layer(function, kind), x[:2, :1].copy()
    x[2, 0], x[3] = 0.3, np.round(x[3])
    if name in ALONG:
        x[0, 0, 3], x[0, 1, :2], x[0, 2, 5] = np.nan, np.inf, -np.inf
        x[1, 0] = 0.7
    np.testing.assert_allclose(layer(x), _expected(function, x), rtol=1e-9, atol=1e-9)
    assert layer.explain().startswith("traced")

    y, pull = layer.vjp(smooth)
    g, h = rng.normal(size=y.shape), 1e-6
    found = pull(g).x
    for place in np.ndindex(smooth.shape):
        moved = np.zeros_like(smooth)
        moved[place] = h
        slope = np.sum(g * (_expected(function, smooth + moved) - _expected(function, smooth - moved))) / (2 * h)
        np.testing.assert_allclose(found[place], slope, rtol=2e-5, atol=2e-5)


SPECIAL = "gammaln psi erfinv erfcinv ndtri log_ndtr erfcx i0e i1e k0e k1e gamma i0 k1".split()


@pytest.mark.parametrize("name", SPECIAL)
def test_second_derivatives_of_special_functions(name):
    function = getattr(special, name)
    x, h = np.array([[[0.31, 0.52, 0.78]]]), 2e-3
    far, near = (function(x + k * h) + function(x - k * h) - 2 * function(x) for k in (2, 1))
    layer = _layer(function, "batch")
    layer(x)
    found = rk.hessian(layer, x, by="x").reshape(3, 3)
    np.testing.assert_allclose(found, np.diag(((16 * near - far) / (12 * h * h)).ravel()), rtol=1e-6)


@pytest.mark.parametrize("before", [False, True], ids=["features", "rows"])
def test_long_arrays_are_sorted(before, rng):
    """As arrays, and by a loop of the graph where a loop came before."""

    @rk.cell(states={"n": ()}, per_row=True)
    def step(x, states, weights):
        k = 0
        while before and k < 3 and x[k] > 0:
            k += 1
        return np.concatenate([np.sort(x)[:5], np.argsort(x, kind="stable") * 1.0, [np.median(x), 1.0 * k]]), states

    x = rng.normal(size=(2, 2, 30)).round(1)
    x[0, 0, 7], x[0, 1, 3] = np.nan, np.inf
    layer = rk.RNN(step(), return_sequences=True)
    found = layer(x)
    assert ("loop" in layer.explain().partition("gradient")[0].partition("\n")[2]) or not before
    np.testing.assert_array_equal(found[..., :5], np.sort(x)[..., :5])
    np.testing.assert_array_equal(found[..., 5:35], np.argsort(x, kind="stable"))
    np.testing.assert_allclose(found[..., 35], np.median(x, axis=-1))
    y, pull = layer.vjp(x[1:])
    place = np.argsort(x[1, 0], kind="stable")[2]
    g = np.zeros_like(y)
    g[0, 0, 2] = 3.0
    expected = np.zeros_like(x[1:])
    expected[0, 0, place] = 3.0
    np.testing.assert_array_equal(pull(g).x, expected)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: special.kve(2, x), "another order"),
        (lambda x: np.quantile(x, 0.5, axis=-1, method="lower", keepdims=True), "by the linear method"),
        (lambda x: np.pad(x, 1, "median"), "np.pad in mode 'median'"),
        (lambda x: np.interp(x, KNOTS, HEIGHTS, period=3.0), "np.interp with a period"),
    ],
)
def test_what_is_not_there_is_refused_by_name(function, message):
    with pytest.raises((ValueError, TypeError), match=message):
        _layer(function, "batch").build((None, None, 4))
