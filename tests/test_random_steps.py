"""Random steps through the whole first road, against the same steps in a plain loop."""

import numpy as np
import pytest
import reference
from cells_under_test import normal
from matrix import flat, same_bits
from random_steps import random_step

import rnnkit as rk

SHAPES = ((17,), (3, 5))


class RandomCell(rk.Cell):
    def __init__(self, seed):
        super().__init__()
        self.state_size = list(SHAPES)
        self.function = random_step(seed, shapes=SHAPES)

    def call(self, inputs, states):
        return self.function(inputs, states, None)


def check(seed, dtype):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(5, 4, 6)).astype(dtype)
    mask = rng.random((5, 4)) < 0.7
    layer = rk.RNN(RandomCell(seed), return_sequences=True, return_state=True, dtype=dtype, seed=seed)
    got = flat(list(layer(x, mask=mask)))
    assert layer.explain().startswith("road 1")
    start = [np.zeros((5, *shape)) for shape in SHAPES]
    ran = reference.run(lambda x, s: normal(layer.cell.call(x.copy(), s)), x.astype(float), start, mask)
    bound = {"float64": 1e-11, "float32": 2e-4}[dtype]
    for a, b in zip(got, (ran.outputs, *ran.states), strict=True):
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound * max(1, np.abs(b).max(initial=0)))
    same_bits(flat(list(layer(x[2:3], mask=mask[2:3]))), [a[2:3] for a in got])


@pytest.mark.parametrize("seed, dtype", [(0, "float64"), (1, "float32")])
def test_a_random_step(seed, dtype):
    check(seed, dtype)


@pytest.mark.sweep
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(2, 60))
def test_many_random_steps(seed, dtype):
    check(seed, dtype)
