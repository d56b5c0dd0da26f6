"""The steps of the corpus in jax, where it is installed: the same outputs, and gradients as central differences."""

import collections
import pathlib
import sys

import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[2] / "asv_benchmarks"))
from corpus import CORPUS

ROWS, STEPS, EPSILON = 2, 40, 1e-6
IN_JAX = [recurrence for recurrence in CORPUS if recurrence.jax_step]
pytestmark = [pytest.mark.sweep, pytest.mark.filterwarnings("ignore")]  # what jax warns about is its own


@pytest.mark.parametrize("recurrence", IN_JAX, ids=lambda recurrence: recurrence.name)
def test_jax_agrees(recurrence):
    jax = pytest.importorskip("jax", exc_type=ImportError)
    jax.config.update("jax_enable_x64", True)
    x, constants = recurrence.data(np.random.default_rng(8), ROWS, STEPS, np.float64)
    named = collections.namedtuple("states", recurrence.states)

    def outputs(x, constants):
        def row(x, *constants):
            given = (constants,) if constants else ()

            def step(states, x):
                output, states = recurrence.jax_step(x, states, *given)
                return named(*states), output

            return jax.lax.scan(step, named(*map(jax.numpy.asarray, recurrence.start())), x)[1]

        return jax.vmap(row)(x, *constants)

    found = jax.jit(outputs)(x, constants)
    np.testing.assert_allclose(found, recurrence.by_hand(x, *constants), rtol=1e-8, atol=1e-8)
    if not recurrence.differentiable:
        return
    rng = np.random.default_rng(3)
    weights = rng.standard_normal(found.shape)
    arrays = (x, *constants)
    pulled = jax.jit(jax.grad(lambda arrays: (outputs(arrays[0], arrays[1:]) * weights).sum()))(arrays)
    pulled = [np.where(np.isnan(array), 0, gradient) for array, gradient in zip(arrays, pulled, strict=True)]
    assert sum(np.abs(gradient).max() for gradient in pulled) > 0
    ratios = []
    for _ in range(9):  # most of them meet no jump
        along = [rng.standard_normal(array.shape) * EPSILON for array in arrays]
        ends = [
            (recurrence.by_hand(*(a + sign * d for a, d in zip(arrays, along, strict=True))) * weights).sum()
            for sign in (1, -1)
        ]
        slope = sum((gradient * d).sum() for gradient, d in zip(pulled, along, strict=True))
        ratios.append((ends[0] - ends[1]) / (2 * slope))
    assert abs(np.median(ratios) - 1) < 1e-4, ratios
