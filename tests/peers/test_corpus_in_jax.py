"""The steps of the corpus in jax, where it is installed: the same outputs, gradients as central differences, and
products with the Hessian."""

import numpy as np
import pytest
from corpus_runs import CORPUS, drawn, each, helpers_in_python, layer_of, plain, slopes

import rnnkit as rk

ROWS, STEPS = 2, 40
pytestmark = [pytest.mark.sweep, pytest.mark.filterwarnings("ignore")]  # what jax warns about is its own


@each([recurrence for recurrence in CORPUS if recurrence.jax_step])
def test_jax_agrees(recurrence, monkeypatch):
    jax = pytest.importorskip("jax")
    helpers_in_python(recurrence, monkeypatch)
    with jax.enable_x64(True):
        agrees(jax, recurrence)


def agrees(jax, recurrence):
    x, constants = drawn(recurrence, ROWS, STEPS)
    arrays, outputs = [x, *recurrence.start(), *constants], recurrence.in_jax
    arrays = list(map(jax.numpy.asarray, arrays))
    found = jax.jit(outputs)(arrays)
    arrays_in_numpy = list(map(np.asarray, arrays))
    np.testing.assert_allclose(found, plain(recurrence, x, constants), rtol=1e-8, atol=1e-8)
    if recurrence.differentiable:
        rng = np.random.default_rng(3)
        weights = rng.standard_normal(found.shape)
        pulled = jax.jit(jax.grad(lambda arrays: (outputs(arrays) * weights).sum()))(arrays)
        pulled = [np.nan_to_num(gradient) for gradient in pulled]
        assert max(np.abs(gradient).max() for gradient in pulled) > 0
        ratios = [
            slope / sum((gradient * d).sum() for gradient, d in zip(pulled, along, strict=True))
            for (slope, along), _ in zip(slopes(recurrence, arrays_in_numpy, weights, rng), range(7), strict=False)
        ]
        assert abs(np.median(ratios) - 1) < 1e-4, ratios  # few of them meet a jump


SMOOTH = [one for one in CORPUS if one.jax_step and one.differentiable and one.name not in ("kalman", "sixty_scalars")]


@each(SMOOTH)  # without two that jax compiles for minutes
def test_X26_products_with_the_hessian_are_those_of_jax(recurrence, rng):
    jax = pytest.importorskip("jax")
    x, constants = drawn(recurrence, ROWS, 8)
    layer, d, more = layer_of(recurrence, dtype="float64"), rng.normal(size=x.shape), {"constants": constants or None}
    layer(x, **more)
    found = rk.hvp(layer, x, d, by="x", **more)
    with jax.enable_x64(True):
        total = lambda x: recurrence.in_jax([x, *recurrence.start(), *constants]).sum()
        expected = jax.jit(lambda x, d: jax.jvp(jax.grad(total), (x,), (d,))[1])(x, d)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
