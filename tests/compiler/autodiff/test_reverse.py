"""Where no derivative exists or is asked for: branches not taken, corners, functions of weights without a rule."""

import numpy as np
import pytest
from gradient_runs import BOUNDS, Run, near

import rnnkit as rk

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def kernel(*shape):
    return rk.Weight(shape, lambda shape, rng: rng.normal(0, 0.5, shape))


def ones(*shape):
    return rk.Weight(shape, "ones")


def run_of(cell, features=4, mask="none", seed=0, **options):
    layer = rk.RNN(cell, return_sequences=True, return_state=True, dtype="float64", seed=3, **options)
    layer.build((None, None, features))
    return Run(layer, (features,), 3, 4, mask, seed=seed)


def finite(run, **changed):
    gradient = run.gradient(**changed)
    for name, array in gradient.items():
        assert np.isfinite(array).all(), name
    return gradient


# Each gives NaN or infinite slopes wherever x is not positive.
BRANCHES = {
    "sqrt": lambda x, h, w: np.sqrt(x),
    "sqrt_of_zero": lambda x, h, w: np.sqrt(np.maximum(x, 0.0)),
    "log": lambda x, h, w: x * np.log(x),
    "division": lambda x, h, w: h / np.maximum(x, 0.0),
    "power": lambda x, h, w: x**w.power,
    "weights_power": lambda x, h, w: np.power(x, 0.3) * w.scale + h,
    "product": lambda x, h, w: np.log(x) @ w.kernel,
    "product_of_state": lambda x, h, w: (h / np.maximum(x, 0.0)) @ w.kernel,
    "chain": lambda x, h, w: np.exp(np.sqrt(x) * w.scale) @ w.kernel @ w.kernel,
    "sum": lambda x, h, w: np.sqrt(x).sum(axis=-1, keepdims=True) * w.scale,
    "prod": lambda x, h, w: np.log(x).prod(axis=-1, keepdims=True) * w.scale,
    "max": lambda x, h, w: np.sqrt(x).max(axis=-1, keepdims=True) * w.scale,
    "std": lambda x, h, w: (0 * x + h.mean(axis=-1, keepdims=True)).std(axis=-1, keepdims=True) * w.scale * x,
    "norm": lambda x, h, w: np.linalg.norm(0 * x, axis=-1, keepdims=True) * w.scale + x,
    "einsum": lambda x, h, w: np.einsum("bi,bj->bi", np.sqrt(x), np.log(x) + w.scale),
    "concatenated": lambda x, h, w: np.concatenate([np.sqrt(x), np.log(x)], axis=-1)[:, 2:6] * w.scale,
}
WEIGHTS = {"kernel": kernel(4, 4), "scale": kernel(4), "power": ones(4)}
WHOLE_ROW = ("product", "product_of_state", "chain", "sum", "prod", "max", "std", "norm", "einsum")


def chosen(branch):
    @rk.cell(states={"h": 4}, weights=WEIGHTS)
    def where_cell(x, states, weights):
        (h,) = states
        taken = x.min(axis=-1, keepdims=True) > 0
        h = np.tanh(np.where(taken, branch(x, h, weights), 0.3 * x) + h)
        return h, (h,)

    return where_cell()


@pytest.mark.parametrize("name", BRANCHES)
def test_where_lets_nothing_through_from_the_branch_not_taken(name):
    with rk.eager():
        run = run_of(chosen(BRANCHES[name]))
    x = run.given["x"]
    x[:, 1] = np.abs(x[:, 1]) + 0.1  # these rows take the branch, all others don't
    x[0, 2] = 0.0
    if name in ("std", "norm"):
        x[:, 1] *= -1
    gradient = run.expected()
    for kind, array in gradient.items():
        assert np.isfinite(array).all(), kind
    reference = run.reference
    run.check_slopes(
        gradient, lambda **moved: run.plain_loss(reference, **moved), run.plain_loss_with_weight(reference),
        np.random.default_rng(0),
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["division", *(pytest.param(name, marks=pytest.mark.sweep) for name in ("chain", "prod"))]
)
def test_where_in_the_program(name):
    run = run_of(chosen(BRANCHES[name]))
    run.given["x"][:, 1] = np.abs(run.given["x"][:, 1]) + 0.1
    run.given["x"][0, 2] = 0.0
    near(finite(run), run.expected(), BOUNDS["float64"])


@rk.cell(
    states={"h": 4}, weights={"kernel": kernel(4, 4), "scale": rk.Weight((4,), lambda shape, rng: np.zeros(shape))}
)
def of_weights_alone(x, states, weights):
    """The branch not taken is made of weights before any row has to do with it."""
    (h,) = states
    far = x > 100.0
    h = np.where(far, np.sqrt(weights.scale) + x @ np.log(weights.kernel), np.tanh(h + x))
    return np.where(weights.scale > 0.0, np.log(weights.scale), weights.scale + h), (h,)


def test_where_takes_no_branch_of_weights_alone():
    with rk.eager():
        run = run_of(of_weights_alone())
    for name, array in run.expected().items():
        assert np.isfinite(array).all(), name


# Of a matrix and a vector of weights: what NumPy computes as it is, whenever a weight changes.
WITHOUT_A_RULE = {
    "pinv": lambda m, v: np.linalg.pinv(m)[0],
    "svd": lambda m, v: np.linalg.svd(m)[1],
    "norm": lambda m, v: np.linalg.norm(m, "nuc"),
    "nanpercentile": lambda m, v: np.nanpercentile(v, 30),
}
WITH_A_RULE = {
    "percentile": lambda m, v: np.percentile(v, 30),
    "det": lambda m, v: np.linalg.det(m),
    "slogdet": lambda m, v: np.linalg.slogdet(m)[1],
    "slogdet, both": lambda m, v: np.prod(np.stack(np.linalg.slogdet(m))),
    "eigvalsh": lambda m, v: np.linalg.eigvalsh(m + m.T),
    "eigvalsh of a triangle": lambda m, v: np.linalg.eigvalsh(m),
    "cholesky": lambda m, v: np.linalg.cholesky(m @ m.T + np.eye(4))[3],
    "svd": lambda m, v: np.linalg.svd(m[:3], compute_uv=False).sum(),
    "norm": lambda m, v: np.linalg.norm(m, 2),
    "norm by name": lambda m, v: np.linalg.norm(m, ord=2),
    "matrix_power": lambda m, v: np.linalg.matrix_power(m, 3)[1],
    "matrix_power 0": lambda m, v: np.linalg.matrix_power(m, 0)[1] * v,
    "median": lambda m, v: np.median(v),
    "outer": lambda m, v: np.outer(v, v * v)[2],
}
FLAT = {
    "matrix_rank": lambda m, v: np.linalg.matrix_rank(m) / 4.0,
    "searchsorted": lambda m, v: np.searchsorted(np.arange(4.0), v) + v,
}


def weighted(function):
    @rk.cell(states={"h": 4}, weights={"m": kernel(4, 4), "v": kernel(4)})
    def with_a_function(x, states, weights):
        (h,) = states
        scale = function(weights.m, weights.v)
        h = np.tanh(x @ weights.m + 0.1 * scale * h)
        return h, (h,)

    return with_a_function()


@pytest.mark.parametrize("name", WITHOUT_A_RULE)
def test_a_function_of_weights_without_a_derivative_is_named(name):
    with rk.eager():
        run = run_of(weighted(WITHOUT_A_RULE[name]))
    with pytest.raises(ValueError, match=rf"np\..*{name} of weights in the line 'scale = function"):
        run.expected()


@pytest.mark.parametrize("name", WITH_A_RULE)
def test_L7_functions_of_weights(name):
    with rk.eager():
        run = run_of(weighted(WITH_A_RULE[name]))
    reference = run.reference
    run.check_slopes(
        run.expected(), lambda **moved: run.plain_loss(reference, **moved), run.plain_loss_with_weight(reference),
        np.random.default_rng(0),
    )  # fmt: skip


def test_a_layer_without_a_gradient_still_computes():
    run = run_of(weighted(WITHOUT_A_RULE["norm"]))
    assert run.layer.explain().startswith("traced")
    given = run.arguments({})
    with rk.eager():
        expected = run.call()
    for got, wanted in zip(run.call(), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
    for _ in range(2):
        with pytest.raises(ValueError, match="np.linalg.norm of weights"):
            run.layer.vjp(**given)
    run.call()


@pytest.mark.parametrize("name", FLAT)
def test_counts_and_places_have_no_gradient_and_stop_none(name):
    with rk.eager():
        run = run_of(weighted(FLAT[name]))
    reference = run.reference
    run.check_slopes(
        run.expected(), lambda **moved: run.plain_loss(reference, **moved), run.plain_loss_with_weight(reference),
        np.random.default_rng(0),
    )  # fmt: skip


def test_a_function_that_no_cotangent_reaches_is_not_refused():
    @rk.cell(states={"h": 4}, weights={"m": kernel(4, 4)})
    def scaled_decision(x, states, weights):
        (h,) = states
        h = np.where(x > np.linalg.det(weights.m), x @ weights.m, h)
        return h, (h,)

    with rk.eager():
        run = run_of(scaled_decision())
    assert run.expected()["m"].any()
