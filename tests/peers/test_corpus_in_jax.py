"""The steps of the corpus in jax, where it is installed: the same outputs, and gradients as central differences."""

import numpy as np
import pytest
from corpus_runs import CORPUS, drawn, each, helpers_in_python, plain, slopes

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
