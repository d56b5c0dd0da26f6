"""Derivatives along directions on a GPU: the host's numbers."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.backends.cuda.memory import availability
from rnnkit.backends.cuda.memory.array import upload

pytestmark = pytest.mark.skipif(
    not (availability.simulated() and availability.missing() is None),
    reason="memory of NumPy stands in for a GPU's: NUMBA_ENABLE_CUDASIM=1, with numba-cuda",
)


@rk.cell(states={"h": 1}, initial={"h": 1.0}, weights={"a": rk.Weight((1,), "ones"), "b": rk.Weight((1,), "ones")})
def narrow(x, states, weights):
    """Planned by rows."""
    h = 0.1 + weights.a * x * x + weights.b * states.h
    return np.log(h), h


@pytest.mark.parametrize("make", [lambda: rk.GRU(3, seed=0), lambda: rk.RNN(narrow(), seed=0)], ids=["gru", "narrow"])
def test_X30_the_hosts_derivatives(make, rng):
    x = rng.normal(size=(2, 4, 1)).astype("float32")
    host, gpu = make(), make()
    host.build(x.shape)
    gpu.build(x.shape)
    gpu.to("cuda")
    d = {name: rng.normal(size=one.shape).astype("float32") for name, one in host.weights.items()}
    moved, mask = rng.normal(size=x.shape).astype("float32"), np.array([[1, 0, 1, 1], [1, 1, 1, 0]], bool)
    for (y, dy), (want, d_want) in [[one.jvp(x, moved, d, mask=mask) for one in (gpu, host)]]:
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(dy, d_want, rtol=1e-4, atol=1e-4)
    found, want = (rk.hvp(one, x, {**d, "x": moved}, by=[*d, "x"], mask=mask) for one in (gpu, host))
    for name, one in found.items():
        np.testing.assert_allclose(one, want[name], rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="x of .* on the host"):
        gpu.jvp(upload(x, 0), moved)


def test_X30_models_have_the_hosts_derivatives(rng):
    x = rng.normal(size=(2, 4, 2)).astype("float32")
    host, gpu = (rk.Sequential([rk.GRU(3), rk.Dense(1, "tanh")], seed=0) for _ in range(2))
    host.build(x.shape)
    gpu.build(x.shape)
    gpu.to("cuda")
    found, want = (rk.hvp(one, x, {"x": x, "1/kernel": np.ones((3, 1))}, by=["x", "1/kernel"]) for one in (gpu, host))
    for name, one in found.items():
        np.testing.assert_allclose(one, want[name], rtol=1e-3, atol=1e-3)
