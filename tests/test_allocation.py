"""Sizes that no memory holds: row E18 of docs/contract.md."""

import platform
import subprocess
import sys

import numpy as np
import pytest
from cells_under_test import leaky
from matrix import same_bits
from refusals import ROWS, X, refused

import rnnkit as rk
from rnnkit import allocation


@pytest.fixture(autouse=True)
def nothing_is_compiled():
    """What is refused never gets to a program, and what isn't runs as plain Python."""
    with rk.eager():
        yield


HUGE = {
    "LSTM": (lambda: rk.LSTM(10**9)(X), "kernel", "GB"),
    "GRU": (lambda: rk.GRU(10**15)(X), "kernel", "PB"),
    "stack": (lambda: rk.RNN([rk.GRUCell(2), rk.GRUCell(10**9)])(X), "kernel"),
    "Bidirectional": (lambda: rk.Bidirectional(rk.SimpleRNN(10**12))(X), "kernel", "TB"),
    "TimeDistributed": (lambda: rk.TimeDistributed(rk.Dense(10**12))(X), "kernel"),
    "Dense": (lambda: rk.Dense(10**15)(ROWS), "kernel", "64 PB"),
    "Embedding": (lambda: rk.Embedding(10**12, 10**6)([[1]]), "embeddings", "8 EB"),
    "Activation": (lambda: rk.Activation("relu").build((None, 10**15)), "features", "8 PB"),
    "RepeatVector": (lambda: rk.RepeatVector(10**15)(ROWS), "(3, 1000000000000000, 8)"),
    "ESNCell": (lambda: rk.RNN(rk.ESNCell(10**9))(X), "kernel"),
    "declared": (lambda: rk.RNN(leaky(units=10**12))(X), "kernel"),
    "symbolic": (lambda: rk.Dense(10**15)(rk.Input((3,))), "kernel"),
    "Sequential": (lambda: rk.Sequential([rk.Masking(), rk.Dense(10**15)])(X), "kernel"),
    "states": (lambda: rk.LSTM(8).get_initial_state(10**15), "states", "(1000000000000000, 8)"),
    "a cell's states": (lambda: rk.LSTMCell(8).get_initial_state(10**15), "states"),
    "initializer": (lambda: rk.initializers.Orthogonal()((10**9, 10**9), np.random.default_rng(0)), "8 EB"),
    "gradcheck": (lambda: rk.gradcheck(leaky(units=2), (10**15, 5, 4)), "160 PB"),
    "horizon": (lambda: rk.forecast.ESN(10**15, units=5).fit(np.sin(np.arange(90))).predict(), "forecasts"),
}


@pytest.mark.parametrize("name", HUGE)
def test_E18_sizes_that_no_memory_holds(name):
    call, *words = HUGE[name]
    refused(call, *words, kinds=(MemoryError,))


def test_E18_sizes_that_no_address_reaches():
    for call in (
        lambda: rk.LSTM(2**62)(X),
        lambda: rk.Dense(2**62)(ROWS),
        lambda: rk.Embedding(2**62, 2**62)([[1]]),
        lambda: rk.RepeatVector(2**62)(ROWS),
        lambda: rk.LSTM(8).get_initial_state(2**62),
    ):
        refused(call, "addressed", kinds=ValueError)


def test_E18_the_layer_stays_as_it_was():
    layer = rk.LSTM(4, seed=0)
    refused(lambda: layer.build((None, None, 10**15)), "kernel", kinds=MemoryError)
    assert not layer.built and not layer.weights and layer.dtype is None
    same_bits([layer(X)], [rk.LSTM(4, seed=0)(X)])
    pool = rk.RepeatVector(10**15)
    refused(lambda: pool(ROWS), kinds=MemoryError)
    assert not pool.built and pool.compute_output_shape((None, 8)) == (None, 10**15, 8)


def test_E18_nothing_is_drawn(monkeypatch):
    """All weights are looked at before the first is drawn, each in float64 and all together."""
    drawn = []

    def initializer(shape, rng):
        drawn.append(shape)
        return np.zeros(shape)

    monkeypatch.setattr(allocation, "physical_memory", lambda: 8 * 100)
    makers = {"kernel_initializer": initializer, "recurrent_initializer": initializer, "bias_initializer": initializer}
    layer = rk.GRU(6, dtype="float64", **makers)
    refused(lambda: layer(X[..., :2]), "recurrent_kernel", "800 bytes", "864 bytes", kinds=MemoryError)
    layer = rk.GRU(5, dtype="float64", **makers)
    refused(lambda: layer(X[..., :5]), "the weights of 'GRUCell'", kinds=MemoryError)
    spec = {name: rk.Weight(("features", "units"), initializer) for name in ("a", "b")}
    cell = rk.cell(states={"h": "units"}, weights=spec)(lambda x, states, weights: (states[0], states))
    refused(lambda: rk.RNN(cell(units=8), dtype="float64")(X), "the weights of", kinds=MemoryError)
    assert not drawn


def test_E18_what_numpy_says_is_said_in_words():
    def initializer(shape, rng):
        return np.empty(2**59)  # more than any address space

    text = refused(lambda: rk.Dense(1, kernel_initializer=initializer)(ROWS), "'kernel'", "4.61 EB", kinds=MemoryError)
    assert "Unable" not in text
    wide = np.broadcast_to(np.float32(0), (2**55, 8))
    refused(lambda: rk.Flatten()(wide), "a call of 'flatten'", "EB", kinds=MemoryError)
    refused(lambda: rk.Flatten().vjp(wide), "vjp of 'flatten'", kinds=MemoryError)


def test_E18_a_machine_that_does_not_say_what_it_has(monkeypatch):
    monkeypatch.setattr(allocation, "physical_memory", lambda: None)
    allocation.check("an array", (10**15,))
    refused(lambda: allocation.check("an array", (2**62,)), "addressed", kinds=ValueError)


PAGES = """
import resource
import numpy as np, rnnkit as rk
layer, x = rk.ArrayFunction(lambda x: np.tanh(2 * x + 1) * x - x / (1 + x * x)), np.ones((64, 100, 64), "float32")
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pullback = layer.vjp(x)[1]
    pullback(y)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
for _ in range(8):
    y = layer(x)
print(*[pages() for _ in range(8)])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide otherwise")
def test_memory_of_large_arrays_is_not_asked_for_again():
    found = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(map(int, found))[3] < 100  # of 3,600 where it is given back
