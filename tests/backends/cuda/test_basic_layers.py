"""Layers around a recurrence on a GPU: the host's numbers, from arrays of either memory, forward and back."""

import numpy as np
import pytest
from layers_under_test import CASES

import rnnkit as rk
from rnnkit.backends.cuda.memory import availability
from rnnkit.backends.cuda.memory.array import upload

pytestmark = pytest.mark.skipif(
    not (availability.simulated() and availability.missing() is None),
    reason="memory of NumPy stands in for a GPU's: NUMBA_ENABLE_CUDASIM=1, with numba-cuda",
)

SOME = [case for i, case in enumerate(CASES) if case.kind != CASES[i - 1].kind and len(case.shapes) == 1]
SOME += [
    next(case for case in CASES if case.kind == "LayerNormalization" and case.options.get("axis") == (1, 2)),
    next(case for case in CASES if case.kind == "Conv1D" and case.options["groups"] == 2),
]


@pytest.mark.parametrize("case", SOME, ids=str)
def test_the_hosts_numbers(case):
    host, gpu = case.make(seed=0), case.make(seed=0)
    x, shape = case.inputs("float32")[:2, :6], (None, 6, *case.shapes[0][2:])
    host.build(shape)
    gpu.build(shape)
    gpu.to("cuda")
    expected, pullback = host.vjp(x)
    gradient = pullback(np.ones_like(expected))
    for given in (np.array, lambda array: upload(array, 0)):
        y, pullback = gpu.vjp(given(x))
        found = pullback(given(np.ones_like(expected)))
        arrays = [y, found.x, *found.weights.values()]
        arrays = [one if isinstance(one, np.ndarray) else one.copy_to_host() for one in arrays]
        for a, b in zip(arrays, [expected, gradient.x, *gradient.weights.values()], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_fit_gives_the_hosts_weights(rng):
    x, y = rng.normal(size=(6, 5, 4)).astype("float32"), rng.normal(size=(6, 2)).astype("float32")
    found = []
    for device in ("cpu", "cuda"):
        layers = [
            rk.Conv1D(3, 2, use_bias=False),
            rk.BatchNormalization(),
            rk.GRU(3),
            rk.LayerNormalization(),
            rk.Dense(2),
        ]
        model = rk.Sequential(layers, seed=0)
        model.build(x.shape)
        model.to(device)
        model.compile("sgd", "mse")
        model.fit(x, y, epochs=2, batch_size=3, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
